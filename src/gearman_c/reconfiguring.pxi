# Changes of what a Client's connections were told, and clients made after one.

@cython.auto_pickle(False)
@cython.final
cdef class _Reconfigured:
    """A context in which the settings may change: no run, and no connection that has the old."""
    cdef Client client

    def __cinit__(self, Client client):
        self.client = client

    def __enter__(self):
        cdef Client client = self.client
        enter(client)
        refuse_callbacks(client)
        take_lock(client._lock, FOREVER)
        # What is dropped with the old settings may have a __del__() that calls the client.
        client._runner = PyThread_get_thread_ident()
        try:
            if client._channel.in_flight:
                raise errors.UsageError(
                    "tasks are in flight; settings can change before they are sent, or when "
                    "run_tasks() has returned without an error")
            if client._channel.client != NULL:
                drop_connection(client)
        except BaseException:
            release(client)
            raise

    def __exit__(self, *exception):
        release(self.client)


cdef int change(Client client, str name, object value) except -1:
    """Change one of the settings, with a connection closed that has the old."""
    with _Reconfigured(client):
        if name == "namespace":
            if client._channel.pending:
                raise errors.UsageError("the namespace cannot change with tasks queued, whose "
                                        "names might become too long; call run_tasks() first")
            client._last_function = client._lock    # how long a name may be depends on it
        client._settings = client._settings.altered(name, value)
        client._channel.settings = &client._settings.c
    return 0


cdef int set_option(Client client, object name) except -1:
    """Ask the server for an option, on this and all later connections."""
    cdef bytes option = encode_name(name, "the option", 64)
    if option != b"exceptions":
        # gearmand knows no other; libgearman would repeat an unknown one on each connection.
        raise errors.ServerError(
            f"servers know the option 'exceptions' only, not {name!r}",
            code=ReturnCode.INVALID_SERVER_OPTION, operation="set_server_option")
    if client._channel.wants_exceptions:
        return 0
    with _Reconfigured(client):
        client._channel.wants_exceptions = True
    return 0


cdef Client clone(Client source):
    """Return a client like source, but for tasks and connection."""
    cdef Client copy
    enter(source)
    copy = Client(source._servers, timeout=source._timeout, max_in_flight=source.max_in_flight,
                  resend=source.resend)
    # Settings of its own: what its log raises is its own matter.
    copy._settings = source._settings.altered(None, None)
    copy._channel.settings = &copy._settings.c
    copy._channel.wants_exceptions = source._channel.wants_exceptions
    for name in ("created", "data", "warning", "status", "complete", "exception", "fail",
                 "workload"):
        setattr(copy, f"on_{name}", getattr(source, f"on_{name}"))
    return copy
