# A job that a worker was given, and what it says about it.

cdef enum parcel_kind:
    GIVE_DATA
    GIVE_WARNING
    GIVE_STATUS
    GIVE_COMPLETE                   # these end the job
    GIVE_EXCEPTION
    GIVE_FAIL

cdef struct parcel:
    parcel_kind kind
    const char *data                # borrowed for the call; NULL if size is 0
    size_t size
    uint32_t numerator
    uint32_t denominator


cdef lib.gearman_return_t hand_over(lib.gearman_job_st *job, const parcel *p) noexcept nogil:
    """Send, or go on with sending. SHUTDOWN_GRACEFUL says that the socket takes no more now."""
    if p.kind == GIVE_COMPLETE:
        return lib.gearman_job_send_complete(job, p.data, p.size)
    if p.kind == GIVE_DATA:
        return lib.gearman_job_send_data(job, p.data, p.size)
    if p.kind == GIVE_WARNING:
        return lib.gearman_job_send_warning(job, p.data, p.size)
    if p.kind == GIVE_STATUS:
        return lib.gearman_job_send_status(job, p.numerator, p.denominator)
    if p.kind == GIVE_EXCEPTION:
        return lib.gearman_job_send_exception(job, p.data, p.size)
    return lib.gearman_job_send_fail(job)


cdef Job take_job(_Station station):
    """Make a Job of the one that the server has just assigned."""
    cdef Job job = Job.__new__(Job)
    cdef lib.gearman_job_st *given = station.s.job
    cdef const char *function = lib.gearman_job_function_name(given)
    cdef const char *name_space = station.s.settings.name_space
    cdef size_t size = lib.gearman_job_workload_size(given)
    station.s.job = NULL
    station.jobs += 1
    job._station = station
    job._job = given
    job._connection = station.s.connection
    if name_space != NULL and strncmp(function, name_space, strlen(name_space)) == 0:
        function += strlen(name_space)
    job._function = function
    job._handle = lib.gearman_job_handle(given)
    job._unique = lib.gearman_job_unique(given)
    job._workload = copy_payload(lib.gearman_job_workload(given), size)
    return job


cdef inline bint can_send(Job job) noexcept:
    """Whether the job is unfinished, and the connection it came by is still there."""
    return job._job != NULL and job._connection == job._station.s.connection and \
        job._station.generation == generation


cdef int check_open(Job job) except -1:
    if can_send(job):
        return 0
    if job._job == NULL:
        raise errors.UsageError(f"job {job.handle} is finished")
    if job._station.generation != generation:
        raise errors.UsageError(f"job {job.handle} belongs to the parent process")
    raise errors.ConnectionFailedError(
        f"the connection to {show_server(job._station.server)} that job {job.handle} came by is "
        "gone; the server gives the job to another worker", code=ReturnCode.LOST_CONNECTION,
        operation="send")


cdef int send(Job job, const parcel *p, bint asks=False) except -1:
    """Send something about a job, however long the server takes to read it.

    Args:
        asks: this ends the job, and the next one is asked for in the same breath: the server has
            one packet of the network to read, not two.
    """
    cdef _Station station = job._station
    cdef post *s = &station.s
    cdef lib.gearman_return_t rc
    global more_follows
    check_open(job)
    while not claim(s):
        sleep_briefly()
        PyErr_CheckSignals()
    try:
        check_open(job)             # another thread may have closed the connection
        with nogil:
            more_follows = asks
            rc = hand_over(job._job, p)
            more_follows = False
            if asks and rc == lib.GEARMAN_SUCCESS:
                proceed(s)
        if rc == lib.GEARMAN_SHUTDOWN_GRACEFUL:
            rc = push(job, p)
        if rc != lib.GEARMAN_SUCCESS:
            s.rc = rc
            lose_claimed(station)
            check_open(job)         # raises
        if p.kind >= GIVE_COMPLETE:
            lib.gearman_job_free(job._job)
            job._job = NULL
            station.jobs -= 1
    finally:
        disclaim(s)
    return 0


cdef lib.gearman_return_t push(Job job, const parcel *p) except? lib.GEARMAN_MAX_RETURN:
    """Go on with a packet of which the socket has not taken all; leave no part of one behind."""
    cdef post *s = &job._station.s
    cdef lib.gearman_return_t rc = lib.GEARMAN_SHUTDOWN_GRACEFUL
    cdef unsigned long long moved = 0, before = 0
    cdef double heard_at = now()
    s.crowded = True
    try:
        while rc == lib.GEARMAN_SHUTDOWN_GRACEFUL:
            with nogil:
                await_room(s)
            PyErr_CheckSignals()
            if s.socket.tuned:
                moved = bytes_moved(s.socket.descriptor)
            if moved != before:
                before = moved
                heard_at = now()
            elif now() - heard_at >= ANSWER_SECONDS:
                return lib.GEARMAN_TIMEOUT
            with nogil:
                rc = hand_over(job._job, p)
    except BaseException:
        with nogil:
            close_station(s)
        job._station.jobs = 0
        raise
    return rc


cdef void await_room(post *s) noexcept nogil:
    """Wait until the socket takes more, for a slice at most."""
    cdef pollfd ready
    ready.fd = s.socket.descriptor  # where it is not known it is negative, and poll() only waits
    ready.events = POLLOUT
    ready.revents = 0
    poll(&ready, 1, <int> (1000 * (SLICE if s.socket.descriptor >= 0 else BLIND_SECONDS)))


