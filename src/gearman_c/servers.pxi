# Where the servers are: what the user writes, and the addresses behind it.

cdef extern from *:
    ctypedef int in_port_t
    struct addrinfo:
        int ai_family
        int ai_socktype
        int ai_protocol
        socklen_t ai_addrlen
        sockaddr *ai_addr
        addrinfo *ai_next
    enum: NI_NUMERICHOST, NI_MAXHOST, EAI_SYSTEM
    int getaddrinfo(const char *, const char *, const addrinfo *, addrinfo **) nogil
    void freeaddrinfo(addrinfo *) nogil
    const char *gai_strerror(int) nogil
    int getnameinfo(const sockaddr *, socklen_t, char *, socklen_t, char *, socklen_t, int) nogil

cdef enum:
    DEFAULT_PORT = 4730


cdef tuple read_server(object host, object port):
    if not isinstance(host, str):
        raise TypeError(f"host must be str, not {type(host).__name__}")
    host = plain_text(host)
    if not host or "\0" in host or not host.isprintable() or " " in host:
        raise errors.ArgumentError(f"{host!r} is not a host name or address")
    return host, read_int(port, "port", 1, 65535)


cdef tuple split_server(str text):
    """Read ``host``, ``host:port``, ``[address]:port`` or a bare IPv6 address."""
    cdef str host = text, port = ""
    if text.startswith("["):
        host, closing, port = text[1:].partition("]")
        if not closing or port[:1] not in ("", ":"):
            raise errors.ArgumentError(f"{text!r} is not a server: write [address]:port")
        port = port[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise errors.ArgumentError(f"{text!r} is not a server: {port!r} is not a port number")
    return read_server(host, int(port) if port else DEFAULT_PORT)


cdef list read_servers(object servers):
    """Return (host, port) for each server in a string "h1:4730,h2" or an iterable of such."""
    if isinstance(servers, str):
        servers = [part.strip() for part in plain_text(servers).split(",") if part.strip()]
        if not servers:
            raise errors.ArgumentError("no server is named; write host:port, several with commas")
    if isinstance(servers, (bytes, bytearray, memoryview)):
        raise TypeError(f"servers must be str or an iterable, not {type(servers).__name__}")
    found = []
    for server in servers:
        if isinstance(server, str):
            found.append(split_server(plain_text(server)))
        elif isinstance(server, tuple) and len(server) == 2:
            found.append(read_server(server[0], server[1]))
        else:
            raise TypeError(f"a server is 'host:port' or (host, port), not {server!r}")
    return found


cdef str show_server(tuple server):
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


cdef object unresolved(tuple server, str reason):
    return failure(NULL, lib.GEARMAN_GETADDRINFO, "connect",
                   f"{show_server(server)}: the name does not resolve ({reason})")


cdef list look_up(tuple server):
    """Return the addresses of a server, each as (numeric host, its sockaddr as bytes).

    Done here and not in libgearman, which waits for a name server wherever a connection is made,
    and knows no second address when the first one refuses.
    """
    cdef bytes host
    cdef bytes port = str(server[1]).encode()
    cdef const char *host_text
    cdef const char *port_text = port
    cdef addrinfo hints
    cdef addrinfo *first = NULL
    cdef addrinfo *each
    cdef char numeric[NI_MAXHOST]
    cdef int rc
    try:
        host = server[0].encode("ascii" if server[0].isascii() else "idna")
    except UnicodeError as error:
        raise unresolved(server, str(error)) from None
    host_text = host
    memset(&hints, 0, sizeof(hints))
    hints.ai_socktype = SOCK_STREAM
    hints.ai_protocol = IPPROTO_TCP
    with nogil:
        rc = getaddrinfo(host_text, port_text, &hints, &first)
    if rc:
        reason = os.strerror(errno) if rc == EAI_SYSTEM else gai_strerror(rc).decode()
        raise unresolved(server, reason)
    found = []
    each = first
    while each != NULL:
        if getnameinfo(each.ai_addr, each.ai_addrlen, numeric, sizeof(numeric), NULL, 0,
                       NI_NUMERICHOST) == 0:
            found.append((<bytes> numeric, (<char *> each.ai_addr)[:each.ai_addrlen]))
        each = each.ai_next
    freeaddrinfo(first)
    if not found:
        raise unresolved(server, "it has no address")
    return found
