# What a client and a worker have in common: where their servers are, and what they tell them.

@cython.auto_pickle(False)
cdef class _Connector:
    """The part of a ``Client`` or ``Worker`` about its servers, and what it tells them."""

    def __cinit__(self, *args, **kwargs):
        self._generation = generation
        self._servers = ()
        self._settings = _Settings.__new__(_Settings)
        self._closed = True             # until __init__ has run

    # Abstract: Client and Worker, the only ones there are, have their own.

    cdef int enter(self) except -1:
        """The check of every call: open, and of this process."""
        raise NotImplementedError

    cdef int change(self, str name, object value) except -1:
        """Change one of the settings; no connection with the old ones may stay in use."""
        raise NotImplementedError

    # Servers

    def add_server(self, host="localhost", port=DEFAULT_PORT):
        """Add a server behind those there are.

        Args:
            host: a name or an address, str.
            port: 1 to 65535.

        Raises:
            ArgumentError: host or port cannot be one. Whether the name resolves is seen when a
                run connects.

        Wraps ``gearman_client_add_server()`` and ``gearman_worker_add_server()``.
        """
        self.enter()
        self._servers = tuple(dict.fromkeys(self._servers + (read_server(host, port),)))

    def add_servers(self, servers):
        """Add several servers.

        Args:
            servers: as for the constructor, for instance ``"host1:4730,host2"``.

        Wraps ``gearman_client_add_servers()`` and ``gearman_worker_add_servers()``.
        """
        self.enter()
        self._servers = tuple(dict.fromkeys(self._servers + tuple(read_servers(servers))))

    def remove_servers(self):
        """Forget all servers; the next run closes the connections.

        Wraps ``gearman_client_remove_servers()`` and ``gearman_worker_remove_servers()``.
        """
        self.enter()
        self._servers = ()

    @property
    def servers(self):
        """The servers, a tuple of ``(host, port)`` in the order in which they are tried."""
        return self._servers

    @property
    def timeout(self):
        """Seconds, or None for no limit.

        A client gives up a run after so long without any progress. A worker waits so long for a job
        if ``grab_job()`` or ``work()`` is not told how long.

        Wraps ``gearman_client_timeout()``, ``gearman_client_set_timeout()``,
        ``gearman_worker_timeout()`` and ``gearman_worker_set_timeout()``.
        """
        return self._timeout

    @timeout.setter
    def timeout(self, timeout):
        cdef double seconds = read_timeout(timeout)
        self._timeout = None if seconds < 0 else seconds

    @property
    def closed(self):
        """Whether it is closed, bool; nothing else can be done with it then."""
        return self._closed

    # What holds for all its connections; a change closes one that is open

    @property
    def namespace(self):
        """What is put before each function name, str or None; set it to change it.

        Only workers with the same namespace get the jobs. 128 bytes at most, and 512 with the name
        of the function.

        Wraps ``gearman_client_set_namespace()`` and ``gearman_worker_set_namespace()``.
        """
        if self._settings.name_space is None:
            return None
        return self._settings.name_space.decode("utf-8", "surrogateescape")

    @namespace.setter
    def namespace(self, text):
        self.change("namespace", encode_namespace(text))

    @property
    def identifier(self):
        """The name under which the server's list of connections shows it, str or None.

        1 to 64 visible ASCII characters.

        Wraps ``gearman_client_set_identifier()`` and ``gearman_worker_set_identifier()``.
        """
        if self._settings.identifier is None:
            return None
        return self._settings.identifier.decode()

    @identifier.setter
    def identifier(self, text):
        self.change("identifier", encode_identifier(text))

    def set_log(self, target, level=20):
        """Say where libgearman's log lines go.

        Args:
            target: a ``logging.Logger``, a callable that is given a level of ``logging`` and the
                line, or None. What it raises comes out of ``run_tasks()`` or ``Worker.run()``.
            level: the least level that is wanted, as in ``logging``; 20 is INFO. 5 is all.

        Wraps ``gearman_client_set_log_fn()`` and ``gearman_worker_set_log_fn()``.
        """
        self.change("log", read_log(target, level))


cdef int connect_to(_Connector owner, object servers, object timeout, object name_space,
                    object identifier, object tls) except -1:
    """The part of a constructor that all have."""
    cdef _Settings settings = owner._settings
    if servers is None:
        servers = os.environ.get("GEARMAN_SERVERS") or f"localhost:{DEFAULT_PORT}"
    cdef tuple found = tuple(dict.fromkeys(read_servers(servers)))
    cdef double seconds = read_timeout(timeout)
    settings = settings.altered("namespace", encode_namespace(name_space))
    settings = settings.altered("identifier", encode_identifier(identifier))
    settings = settings.altered("tls", read_tls(tls))
    if not owner._closed:           # its connections may have the settings that it has
        raise errors.UsageError("an argument has called the constructor meanwhile")
    owner._servers = found
    owner._timeout = None if seconds < 0 else seconds
    owner._settings = settings
    return 0
