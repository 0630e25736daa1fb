# Doing a job: a callable is called, and what comes of it is sent.

cdef int perform(Worker worker, Job job, _Crew crew) except -1:
    """Do one job. What goes wrong with it is told to its client and logged, and not raised.

    Args:
        crew: whose next job is wanted after this one; None: none is.
    """
    cdef object entry = worker._functions.get(job._function)
    cdef object result
    job._is_given = True
    if entry is None or entry[0] is None:
        return refuse_job(job)
    try:
        try:
            result = entry[0](job)
            if result is None:
                result = b""
            elif type(result) is not bytes:
                result = read_result(job, result)
        except errors.JobFailed as error:
            end_job(job, "failed", str(error), False)
        except Exception as error:
            report(worker, job, error)
        else:
            complete(job, result, crew is not None and wants_same(worker, crew))
    except BaseException:
        # Whoever ends the program has not done the job: the server gives it to another worker.
        if can_send(job):
            drop_station(job._station)
        raise
    return 0


cdef bint wants_same(Worker worker, _Crew crew):
    """Whether all is as it was, so that the only server is to be asked for the next job."""
    return PyList_GET_SIZE(crew.stations) == 1 and crew.troubled == 0 and \
        crew.version == worker._version and crew.servers is worker._servers and \
        not worker.is_stopping and not worker._closed


cdef int complete(Job job, bytes result, bint asks) except -1:
    if can_send(job):
        try:
            send_payload(job, GIVE_COMPLETE, result, asks)
            return 0
        except errors.ConnectionFailedError:
            pass
    return tell_lost(job, "was done")


cdef bytes read_result(Job job, object result):
    """Return what completes a job; chunks that a generator makes are sent one by one."""
    if isinstance(result, types.GeneratorType):
        try:
            while True:
                send_payload(job, GIVE_DATA, next(result))
        except StopIteration as end:
            result = end.value
        finally:
            if isinstance(result, types.GeneratorType):
                result.close()
    return b"" if result is None else freeze_workload(result)


cdef int report(Worker worker, Job job, object error) except -1:
    """Tell the client, and the log, about an exception of a callable."""
    if isinstance(error, errors.ConnectionFailedError) and job._job != NULL and not can_send(job):
        return tell_lost(job, "was given up")
    logger.error("%s raised an exception", job, exc_info=error)
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    return end_job(job, "failed", text, worker._exceptions)


cdef int end_job(Job job, str how, str text, bint as_exception) except -1:
    """Let a job fail. The text goes before as a warning, unless clients are known to understand
    exceptions: see Worker.exceptions."""
    cdef parcel p
    cdef bytes told = text.encode("utf-8", "backslashreplace")
    try:
        if not can_send(job):
            return tell_lost(job, how)
        if told and as_exception:
            send_payload(job, GIVE_EXCEPTION, told)
        else:
            if told:
                send_payload(job, GIVE_WARNING, told)
            p.kind = GIVE_FAIL
            send(job, &p)
    except errors.ConnectionFailedError:
        tell_lost(job, how)
    return 0


cdef int tell_lost(Job job, str how) except -1:
    """Log that nobody will know what came of a job, unless it had been finished before."""
    if job._job != NULL and job._station.generation == generation:
        logger.warning("%s %s, and the server cannot be told: it gives the job to another worker",
                       job, how)
    return 0


cdef int refuse_job(Job job) except -1:
    """Give back a job of a function that we have not, or no longer."""
    logger.error("%s: its function is not registered; the connection to %s is closed", job,
                 show_server(job._station.server))
    if can_send(job):
        drop_station(job._station)
    pause(job._station, "it assigns jobs of unknown functions", SHORT_PAUSE)
    return 0
