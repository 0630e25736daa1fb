# Questions about jobs. They have connections of their own: libgearman finds the task for an answer
# by its handle, so that of a question would end a running job of the same client; and it counts a
# question by unique key as a job, after which it waits for ever for the next one's answer (1.1.20).

cdef Task add_question(Client client, uint8_t kind, object key, object context):
    cdef Task task
    enter(client)
    task = make_question(kind, key)
    task.context = context
    client._questions.append(task)
    return task


cdef Py_ssize_t open_questions(Client client):
    """How many questions are not answered, or nobody was told the answer."""
    cdef Py_ssize_t count = 0
    for task in client._questions:
        count += (<Task> task).rec.state in (PENDING, IN_FLIGHT)
    for task in client._running:
        count += is_question(&(<Task> task).rec) and (<Task> task).rec.state == RUNNING
    return count


cdef Task make_question(uint8_t kind, object key):
    global task_count
    cdef Task task = Task.__new__(Task)
    cdef bytes encoded
    if kind == STATUS_OF_HANDLE:
        encoded = encode_name(key, "the job handle", lib.GEARMAN_JOB_HANDLE_SIZE - 1)
        if not keep_handle(&task.rec, encoded):
            raise MemoryError()
    else:
        task._unique = encode_unique(key)
    task.rec.kind = kind
    task.rec.priority = 1
    task_count += 1
    task.rec.number = task_count
    return task


cdef int ask(Client client, channel *answers, list questions, double deadline) except -1:
    """Ask questions until all are answered; those that are leave the list.

    What was not answered can be asked again. The answers become events of the other channel.
    """
    cdef channel c
    cdef list batch = []
    cdef _Settings settings = open_side(client, &c)     # held until the channel is closed
    connect(client, &c, deadline, "ask for a status")
    try:
        while questions:
            batch = questions[:NARROW_WINDOW]
            for task in batch:
                if answers == &client._channel and (<Task> task).rec.state == PENDING:
                    client._running[task] = None
            put_questions(&c, batch)
            await_answers(client, &c, answers, deadline)
            del questions[:len(batch)]
    except BaseException:
        for task in batch:
            take_back_question(&(<Task> task).rec)
        raise
    finally:
        with nogil:
            close_channel(&c)
    return 0


cdef int put_questions(channel *c, list batch) except -1:
    """Give libgearman a question for each task that still has one."""
    cdef Task task
    cdef bytes key
    cdef lib.gearman_return_t rc = lib.GEARMAN_SUCCESS
    for task in reversed(batch) if newest_first else batch:
        if task.rec.state != PENDING:
            continue
        if task.rec.kind == STATUS_OF_HANDLE:
            key = read_handle(&task.rec)
            task.rec.task = lib.gearman_client_add_task_status(c.client, NULL, &task.rec, key, &rc)
        else:
            task.rec.task = lib.gearman_client_add_task_status_by_unique(
                c.client, NULL, task._unique, &rc)
        if task.rec.task == NULL:
            raise failure(c.client, rc, "ask for a status")
        lib.gearman_task_set_context(task.rec.task, &task.rec)
        task.rec.queued = c
        task.rec.state = IN_FLIGHT
        c.in_flight += 1
    return 0


cdef int await_answers(Client client, channel *c, channel *answers, double deadline) except -1:
    cdef lib.gearman_return_t rc = lib.GEARMAN_SUCCESS
    cdef double limit = min(deadline, patience(client, now()))
    while c.in_flight:
        with nogil:
            rc = pump(c, 0, min(now() + SLICE, deadline))
            move_events(c, answers)
        if rc != lib.GEARMAN_SUCCESS and rc != lib.GEARMAN_IO_WAIT:
            raise failure(c.client, rc, "ask for a status")
        PyErr_CheckSignals()
        check_run(client)
        if c.in_flight and now() >= limit:
            raise errors.WaitTimeoutError(
                "the server did not answer in the time allowed", code=ReturnCode.TIMEOUT,
                operation="ask for a status")
    return 0


cdef void take_back_question(record *rec) noexcept:
    """A question that no server has answered; libgearman is about to free its task."""
    if rec.task != NULL:
        rec.task = NULL
        rec.queued = NULL
        rec.state = PENDING


cdef object ask_handle(Client client, object job_handle, object timeout):
    cdef channel answers
    cdef double deadline = read_deadline(timeout)
    cdef Task task
    enter(client)
    task = make_question(STATUS_OF_HANDLE, job_handle)
    open_side(client, &answers)
    try:
        ask(client, &answers, [task], deadline)
        while answers.first_event != NULL:
            apply(client, answers.first_event)
            drop_event(&answers)
    finally:
        drop_events(&answers)
    return JobStatus(task.is_known, task.is_running, task.numerator, task.denominator, None)


cdef object ask_unique(Client client, object unique, object timeout):
    cdef question q
    cdef double deadline = read_deadline(timeout)
    cdef bytes encoded = encode_unique(unique)
    enter(client)
    q.text = encoded
    q.size = PyBytes_GET_SIZE(encoded)
    call_server(client, None, ask_unique_status, &q, deadline, "unique_status")
    return JobStatus(q.status.status_.mesg_.is_known, q.status.status_.mesg_.is_running,
                     q.status.status_.mesg_.numerator, q.status.status_.mesg_.denominator,
                     q.status.status_.mesg_.client_count)
