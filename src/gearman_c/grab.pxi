# Going round the servers for a job, without the GIL.
#
# One server is asked at a time: a job that is assigned while another one is done would wait for us,
# though other workers may be idle. A server that does not answer soon no longer holds up the rest.

cdef double POLITE_SECONDS = 0.3    # how long the others wait for the answer of one server
cdef double BLIND_SECONDS = 0.01    # how often we look where the descriptor is not known


cdef bint is_set(int *flag) noexcept nogil:
    """Read a flag that another thread may set now."""
    return __atomic_load_n(flag, ATOMIC_RELAXED)


cdef bint is_waited_for(post **all, Py_ssize_t count, double moment) noexcept nogil:
    """Whether a server is about to answer, so that no other one is to be asked."""
    cdef Py_ssize_t index
    for index in range(count):
        if all[index].state == ASKING and moment - all[index].since < POLITE_SECONDS:
            return True
    return False


cdef bint wants_turn(post *s, double moment, bint may_ask) noexcept nogil:
    """Whether libgearman is to be called for a station now."""
    if s.state == ASKING:
        return s.ready
    if not may_ask or s.job != NULL:    # it was asked, and has answered, when its last job ended
        return False
    return s.state == IDLE or s.ready or (
        s.state == ASLEEP and moment - s.since >= ASK_SECONDS)


cdef bint is_overdue(post *s, double moment) noexcept nogil:
    return (s.state == ASKING and moment - s.since >= ANSWER_SECONDS) or \
        (s.state == CONNECTING and moment - s.since >= CONNECT_SECONDS)


cdef Py_ssize_t seek(post **all, pollfd *ready, Py_ssize_t count, Py_ssize_t first,
                     double until, int *stopping) noexcept nogil:
    """Ask until there is a job.

    Args:
        ready: room for count rows.
        first: the station that is to be asked first.
        stopping: whether no new job is wanted: only answers that are to come are waited for.

    Returns:
        The index of a station that has a job or broke; -1 when it is time to look at Python.
    """
    cdef Py_ssize_t offset, index
    cdef post *s
    cdef double moment, wake
    cdef bint may_ask
    while True:
        moment = now()
        wake = until
        for offset in range(count):
            index = (first + offset) % count
            s = all[index]
            if s.state == AWAY:
                continue
            may_ask = not is_set(stopping) and not is_waited_for(all, count, moment)
            if s.state != BROKEN and wants_turn(s, moment, may_ask):
                if not claim(s):    # a job sends something from another thread
                    wake = min(wake, moment + BLIND_SECONDS)
                    continue
                proceed(s)
                disclaim(s)
            if s.state != BROKEN and is_overdue(s, moment):
                s.rc = lib.GEARMAN_TIMEOUT
                s.state = BROKEN
            if s.state == BROKEN or s.job != NULL:
                return index
            if s.state == ASLEEP:
                wake = min(wake, s.since + ASK_SECONDS)
        if is_set(stopping) and not is_waited_for(all, count, moment):
            return -1
        if not listen(all, ready, count, wake) or now() >= until:
            return -1


cdef bint listen(post **all, pollfd *ready, Py_ssize_t count, double until) noexcept nogil:
    """Wait until a server says something, for a slice at most; False if a signal came."""
    cdef Py_ssize_t index, rows = 0
    cdef post *s
    cdef double seconds = min(until - now(), SLICE)
    cdef int found
    for index in range(count):
        s = all[index]
        if s.state == AWAY or s.state == IDLE or s.ready:
            if s.state == IDLE or s.ready:      # waits for its turn
                seconds = min(seconds, BLIND_SECONDS)
        elif s.socket.descriptor < 0:
            seconds = min(seconds, BLIND_SECONDS)
        else:
            ready[rows].fd = s.socket.descriptor
            ready[rows].events = POLLOUT if s.state == CONNECTING else POLLIN
            if s.crowded and s.state == ASKING:
                ready[rows].events |= POLLOUT   # the question may not be sent yet
            ready[rows].revents = 0
            rows += 1
    found = poll(ready, rows, max(<int> (seconds * 1000 + 0.999), 0))
    if found < 0:
        return False
    rows = 0
    for index in range(count):
        s = all[index]
        if s.state == AWAY or s.state == IDLE or s.ready:
            continue
        if s.socket.descriptor < 0:
            s.ready = True
        else:
            if ready[rows].revents:
                s.ready = True
                if ready[rows].revents & POLLOUT:
                    s.crowded = False
            rows += 1
    return True
