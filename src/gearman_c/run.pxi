# A run: the one thread at a time that brings the queue to a server.

cdef Py_ssize_t NARROW_WINDOW = 700     # tasks; the CPU's cache holds libgearman's 2.9 KB for each
cdef Py_ssize_t HEAD_START = 60         # tasks; libgearman sends 8 KB at a time
cdef double DISTANT_SECONDS = 0.005     # a server beside us answers a narrow window in a fifth


cdef inline void widen(Client client) noexcept:
    """Use more of max_in_flight when the answers take long: the server is far away, or slow."""
    client._is_distant = True
    client._window = min(2 * client._window, client.max_in_flight)


cdef int enter(Client client) except -1:
    """The check of every call: open, and of this process."""
    if client._closed:
        raise errors.UsageError("the client is closed; make a new one")
    if client._generation != generation:
        abandon(client)
    return 0


cdef int refuse_callbacks(Client client) except -1:
    if client._runner == PyThread_get_thread_ident():
        raise errors.UsageError(
            "the client is running: a callback may add tasks, but not run or close it")
    return 0


cdef int begin(Client client, double deadline) except -1:
    """Become the thread that runs the client."""
    enter(client)
    refuse_callbacks(client)
    if not take_lock(client._lock, deadline):
        raise errors.WaitTimeoutError("another thread was still running the client",
                                      code=ReturnCode.TIMEOUT, operation="run_tasks")
    client._runner = PyThread_get_thread_ident()
    try:
        enter(client)               # it may have been closed meanwhile
        if client._channel.client != NULL and \
                (client._server not in client._servers or is_broken(&client._channel.socket)):
            # What broke while nobody looked is no failure of this run, unless tasks were on it
            # that the user does not know of, or that are lost to him, or that another server,
            # which cannot join them to the job it may have, would get now.
            place = where(client)
            news = is_news(client)
            unconfirmed = drop_connection(client)
            if unconfirmed and (news or not client.resend or len(client._servers) > 1):
                raise lost(client, place, lib.GEARMAN_LOST_CONNECTION, "it was closed", unconfirmed)
    except BaseException:
        release(client)
        raise
    return 0


cdef int release(Client client) except -1:
    client._runner = 0
    leave_lock(client._lock)
    return 0


cdef int start_afresh(Client client) except -1:
    """Forget what an earlier run, perhaps one that was given up half-way, had put off."""
    client._progress_at = now()
    client._refusal = None
    bring_back(client)
    return 0


