# Worker: functions, and the servers whose jobs they do.

cdef uint32_t read_seconds(object seconds) except? 0xffffffff:
    """Return the time limit of a function in the server's unit, milliseconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"timeout must be seconds, not {type(seconds).__name__}")
    cdef double value = plain_number(seconds)
    if value != 0 and not 1 <= value <= LONGEST_JOB:
        raise errors.ArgumentError(
            f"timeout is {value:.7g} s; it must be 1 to {LONGEST_JOB}, or 0 for none")
    return <uint32_t> (value * 1000 + 0.5)

cdef enum:
    LONGEST_JOB = 2147483           # gearmand counts milliseconds in 31 bits


@cython.auto_pickle(False)
cdef class Worker(_Connector):
    """Does the jobs of Gearman servers."""

    def __cinit__(self, *args, **kwargs):
        self._functions = {}
        self._crews = set()
        self._version = 1

    def __init__(self, servers=None, *, timeout=None, namespace=None, identifier=None, tls=None,
                 exceptions=False):
        if not self._closed or self._crew is not None:
            raise errors.UsageError("the worker is set up already")
        if worker_template == NULL:
            raise errors.NotSupportedError(
                f"libgearman {libgearman_version()} cannot be made to hand out jobs one by one; "
                "1.1.18 to 2.0.0 can")
        cdef bint tells = bool(exceptions)
        connect_to(self, servers, timeout, namespace, identifier, tls)
        if self._crew is not None:
            raise errors.UsageError("an argument has set up the worker, and closed it")
        if tls is not None and find_set_ssl() == NULL:
            raise errors.NotSupportedError(
                f"libgearman {libgearman_version()} has TLS for clients only; 2.0.0 has it for "
                "workers")
        self._exceptions = tells
        self._crew = _Crew()
        self._closed = False

    def __enter__(self):
        self.enter()
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        where = ",".join([show_server(server) for server in self._servers])
        state = "closed" if self._closed else f"{len(self._functions)} functions"
        return f"<gearman_c.Worker {where} {state}>"

    def __reduce__(self):
        raise TypeError("a Worker belongs to its process; make another one there")

    cdef int enter(self) except -1:
        if self._closed:
            raise errors.UsageError("the worker is closed; make a new one")
        if self._generation != generation:
            forget_crew(self._crew)
            self._crews = set()
            self.is_stopping = False
            self._generation = generation
        return 0

    cdef int change(self, str name, object value) except -1:
        self.enter()
        if name == "namespace" and value is not None:
            for function in self._functions:
                if PyBytes_GET_SIZE(value) + PyBytes_GET_SIZE(function) > \
                        lib.GEARMAN_FUNCTION_MAX_SIZE:
                    raise errors.ArgumentError(
                        f"with the namespace {function!r} has more than "
                        f"{lib.GEARMAN_FUNCTION_MAX_SIZE} bytes")
        self._settings = self._settings.altered(name, value)
        self._version += 1
        return 0

    # Functions

    def add_function(self, function, callable=None, *, timeout=0):
        """Have a callable do the jobs of a function; as a decorator, if it is not given.

        Args:
            function: the name, 1 to 512 bytes; str (UTF-8) or bytes. One that is there already
                gets the new callable.
            callable: is called with each ``Job``, in the thread that works. What it returns
                completes the job: a buffer, str (UTF-8) or None. If it is a generator, each of its
                chunks is sent when it is made. If it raises, the job fails; ``JobFailed`` says so
                without a traceback in the log. On KeyboardInterrupt and all else that is no
                ``Exception`` the job goes back into the queue of the server.
            timeout: seconds, 1 to 2147483, after which the server puts a job back into its queue,
                though it is still being done: what is sent for it later is lost, and the
                connection with it. 0: never. Not for several unfinished jobs of ``grab_job()``:
                gearmand 1.1.20 has one clock for each connection.

        Returns:
            The callable, or the decorator.

        Wraps ``gearman_worker_add_function()`` and ``gearman_worker_define_function()``.
        """
        self.enter()
        name = encode_function(self, function)
        entry = read_seconds(timeout)

        def define(callable):
            if not PyCallable_Check(callable):
                raise TypeError(f"a function needs a callable, not {type(callable).__name__}")
            define_function(self, name, callable, entry)
            return callable

        return define if callable is None else define(callable)

    def register(self, function, timeout=0):
        """Register a function for ``grab_job()``, without a callable that does its jobs.

        Args:
            function, timeout: as for ``add_function()``.

        Wraps ``gearman_worker_register()``.
        """
        self.enter()
        define_function(self, encode_function(self, function), None, read_seconds(timeout))

    def unregister(self, function):
        """Take no more jobs of a function.

        Raises:
            ArgumentError: it is not registered.

        Wraps ``gearman_worker_unregister()``.
        """
        self.enter()
        if self._functions.pop(encode_function(self, function), None) is None:
            raise errors.ArgumentError(
                f"function {function!r} is not registered",
                code=ReturnCode.NO_REGISTERED_FUNCTION, operation="unregister")
        self._version += 1

    def unregister_all(self):
        """Take no more jobs of any function.

        Wraps ``gearman_worker_unregister_all()``.
        """
        self.enter()
        self._functions.clear()
        self._version += 1

    def function_exist(self, function):
        """Return whether a function is registered, bool.

        Wraps ``gearman_worker_function_exist()``.
        """
        self.enter()
        return encode_function(self, function) in self._functions

    # Settings

    @property
    def options(self):
        """The ``WorkerOption`` flags libgearman works with; the binding needs them as they are.

        Wraps ``gearman_worker_options()``.
        """
        options = WorkerOption(lib.gearman_worker_options(worker_template))
        if self._settings.identifier is not None:
            options |= WorkerOption.IDENTIFIER
        if self._settings.tls is not None:
            options |= WorkerOption.SSL
        return options

    @property
    def exceptions(self):
        """Whether clients are told by an exception packet what a callable raised, bool."""
        return self._exceptions

    def clone(self):
        """Return a worker with the same servers, functions and settings.

        Wraps ``gearman_worker_clone()``.
        """
        cdef Worker copy
        self.enter()
        copy = type(self)(self._servers, timeout=self._timeout, exceptions=self._exceptions)
        copy._settings = self._settings.altered(None, None)
        copy._functions = dict(self._functions)
        return copy

    def echo(self, workload, timeout=None):
        """Send a payload to every server, which sends it back; as ``Client.echo()``.

        Wraps ``gearman_worker_echo()``.
        """
        cdef Client client
        self.enter()
        with Client(self._servers, timeout=self._timeout) as client:
            client._settings = self._settings.altered(None, None)
            client._channel.settings = &client._settings.c
            client.echo(workload, timeout)

    # Jobs

    def grab_job(self, timeout=None):
        """Wait for a job, and return it; it is the caller's to finish.

        Args:
            timeout: seconds, or None: see ``Worker.timeout``. 0 takes what is there. An answer
                that is under way is waited for a little longer.

        Returns:
            The ``Job``, or None if none came in that time, or ``stop()`` was called.

        Raises:
            UsageError: there are no functions, or the worker is closed or at work.
            ConnectionFailedError: there are no servers. One that is away is no error: it is tried
                again until the time is over.

        Wraps ``gearman_worker_grab_job()``.
        """
        return work_once(self, timeout, False)

    def work(self, timeout=None):
        """Wait for a job, and have the callable of its function do it.

        Args:
            timeout: as for ``grab_job()``.

        Returns:
            Whether there was a job, well done or not.

        Raises:
            UsageError: also where a function has no callable. All else as for ``grab_job()``.

        Wraps ``gearman_worker_work()``.
        """
        return work_once(self, timeout, True) is not None

    def stop(self):
        """Have ``run()`` return when the job in hand is done, and take no new one.

        For signal handlers, callables and other threads; ``run()`` returns in 0.1 s if no job is
        in hand. A ``grab_job()`` or ``work()`` that waits returns without a job. If there is none
        of them now, this is for the next one.
        """
        set_stopping(self, True)

    def _serve(self):
        """Work until ``stop()`` is called, with connections of its own."""
        cdef _Crew crew
        cdef Job job
        check_callables(self)
        crew = _Crew()
        self._crews.add(crew)
        join_crew(crew, FOREVER)
        try:
            while not self.is_stopping and not self._closed:
                job = next_job(self, crew, FOREVER)
                if job is not None:
                    perform(self, job, crew)
                    job = None
        finally:
            self._crews.discard(crew)
            disband(crew)
            leave_crew(crew)

    @property
    def _stopping(self):
        return self.is_stopping != 0

    def _begin(self):
        """Check that there is something to run; runs have connections of their own."""
        check_callables(self)
        rest(self._crew)

    def _resume(self):
        """Note that all have stopped that were to stop: there may be two runs at a time."""
        if not self._crews:
            set_stopping(self, False)

    def close(self):
        """Stop, wait for the jobs in hand, and close the connections. Idempotent.

        Jobs from ``grab_job()`` that are not finished go back into the queues of their servers.

        Wraps ``gearman_worker_free()``.
        """
        if self._closed:
            return
        if self._generation != generation:
            self.enter()
        crews = [self._crew, *self._crews]
        for crew in crews:
            if works_here(crew):
                raise errors.UsageError("the worker is at work: a callable may stop, not close it")
        self._closed = True
        set_stopping(self, True)
        for crew in crews:
            finish_crew(crew)


cdef void set_stopping(Worker worker, bint stop) noexcept:
    __atomic_store_n(&worker.is_stopping, stop, ATOMIC_RELAXED)    # seek() holds no GIL


cdef int define_function(Worker worker, bytes name, object function, object timeout) except -1:
    worker.enter()
    if worker._functions.get(name, (None, -1))[1] != timeout:
        worker._version += 1
    worker._functions[name] = (function, timeout)
    return 0


cdef int check_ready(Worker worker) except -1:
    worker.enter()
    if not worker._functions:
        raise errors.UsageError("no functions are registered; call add_function()",
                                code=ReturnCode.NO_REGISTERED_FUNCTIONS, operation="work")
    if not worker._servers:
        raise errors.ConnectionFailedError(
            "the worker has no servers; call add_server()", code=ReturnCode.NO_SERVERS,
            operation="work")
    return 0


cdef int check_callables(Worker worker) except -1:
    check_ready(worker)
    for name, (function, _) in worker._functions.items():
        if function is None:
            raise errors.UsageError(
                f"function {name.decode('utf-8', 'replace')!r} has no callable; register() is for "
                "grab_job()")
    return 0


cdef Job work_once(Worker worker, object timeout, bint is_done):
    """Wait for a job, and do it, or hand it out."""
    cdef double deadline = read_deadline(worker._timeout if timeout is None else timeout)
    cdef _Crew crew = worker._crew
    cdef Job job
    if is_done:
        check_callables(worker)
    else:
        check_ready(worker)
    if not join_crew(crew, deadline):
        return None
    try:
        worker.enter()              # it may have been closed meanwhile
        job = next_job(worker, crew, deadline)
        if job is None:
            worker._resume()
        elif is_done:
            perform(worker, job, None)
        return job
    finally:
        leave_crew(crew)
