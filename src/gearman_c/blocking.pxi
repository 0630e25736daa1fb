# The calls of libgearman that block, deaf to signals, and cannot go on after a timeout: each waits
# for half a second at the most, on a connection of its own whose first answer was waited for with
# open ears, and is tried again on a new one. So none may be a call that does harm if it is done
# twice.

cdef double BLOCKING_SECONDS = 0.5

cdef struct question:
    const char *text
    size_t size
    lib.gearman_status_t status     # the answer of ask_unique_status()

ctypedef lib.gearman_return_t (*blocking)(lib.gearman_client_st *, question *) noexcept nogil


cdef lib.gearman_return_t echo_text(lib.gearman_client_st *client, question *q) noexcept nogil:
    global awaited
    cdef lib.gearman_return_t rc
    awaited = ECHO_RES
    rc = lib.gearman_client_echo(client, q.text, q.size)
    awaited = 0
    return rc


cdef lib.gearman_return_t ask_unique_status(lib.gearman_client_st *client,
                                            question *q) noexcept nogil:
    lib.gearman_client_remove_options(client, lib.GEARMAN_CLIENT_NON_BLOCKING)
    q.status = lib.gearman_client_unique_status(client, q.text, q.size)
    return lib.gearman_status_return(q.status)


cdef lib.gearman_return_t cancel_handle(lib.gearman_client_st *client, question *q) noexcept nogil:
    return lib.gearman_client_cancel_job(client, <char *> q.text)


cdef lib.gearman_return_t option_exceptions(lib.gearman_client_st *client,
                                            question *q) noexcept nogil:
    if lib.gearman_client_set_server_option(client, "exceptions", 10):
        return lib.GEARMAN_SUCCESS
    return lib.gearman_client_error_code(client)


cdef lib.gearman_return_t block(channel *c, blocking call, question *q,
                                double seconds) noexcept nogil:
    cdef sigset_t before
    cdef lib.gearman_return_t rc
    lib.gearman_client_set_timeout(c.client, <int> (seconds * 1000) + 1)
    pthread_sigmask(SIG_SETMASK, &deferred, &before)
    rc = call(c.client, q)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    return verdict(&c.socket, rc)


cdef int cancel_job(Client client, object job_handle, object timeout) except -1:
    cdef question q
    cdef double deadline = read_deadline(timeout)
    cdef bytes encoded = encode_name(job_handle, "the job handle", lib.GEARMAN_JOB_HANDLE_SIZE - 1)
    enter(client)
    q.text = encoded
    return call_server(client, None, cancel_handle, &q, deadline, "cancel_job")


cdef int call_server(Client client, tuple server, blocking call, question *q, double deadline,
                     str operation) except -1:
    """Make a blocking call to one server, or to the one that is in use if server is None."""
    cdef channel c
    cdef lib.gearman_return_t rc
    cdef object error
    cdef double wait_seconds
    cdef _Settings settings = open_side(client, &c)     # held until the channel is closed
    deadline = min(deadline, patience(client, now()))
    while True:
        if server is None:
            connect(client, &c, deadline, operation)
        else:
            error = connect_server(client, &c, server, deadline, True)
            if error is not None:
                raise error
        wait_seconds = min(BLOCKING_SECONDS, max(deadline - now(), 0.001))
        with nogil:
            rc = block(&c, call, q, wait_seconds)
        if rc != lib.GEARMAN_SUCCESS:
            error = failure(c.client, rc, operation)
        with nogil:
            close_channel(&c)
        if rc == lib.GEARMAN_SUCCESS:
            return 0
        PyErr_CheckSignals()
        check_run(client)
        if rc != lib.GEARMAN_TIMEOUT or now() >= deadline:
            raise error


cdef _Settings open_side(Client client, channel *c):
    """Make a channel that is not connected, for a connection beside the client's own.

    Returns:
        What the channel borrows its settings from: to be held until it is closed, since the client
        may get other ones, or go, meanwhile.
    """
    cdef _Settings settings = client._settings
    memset(c, 0, sizeof(channel))
    forget_channel(c)
    c.settings = &settings.c
    return settings
