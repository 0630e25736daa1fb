# Client: the queue, its servers, and the runs that bring one to the other.

@cython.auto_pickle(False)
@cython.final
cdef class Client:
    """Submits jobs to Gearman servers.

    Tasks are queued by ``add_task_background()`` and its brothers, which do no I/O, and sent by
    ``run_tasks()``. A task leaves the queue only when a server has acknowledged it, so after any
    error ``run_tasks()`` can be called again and goes on where it stopped.

    A client may be shared between threads. In a forked child it starts anew, without the tasks
    and the connection of its parent. It is a context manager: leaving it closes the client.

    Args:
        servers: ``"host:port,host"``, or an iterable of ``"host:port"`` or ``(host, port)``. The
            port is 4730 where none is given. None means ``$GEARMAN_SERVERS`` if that is set, else
            ``localhost:4730``. One server at a time is used: the first that takes the connection.
        timeout: seconds without any progress after which a run gives up its connection and raises
            ``WaitTimeoutError``; None waits for ever.
        max_in_flight: how many tasks may be sent and not yet acknowledged. A near server gets
            fewer at a time, which is faster there.
        resend: whether tasks that were sent, but not acknowledged when the connection broke, are
            sent again by the next run, under the same unique key: the server joins them to the job
            as long as it is queued. If False they fail with ``UnconfirmedError`` instead.

    Wraps ``gearman_client_st`` and ``gearman_client_create()``.
    """

    def __cinit__(self, *args, **kwargs):
        self._generation = generation
        self._lock = allocate_lock()
        self._queue = []
        self._refused = []
        self._held = []
        self._untold = []
        self._last_function = self._lock    # nothing that a user can give as a name
        self._servers = ()
        self._closed = True             # until __init__ has run
        self._channel.descriptor = -1

    def __init__(self, servers=None, *, timeout=None, max_in_flight=1000, resend=True):
        if not self._closed or self._staged != NULL:
            raise errors.UsageError("the client is set up already")
        if isinstance(max_in_flight, bool) or not isinstance(max_in_flight, int):
            raise TypeError(
                f"max_in_flight must be int, not {type(max_in_flight).__name__}")
        if not 1 <= max_in_flight <= 100_000:
            raise errors.ArgumentError(
                f"max_in_flight is {max_in_flight}; it must be 1 to 100000")
        if servers is None:
            servers = os.environ.get("GEARMAN_SERVERS") or f"localhost:{DEFAULT_PORT}"
        self._servers = tuple(dict.fromkeys(read_servers(servers)))
        self.timeout = timeout
        self.max_in_flight = max_in_flight
        self._window = min(NARROW_WINDOW, self.max_in_flight)
        self.resend = bool(resend)
        self._staged = <staged *> malloc(max_in_flight * sizeof(staged))
        if self._staged == NULL:
            raise MemoryError()
        self._closed = False

    def __dealloc__(self):
        if self._generation == generation:
            close_channel(&self._channel)
        free(self._staged)

    def __del__(self):
        if self._closed:
            return
        count = self._channel.pending
        if count and self._generation == generation:
            try:
                warnings.warn(f"a gearman_c.Client was dropped with {count} tasks pending; call "
                              "run_tasks() to send them, or close() to give them up",
                              ResourceWarning, source=self)
            finally:
                shut(self)
        else:
            shut(self)

    def __enter__(self):
        enter(self)
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        where = ",".join([show_server(server) for server in self._servers])
        state = "closed" if self._closed else f"{self.pending} pending"
        return f"<gearman_c.Client {where} {state}>"

    def __reduce__(self):
        raise TypeError("a Client belongs to its process; make another one there")

    # Servers

    def add_server(self, host="localhost", port=DEFAULT_PORT):
        """Add a server behind those there are.

        Args:
            host: a name or an address, str.
            port: 1 to 65535.

        Raises:
            ArgumentError: host or port cannot be one. Whether the name resolves is seen when a
                run connects.

        Wraps ``gearman_client_add_server()``.
        """
        enter(self)
        self._servers = tuple(dict.fromkeys(self._servers + (read_server(host, port),)))

    def add_servers(self, servers):
        """Add several servers.

        Args:
            servers: as for the client itself, for instance ``"host1:4730,host2"``.

        Wraps ``gearman_client_add_servers()``.
        """
        enter(self)
        self._servers = tuple(dict.fromkeys(self._servers + tuple(read_servers(servers))))

    def remove_servers(self):
        """Forget all servers; the next run closes the connection.

        Wraps ``gearman_client_remove_servers()``.
        """
        enter(self)
        self._servers = ()

    @property
    def servers(self):
        """The servers, a tuple of ``(host, port)`` in the order in which they are tried."""
        return self._servers

    # Settings

    @property
    def timeout(self):
        """Seconds without any progress after which a run gives up, or None for no limit.

        Wraps ``gearman_client_timeout()`` and ``gearman_client_set_timeout()``.
        """
        return self._timeout

    @timeout.setter
    def timeout(self, timeout):
        cdef double seconds = read_timeout(timeout)
        self._timeout = None if seconds < 0 else seconds

    @property
    def on_created(self):
        """A callable that is given each ``Task`` once a server has acknowledged it, or None.

        It runs in the thread that runs the client, between packets. It may add tasks, which join
        the run; ``run_tasks()`` and ``close()`` raise ``UsageError`` in it. If it raises, the run
        ends with that exception; the task it was called with is acknowledged all the same, and
        the next run goes on with the one after it.

        Wraps ``gearman_client_set_created_fn()``.
        """
        return self._on_created

    @on_created.setter
    def on_created(self, function):
        if function is not None and not callable(function):
            raise TypeError(f"on_created must be callable or None, not {type(function).__name__}")
        self._on_created = function

    @property
    def pending(self):
        """How many tasks were added and are neither acknowledged nor failed nor cancelled."""
        if self._generation != generation:
            return 0
        return self._channel.pending

    @property
    def closed(self):
        """Whether the client is closed."""
        return self._closed

    # Tasks

    def add_task_background(self, function, workload=b"", *, unique=None, context=None):
        """Queue a background job of normal priority; nothing is sent until ``run_tasks()``.

        Args:
            function: the name of the function to run, 1 to 512 bytes; str (UTF-8) or bytes.
            workload: the payload: a buffer (copied, unless it is bytes) or str (UTF-8).
            unique: the key under which the server joins equal jobs that are queued, 1 to 63
                bytes. None assigns one that is unique in the world; ``"#"`` makes libgearman hash
                the workload; ``"-"`` makes gearmand compare the workload itself.
            context: any object; it stays with the task.

        Returns:
            The ``Task``. The client holds it too until it is acknowledged, so it may be dropped.

        Raises:
            ArgumentError: a value that Gearman cannot carry. TypeError: a wrong type.

        Wraps ``gearman_client_add_task_background()``.
        """
        return add(self, function, workload, unique, context, 1)

    def add_task_high_background(self, function, workload=b"", *, unique=None, context=None):
        """Queue a background job of high priority; as ``add_task_background()``.

        Wraps ``gearman_client_add_task_high_background()``.
        """
        return add(self, function, workload, unique, context, 0)

    def add_task_low_background(self, function, workload=b"", *, unique=None, context=None):
        """Queue a background job of low priority; as ``add_task_background()``.

        Wraps ``gearman_client_add_task_low_background()``.
        """
        return add(self, function, workload, unique, context, 2)

    def run_tasks(self, timeout=None):
        """Send the queued tasks, and wait until a server has acknowledged each.

        Args:
            timeout: seconds for the whole call, or None. See also ``Client.timeout``.

        Raises:
            ConnectionFailedError: no server takes a connection, or it broke.
            WaitTimeoutError: the time is over. After ``timeout`` the connection is kept, and the
                next run goes on waiting for its answers; after ``Client.timeout`` it is dropped.
            QueueFullError: the server's queue of a function is full; all other tasks were sent.
            ServerError: the server refused a task for good (it has failed); all others were sent.
            UsageError: the client is closed, or this is one of its callbacks.

            Whatever is raised, all that was not acknowledged is still queued, in its old order,
            but what failed: call ``run_tasks()`` again. The tasks that may have reached a server
            are ``UNCONFIRMED``, and a ``GearmanError`` lists them as ``unconfirmed``.

        Wraps ``gearman_client_run_tasks()``.
        """
        cdef double seconds = read_timeout(timeout)
        cdef double deadline = now() + seconds if seconds >= 0 else FOREVER
        begin(self, deadline)
        try:
            start_afresh(self)
            while self._head < PyList_GET_SIZE(self._queue) or self._untold or \
                    self._channel.markers:
                step(self, deadline, 0)
            end_run(self)
        except BaseException as error:
            interrupt(self, error)
            raise
        finally:
            release(self)

    def submit(self, function, workloads, *, priority=Priority.NORMAL, unique=None,
               background=True):
        """Submit a background job for each workload of an iterable, as a stream.

        At most twice ``max_in_flight`` workloads are read ahead, so it may be endless and the
        memory stays flat.

        Args:
            function: the name of the function, as for ``add_task_background()``.
            workloads: an iterable of payloads, each a buffer or str.
            priority: a ``Priority``, or its name in any case.
            unique: a callable that is given each workload and returns its unique key, or None to
                have keys assigned; see ``add_task_background()``.
            background: True; foreground jobs are not submitted this way.

        Returns:
            A ``Submission``: an iterator of the ``Task`` of each workload, in their order, each
            given out when it is acknowledged or has failed.

        Raises:
            As ``run_tasks()``, from the iterator's ``next()``. Calling ``next()`` again goes on.
        """
        enter(self)
        if not background:
            raise errors.NotSupportedError("submit() takes background jobs only")
        return make_submission(self, function, workloads, priority, unique)

    def echo(self, workload, timeout=None):
        """Send a payload to every server, which sends it back: tells whether they are alive.

        Uses connections of its own; queued tasks are not touched.

        Args:
            workload: 1 byte or more, a buffer or str.
            timeout: seconds for the whole call, or None.

        Raises:
            ConnectionFailedError: a server cannot be reached. WaitTimeoutError: the time is over.
            ProtocolError: something else came back.

        Wraps ``gearman_client_echo()``.
        """
        cdef double seconds = read_timeout(timeout)
        cdef double deadline = now() + seconds if seconds >= 0 else FOREVER
        cdef bytes frozen = freeze_workload(workload)
        enter(self)
        if not frozen:
            raise errors.ArgumentError("the workload is empty; libgearman echoes 1 byte or more")
        if not self._servers:
            raise no_servers("echo")
        for server in self._servers:
            echo_server(self, server, frozen, deadline)

    def close(self):
        """Close the connection and give up the tasks that are queued. Idempotent.

        Tasks not yet sent become ``CANCELLED``; tasks sent and not acknowledged fail with
        ``UnconfirmedError``. If another thread runs the client, that run ends with ``UsageError``
        first.

        Wraps ``gearman_client_free()``.
        """
        if self._closed:
            return
        if self._generation == generation:
            refuse_callbacks(self)
            self._closing = True
            try:
                with self._lock:
                    shut(self)
            finally:
                self._closing = False
        else:
            shut(self)


cdef Task add(Client client, object function, object workload, object unique, object context,
              uint8_t priority):
    """Make a task and queue it. No I/O, no call into libgearman: about 150 ns."""
    global task_count
    cdef Task task
    cdef bytes encoded
    if client._closed or client._generation != generation:
        enter(client)
    if function is client._last_function:
        encoded = client._last_encoded
    else:
        encoded = encode_function(function)
        client._last_encoded = encoded
        client._last_function = function
    task = Task.__new__(Task)
    task._function = encoded
    task._workload = freeze_workload(workload)
    task.rec.size = PyBytes_GET_SIZE(task._workload)
    task.rec.priority = priority
    task.context = context
    task_count += 1
    task.rec.number = task_count
    if unique is None:
        assign_key(&task.rec)
    else:
        task._unique = encode_unique(unique)
    if is_atomic(context):
        # Without it every collection walks the whole queue.
        PyObject_GC_UnTrack(task)
    if client._closed or client._generation != generation:
        enter(client)               # what freezes a workload may have closed the client
    client._queue.append(task)
    task.rec.queued = &client._channel
    client._channel.pending += 1
    return task
