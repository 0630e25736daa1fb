# libgearman returned an error: one task is blamed and the run goes on, or the connection is lost.

cdef bint is_refusal(lib.gearman_return_t rc) noexcept:
    """Whether rc is what run_tasks() returns for a server's ERROR about one job.

    gearmand sends ARGUMENT_TOO_LARGE and QUEUE_ERROR; SERVER_ERROR stands for unknown texts.
    """
    return rc in (lib.GEARMAN_QUEUE_ERROR, lib.GEARMAN_JOB_QUEUE_FULL, lib.GEARMAN_SERVER_ERROR,
                  lib.GEARMAN_ARGUMENT_TOO_LARGE)


cdef int settle(Client client, lib.gearman_return_t rc, bint given) except -1:
    """libgearman returned an error: blame one task for it and go on, or drop the connection."""
    cdef channel *c = &client._channel
    cdef Py_ssize_t place = -1
    cdef lib.gearman_return_t taken = lib.GEARMAN_UNEXPECTED_PACKET
    if given and is_refusal(rc) and (not c.socket.tuned or still_ours(&c.socket)):
        place = oldest_in_flight(client)
        if place >= 0:
            taken = take_back_refused(client, place)
    # From here on a signal may raise; interrupt() finds the task that is then left over.
    error = failure(c.client, rc, "run_tasks")
    if taken == lib.GEARMAN_SUCCESS:
        refuse(client, place, error)
        return 0
    account(client)
    server = where(client)
    unconfirmed = drop_connection(client)
    if isinstance(error, MemoryError):
        raise error
    raise lost(client, server, rc, str(error), unconfirmed)


cdef int refuse(Client client, Py_ssize_t place, object error) except -1:
    """Say that the server refused the task at place: for now, or for good.

    If it is its durable queue that fails, what it refuses may be in there all the same, and become
    a job when it starts the next time (1.1.20 with sqlite and a full disk).
    """
    cdef Task task = client._queue[place]
    cdef object kind = errors.ServerError
    cdef bint passing = error.code in (ReturnCode.QUEUE_ERROR, ReturnCode.JOB_QUEUE_FULL)
    cdef bint is_full = passing and "queue is full" in (error.detail or "")
    cdef bint in_doubt = passing and not is_full and task.rec.kind == BACKGROUND
    message = f"the server refused a task of function {task.function_name!r} ({error})"
    if is_full:
        kind = errors.QueueFullError
        message += "; call run_tasks() again when workers have drained it"
    elif in_doubt:
        message += ("; its durable queue fails, see its log. It may have kept the task, and "
                    "gearmand 1.1.20 takes no other one until it is started again")
    known = {"code": error.code, "operation": "run_tasks", "detail": error.detail, "task": task}
    refusal = kind(message, **known)
    if passing:
        hold_function(client, task)
    if in_doubt:
        task.rec.state = UNCONFIRMED
        task.rec.handed = True
    if passing and (client.resend or not in_doubt):
        hold_refused(client, place)
    else:
        set_error(task, errors.UnconfirmedError(message, **known) if in_doubt else refusal)
        leave_queue(&task.rec, FAILED)
        settle_stream(task)
    if client._refusal is None:
        client._refusal = refusal
    if in_doubt:
        client._refusal.unconfirmed += (task,)
    return 0


cdef object lost(Client client, str server, lib.gearman_return_t rc, str reason,
                 tuple unconfirmed):
    """Return the exception for a connection that broke."""
    cdef object code = code_of(rc)
    cdef object kind = errors.class_for(code)
    if not issubclass(kind, (errors.ConnectionFailedError, errors.ProtocolError)):
        kind = errors.ConnectionFailedError
    cdef Py_ssize_t jobs = len([task for task in unconfirmed
                                if (<Task> task).rec.kind == FOREGROUND])
    cdef Py_ssize_t others = len(unconfirmed) - jobs
    fates = []
    if jobs:
        fates.append(f"{jobs} foreground jobs may be running and are not sent again")
    if others and client.resend:
        fates.append(f"{others} tasks were sent and not acknowledged; call run_tasks() to send "
                     "them again under the same unique keys")
    elif others:
        fates.append(f"{others} tasks were sent and not acknowledged, and have failed")
    fate = "; ".join(fates) or "no task was under way"
    return kind(f"the connection to {server} broke ({reason}); {fate}",
                code=code, operation="run_tasks", detail=reason, unconfirmed=unconfirmed)


cdef str where(Client client):
    return "the server" if client._server is None else show_server(client._server)
