# What a server tells about jobs that run: noted inside libgearman's callbacks, without the GIL, and
# given to Python in the same order when libgearman has returned (deliver() in results.pxi).

cdef enum:                          # event_kind
    STARTED                         # a job under a key that another task may share
    DATA
    WARNING
    STATUS
    COMPLETE_PACKET
    EXCEPTION
    FAIL


cdef event *append_event(channel *c, record *rec, uint8_t kind) noexcept nogil:
    cdef event *noted = <event *> malloc(sizeof(event))
    if noted == NULL:
        return NULL
    memset(noted, 0, sizeof(event))
    noted.rec = rec
    noted.kind = kind
    if c.last_event == NULL:
        c.first_event = noted
    else:
        c.last_event.next = noted
    c.last_event = noted
    return noted


cdef lib.gearman_return_t note(lib.gearman_task_st *task, uint8_t kind) noexcept nogil:
    """Append an event for a task; the job has ended with those from COMPLETE_PACKET on.

    A packet that no running job of ours can have ends the connection: it is of no use any more.
    """
    cdef void *context = lib.gearman_task_context(task)
    cdef record *rec = <record *> context
    cdef channel *c = marked_channel(context)
    cdef event *noted
    if c != NULL:
        return lib.GEARMAN_SUCCESS if kind == STATUS else lib.GEARMAN_UNEXPECTED_PACKET
    c = rec.queued
    if rec.state != (IN_FLIGHT if is_question(rec) else RUNNING) or (
            is_question(rec) and kind != STATUS):
        return lib.GEARMAN_UNEXPECTED_PACKET
    noted = append_event(c, rec, kind)
    if noted == NULL:
        return lib.GEARMAN_MEMORY_ALLOCATION_FAILURE
    if kind == STATUS:
        noted.is_known = lib.gearman_task_is_known(task)
        noted.is_running = lib.gearman_task_is_running(task)
        noted.numerator = lib.gearman_task_numerator(task)
        noted.denominator = lib.gearman_task_denominator(task)
    else:
        noted.data = lib.gearman_task_take_data(task, &noted.size)
    if is_question(rec):
        rec.queued = NULL           # c may be gone when Python comes to it
        rec.state = RUNNING
    if kind >= COMPLETE_PACKET or is_question(rec):
        rec.task = NULL
        c.in_flight -= 1
        c.bytes_in_flight -= rec.size
    c.acknowledged += 1
    return lib.GEARMAN_SUCCESS


cdef lib.gearman_return_t note_data(lib.gearman_task_st *task) noexcept nogil:
    return note(task, DATA)

cdef lib.gearman_return_t note_warning(lib.gearman_task_st *task) noexcept nogil:
    return note(task, WARNING)

cdef lib.gearman_return_t note_status(lib.gearman_task_st *task) noexcept nogil:
    return note(task, STATUS)

cdef lib.gearman_return_t note_complete(lib.gearman_task_st *task) noexcept nogil:
    return note(task, COMPLETE_PACKET)

cdef lib.gearman_return_t note_exception(lib.gearman_task_st *task) noexcept nogil:
    return note(task, EXCEPTION)

cdef lib.gearman_return_t note_fail(lib.gearman_task_st *task) noexcept nogil:
    return note(task, FAIL)


cdef void drop_event(channel *c) noexcept nogil:
    """Free the oldest event."""
    cdef event *oldest = c.first_event
    c.first_event = oldest.next
    if c.first_event == NULL:
        c.last_event = NULL
    free(oldest.data)
    free(oldest)


cdef void drop_events(channel *c) noexcept nogil:
    while c.first_event != NULL:
        drop_event(c)


cdef void drop_events_of(channel *c, record *rec) noexcept nogil:
    """Free the events about a task that its client is about to let go of."""
    cdef event **link = &c.first_event
    cdef event *each
    c.last_event = NULL
    while link[0] != NULL:
        each = link[0]
        if each.rec == rec:
            link[0] = each.next
            free(each.data)
            free(each)
        else:
            c.last_event = each
            link = &each.next


cdef void move_events(channel *source, channel *target) noexcept nogil:
    """Append the events of one channel to those of another."""
    if source.first_event == NULL:
        return
    if target.last_event == NULL:
        target.first_event = source.first_event
    else:
        target.last_event.next = source.first_event
    target.last_event = source.last_event
    source.first_event = source.last_event = NULL
