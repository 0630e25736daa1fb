# The two ways out of a client: close it, or find that it belongs to the parent process.

cdef int shut(Client client) except -1:
    """Close the connection for good, and settle what becomes of the tasks."""
    cdef list tasks
    if client._closed:
        return 0
    client._closed = True
    if client._generation != generation:
        abandon(client)
        return 0
    for tasks in (client._refused, client._held, client._queue):
        give_up(tasks, True)
    with nogil:
        close_channel(&client._channel)
    empty(client)
    return 0


cdef void give_up(list tasks, bint ours) noexcept:
    """Settle what becomes of each task, without anything that could raise half-way.

    Tasks that are not ours, but the parent's, are cancelled here whatever becomes of them there.
    """
    cdef Py_ssize_t place
    cdef object item
    cdef record *rec
    for place in range(PyList_GET_SIZE(tasks)):
        item = <object> PyList_GET_ITEM(tasks, place)
        if item is None:
            continue
        rec = &(<Task> item).rec
        if rec.state < CREATED:
            # An UnconfirmedError is what a failed task without an error shows.
            rec.handed = ours and (was_handed(rec) or rec.state == UNCONFIRMED)
            rec.state = FAILED if rec.handed else CANCELLED
        rec.task = NULL
        take_out(rec)


cdef int empty(Client client) except -1:
    client._queue = []
    client._refused = []
    client._held = []
    client._untold = []
    client._full = None
    client._refusal = None
    client._head = client._next = 0
    client._server = None
    return 0


cdef int abandon(Client client) except -1:
    """In a forked child: the connection and the tasks are the parent's; start anew.

    The C client is forgotten, not freed: freeing it would shut down the parent's socket.
    """
    cdef list tasks
    if still_ours(&client._channel):
        close(client._channel.descriptor)
    forget_channel(&client._channel)
    for tasks in (client._refused, client._held, client._queue):
        give_up(tasks, False)
    client._channel.pending = 0
    empty(client)
    client._lock = allocate_lock()
    client._runner = 0
    client._closing = False
    client._generation = generation
    return 0
