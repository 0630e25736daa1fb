# Finding a server that takes the connection.

cdef double CONNECT_SECONDS = 4     # libgearman's own limit, where another server can be tried


cdef object no_servers(str operation):
    return errors.ConnectionFailedError(
        "the client has no servers; call add_server()", code=ReturnCode.NO_SERVERS,
        operation=operation)


cdef int use_server(Client client, double deadline) except -1:
    """Connect the client's channel."""
    cdef Py_ssize_t index
    if has_waiting(client) and needs_exceptions(client, client._next):
        client._channel.wants_exceptions = True     # or step() would have to connect again
    try:
        index = connect(client, &client._channel, deadline, "run_tasks")
    except errors.WaitTimeoutError:
        client._preferred += 1      # the next run begins with another one
        raise
    client._server = client._servers[index]
    client._connections += 1
    client._preferred = index
    client._progress_at = now()
    return 0


cdef Py_ssize_t connect(Client client, channel *c, double deadline, str operation) except -1:
    """Connect to the first server that answers, beginning with the one that did so last.

    Returns:
        Its index.
    """
    cdef tuple servers = client._servers
    cdef Py_ssize_t offset, index
    cdef list reasons = []
    if not servers:
        raise no_servers(operation)
    for offset in range(len(servers)):
        index = (client._preferred + offset) % len(servers)
        error = connect_server(client, c, servers[index], deadline, offset == len(servers) - 1)
        if error is None:
            return index
        reasons.append(error)
    raise errors.ConnectionFailedError(
        "no server takes a connection: " + "; ".join([str(reason) for reason in reasons]),
        code=error.code, operation="connect", detail=error.detail)


cdef object connect_server(Client client, channel *c, tuple server, double deadline, bint last):
    """Try the addresses of one server.

    Args:
        last: whether no other server is left; its last address then has all the time there is.

    Returns:
        None once one has answered, else the exception that says why none did.
    """
    cdef object error = None
    cdef bint connected = False
    cdef double limit, patient
    cdef lib.gearman_return_t rc
    try:
        addresses = look_up(server)
    except errors.ConnectionFailedError as unresolved:
        return unresolved
    for host, address in addresses:
        patient = patience(client, now())
        if last and address is addresses[len(addresses) - 1][1]:
            deadline = min(deadline, patient)
            limit = FOREVER
        else:
            limit = min(now() + CONNECT_SECONDS, patient)
        memset(&c.socket.peer, 0, sizeof(c.socket.peer))
        memcpy(&c.socket.peer, PyBytes_AS_STRING(address), PyBytes_GET_SIZE(address))
        try:
            rc = connect_address(client, c, server, host, deadline, limit)
            connected = rc == lib.GEARMAN_SUCCESS
            if connected:
                return None
            error = connect_error(c, rc, server)
        finally:
            if not connected:
                with nogil:
                    close_channel(c)
    return error


cdef lib.gearman_return_t connect_address(
        Client client, channel *c, tuple server, bytes host, double deadline, double limit
) except? lib.GEARMAN_MAX_RETURN:
    """Connect, and wait for the server's first answer; what fails here was never sent."""
    cdef lib.gearman_return_t rc
    cdef const char *host_text = host
    cdef uint16_t port = server[1]
    cdef double until
    with nogil:
        close_channel(c)            # of an earlier try
        rc = open_channel(c, host_text, port)
    while rc == lib.GEARMAN_SUCCESS or rc == lib.GEARMAN_IO_WAIT:
        if c.markers == 0:
            rc = send_options(client, c)
            if rc != lib.GEARMAN_TIMEOUT:
                return rc
            # It was stopped just then. A new connection can be waited for with open ears.
            return connect_address(client, c, server, host, deadline, limit)
        PyErr_CheckSignals()
        check_run(client)
        if now() >= deadline:
            raise errors.WaitTimeoutError(
                f"{show_server(server)} did not answer in the time allowed; nothing was sent to it",
                code=ReturnCode.TIMEOUT, operation="connect")
        if now() >= limit:
            return lib.GEARMAN_TIMEOUT
        until = min(now() + SLICE, min(deadline, limit))
        with nogil:
            rc = pump(c, 0, until)
    return rc


cdef object connect_error(channel *c, lib.gearman_return_t rc, tuple server):
    """Return the exception that says why a server cannot be used."""
    cdef str place = show_server(server)
    cdef str reason
    if rc == lib.GEARMAN_MEMORY_ALLOCATION_FAILURE:
        raise MemoryError()
    error = failure(c.client, rc, "connect")
    if rc == lib.GEARMAN_TIMEOUT:
        reason = f"{place}: no answer in time"
    elif c.socket.tuned or isinstance(error, errors.ProtocolError):
        reason = f"{place}: no Gearman server answers there ({error})"
    else:
        reason = f"{place}: nothing listens there, or it is not reachable ({error})"
    return errors.ConnectionFailedError(
        reason, code=error.code, operation="connect", detail=error.detail)


cdef lib.gearman_return_t send_options(Client client, channel *c) noexcept:
    """Set the client's server options on a connection whose server has just answered."""
    cdef lib.gearman_return_t rc = lib.GEARMAN_SUCCESS
    if c.wants_exceptions:
        with nogil:
            rc = block(c, option_exceptions, NULL, BLOCKING_SECONDS)
        c.tells_exceptions = rc == lib.GEARMAN_SUCCESS
    return rc