cdef int send_payload(Job job, parcel_kind kind, object payload, bint asks=False) except -1:
    cdef parcel p
    cdef bytes frozen = freeze_workload(payload)    # held while libgearman reads it
    p.kind = kind
    p.size = PyBytes_GET_SIZE(frozen)
    p.data = PyBytes_AS_STRING(frozen) if p.size else NULL
    return send(job, &p, asks)


cdef uint32_t read_count(object number, str what) except? 0xffffffff:
    return <uint32_t> read_int(number, what, 0, 0xffffffff)


@cython.auto_pickle(False)
@cython.final
cdef class Job:
    """A job that a worker was given.

    A callable of ``Worker.add_function()`` is called with it, and ends it by returning. Who has it
    from ``Worker.grab_job()`` ends it by ``send_complete()``, ``send_fail()`` or
    ``send_exception()``; if it is dropped before, the server has it run until the worker is closed,
    and then gives it to another one.

    What is sent goes out at once, and waits as long as the server is slow to read it. If the
    connection that the job came by is gone, all that sends raises ``ConnectionFailedError``: the
    server has then put the job back into its queue, and there is no use in going on with it.

    Wraps ``gearman_job_st``.
    """

    def __cinit__(self, *args, **kwargs):
        self._handle = self._function = self._unique = self._workload = b""

    def __init__(self, *args, **kwargs):
        raise TypeError("a Worker makes jobs of what it is given by its servers")

    def __dealloc__(self):
        cdef post *s
        if self._station is None or not can_send(self):
            return
        s = &self._station.s
        self._station.jobs -= 1
        if claim(s):                # else it is freed with its connection
            lib.gearman_job_free(self._job)
            disclaim(s)

    def __del__(self):
        if self._station is not None and can_send(self) and not self._is_given:
            warnings.warn(f"{self!r} was dropped unfinished; call send_complete() or send_fail()",
                          ResourceWarning, source=self)

    def __repr__(self):
        state = "finished" if self._job == NULL else "unfinished" if can_send(self) else "lost"
        return f"<gearman_c.Job {self.function_name} {self.handle} {state}>"

    def __reduce__(self):
        raise TypeError("a Job belongs to its worker's connection")

    @property
    def handle(self):
        """The handle that the server has given the job, str.

        Wraps ``gearman_job_handle()``.
        """
        return self._handle.decode("utf-8", "surrogateescape")

    @property
    def function_name(self):
        """The name of the function, without the namespace, str.

        Wraps ``gearman_job_function_name()``.
        """
        return self._function.decode("utf-8", "surrogateescape")

    @property
    def unique(self):
        """The unique key of the job, str.

        Wraps ``gearman_job_unique()``.
        """
        return self._unique.decode("utf-8", "surrogateescape")

    @property
    def workload(self):
        """The payload, bytes.

        Wraps ``gearman_job_workload()``, ``gearman_job_workload_size()`` and
        ``gearman_job_take_workload()``.
        """
        return self._workload

    @property
    def is_finished(self):
        """Whether the job was completed or has failed, bool; what is sent then is an error."""
        return self._job == NULL

    def send_data(self, data):
        """Send a part of the result to the client that waits for the job.

        Args:
            data: a buffer or str (UTF-8).

        Raises:
            ConnectionFailedError: the connection is gone. UsageError: the job is finished.

        Wraps ``gearman_job_send_data()``.
        """
        send_payload(self, GIVE_DATA, data)

    def send_warning(self, warning):
        """Send a warning to the client that waits for the job; as ``send_data()``.

        Wraps ``gearman_job_send_warning()``.
        """
        send_payload(self, GIVE_WARNING, warning)

    def send_status(self, numerator, denominator):
        """Say how much of the job is done; as ``send_data()``.

        Args:
            numerator, denominator: int, 0 to 4294967295.

        Wraps ``gearman_job_send_status()``.
        """
        cdef parcel p
        p.kind = GIVE_STATUS
        p.numerator = read_count(numerator, "numerator")
        p.denominator = read_count(denominator, "denominator")
        send(self, &p)

    def send_complete(self, result=b""):
        """Send the result, or what ``send_data()`` has not sent of it, and end the job.

        Args:
            result: a buffer or str (UTF-8).

        Raises:
            ConnectionFailedError: the connection is gone. UsageError: the job is finished.

        Wraps ``gearman_job_send_complete()``.
        """
        send_payload(self, GIVE_COMPLETE, result)

    def send_exception(self, exception):
        """Say that the job failed, and why, and end it.

        Only clients that have asked for exceptions are told. For all others gearmand 1.1.20 makes a
        failure of it that libgearman does not understand: such a client waits for ever.

        Args:
            exception: what to tell, 1 byte or more: a buffer or str (UTF-8).

        Raises:
            ConnectionFailedError: the connection is gone. UsageError: the job is finished.

        Wraps ``gearman_job_send_exception()``.
        """
        cdef bytes frozen = freeze_workload(exception)
        if not frozen:
            raise errors.ArgumentError("the exception is empty; 1 byte or more can be sent")
        send_payload(self, GIVE_EXCEPTION, frozen)

    def send_fail(self):
        """Say that the job failed, and end it.

        Raises:
            ConnectionFailedError: the connection is gone. UsageError: the job is finished.

        Wraps ``gearman_job_send_fail()``.
        """
        cdef parcel p
        p.kind = GIVE_FAIL
        send(self, &p)
