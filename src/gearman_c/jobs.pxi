# One job at a time: a task is added, and the client runs until it is done.

cdef int run_one(Client client, Task task, object timeout) except -1:
    """Run the client until task is done, well or not.

    Whatever happens, nothing of it is left in the queue: the caller does not know the task.
    """
    cdef double deadline
    try:
        deadline = read_deadline(timeout)
        begin(client, deadline)
    except BaseException:
        task.cancel()
        raise
    try:
        start_afresh(client)
        while not is_done(&task.rec):
            if not is_at_work(client):
                end_run(client)     # it was refused: raises
            step(client, deadline, 0)
        client._refusal = None      # what the server refuses of others, it refuses in their run
        bring_back(client)
    except BaseException as error:
        interrupt(client, error)
        withdraw(client, task, error)
        raise
    finally:
        release(client)
    return 0


cdef int withdraw(Client client, Task task, object error) except -1:
    """Take a task out of the client, wherever it is; error is told if a server may have it."""
    cdef record *rec = &task.rec
    if rec.state == RUNNING and rec.task != NULL:
        # libgearman then ignores what comes about the job.
        client._channel.in_flight -= 1
        client._channel.bytes_in_flight -= rec.size
        rec.handed = True
        forget_task(rec)
    elif rec.task != NULL:
        # The answer to come is counted, so it cannot be ignored.
        drop_connection(client)
    if not is_done(rec):
        if rec.state == PENDING:
            leave_queue(rec, CANCELLED)
        else:
            leave_queue(rec, UNCONFIRMED)
    leave_sharing(client, task, True)
    drop_events_of(&client._channel, rec)
    client._running.pop(task, None)
    if rec.state == UNCONFIRMED and isinstance(error, errors.GearmanError) \
            and task not in error.unconfirmed:
        error.unconfirmed += (task,)
    return 0


cdef void forget_task(record *rec) noexcept nogil:
    """Let libgearman free a task whose answer nobody waits for."""
    cdef lib.gearman_task_st *task = rec.task
    rec.task = NULL
    lib.gearman_task_free(task)


cdef bytes do_job(Client client, object function, object workload, object unique, object timeout,
                  uint8_t priority):
    cdef Task task
    refuse_callbacks(client)
    task = add(client, FOREGROUND, function, workload, unique, None, priority)
    run_one(client, task, timeout)
    if task.error is not None:
        raise task.error
    if task._outcome.chunks is None:
        return task._outcome.result
    return b"".join(task._outcome.chunks) + task._outcome.result


cdef str do_job_background(Client client, object function, object workload, object unique,
                           object timeout, object at, uint8_t priority):
    cdef Task task
    refuse_callbacks(client)
    if at is not None:
        return submit_at(client, function, workload, unique, timeout, at, priority).job_handle
    task = add(client, BACKGROUND, function, workload, unique, None, priority)
    run_one(client, task, timeout)
    if task.error is not None:
        raise task.error
    return task.job_handle


cdef Task execute(Client client, object function, object workload, object unique, object context,
                  object priority, bint background, object at, object timeout):
    cdef Task task
    refuse_callbacks(client)
    if at is not None:
        if not background:
            raise errors.ArgumentError("only a background job can be one for later")
        task = submit_at(client, function, workload, unique, timeout, at, read_priority(priority))
        task.context = context
        return task
    task = add(client, BACKGROUND if background else FOREGROUND, function, workload, unique,
               context, read_priority(priority))
    run_one(client, task, timeout)
    return task
