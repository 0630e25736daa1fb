# What is set on each C client before it connects, and where libgearman's log lines go.

cdef extern from "<dlfcn.h>" nogil:
    ctypedef struct Dl_info:
        const char *dli_fname
    int dladdr(const void *, Dl_info *)

# logging's levels, by gearman_verbose_t.
cdef tuple LOG_LEVELS = (0, 50, 40, 20, 10, 5)


cdef lib.gearman_return_t configure(channel *c) noexcept nogil:
    """Tell a fresh C client, which has no server yet, what the Client was told."""
    cdef lib.gearman_return_t rc = lib.GEARMAN_SUCCESS
    cdef settings *s = &c.settings
    if s.name_space != NULL:
        lib.gearman_client_set_namespace(c.client, s.name_space, strlen(s.name_space))
    if s.identifier != NULL:
        rc = lib.gearman_client_set_identifier(c.client, s.identifier, strlen(s.identifier))
    if s.log_owner != NULL:
        lib.gearman_client_set_log_fn(c.client, log_line, s.log_owner, s.verbosity)
    if s.certificate != NULL:
        lib.gearman_client_set_ssl(c.client, True, s.authority, s.certificate, s.key)
    return rc


cdef void log_line(const char *line, lib.gearman_verbose_t verbosity,
                   void *owner) noexcept with gil:
    """Runs inside libgearman's calls; what the user's function raises cannot leave from here."""
    cdef Client client = <Client> owner
    level = LOG_LEVELS[verbosity] if 0 <= <int> verbosity < len(LOG_LEVELS) else 5
    try:
        client._log(level, line.decode("utf-8", "replace") if line != NULL else "")
    except BaseException as error:
        if client._log_error is None:
            client._log_error = error


cdef int set_log(Client client, object target, object level) except -1:
    cdef int verbosity = 0
    if isinstance(level, bool) or not isinstance(level, int):
        raise TypeError(f"level must be one of logging's levels, not {type(level).__name__}")
    if target is not None and not callable(target):
        if not callable(getattr(target, "log", None)):
            raise TypeError("a log is a callable, a logging.Logger or None, not "
                            f"{type(target).__name__}")
        target = target.log
    for index in range(len(LOG_LEVELS)):
        if LOG_LEVELS[index] >= level and index:
            verbosity = index
    with _Reconfigured(client):
        client._log = target
        client._channel.settings.log_owner = NULL if target is None else <void *> client
        client._channel.settings.verbosity = <lib.gearman_verbose_t> verbosity
    return 0


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
        client._lock.acquire()
        if client._channel.in_flight:
            client._lock.release()
            raise errors.UsageError(
                "tasks are in flight; settings can change before they are sent, or when "
                "run_tasks() has returned without an error")
        if client._channel.client != NULL:
            drop_connection(client)

    def __exit__(self, *exception):
        self.client._lock.release()


cdef const char *text_or_null(bytes text):
    return NULL if text is None else PyBytes_AS_STRING(text)


cdef bytes encode_namespace(object text):
    """Return a namespace: libgearman puts it before each function name."""
    if text is None:
        return None
    return encode_name(text, "the namespace", 128)


cdef bytes encode_identifier(object text):
    """Return a name for the connection; gearmand cuts lines and columns at white space."""
    cdef bytes encoded
    if text is None:
        return None
    encoded = encode_name(text, "the identifier", 64)
    if not encoded.isascii() or not encoded.decode().isprintable() or b" " in encoded:
        raise errors.ArgumentError("the identifier may have visible ASCII characters only")
    return encoded


cdef int set_tls(Client client, object tls) except -1:
    """Check the files of a TLS set-up: libgearman up to 2.0.0 aborts the process on bad ones."""
    cdef list paths = []
    if tls is None:
        return 0
    if not isinstance(tls, TLS):
        raise TypeError(f"tls must be a gearman_c.TLS or None, not {type(tls).__name__}")
    if tls.ca is None or tls.certificate is None or tls.key is None:
        raise errors.ArgumentError(f"{tls!r}: libgearman needs all three files")
    for path in [tls.ca, tls.certificate, tls.key]:
        try:
            with io.open(path, "rb") as file:
                if not holds(file.read(1 << 20), b"-----BEGIN "):
                    raise errors.ArgumentError(f"TLS: {path} holds nothing in PEM format")
        except OSError as error:
            raise errors.ArgumentError(f"TLS: {path} cannot be read ({error.strerror})") from error
        paths.append(os.fsencode(path))
    if not has_tls():
        raise errors.NotSupportedError(
            f"the libgearman that is loaded ({lib.gearman_version().decode()}) was built without "
            "TLS, as Debian's is; 1.1.18 and newer have it if built with --enable-ssl")
    client._tls = paths
    client._channel.settings.authority = paths[0]
    client._channel.settings.certificate = paths[1]
    client._channel.settings.key = paths[2]
    return 0


cdef bint holds(bytes content, bytes part) except -1:
    return part in content


cdef bint has_tls() except -1:
    """Whether the loaded libgearman can encrypt: one that cannot would talk in the clear."""
    cdef Dl_info info
    if not dladdr(<void *> lib.gearman_version, &info) or info.dli_fname == NULL:
        return False
    with io.open(os.fsdecode(<bytes> info.dli_fname), "rb") as file:
        return holds(file.read(), b"SSL_CTX_new")


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
    copy = Client(source._servers, timeout=source._timeout, namespace=source.namespace,
                  identifier=source.identifier, max_in_flight=source.max_in_flight,
                  resend=source.resend)
    copy._tls = source._tls
    copy._channel.settings.authority = source._channel.settings.authority
    copy._channel.settings.certificate = source._channel.settings.certificate
    copy._channel.settings.key = source._channel.settings.key
    copy._channel.wants_exceptions = source._channel.wants_exceptions
    copy._log = source._log
    copy._channel.settings.verbosity = source._channel.settings.verbosity
    copy._channel.settings.log_owner = NULL if source._log is None else <void *> copy
    for name in ("created", "data", "warning", "status", "complete", "exception", "fail",
                 "workload"):
        setattr(copy, f"on_{name}", getattr(source, f"on_{name}"))
    return copy
