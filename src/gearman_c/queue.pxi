# The client's queue seen from Python: which tasks go next, which are done, which come back.
# Everything here holds the GIL. Where tasks change hands, the C side comes first and cannot fail;
# what may raise - any call into Python, for lack of memory or for a signal - comes afterwards.

cdef inline record *record_at(Client client, Py_ssize_t place) noexcept:
    """The record of the task at a place of the queue; NULL where there is none any more."""
    cdef object item = <object> PyList_GET_ITEM(client._queue, place)
    if item is None:
        return NULL
    return &(<Task> item).rec


cdef bint has_waiting(Client client) noexcept:
    """Whether a task waits to be sent; steps over those that were cancelled or have failed."""
    cdef record *rec
    while client._next < PyList_GET_SIZE(client._queue):
        rec = record_at(client, client._next)
        if rec != NULL and is_open(rec):
            return True
        client._next += 1
    return False


cdef Py_ssize_t stage(Client client) except -1:
    """Fill the batch with the next tasks, as far as the window has room; return how many."""
    cdef channel *c = &client._channel
    cdef list queue = client._queue
    cdef Py_ssize_t count = 0, start
    # A server that has nothing to do is not kept waiting for a whole window: 1,000 tasks took 6.1
    # us each, not 5.5.
    cdef Py_ssize_t room = client._window - <Py_ssize_t> c.in_flight if c.in_flight else \
        min(HEAD_START, client._window)
    cdef size_t payload = c.bytes_in_flight
    cdef Task task
    cdef staged *row
    if client._head > 1024 and client._head * 2 > PyList_GET_SIZE(queue):
        del queue[:client._head]
        client._next -= client._head
        client._head = 0
    start = client._next
    while count < room and payload < bytes_allowed(c) and has_waiting(client) \
            and not needs_exceptions(client, client._next):
        task = <Task> <object> PyList_GET_ITEM(queue, client._next)
        if client._full is not None and task._function in client._full:
            try:
                client._held.append(task)
            except MemoryError:
                unstage(client, start, count)
                raise
            queue[client._next] = None
            client._next += 1
            continue
        if task._workload is None:
            try:
                make_workload(client, task)
            except BaseException:
                unstage(client, start, count)
                raise
            if client._queue is not queue:
                raise errors.UsageError("on_workload forked: the run is the parent's")
            if not is_open(&task.rec):
                continue            # on_workload has cancelled it
        client._next += 1
        row = &client._staged[count]
        row.rec = &task.rec
        row.function = PyBytes_AS_STRING(task._function)
        if task._unique is None:
            write_key(&task.rec, row.key)
            row.unique = row.key
        else:
            row.unique = PyBytes_AS_STRING(task._unique)
        # libgearman takes an empty workload only as NULL.
        row.workload = PyBytes_AS_STRING(task._workload) if task.rec.size else NULL
        task.rec.state = IN_FLIGHT
        payload += task.rec.size
        count += 1
    return count


cdef void unstage(Client client, Py_ssize_t start, Py_ssize_t count) noexcept:
    """The first count rows of the batch, which began at start, go back to where they were."""
    cdef record *rec
    while count > 0:
        count -= 1
        rec = client._staged[count].rec
        rec.state = UNCONFIRMED if rec.handed else PENDING
    client._next = start


cdef int make_workload(Client client, Task task) except -1:
    """Ask on_workload for the payload of a task that was added without one."""
    if client._on_workload is None:
        raise errors.UsageError(
            f"a task of function {task.function_name!r} was added with workload=None; set "
            "Client.on_workload, which is to return it", code=ReturnCode.NEED_WORKLOAD_FN)
    task._workload = freeze_workload(client._on_workload(task))
    task.rec.size = PyBytes_GET_SIZE(task._workload)
    return 0


cdef int account(Client client) except -1:
    """Take the tasks that are acknowledged, or have failed, off the head of the queue."""
    cdef list queue = client._queue
    cdef record *rec
    while client._head < client._next:
        rec = record_at(client, client._head)
        if rec != NULL:
            if is_open(rec):
                return 0
            if rec.state == RUNNING:
                client._running[<object> PyList_GET_ITEM(queue, client._head)] = None
            if (rec.state == CREATED or rec.state == RUNNING) and client._on_created is not None:
                client._untold.append(<object> PyList_GET_ITEM(queue, client._head))
            if rec.state != RUNNING:
                take_out(rec)
                settle_stream(<Task> <object> PyList_GET_ITEM(queue, client._head))
            queue[client._head] = None
        client._head += 1
    return 0


cdef int tell_created(Client client) except -1:
    """Call on_created for the tasks acknowledged since; each is told once, whatever it raises."""
    cdef list untold = client._untold
    cdef Py_ssize_t count = 0
    if not untold:
        return 0
    try:
        while count < PyList_GET_SIZE(untold) and client._on_created is not None:
            count += 1
            client._on_created(untold[count - 1])
    finally:
        del untold[:count]
    if client._on_created is None:
        untold.clear()              # it was removed: nobody wants to know
    return 0


cdef bint was_handed(const record *rec) noexcept:
    """Whether libgearman has begun to send the task: it may be at the server."""
    return rec.handed or (rec.task != NULL and strcmp(
        lib.gearman_task_strstate(rec.task), "GEARMAN_TASK_STATE_NEW") != 0)


cdef bint is_news(Client client) noexcept:
    """Whether the connection has taken tasks that no exception has yet called unconfirmed."""
    cdef Py_ssize_t place
    cdef record *rec
    for place in range(client._head, client._next):
        rec = record_at(client, place)
        if rec != NULL and rec.state == IN_FLIGHT and was_handed(rec):
            return True
    return has_running_jobs(client)


