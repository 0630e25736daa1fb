# The client's queue seen from Python: which tasks go next, which are done, which come back.
# Everything here holds the GIL.

cdef bint has_waiting(Client client) except -1:
    """Whether a task waits to be sent; steps over those that were cancelled or have failed."""
    cdef list queue = client._queue
    cdef object item
    while client._next < PyList_GET_SIZE(queue):
        item = <object> PyList_GET_ITEM(queue, client._next)
        if item is not None and (<Task> item).rec.state < CREATED:
            return True
        client._next += 1
    return False


cdef Py_ssize_t stage(Client client) except -1:
    """Fill the batch with the next tasks, as far as the window has room; return how many."""
    cdef channel *c = &client._channel
    cdef list queue = client._queue
    cdef Py_ssize_t count = 0, size = PyList_GET_SIZE(queue)
    cdef Py_ssize_t room = client._window - <Py_ssize_t> c.in_flight
    cdef size_t payload = c.bytes_in_flight
    cdef object item
    cdef Task task
    cdef staged *row
    if client._head > 1024 and client._head * 2 > size:
        del queue[:client._head]
        client._next -= client._head
        client._head = 0
        size = PyList_GET_SIZE(queue)
    while count < room and payload < WINDOW_BYTES and client._next < size:
        item = <object> PyList_GET_ITEM(queue, client._next)
        client._next += 1
        task = <Task> item
        if task.rec.state != PENDING and task.rec.state != UNCONFIRMED:
            continue                # cancelled, or failed with its connection
        if client._full is not None and task._function in client._full:
            client._held.append(task)
            queue[client._next - 1] = None
            continue
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


cdef int account(Client client) except -1:
    """Take the tasks that are done off the head of the queue."""
    cdef list queue = client._queue
    cdef object item
    cdef Task task
    while client._head < client._next:
        item = <object> PyList_GET_ITEM(queue, client._head)
        if item is not None:
            task = <Task> item
            if task.rec.state < CREATED:
                return 0
            if task.rec.state == CREATED:
                leave_queue(task, CREATED)
                if client._on_created is not None:
                    client._untold.append(task)
            queue[client._head] = None
        client._head += 1
    return 0


cdef int tell(Client client) except -1:
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


cdef Py_ssize_t oldest_in_flight(Client client):
    """The place of the task that the server's next answer is for, or -1.

    A server answers what came over one connection in the order in which it came.
    """
    cdef Py_ssize_t index
    cdef object item
    for index in range(client._head, client._next):
        item = client._queue[index]
        if item is not None and (<Task> item).rec.task != NULL:
            return index
    return -1


cdef bint was_handed(const record *rec) noexcept:
    """Whether libgearman has begun to send the task: it may be at the server."""
    return rec.task != NULL and \
        strcmp(lib.gearman_task_strstate(rec.task), "GEARMAN_TASK_STATE_NEW") != 0


cdef bint is_news(Client client) except -1:
    """Whether the connection has taken tasks that no exception has yet called unconfirmed."""
    cdef object item
    for item in client._queue[client._head:client._next]:
        if item is not None and (<Task> item).rec.state == IN_FLIGHT and \
                was_handed(&(<Task> item).rec):
            return True
    return False


cdef tuple mark_unconfirmed(Client client):
    """Mark the tasks that a connection took and no server acknowledged; return all of them.

    They stand at the head of the queue: in flight, or next to be sent again.
    """
    cdef list unconfirmed = []
    cdef object item
    cdef Task task
    for item in client._queue[client._head:client._next + client.max_in_flight]:
        if item is None:
            continue
        task = <Task> item
        if task.rec.state == IN_FLIGHT and (task.rec.handed or was_handed(&task.rec)):
            task.rec.state = UNCONFIRMED
        if task.rec.state == UNCONFIRMED:
            unconfirmed.append(task)
    return tuple(unconfirmed)


cdef tuple drop_connection(Client client):
    """Close the connection; all that was not acknowledged waits again, in its old order.

    Returns:
        The unconfirmed tasks. With resend=False they have failed and do not wait any more.
    """
    cdef tuple unconfirmed = mark_unconfirmed(client)
    cdef object item
    cdef Task task
    for item in client._queue[client._head:client._next]:
        if item is None:
            continue
        task = <Task> item
        if task.rec.state == IN_FLIGHT:
            task.rec.state = PENDING
        elif task.rec.state == UNCONFIRMED:
            task.rec.handed = True
        task.rec.task = NULL
    client._next = client._head
    client._server = None
    with nogil:
        close_channel(&client._channel)
    if not client.resend:
        for item in unconfirmed:
            fail_task(<Task> item, errors.UnconfirmedError(
                "the connection broke before the server acknowledged the task; it may have the "
                "job", code=ReturnCode.LOST_CONNECTION, operation="run_tasks", task=item))
    return unconfirmed


cdef int take_back_refused(Client client, Py_ssize_t place, object error) except -1:
    """Let the task at place go on its own: the server refused it with error, the others go on."""
    cdef channel *c = &client._channel
    cdef Task task = client._queue[place]
    error.task = task
    lib.gearman_task_free(task.rec.task)
    task.rec.task = NULL
    c.in_flight -= 1
    c.bytes_in_flight -= task.rec.size
    if isinstance(error, errors.QueueFullError):
        # Back-pressure: the function is left out for the rest of the run.
        task.rec.state = PENDING
        task.rec.handed = False
        client._queue[place] = None
        client._refused.append(task)
        if client._full is None:
            client._full = set()
        client._full.add(task._function)
    else:
        fail_task(task, error)
    if client._refusal is None:
        client._refusal = error
    return 0


cdef int bring_back(Client client) except -1:
    """Put the tasks of full functions back among those that wait, each at its old place."""
    client._full = None
    if client._refused or client._held:
        # Three lists, each in order already: sorting joins them in linear time.
        client._queue[client._next:] = sorted(
            client._refused + client._held + client._queue[client._next:],
            key=lambda task: (<Task> task).rec.number)
        client._refused = []
        client._held = []
    return 0