cdef Py_ssize_t refill_mark(Client client, uint8_t kind) noexcept:
    """How few tasks in flight make room for more of a kind.

    Acknowledgements come fast, and each refill costs a few calls of the kernel; the server has half
    a window to work on meanwhile. Results come when workers have them, and no worker should wait.
    """
    if kind == BACKGROUND:
        return client._window // 2
    return client._window - max(1, client._window // 8)


cdef bint is_at_work(Client client) noexcept:
    """Whether a run has something left to do."""
    return client._head < PyList_GET_SIZE(client._queue) or client._channel.in_flight or \
        PyList_GET_SIZE(client._questions) or \
        client._channel.markers or PyList_GET_SIZE(client._untold) or \
        client._channel.first_event != NULL


cdef bint needs_exceptions(Client client, Py_ssize_t place) noexcept:
    """Whether a task of the queue cannot be sent because the server does not tell exceptions.

    Without that option gearmand 1.1.20 makes a WORK_FAIL of a WORK_EXCEPTION, with a NUL byte
    behind the handle, and libgearman waits for ever since it knows no such job.
    """
    return not client._channel.tells_exceptions and \
        record_at(client, place).kind == FOREGROUND


cdef bint can_refill(Client client) noexcept:
    """Whether there is room for more already.

    What has made the room may be all that was to come: then the socket stays silent.
    """
    return has_waiting(client) and not needs_exceptions(client, client._next) and may_refill(
        &client._channel, refill_mark(client, record_at(client, client._next).kind))


cdef bint refill(Client client, lib.gearman_return_t *rc) except -1:
    """Hand the next tasks to libgearman, as far as the window has room; False if it failed."""
    cdef channel *c = &client._channel
    cdef Py_ssize_t count = stage(client)
    if count:
        with nogil:
            rc[0] = give(c, client._staged, count)
    return rc[0] == lib.GEARMAN_SUCCESS


cdef int step(Client client, double deadline, size_t low_water, double seconds=SLICE) except -1:
    """One round: refill the window, send and receive for at most a slice, tell Python."""
    cdef channel *c = &client._channel
    cdef size_t refill_at
    cdef uint8_t kind
    cdef lib.gearman_return_t rc = lib.GEARMAN_SUCCESS
    cdef bint given = True
    cdef double started
    if client._questions:
        ask(client, &client._channel, client._questions, deadline)
        deliver(client)
    if has_waiting(client):
        if c.client == NULL:
            use_server(client, deadline)
        kind = record_at(client, client._next).kind
        refill_at = refill_mark(client, kind)
        c.is_narrow = kind == BACKGROUND and not client._is_distant
        if needs_exceptions(client, client._next):
            c.wants_exceptions = True
            refill_at = 0           # when it has nothing to do, another connection replaces it
            if c.in_flight == 0 and c.markers == 0:
                drop_connection(client)
                use_server(client, deadline)
        if may_refill(c, refill_at):
            given = refill(client, &rc)
        if client._next < PyList_GET_SIZE(client._queue):
            low_water = max(low_water, refill_at)
    if rc == lib.GEARMAN_SUCCESS and (c.in_flight or c.markers):
        started = now()
        with nogil:
            rc = pump(c, low_water, min(started + seconds, deadline))
        if now() - started > DISTANT_SECONDS:
            widen(client)
    if rc != lib.GEARMAN_SUCCESS and rc != lib.GEARMAN_IO_WAIT:
        try:
            settle(client, rc, given)
        except errors.GearmanError:
            deliver(client)         # what came before it broke
            raise
    account(client)
    PyErr_CheckSignals()
    raise_log_error(client._settings)
    deliver(client)
    check_run(client)
    if client._head < PyList_GET_SIZE(client._queue) or c.in_flight or c.markers:
        watch_time(client, deadline)
    return 0


cdef int check_run(Client client) except -1:
    """What callbacks, signal handlers and other threads may have done meanwhile."""
    if client._generation != generation:
        raise errors.UsageError("a callback or signal handler forked: the run is the parent's")
    if client._closing or client._closed:   # a question does not hold the lock
        raise errors.UsageError("another thread closed the client")
    return 0


cdef int watch_time(Client client, double deadline) except -1:
    """Raise WaitTimeoutError when the time of the run, or the time without progress, is over."""
    cdef channel *c = &client._channel
    cdef plug *p = &c.socket
    cdef uint64_t mark = c.acknowledged + (bytes_moved(p.descriptor) if p.tuned else 0)
    cdef double moment = now()
    if mark != client._progress_mark:
        client._progress_mark = mark
        client._progress_at = moment
    elif moment >= patience(client, client._progress_at):
        raise errors.WaitTimeoutError(
            f"{where(client)} made no progress for {client._timeout} s; the connection is dropped",
            code=ReturnCode.TIMEOUT, operation="run_tasks", unconfirmed=drop_connection(client))
    if moment >= deadline:
        raise errors.WaitTimeoutError(
            f"{client._channel.pending} tasks were not done in the time allowed; call "
            "run_tasks() again to go on waiting",
            code=ReturnCode.TIMEOUT, operation="run_tasks")
    return 0


cdef double patience(Client client, double since) except -1:
    """The moment at which Client.timeout, counted from a moment, is over."""
    if client._timeout is None:
        return FOREVER
    return since + <double> client._timeout


cdef int end_run(Client client) except -1:
    """Raise what was put off so that the run could go on: a refusal of the server."""
    cdef object refusal = client._refusal
    client._refusal = None
    bring_back(client)
    if refusal is not None:
        raise refusal
    return 0


cdef int interrupt(Client client, object error) except -1:
    """The run ends with error: everything is queued again, and what is not known is said."""
    cdef tuple unconfirmed
    if client._generation != generation:
        abandon(client)
        return 0
    client._refusal = None
    if is_stuck(client):
        unconfirmed = drop_connection(client)
    else:
        account(client)
        bring_back(client)
        unconfirmed = mark_unconfirmed(client)
    if isinstance(error, errors.GearmanError) and not getattr(error, "unconfirmed", ()):
        error.unconfirmed = unconfirmed
    return 0
