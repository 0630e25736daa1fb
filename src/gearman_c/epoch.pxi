# Jobs for later. libgearman has one function that submits them, which does not take our callbacks,
# so each has a connection of its own.

cdef extern from *:
    """
    /* gearman_string_t has constant members, which Cython cannot fill. */
    static gearman_task_st *execute_at(
        gearman_client_st *client, const char *function, size_t function_size, const char *unique,
        size_t unique_size, const char *workload, size_t size, int64_t when)
    {
        gearman_task_attr_t attribute = gearman_task_attr_init_epoch(
            (time_t) when, GEARMAN_JOB_PRIORITY_NORMAL);
        gearman_argument_t argument = gearman_argument_make(NULL, 0, workload, size);
        return gearman_execute(client, function, function_size, unique, unique_size, &attribute,
                               &argument, NULL);
    }
    """
    lib.gearman_task_st *execute_at(
        lib.gearman_client_st *, const char *, size_t, const char *, size_t, const char *, size_t,
        int64_t) nogil


cdef int64_t read_moment(object at) except? -1:
    """Return a moment as seconds since the epoch."""
    cdef double seconds
    if issubclass(type(at), datetime.datetime):     # a mock may claim to be one
        if at.tzinfo is None:
            raise errors.ArgumentError(
                "at has no time zone; write for instance at.astimezone() if it is local time")
        at = at.timestamp()
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise TypeError(f"at must be a datetime or seconds, not {type(at).__name__}")
    seconds = plain_number(at)
    if seconds != seconds:
        raise errors.ArgumentError(
            f"{'nan' if isinstance(at, float) else 'an int beyond a float'} is not a moment")
    if seconds < time.time() - 1:
        raise errors.ArgumentError(f"at is {seconds}: it lies more than a second in the past")
    if seconds >= 2.0 ** 63:
        raise errors.ArgumentError("at lies behind 2**63 seconds, which libgearman cannot carry")
    return <int64_t> seconds


cdef Task submit_at(Client client, object function, object workload, object unique,
                    object timeout, object at, uint8_t priority):
    """Submit a background job for a moment and return its task, which is done."""
    cdef channel c
    cdef Task task
    cdef int64_t when = read_moment(at)
    cdef double deadline = read_deadline(timeout)
    cdef lib.gearman_task_st *handed
    cdef const char *name
    cdef const char *text
    cdef const char *key
    cdef char assigned[40]
    cdef _Settings settings         # held until the channel is closed
    enter(client)
    task = make_task(client, BACKGROUND, function, workload, unique, priority)
    if task._workload is None:
        make_workload(client, task)
    deadline = min(deadline, patience(client, now()))
    settings = open_side(client, &c)
    connect(client, &c, deadline, "do_background")
    try:
        if task._unique is None:
            write_key(&task.rec, assigned)
            key = assigned
        else:
            key = task._unique
        text = PyBytes_AS_STRING(task._workload) if task.rec.size else NULL
        name = task._function
        task.rec.state = UNCONFIRMED
        with nogil:
            handed = execute_at(c.client, name, strlen(name), key, strlen(key), text,
                                task.rec.size, when)
        if handed == NULL:
            raise failure(c.client, lib.GEARMAN_INVALID_ARGUMENT, "do_background")
        await_task(client, &c, handed, deadline)
        if lib.gearman_task_job_handle(handed)[0] == 0:
            raise failure(c.client, lib.GEARMAN_UNEXPECTED_PACKET, "do_background")
        if not keep_handle(&task.rec, lib.gearman_task_job_handle(handed)):
            raise MemoryError()
        task.rec.state = CREATED
        return task
    except errors.GearmanError as error:
        error.unconfirmed = (task,)
        raise
    finally:
        with nogil:
            close_channel(&c)


cdef int await_task(Client client, channel *c, lib.gearman_task_st *task,
                    double deadline) except -1:
    """Run the one task of a C client until the server has acknowledged it."""
    cdef lib.gearman_return_t rc = lib.GEARMAN_IO_WAIT
    while lib.gearman_task_return(task) != lib.GEARMAN_SUCCESS:
        with nogil:
            rc = lib.gearman_client_run_tasks(c.client)
            if rc == lib.GEARMAN_IO_WAIT:
                rc = wait(c, deadline - now())
        if rc not in (lib.GEARMAN_SUCCESS, lib.GEARMAN_IO_WAIT, lib.GEARMAN_TIMEOUT):
            raise failure(c.client, rc, "do_background")
        PyErr_CheckSignals()
        check_run(client)
        if now() >= deadline and lib.gearman_task_return(task) != lib.GEARMAN_SUCCESS:
            raise errors.WaitTimeoutError(
                "the server did not acknowledge the job in the time allowed",
                code=ReturnCode.TIMEOUT, operation="do_background")
    return 0
