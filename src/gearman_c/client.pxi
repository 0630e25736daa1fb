# Client: the queue, its servers, and the runs that bring one to the other.

@cython.auto_pickle(False)
@cython.final
cdef class Client(_Callbacks):
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
        namespace, identifier: see the attributes.
        tls: the files of an encrypted connection, a ``TLS``; None for one in the clear.
        max_in_flight: how many tasks may be sent and not yet acknowledged, or, in the foreground,
            not yet done. A near server gets fewer at a time, which is faster there.
        resend: whether tasks that were sent, but not acknowledged when the connection broke, are
            sent again by the next run, under the same unique key: the server joins them to the job
            as long as it is queued. If False they fail with ``UnconfirmedError`` instead.

    Wraps ``gearman_client_st`` and ``gearman_client_create()``.
    """

    def __cinit__(self, *args, **kwargs):
        self._lock = _Lock()
        self._queue = []
        self._refused = []
        self._held = []
        self._running = {}
        self._sharing = {}
        self._questions = []
        self._untold = []
        self._last_function = self._lock    # nothing that a user can give as a name
        self._channel.socket.descriptor = -1

    def __init__(self, servers=None, *, timeout=None, namespace=None, identifier=None, tls=None,
                 max_in_flight=1000, resend=True):
        if not self._closed or self._staged != NULL:
            raise errors.UsageError("the client is set up already")
        cdef Py_ssize_t most = read_int(max_in_flight, "max_in_flight", 1, 100_000)
        cdef bint again = bool(resend)
        connect_to(self, servers, timeout, namespace, identifier, tls)
        if self._staged != NULL:
            raise errors.UsageError("an argument has set up the client, and closed it")
        self._channel.settings = &self._settings.c
        self.max_in_flight = most
        self._window = min(NARROW_WINDOW, most)
        self.resend = again
        self._staged = <staged *> malloc(most * sizeof(staged))
        if self._staged == NULL:
            raise MemoryError()
        self._closed = False

    def __dealloc__(self):
        close_channel(&self._channel)
        drop_events(&self._channel)
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

    cdef int enter(self) except -1:
        return enter(self)

    cdef int change(self, str name, object value) except -1:
        return change(self, name, value)

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

    @property
    def pending(self):
        """How many tasks were added and are not done.

        A background task is done when it is acknowledged, a foreground task when its job has
        ended, a status task when it is answered; and each when it has failed or was cancelled.
        """
        if self._generation != generation:
            return 0
        return self._channel.pending + open_questions(self)

    # Adding tasks: none of these does I/O

    def add_task(self, function, workload=b"", *, unique=None, context=None):
        """Queue a foreground job of normal priority; nothing is sent until ``run_tasks()``.

        ``run_tasks()`` returns when the job has ended; ``Task.result()`` then gives its result.

        Args:
            function: the name of the function to run, 1 to 512 bytes; str (UTF-8) or bytes.
            workload: the payload: a buffer (copied, unless it is bytes) or str (UTF-8). None,
                where ``on_workload`` is set: what that returns when the task is about to be sent.
            unique: the key under which the server joins equal jobs that wait or run, 1 to 63 bytes;
                as for ``add_task_background()``.
            context: any object; it stays with the task.

        Returns:
            The ``Task``. The client holds it too until the job has ended, so it may be dropped.

        Raises:
            ArgumentError: a value that Gearman cannot carry. TypeError: a wrong type.

        Wraps ``gearman_client_add_task()``.
        """
        return add(self, FOREGROUND, function, workload, unique, context, 1)

    def add_task_high(self, function, workload=b"", *, unique=None, context=None):
        """Queue a foreground job of high priority; as ``add_task()``.

        Wraps ``gearman_client_add_task_high()``.
        """
        return add(self, FOREGROUND, function, workload, unique, context, 0)

    def add_task_low(self, function, workload=b"", *, unique=None, context=None):
        """Queue a foreground job of low priority; as ``add_task()``.

        Wraps ``gearman_client_add_task_low()``.
        """
        return add(self, FOREGROUND, function, workload, unique, context, 2)

    def add_task_background(self, function, workload=b"", *, unique=None, context=None):
        """Queue a background job of normal priority; nothing is sent until ``run_tasks()``.

        Args:
            function: the name of the function to run, 1 to 512 bytes; str (UTF-8) or bytes.
            workload: the payload: a buffer (copied, unless it is bytes) or str (UTF-8). None,
                where ``on_workload`` is set: what that returns when the task is about to be sent.
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
        return add(self, BACKGROUND, function, workload, unique, context, 1)

    def add_task_high_background(self, function, workload=b"", *, unique=None, context=None):
        """Queue a background job of high priority; as ``add_task_background()``.

        Wraps ``gearman_client_add_task_high_background()``.
        """
        return add(self, BACKGROUND, function, workload, unique, context, 0)

    def add_task_low_background(self, function, workload=b"", *, unique=None, context=None):
        """Queue a background job of low priority; as ``add_task_background()``.

        Wraps ``gearman_client_add_task_low_background()``.
        """
        return add(self, BACKGROUND, function, workload, unique, context, 2)

    def add_task_status(self, job_handle, *, context=None):
        """Queue a question for the status of a job; ``run_tasks()`` asks it.

        The answer is in the task's ``is_known``, ``is_running``, ``numerator`` and
        ``denominator``. Questions have a connection of their own, to the server that is in use,
        and may be asked again after any error.

        Args:
            job_handle: the handle of the job, str or bytes.
            context: any object; it stays with the task.

        Returns:
            The ``Task``; it is ``COMPLETE`` when the server has answered, and ``on_status`` is
            called with it.

        Wraps ``gearman_client_add_task_status()``.
        """
        return add_question(self, STATUS_OF_HANDLE, job_handle, context)

    def add_task_status_by_unique(self, unique, *, context=None):
        """Queue a question for the status of the job with a unique key; as ``add_task_status()``.

        Wraps ``gearman_client_add_task_status_by_unique()``.
        """
        return add_question(self, STATUS_OF_UNIQUE, unique, context)

    # One job at a time, and questions about one

    def do(self, function, workload=b"", *, unique=None, timeout=None):
        """Run a foreground job of normal priority and return its result.

        What is queued is sent too, in its order; callbacks are called as by ``run_tasks()``.

        Args:
            function, workload, unique: as for ``add_task()``.
            timeout: seconds for the whole call, or None. See also ``Client.timeout``.

        Returns:
            All that the worker sent, bytes: its data, and behind that what it completed the job
            with.

        Raises:
            JobFailedError: the worker could not do it.
            WaitTimeoutError: the time is over. The job is not waited for any more, and not sent
                again; if the error lists it as unconfirmed, a worker may be at it.
            ConnectionFailedError: no server takes a connection, or it broke; likewise.
            QueueFullError, ServerError: the server refused the job.
            UsageError: the client is closed, or this is one of its callbacks.

        Wraps ``gearman_client_do()``.
        """
        return do_job(self, function, workload, unique, timeout, 1)

    def do_high(self, function, workload=b"", *, unique=None, timeout=None):
        """Run a foreground job of high priority and return its result; as ``do()``.

        Wraps ``gearman_client_do_high()``.
        """
        return do_job(self, function, workload, unique, timeout, 0)

    def do_low(self, function, workload=b"", *, unique=None, timeout=None):
        """Run a foreground job of low priority and return its result; as ``do()``.

        Wraps ``gearman_client_do_low()``.
        """
        return do_job(self, function, workload, unique, timeout, 2)

    def do_background(self, function, workload=b"", *, unique=None, timeout=None, at=None):
        """Submit a background job of normal priority and return its handle.

        What is queued is sent too, in its order; callbacks are called as by ``run_tasks()``.

        Args:
            function, workload, unique: as for ``add_task_background()``.
            timeout: seconds for the whole call, or None. See also ``Client.timeout``.
            at: when the server is to hand out the job: a ``datetime`` with a time zone, or seconds
                since the epoch, whole or not (parts of a second are cut off). None: at once. Such
                jobs have a connection of their own; the server knows one priority for them.
                gearmand 1.1.20 wakes no sleeping worker when the time has come: the job waits
                until its worker asks again.

        Returns:
            The handle of the job, str.

        Raises:
            ArgumentError: also where ``at`` lies more than a second in the past, or behind what
                libgearman can carry. All else as for ``do()``; if the error lists the task as
                unconfirmed, the server may have the job.

        Wraps ``gearman_client_do_background()``, with ``at`` ``gearman_execute()``.
        """
        return do_job_background(self, function, workload, unique, timeout, at, 1)

    def do_high_background(self, function, workload=b"", *, unique=None, timeout=None, at=None):
        """Submit a background job of high priority; as ``do_background()``.

        Wraps ``gearman_client_do_high_background()``.
        """
        return do_job_background(self, function, workload, unique, timeout, at, 0)

    def do_low_background(self, function, workload=b"", *, unique=None, timeout=None, at=None):
        """Submit a background job of low priority; as ``do_background()``.

        Wraps ``gearman_client_do_low_background()``.
        """
        return do_job_background(self, function, workload, unique, timeout, at, 2)

    def execute(self, function, workload=b"", *, unique=None, context=None,
                priority=Priority.NORMAL, background=False, at=None, timeout=None):
        """Run one job and return its ``Task``, however it ended.

        Args:
            function, workload, unique, context: as for ``add_task()``.
            priority: a ``Priority``, or its name in any case.
            background: whether to wait for the acknowledgement only.
            at: as for ``do_background()``; needs ``background``.
            timeout: seconds for the whole call, or None.

        Returns:
            The ``Task``: with the result of a job that went well, and else with ``error``.

        Raises:
            As ``do()``, but for JobFailedError and for a ServerError about the job.

        Wraps ``gearman_execute()`` with ``gearman_task_attr_init()``,
        ``gearman_task_attr_init_background()`` and ``gearman_task_attr_init_epoch()``.
        """
        return execute(self, function, workload, unique, context, priority, background, at,
                       timeout)

    def execute_by_partition(self, partition, function, workload=b"", *, unique=None, context=None,
                             background=False, timeout=None):
        """Run one job that a worker splits, and return its ``Task``, however it ended.

        A worker's partition function makes jobs of ``function`` out of the workload and joins
        their results. While it waits for those it does no other job, so there must be another
        worker that does them. The call has a thread and a connection of its own; the priority is
        normal.

        Args:
            partition: the name of the partition function, as ``function`` is one.
            function, workload, unique, context: as for ``add_task()``.
            background: whether to wait for the acknowledgement only.
            timeout: seconds for the whole call, or None.

        Returns:
            The ``Task``: with the result of a job that went well, and else with ``error``.

        Raises:
            As ``execute()``.

        Wraps ``gearman_execute_by_partition()``.
        """
        return execute_by_partition(self, partition, function, workload, unique, context,
                                    background, timeout)

    def cancel_job(self, job_handle, timeout=None):
        """Ask the server that is in use to cancel a job.

        gearmand up to 1.1.20 knows no job by this way: it answers JOB_NOT_FOUND to any handle,
        of a queued, a running or an unknown job, and the job stays. What it can do is its text
        command ``cancel job``, for a job that is queued.

        Args:
            job_handle: the handle of the job, str or bytes.
            timeout: seconds for the whole call, or None.

        Raises:
            ServerError: with the code ``JOB_NOT_FOUND``.
            ConnectionFailedError, WaitTimeoutError: as ``run_tasks()``.

        Wraps ``gearman_client_cancel_job()``.
        """
        cancel_job(self, job_handle, timeout)

    def job_status(self, job_handle, timeout=None):
        """Ask the server that is in use about a job.

        Uses a connection of its own, so it may be called while another thread runs the client, or
        from a callback.

        Args:
            job_handle: the handle of the job, str or bytes.
            timeout: seconds for the whole call, or None. See also ``Client.timeout``.

        Returns:
            A ``JobStatus``; its ``client_count`` is None.

        Raises:
            ConnectionFailedError, WaitTimeoutError: as ``run_tasks()``.

        Wraps ``gearman_client_job_status()``.
        """
        return ask_handle(self, job_handle, timeout)

    def unique_status(self, unique, timeout=None):
        """Ask the server that is in use about the job with a unique key; as ``job_status()``.

        Returns:
            A ``JobStatus``; its ``client_count`` tells how many clients wait for the job.

        Wraps ``gearman_client_unique_status()``.
        """
        return ask_unique(self, unique, timeout)

    # What holds for all its connections; a change closes one that is open

    @property
    def options(self):
        """The ``ClientOption`` flags libgearman works with.

        ``EXCEPTION`` can be set, as by ``set_server_option("exceptions")``; the first foreground
        task sets it, too. All others belong to the binding: setting them differently raises
        ``UsageError``.

        Wraps ``gearman_client_options()`` and ``gearman_client_set_options()``.
        """
        options = ClientOption(lib.gearman_client_options(template)) | ClientOption.GENERATE_UNIQUE
        if self._channel.wants_exceptions:
            options |= ClientOption.EXCEPTION
        if self._settings.tls is not None:
            options |= ClientOption.SSL
        return options

    @options.setter
    def options(self, options):
        options = ClientOption(read_int(options, "options", 0, 0xffffffff))
        change = self.options ^ options
        if change & ~ClientOption.EXCEPTION:
            raise errors.UsageError(
                f"{change & ~ClientOption.EXCEPTION!r} cannot be changed: run_tasks() needs "
                "NON_BLOCKING and FREE_TASKS to send tasks in a window, GENERATE_UNIQUE to send a "
                "task again without doubling it; NO_NEW and the rest are libgearman's own, and "
                "SSL is given to the client as tls")
        if change:
            with _Reconfigured(self):
                self._channel.wants_exceptions = ClientOption.EXCEPTION in options

    def set_server_option(self, name):
        """Ask for an option of the server, on this connection and each later one.

        Args:
            name: ``"exceptions"``: the server tells what a worker said about its exception, see
                ``JobFailedError.data`` and ``on_exception``. A client with foreground tasks asks
                for it by itself: without it gearmand 1.1.20 announces such a failure in a way
                that libgearman does not understand.

        Raises:
            ServerError: servers know no such option.

        Wraps ``gearman_client_set_server_option()``.
        """
        set_option(self, name)

    def clone(self):
        """Return a client with the same servers, settings and callbacks, and without tasks.

        Wraps ``gearman_client_clone()``.
        """
        return clone(self)

    # Runs

    def run_tasks(self, timeout=None):
        """Send the queued tasks, and wait until each is done.

        A background task is done when a server has acknowledged it, a foreground task when its job
        has ended, a question when it is answered.

        Whatever is raised, all that was not acknowledged is still queued, in its old order, but
        what failed: call ``run_tasks()`` again. The tasks that may have reached a server are
        ``UNCONFIRMED``, and a ``GearmanError`` lists them as ``unconfirmed``. Of those a background
        task is sent again, and a foreground task has failed.

        Args:
            timeout: seconds for the whole call, or None. See also ``Client.timeout``.

        Raises:
            ConnectionFailedError: no server takes a connection, or it broke.
            WaitTimeoutError: the time is over. After ``timeout`` the connection is kept, and the
                next run goes on waiting for its answers; after ``Client.timeout`` it is dropped.
            QueueFullError: the server's queue of a function is full; all other tasks were sent.
            ServerError: the server refused a task for good (it has failed), or its durable queue
                fails (the task is unconfirmed); tasks of other functions were sent.
            UsageError: the client is closed, or this is one of its callbacks.

        Wraps ``gearman_client_run_tasks()``.
        """
        cdef double deadline = read_deadline(timeout)
        begin(self, deadline)
        try:
            start_afresh(self)
            while is_at_work(self):
                step(self, deadline, 0)
            end_run(self)
        except BaseException as error:
            interrupt(self, error)
            raise
        finally:
            release(self)

    def submit(self, function, workloads, *, priority=Priority.NORMAL, unique=None,
               background=True):
        """Submit a job for each workload of an iterable, as a stream.

        At most twice ``max_in_flight`` workloads are read ahead, so it may be endless and the
        memory stays flat. Whatever ``next()`` of the iterator raises, calling it again goes on.

        Args:
            function: the name of the function, as for ``add_task_background()``.
            workloads: an iterable of payloads, each a buffer or str.
            priority: a ``Priority``, or its name in any case.
            unique: a callable that is given each workload and returns its unique key, or None to
                have keys assigned; see ``add_task_background()``.
            background: whether the server's acknowledgement is all that is waited for. False:
                foreground jobs, with their results.

        Returns:
            A ``Submission``: an iterator of the ``Task`` of each workload. Background tasks are
            given out in the order of the workloads, when they are acknowledged or have failed;
            foreground tasks in the order in which their jobs end.

        Raises:
            UsageError: the client is closed. What the iterator raises is in ``run_tasks()``.
        """
        enter(self)
        return make_submission(self, BACKGROUND if background else FOREGROUND, function,
                               workloads, priority, unique)

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
        cdef double deadline = read_deadline(timeout)
        cdef bytes frozen = freeze_workload(workload)
        cdef question q
        enter(self)
        if not frozen:
            raise errors.ArgumentError("the workload is empty; libgearman echoes 1 byte or more")
        if not self._servers:
            raise no_servers("echo")
        q.text = frozen
        q.size = PyBytes_GET_SIZE(frozen)
        for server in self._servers:
            call_server(self, server, echo_text, &q, deadline, "echo")

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
                take_lock(self._lock, FOREVER)
                try:
                    shut(self)
                finally:
                    leave_lock(self._lock)
            finally:
                self._closing = False
        else:
            shut(self)
