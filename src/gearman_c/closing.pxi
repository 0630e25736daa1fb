# The two ways out of a client: close it, or find that it belongs to the parent process.

cdef int shut(Client client) except -1:
    """Close the connection for good, and settle what becomes of the tasks."""
    if client._closed:
        return 0
    client._closed = True
    if client._generation != generation:
        abandon(client)
        return 0
    try:
        while client._channel.first_event != NULL:
            apply(client, client._channel.first_event)
            drop_event(&client._channel)
    except MemoryError:
        pass                        # these jobs stay unknown to their tasks
    give_up(client, True)
    with nogil:
        close_channel(&client._channel)
    empty(client)
    return 0


cdef void give_up(Client client, bint ours) noexcept:
    """Settle what becomes of each task, without anything that could raise half-way.

    Tasks that are not ours, but the parent's, are cancelled here whatever becomes of them there.
    """
    cdef Py_ssize_t position = 0
    cdef PyObject *task
    give_up_listed(client._refused, ours)
    give_up_listed(client._held, ours)
    give_up_listed(client._queue, ours)
    give_up_listed(client._questions, ours)
    while PyDict_Next(client._running, &position, &task, NULL):
        give_up_task(&(<Task> <object> task).rec, ours)


cdef void give_up_listed(list tasks, bint ours) noexcept:
    cdef Py_ssize_t place
    cdef object item
    for place in range(PyList_GET_SIZE(tasks)):
        item = <object> PyList_GET_ITEM(tasks, place)
        if item is not None:
            give_up_task(&(<Task> item).rec, ours)


cdef void give_up_task(record *rec, bint ours) noexcept:
    if not is_done(rec):
        # An UnconfirmedError is what a failed or unconfirmed task without an error shows.
        rec.handed = ours and (was_handed(rec) or rec.state == UNCONFIRMED or rec.state == RUNNING)
        if not rec.handed:
            rec.state = CANCELLED
        else:
            rec.state = UNCONFIRMED if rec.kind == FOREGROUND else FAILED
    rec.task = NULL
    take_out(rec)


cdef int empty(Client client) except -1:
    client._queue = []
    client._refused = []
    client._held = []
    client._running = {}
    client._sharing = {}
    client._questions = []
    client._untold = []
    drop_events(&client._channel)
    client._full = None
    client._refusal = None
    client._head = client._next = 0
    client._server = None
    return 0


cdef int abandon(Client client) except -1:
    """In a forked child: the connection and the tasks are the parent's; start anew."""
    close_channel(&client._channel)
    give_up(client, False)
    client._channel.pending = 0
    empty(client)
    client._lock = _Lock()
    client._runner = 0
    client._closing = False
    client._generation = generation
    return 0
