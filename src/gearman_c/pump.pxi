# The part without the GIL: a batch goes into libgearman, packets go out and come in, until it is
# time to refill or to look at Python. It takes C pointers, never self.

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    enum: SIG_SETMASK, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS
    int sigfillset(sigset_t *)
    int sigdelset(sigset_t *, int)
    int pthread_sigmask(int, const sigset_t *, sigset_t *)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum: POLLIN, POLLOUT
    int poll(pollfd *, unsigned long, int)

cdef double SLICE = 0.1             # seconds; how long Python waits for its turn at the most
cdef size_t WINDOW_BYTES = 4 << 20      # payload in flight; one task may exceed it
cdef size_t NARROW_BYTES = 1 << 20      # that is faster by 8 %, 10 KB a task: caches hold it

ctypedef lib.gearman_task_st *(*add_function)(
    lib.gearman_client_st *, lib.gearman_task_st *, void *, const char *, const char *,
    const void *, size_t, lib.gearman_return_t *) noexcept nogil

# By task_kind and Priority.
cdef add_function[2][3] add_job
add_job[BACKGROUND][0] = lib.gearman_client_add_task_high_background
add_job[BACKGROUND][1] = lib.gearman_client_add_task_background
add_job[BACKGROUND][2] = lib.gearman_client_add_task_low_background
add_job[FOREGROUND][0] = lib.gearman_client_add_task_high
add_job[FOREGROUND][1] = lib.gearman_client_add_task
add_job[FOREGROUND][2] = lib.gearman_client_add_task_low

# All signals but those that a fault raises.
cdef sigset_t deferred
sigfillset(&deferred)
sigdelset(&deferred, SIGSEGV)
sigdelset(&deferred, SIGBUS)
sigdelset(&deferred, SIGFPE)
sigdelset(&deferred, SIGILL)
sigdelset(&deferred, SIGTRAP)
sigdelset(&deferred, SIGABRT)
sigdelset(&deferred, SIGSYS)


cdef bint has_sent_all(channel *c) noexcept nogil:
    """Whether libgearman has sent all it was given.

    NO_NEW says that a task waits for the socket. Adding then would put the new tasks before it:
    up to 1,594 of 2,500 tasks of mixed sizes arrived in the wrong place.
    """
    return not lib.gearman_client_has_option(c.client, lib.GEARMAN_CLIENT_NO_NEW)


cdef inline size_t bytes_allowed(const channel *c) noexcept nogil:
    return NARROW_BYTES if c.is_narrow else WINDOW_BYTES


cdef bint may_refill(channel *c, size_t low_water) noexcept nogil:
    """Whether new tasks may be added, because little of what was sent is unanswered."""
    return c.in_flight <= low_water and c.bytes_in_flight < bytes_allowed(c) and has_sent_all(c)


cdef lib.gearman_return_t give(channel *c, staged *batch, Py_ssize_t count) noexcept nogil:
    """Hand a batch to libgearman, so that it sends the first row first.

    After an error the connection is of no use: the rows behind are missing from the order.
    """
    cdef Py_ssize_t index
    cdef staged *row
    cdef bint is_background = True
    cdef lib.gearman_return_t rc = lib.GEARMAN_SUCCESS
    for index in range(count):
        row = &batch[count - 1 - index if newest_first else index]
        row.rec.task = add_job[row.rec.kind][row.rec.priority](
            c.client, NULL, row.rec, row.function, row.unique, row.workload, row.rec.size, &rc)
        if row.rec.task == NULL:
            return rc if rc != lib.GEARMAN_SUCCESS else lib.GEARMAN_MEMORY_ALLOCATION_FAILURE
        if row.unique[0] == c"#" and row.unique[1] == 0:
            row.rec.key = <uint32_t> strtoul(lib.gearman_task_unique(row.rec.task), NULL, 10)
            row.rec.is_hashed = True
        c.in_flight += 1
        c.bytes_in_flight += row.rec.size
        is_background &= row.rec.kind == BACKGROUND
    note_batch(c, batch[0].rec.task, batch[count - 1].rec.task, count, is_background)
    return rc


cdef lib.gearman_return_t wait(channel *c, double seconds) noexcept nogil:
    """Wait until the socket is ready, for at most a slice.

    libgearman starts its poll() afresh after a signal, so a timer faster than the slice would
    keep it there for ever. Signals wait for the end of the slice instead.
    """
    cdef sigset_t before
    cdef lib.gearman_return_t rc
    cdef int milliseconds = <int> (min(seconds, SLICE) * 1000)
    lib.gearman_client_set_timeout(c.client, max(milliseconds, 1))
    pthread_sigmask(SIG_SETMASK, &deferred, &before)
    rc = lib.gearman_client_wait(c.client)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    return rc


cdef void look(channel *c, bint is_unsent) noexcept nogil:
    """Let libgearman see, without waiting, that its socket is ready: only then it reads.

    Told to wait for no time it does not look at all; so we look, and it does if there is something
    to see. What it finds wrong it says again in the next gearman_client_run_tasks().
    """
    cdef pollfd ready
    ready.fd = c.socket.descriptor
    ready.events = POLLIN | (POLLOUT if is_unsent else 0)
    ready.revents = 0
    # A socket that is not known takes a millisecond to look at.
    if not c.socket.tuned or poll(&ready, 1, 0) > 0:
        lib.gearman_client_set_timeout(c.client, 1)
        lib.gearman_client_wait(c.client)


cdef lib.gearman_return_t pump(channel *c, size_t low_water, double until) noexcept nogil:
    """Send and receive.

    Returns GEARMAN_SUCCESS when there is room for more (or nothing left), or news for Python;
    GEARMAN_IO_WAIT when it is time to look at Python, and else what went wrong. It has read what
    had come, however much room there is: who adds slowly would otherwise see nothing of it.
    """
    cdef lib.gearman_return_t rc
    cdef double moment
    cdef bint looked = False
    while True:
        shorten(c)
        rc = lib.gearman_client_run_tasks(c.client)
        straighten(c)
        if rc != lib.GEARMAN_SUCCESS and rc != lib.GEARMAN_IO_WAIT:
            return verdict(&c.socket, rc)
        if c.violated:
            return lib.GEARMAN_UNEXPECTED_PACKET
        recognise(&c.socket)
        if c.markers == 0 and (c.first_event != NULL or may_refill(c, low_water)):
            if looked or c.first_event != NULL or c.in_flight == 0:
                return lib.GEARMAN_SUCCESS
            look(c, False)
            looked = True
            continue
        moment = now()
        if moment >= until:
            return lib.GEARMAN_IO_WAIT
        rc = wait(c, until - moment)
        if rc == lib.GEARMAN_TIMEOUT:
            return lib.GEARMAN_IO_WAIT
        if rc != lib.GEARMAN_SUCCESS:
            return rc
