# The two ways out of a client: close it, or find that it belongs to the parent process.

cdef int shut(Client client) except -1:
    """Close the connection for good, and settle what becomes of the tasks."""
    cdef object item
    cdef Task task
    if client._closed:
        return 0
    client._closed = True
    if client._generation != generation:
        abandon(client)
        return 0
    account(client)
    bring_back(client)
    drop_connection(client)
    for item in client._queue:
        if item is None:
            continue
        task = <Task> item
        if task.rec.state == UNCONFIRMED:
            fail_task(task, errors.UnconfirmedError(
                "the client was closed before the server acknowledged the task; it may have the "
                "job", code=ReturnCode.LOST_CONNECTION, operation="close", task=task))
        elif task.rec.state == PENDING:
            leave_queue(task, CANCELLED)
    client._queue = []
    client._untold = []
    client._head = client._next = 0
    return 0


cdef int abandon(Client client) except -1:
    """In a forked child: the connection and the tasks are the parent's; start anew.

    The C client is forgotten, not freed: freeing it would shut down the parent's socket.
    """
    cdef object item
    cdef Task task
    if still_ours(&client._channel):
        close(client._channel.descriptor)
    forget_channel(&client._channel)
    for item in client._refused + client._held + client._queue:
        if item is None:
            continue
        task = <Task> item
        task.rec.task = NULL
        if task.rec.state < CREATED:
            leave_queue(task, CANCELLED)
        task.rec.queued = NULL
    client._channel.pending = 0
    client._queue = []
    client._refused = []
    client._held = []
    client._untold = []
    client._full = None
    client._refusal = None
    client._head = client._next = 0
    client._server = None
    client._lock = allocate_lock()
    client._runner = 0
    client._closing = False
    client._generation = generation
    return 0