cdef tuple mark_unconfirmed(Client client):
    """Mark the tasks that a connection took and no server acknowledged; return all there are."""
    cdef Py_ssize_t place
    cdef record *rec
    cdef list unconfirmed
    for place in range(client._head, client._next):
        rec = record_at(client, place)
        if rec != NULL and rec.state == IN_FLIGHT and was_handed(rec):
            rec.state = UNCONFIRMED
    unconfirmed = [task for task in client._queue[client._head:]
                   if task is not None and (<Task> task).rec.state == UNCONFIRMED
                   and (<Task> task).rec.queued != NULL]
    return tuple(unconfirmed)


cdef bint has_running_jobs(Client client) noexcept:
    """Whether libgearman waits for the end of a foreground job."""
    cdef Py_ssize_t position = 0
    cdef PyObject *task
    while PyDict_Next(client._running, &position, &task, NULL):
        if (<Task> <object> task).rec.task != NULL:
            return True
    return False


cdef bint is_stuck(Client client) noexcept:
    """Whether a task counts as in flight and libgearman has it not: a step ended half-way."""
    cdef Py_ssize_t place
    cdef record *rec
    for place in range(client._head, client._next):
        rec = record_at(client, place)
        if rec != NULL and is_open(rec) and rec.task == NULL:
            return True
    return False


cdef void give_back(Client client) noexcept:
    """Close the connection; all that was not acknowledged waits again.

    But not foreground jobs that a server may have: nobody can tell whether a worker is at it. And
    with resend=False none that it may have.
    """
    cdef Py_ssize_t place, position = 0
    cdef record *rec
    cdef PyObject *task
    for place in range(client._head, client._next):
        rec = record_at(client, place)
        if rec == NULL or (rec.task == NULL and not is_open(rec)):
            continue
        rec.handed = was_handed(rec)
        rec.task = NULL
        if not rec.handed:
            rec.state = PENDING
        elif rec.kind == FOREGROUND:
            leave_queue(rec, UNCONFIRMED)
        elif client.resend:
            rec.state = UNCONFIRMED
        else:
            leave_queue(rec, FAILED)
    while PyDict_Next(client._running, &position, &task, NULL):
        rec = &(<Task> <object> task).rec
        if rec.task != NULL:
            rec.task = NULL
            leave_queue(rec, UNCONFIRMED)
    client._next = client._head
    client._disordered = True
    with nogil:
        close_channel(&client._channel)


cdef tuple drop_connection(Client client):
    """As give_back(); returns the unconfirmed tasks, also those that are not sent again."""
    cdef list given_up
    cdef Py_ssize_t head = client._head, next = client._next
    give_back(client)
    client._server = None
    client._sharing = {}
    given_up = [task for task in client._queue[head:next] if task is not None
                and (<Task> task).rec.handed and (<Task> task).rec.queued == NULL
                and (<Task> task).rec.state in (FAILED, UNCONFIRMED)]
    given_up += [task for task in client._running if (<Task> task).rec.state == UNCONFIRMED]
    for task in given_up:
        drop_events_of(&client._channel, &(<Task> task).rec)
        client._running.pop(task, None)
        settle_stream(task)
    bring_back(client)
    return tuple(sorted(given_up + list(mark_unconfirmed(client)), key=_number_of))


cdef Py_ssize_t oldest_in_flight(Client client) noexcept:
    """The place of the task that the server's next answer is for, or -1.

    A server answers what came over one connection in the order in which it came.
    """
    cdef Py_ssize_t place
    cdef record *rec
    for place in range(client._head, client._next):
        rec = record_at(client, place)
        if rec != NULL and is_open(rec) and rec.task != NULL:
            return place
    return -1


cdef lib.gearman_return_t take_back_refused(Client client, Py_ssize_t place) noexcept:
    """Take the task at place from libgearman: the server refused it, the others go on.

    It must have been sent whole: libgearman sends straight from the task's own memory.
    """
    cdef channel *c = &client._channel
    cdef record *rec = record_at(client, place)
    cdef lib.gearman_task_st *task = rec.task
    if not is_sent_whole(task):
        return lib.GEARMAN_UNEXPECTED_PACKET
    rec.task = NULL
    rec.state = PENDING
    rec.handed = False
    c.in_flight -= 1
    c.bytes_in_flight -= rec.size
    leave_batch(c)
    lib.gearman_task_free(task)
    return add_marker(c)


cdef int hold_function(Client client, Task refused) except -1:
    """Back-pressure: leave the function of a refused task out for the rest of the run."""
    if client._full is None:
        client._full = set()
    client._full.add(refused._function)
    return 0


cdef int hold_refused(Client client, Py_ssize_t place) except -1:
    """Keep a refused task for the next run."""
    client._refused.append(client._queue[place])
    client._queue[place] = None
    return 0


def _number_of(Task task):
    return task.rec.number


cdef int bring_back(Client client) except -1:
    """Put the tasks of full functions back among those that wait, each at its old place."""
    cdef Py_ssize_t size = PyList_GET_SIZE(client._queue)   # what is added meanwhile stays behind
    cdef list waiting
    client._full = None
    if client._refused or client._held or client._disordered:
        # Lists that are in order already: sorting joins them in linear time.
        waiting = [task for task in
                   client._refused + client._held + client._queue[client._next:size]
                   if task is not None]
        waiting.sort(key=_number_of)
        client._queue[client._next:size] = waiting
        client._refused = []
        client._held = []
        client._disordered = False
    return 0
