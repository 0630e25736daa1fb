# What came back, given to Python: events become attributes of their Task, one at a time and in
# their order, and each is followed by its callback.

@cython.auto_pickle(False)
@cython.final
cdef class _Outcome:
    """What came back for a task; see ``_gearman.pxd``."""


cdef Task task_of(record *rec):
    """The Task around a record: the same distance in each."""
    return <Task> <PyObject *> (<char *> rec - record_offset)


cdef Py_ssize_t find_record_offset():
    cdef Task task = Task.__new__(Task)
    return <char *> &task.rec - <char *> <PyObject *> task


cdef Py_ssize_t record_offset = find_record_offset()


cdef _Outcome outcome_of(Task task):
    if task._outcome is None:
        task._outcome = _Outcome.__new__(_Outcome)
    return task._outcome


cdef inline int settle_stream(Task task) except -1:
    """Tell whoever waits for the task that it is done: a Submission, or gearman_c.aio."""
    if task._outcome is not None and task._outcome.finished is not None:
        task._outcome.finished.append(task)
        task._outcome.finished = None
    return 0


cdef object job_failure(Task task, uint8_t kind, bytes data):
    """Return the exception for a job that its worker could not do."""
    text = data.decode("utf-8", "replace")
    if kind == EXCEPTION:
        return errors.JobFailedError(
            f"the worker of function {task.function_name!r} raised: {text or 'an exception'}",
            code=ReturnCode.WORK_EXCEPTION, operation="run_tasks", detail=text, task=task,
            data=data)
    return errors.JobFailedError(
        f"the worker of function {task.function_name!r} could not do the job",
        code=ReturnCode.WORK_FAIL, operation="run_tasks", task=task)


cdef Task receiver(Client client, const event *noted):
    """The task that an event is for; None if it has been withdrawn.

    Tasks of one function and unique key are one job at the server, which sends each packet once
    for each of them. libgearman looks for the handle only, and gives them all to the same task.
    """
    cdef list group
    cdef Task task = task_of(noted.rec)
    if noted.kind == STARTED or noted.kind >= COMPLETE_PACKET or is_question(noted.rec) \
            or not has_given_key(noted.rec):
        return task
    group = client._sharing.get(read_handle(noted.rec))
    if group is None or PyList_GET_SIZE(group) == 1:
        return task
    task = group.pop(0)
    group.append(task)
    return task


cdef int join_sharing(Client client, Task task) except -1:
    """A job has started: what comes from now on comes for this task, too."""
    client._sharing.setdefault(read_handle(&task.rec), []).append(task)
    return 0


cdef int leave_sharing(Client client, Task task, bint is_withdrawn) except -1:
    """A task has ended; or it is withdrawn, and the server goes on sending for it."""
    cdef bytes handle
    cdef list group
    if not client._sharing or not has_given_key(&task.rec):
        return 0
    handle = read_handle(&task.rec)
    group = client._sharing.get(handle)
    if group is None or task not in group:
        return 0
    if is_withdrawn:
        group[group.index(task)] = None
    else:
        group.remove(task)
    if group.count(None) == PyList_GET_SIZE(group):
        del client._sharing[handle]
    return 0


cdef Task apply(Client client, const event *noted):
    """Let a task know what an event says, and return the task; None if nobody is to be told.

    Raises MemoryError before anything has changed.
    """
    cdef Task task = receiver(client, noted)
    if task is None:
        return None
    if noted.kind == STARTED:
        join_sharing(client, task)
        return None
    cdef _Outcome outcome = outcome_of(task)
    cdef bytes data = b"" if noted.data == NULL else copy_payload(noted.data, noted.size)
    cdef uint8_t state = RUNNING
    if noted.kind == STATUS:
        outcome.numerator = noted.numerator
        outcome.denominator = noted.denominator
        if is_question(&task.rec):
            outcome.is_known = noted.is_known
            outcome.is_running = noted.is_running
            state = COMPLETE
    elif noted.kind == DATA:
        if outcome.chunks is None:
            outcome.chunks = []
        outcome.chunks.append(data)
    elif noted.kind == WARNING:
        if outcome.warnings is None:
            outcome.warnings = []
        outcome.warnings.append(data)
    elif noted.kind == COMPLETE_PACKET:
        outcome.result = data
        state = COMPLETE
    else:
        set_error(task, job_failure(task, noted.kind, data))
        state = FAILED
    if state != RUNNING:
        settle_stream(task)
        client._running.pop(task, None)
        leave_sharing(client, task, False)
        leave_queue(&task.rec, state)
    return task


cdef object callback_for(Client client, uint8_t kind):
    if kind == DATA:
        return client._on_data
    if kind == WARNING:
        return client._on_warning
    if kind == STATUS:
        return client._on_status
    if kind == COMPLETE_PACKET:
        return client._on_complete
    if kind == EXCEPTION:
        return client._on_exception
    return client._on_fail


cdef int deliver(Client client) except -1:
    """Give Python what came, and call the callbacks; each is told once, whatever it raises."""
    cdef channel *c = &client._channel
    cdef Task task
    cdef uint8_t kind
    tell_created(client)
    while c.first_event != NULL and client._generation == generation:
        kind = c.first_event.kind
        task = apply(client, c.first_event)
        drop_event(c)
        if task is not None:
            function = callback_for(client, kind)
            if function is not None:
                function(task)
    return 0
