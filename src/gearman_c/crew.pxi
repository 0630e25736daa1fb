# The stations that one thread works with.

@cython.auto_pickle(False)
@cython.final
cdef class _Crew:
    """See ``_gearman.pxd``."""

    def __cinit__(self):
        self.stations = []
        self.lock = _Lock()

    def __dealloc__(self):
        free(self.all)
        free(self.ready)


cdef int join_crew(_Crew crew, double deadline) except -1:
    """Become the thread that works with it.

    Returns:
        False if another thread still worked with it at the deadline.
    """
    if works_here(crew):
        raise errors.UsageError("the worker is at work: a callable cannot have it do other jobs")
    if not take_lock(crew.lock, deadline):
        return False
    crew.runner = PyThread_get_thread_ident()
    return True


cdef int leave_crew(_Crew crew) except -1:
    crew.runner = 0
    leave_lock(crew.lock)
    return 0


cdef bint works_here(_Crew crew):
    """Whether this thread works with it."""
    return crew.runner == PyThread_get_thread_ident()


cdef int finish_crew(_Crew crew) except -1:
    """Wait until nobody works with it, and close its connections."""
    take_lock(crew.lock, FOREVER)
    try:
        disband(crew)
    finally:
        leave_lock(crew.lock)
    return 0


cdef int rest(_Crew crew) except -1:
    """Close its connections if nobody uses them: servers would count and wake them."""
    cdef _Station station
    cdef Py_ssize_t jobs = 0
    if not works_here(crew) and try_lock(crew.lock):
        try:
            for station in crew.stations:
                jobs += station.jobs
            if jobs == 0:
                disband(crew)
        finally:
            leave_lock(crew.lock)
    return 0


cdef int disband(_Crew crew) except -1:
    """Close all its connections; what is assigned and not done goes back into the queues."""
    for station in crew.stations:
        drop_station(station)
    crew.stations = []
    crew.version = 0
    return 0


cdef int forget_crew(_Crew crew) except -1:
    """In a forked child: leave the parent's connections alone."""
    for station in crew.stations:
        abandon_station(&(<_Station> station).s)
    crew.stations = []
    crew.version = 0
    crew.lock = _Lock()
    crew.runner = 0
    return 0


cdef inline int tend(Worker worker, _Crew crew) except -1:
    """Keep the connections as they should be. Nothing here waits long."""
    cdef Py_ssize_t index
    if crew.version != worker._version or crew.servers is not worker._servers:
        reform(worker, crew)
    for index in range(PyList_GET_SIZE(crew.stations)):
        if crew.all[index].state == AWAY:       # a job may have found that out
            crew.troubled += 1
            break
    if crew.troubled:
        mend(worker, crew)
    return 0


cdef int reform(Worker worker, _Crew crew) except -1:
    """Servers, functions or settings have changed: make the connections anew.

    Not those with jobs that the user is about to finish: the change waits for these.
    """
    cdef uint64_t version = worker._version
    cdef tuple servers = worker._servers
    cdef dict found = {}
    cdef _Station station
    cdef post **all
    cdef void *ready
    cdef Py_ssize_t index, count
    cdef bint is_complete = True
    for station in crew.stations:
        if station.jobs and station.server in servers:
            is_complete = False
            found[station.server] = station
        else:
            drop_station(station)
    stations = []
    for server in servers:
        if server in found:
            stations.append(found[server])
        else:
            station = _Station.__new__(_Station)
            station.server = server
            stations.append(station)
    count = len(stations)
    all = <post **> malloc(max(count, 1) * sizeof(void *))
    ready = malloc(max(count, 1) * sizeof(pollfd))
    if all == NULL or ready == NULL:
        free(all)
        free(ready)
        raise MemoryError()
    for index in range(count):
        all[index] = &(<_Station> stations[index]).s
    free(crew.all)
    free(crew.ready)
    crew.all = all
    crew.ready = ready
    crew.stations = stations
    crew.troubled = count
    crew.next = 0
    crew.servers = servers
    if is_complete:
        crew.version = version
    return 0


cdef int mend(Worker worker, _Crew crew) except -1:
    """Connect what is away and due, and see what is back."""
    cdef Py_ssize_t troubled = 0
    cdef _Station station
    if not worker._functions:
        return 0                    # libgearman connects to register them
    for station in crew.stations:
        if station.s.state == AWAY:
            troubled += 1
            if now() < station.due or worker.is_stopping:
                continue
            if not station.addresses and not find_addresses(station):
                continue
            if station.addresses:
                connect_station(station, worker)
        elif not station.s.proven:
            troubled += 1
        elif station.away_since or station.failures:
            welcome(station)
            troubled += bool(station.failures)
    crew.troubled = troubled
    return 0


cdef Job next_job(Worker worker, _Crew crew, double deadline):
    """Wait for a job.

    Returns:
        None at the deadline, or when the worker is to stop.
    """
    cdef _Station station
    cdef Py_ssize_t index, count
    cdef double until
    cdef bint is_over = False
    while True:
        tend(worker, crew)
        # At the end an answer that is under way is still waited for: it may be a job.
        until = now() + (SLICE if not crew.troubled else SLICE / 5)
        if not is_over:
            until = min(until, deadline)
        count = PyList_GET_SIZE(crew.stations)
        with nogil:
            index = seek(crew.all, <pollfd *> crew.ready, count, crew.next, until,
                         &worker.is_stopping)
        if index >= 0:
            station = crew.stations[index]
            if station.s.job != NULL:
                crew.next = index + 1
                return take_job(station)
            lose_station(station)
        PyErr_CheckSignals()
        raise_log_error(worker._settings)
        if worker._generation != generation:
            raise errors.UsageError("a callable or signal handler forked: the run is the parent's")
        if worker.is_stopping or worker._closed or now() >= deadline:
            if not is_waited_for(crew.all, count, now()):
                return None
            is_over = True
