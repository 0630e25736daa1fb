# gearman_execute_by_partition(): the one call of libgearman that submits such jobs. It blocks until
# the job has ended and fails at once where it may not, so it has a thread and a connection of its
# own; who gives it up shuts that connection down, and the call returns.

cdef extern from *:
    """
    static gearman_task_st *execute_partition(
        gearman_client_st *client, const char *partition, size_t partition_size,
        const char *function, size_t function_size, const char *unique, size_t unique_size,
        const char *workload, size_t size, int background)
    {
        gearman_task_attr_t attribute = background
            ? gearman_task_attr_init_background(GEARMAN_JOB_PRIORITY_NORMAL)
            : gearman_task_attr_init(GEARMAN_JOB_PRIORITY_NORMAL);
        gearman_argument_t argument = gearman_argument_make(NULL, 0, workload, size);
        return gearman_execute_by_partition(
            client, partition, partition_size, function, function_size, unique, unique_size,
            &attribute, &argument, NULL);
    }
    """
    lib.gearman_task_st *execute_partition(
        lib.gearman_client_st *, const char *, size_t, const char *, size_t, const char *, size_t,
        const char *, size_t, int) nogil


cdef extern from "<sys/socket.h>" nogil:
    enum: SHUT_RDWR
    int shutdown(int, int)


@cython.auto_pickle(False)
@cython.final
@cython.no_gc_clear                 # what the connection borrows goes after it
cdef class _PartitionCall:
    """One call, for the thread that makes it; it owns the connection."""
    cdef channel c
    cdef _Settings settings         # owned: what c borrows
    cdef Task task
    cdef bytes partition
    cdef lib.gearman_task_st *ended

    def __dealloc__(self):
        close_channel(&self.c)

    def run(self):
        cdef const char *partition = self.partition
        cdef const char *function = self.task._function
        cdef const char *unique
        cdef const char *workload = NULL
        cdef size_t size = self.task.rec.size
        cdef bint background = self.task.rec.kind == BACKGROUND
        cdef char assigned[40]
        if self.task._unique is None:
            write_key(&self.task.rec, assigned)
            unique = assigned
        else:
            unique = self.task._unique
        if size:
            workload = PyBytes_AS_STRING(self.task._workload)
        with nogil:
            lib.gearman_client_remove_options(self.c.client, lib.GEARMAN_CLIENT_NON_BLOCKING)
            lib.gearman_client_set_timeout(self.c.client, -1)
            self.ended = execute_partition(
                self.c.client, partition, strlen(partition), function, strlen(function), unique,
                strlen(unique), workload, size, background)


cdef Task execute_by_partition(Client client, object partition, object function, object workload,
                               object unique, object context, bint background, object timeout):
    cdef double deadline = read_deadline(timeout)
    cdef _PartitionCall call = _PartitionCall.__new__(_PartitionCall)
    enter(client)
    call.partition = encode_function(client, partition)
    call.task = make_task(client, BACKGROUND if background else FOREGROUND, function, workload,
                          unique, 1)
    call.task.context = context
    if call.task._workload is None:
        make_workload(client, call.task)
    call.settings = open_side(client, &call.c)
    call.c.wants_exceptions = True
    connect(client, &call.c, deadline, "execute_by_partition")
    call.task.rec.state = UNCONFIRMED
    thread = threading.Thread(target=call.run, name="gearman_c", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(min(SLICE, max(deadline - now(), 0.001)))
            check_run(client)
            if now() >= deadline and thread.is_alive():
                raise errors.WaitTimeoutError(
                    "the job was not done in the time allowed", code=ReturnCode.TIMEOUT,
                    operation="execute_by_partition", unconfirmed=(call.task,))
    except BaseException:
        if call.c.socket.tuned and still_ours(&call.c.socket):
            shutdown(call.c.socket.descriptor, SHUT_RDWR)
        raise
    return end_partition(call)


cdef Task end_partition(_PartitionCall call):
    """Let the task know how its job ended."""
    cdef Task task = call.task
    cdef lib.gearman_return_t rc = lib.gearman_client_error_code(call.c.client)
    cdef lib.gearman_result_st *result
    if call.ended != NULL:
        rc = lib.gearman_task_return(call.ended)
    if rc == lib.GEARMAN_SUCCESS:
        if not keep_handle(&task.rec, lib.gearman_task_job_handle(call.ended)):
            raise MemoryError()
        result = lib.gearman_task_result(call.ended)
        if task.rec.kind == FOREGROUND:
            outcome_of(task).result = b"" if result == NULL else (
                lib.gearman_result_value(result)[:lib.gearman_result_size(result)])
        task.rec.state = CREATED if task.rec.kind == BACKGROUND else COMPLETE
    elif rc == lib.GEARMAN_WORK_FAIL or rc == lib.GEARMAN_WORK_EXCEPTION:
        set_error(task, job_failure(
            task, EXCEPTION if rc == lib.GEARMAN_WORK_EXCEPTION else FAIL, b""))
        task.rec.state = FAILED
    else:
        error = failure(call.c.client, rc, "execute_by_partition")
        error.unconfirmed = (task,)
        raise error
    return task
