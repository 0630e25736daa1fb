# Making tasks of what the user gives, and queueing them.

cdef inline Task make_task(Client client, uint8_t kind, object function, object workload,
                           object unique, uint8_t priority):
    """Make a task of what the user gave; nobody knows it yet."""
    global task_count
    cdef Task task
    cdef bytes encoded
    if function is client._last_function:
        encoded = client._last_encoded
    else:
        encoded = encode_function(client, function)
        if type(function) is str or type(function) is bytes:    # no __del__() of a subclass
            client._last_encoded = encoded
            client._last_function = function
    task = Task.__new__(Task)
    task._function = encoded
    if workload is not None or client._on_workload is None:
        task._workload = freeze_workload(workload)
        task.rec.size = PyBytes_GET_SIZE(task._workload)
    else:
        task.rec.is_late = True
    task.rec.kind = kind
    task.rec.priority = priority
    task_count += 1
    task.rec.number = task_count
    if unique is None:
        assign_key(&task.rec)
    else:
        task._unique = encode_unique(unique)
    return task


cdef Task add(Client client, uint8_t kind, object function, object workload, object unique,
              object context, uint8_t priority):
    """Make a task and queue it. No I/O, no call into libgearman: about 150 ns."""
    cdef Task task
    if client._closed or client._generation != generation:
        enter(client)
    task = make_task(client, kind, function, workload, unique, priority)
    task.context = context
    if is_atomic(context):
        # Without it every collection walks the whole queue.
        PyObject_GC_UnTrack(task)
    if client._closed or client._generation != generation:
        enter(client)               # what freezes a workload may have closed the client
    client._queue.append(task)
    task.rec.queued = &client._channel
    client._channel.pending += 1
    return task
