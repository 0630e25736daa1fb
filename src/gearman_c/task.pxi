# Task: one job on its way to a server. It owns what libgearman reads and outlives everything.

cdef extern from "Python.h":
    void PyObject_GC_UnTrack(object)
    void PyObject_GC_Track(object)
    bint PyObject_GC_IsTracked(object)

# TaskState as C sees it; a test compares the two.
cdef enum:
    PENDING = 0
    IN_FLIGHT = 1
    UNCONFIRMED = 2
    CREATED = 3
    FAILED = 4
    CANCELLED = 5


@cython.auto_pickle(False)
@cython.final
cdef class Task:
    """A job that a client was asked to submit; made by ``Client.add_task_background()``.

    A task belongs to whoever holds it: it outlives its client and keeps its handle, its unique
    key and its context. Dropping it does not withdraw it; ``cancel()`` does.

    Wraps ``gearman_task_st``.
    """

    def __init__(self):
        raise TypeError("tasks are made by a Client, for instance by add_task_background()")

    def __dealloc__(self):
        forget_handle(&self.rec)

    def __reduce__(self):
        raise TypeError("a Task belongs to its client; it cannot be copied or pickled")

    def __repr__(self):
        name = self._function.decode("utf-8", "replace") if self._function is not None else "?"
        return f"<gearman_c.Task {name!r} {self.state.name} {self.job_handle or ''}>"

    @property
    def function_name(self):
        """The function to be run, str.

        Wraps ``gearman_task_function_name()``.
        """
        return self._function.decode("utf-8", "surrogateescape")

    @property
    def unique(self):
        """The unique key under which the server knows the job, str.

        With ``unique="#"`` this is ``"#"`` until the task is sent, and then the key that
        libgearman computed from the workload.

        Wraps ``gearman_task_unique()``.
        """
        cdef char key[40]
        if self.rec.is_hashed:
            return str(self.rec.key)
        if self._unique is not None:
            return self._unique.decode("utf-8", "surrogateescape")
        return key[:write_key(&self.rec, key)].decode()

    @property
    def workload(self):
        """The payload, bytes."""
        return self._workload

    @property
    def priority(self):
        """The ``Priority`` it was added with."""
        return Priority(self.rec.priority)

    @property
    def background(self):
        """True: nobody waits for the job's result."""
        return True

    @property
    def job_handle(self):
        """The handle the server gave the job, str; None until it is acknowledged.

        Wraps ``gearman_task_job_handle()``.
        """
        if self.rec.state != CREATED:
            return None
        return read_handle(&self.rec).decode("utf-8", "surrogateescape")

    @property
    def state(self):
        """The ``TaskState``.

        Wraps ``gearman_task_strstate()``.
        """
        return TaskState(self.rec.state)

    @property
    def return_code(self):
        """SUCCESS when acknowledged, the error's code when failed, else IO_WAIT; ``ReturnCode``.

        Wraps ``gearman_task_return()``.
        """
        if self.rec.state == CREATED:
            return ReturnCode.SUCCESS
        code = getattr(self.error, "code", None)
        return ReturnCode.IO_WAIT if code is None else code

    @property
    def error(self):
        """The exception that made the task fail, or None.

        Wraps ``gearman_task_error()``.
        """
        if self._error is None and self.rec.state == FAILED:
            set_error(self, errors.UnconfirmedError(
                "the task was sent, and the connection ended before the server acknowledged it; "
                "it may have the job", code=ReturnCode.LOST_CONNECTION, task=self))
        return self._error

    @property
    def is_known(self):
        """True once a server has acknowledged the job.

        Wraps ``gearman_task_is_known()``.
        """
        return self.rec.state == CREATED

    @property
    def is_finished(self):
        """True when nothing more will happen to the task: acknowledged, failed or cancelled.

        Wraps ``gearman_task_is_finished()``.
        """
        return self.rec.state >= CREATED

    def cancel(self):
        """Withdraw the task from its client's queue.

        Returns:
            True if it will not be sent; False if it is in flight, or finished, so that it is too
            late. An ``UNCONFIRMED`` task may have reached a server; it is only kept from being
            sent again.
        """
        if self.rec.state == CANCELLED:
            return True
        if self.rec.queued == NULL or self.rec.task != NULL or \
                self.rec.state not in (PENDING, UNCONFIRMED):
            return False
        leave_queue(&self.rec, CANCELLED)
        return True


cdef inline void take_out(record *rec) noexcept:
    """Take a task out of its client's account; its place in the list is cleared later."""
    if rec.queued != NULL:
        rec.queued.pending -= 1
        rec.queued = NULL


cdef inline void leave_queue(record *rec, uint8_t state) noexcept:
    rec.state = state
    take_out(rec)


cdef int set_error(Task task, object error) except -1:
    task._error = error
    if not PyObject_GC_IsTracked(task):
        PyObject_GC_Track(task)      # an exception can lead back here through its traceback
    return 0


cdef inline bint is_atomic(object value):
    """Whether value can never be part of a reference cycle."""
    cdef object kind = type(value)
    return value is None or kind is str or kind is int or kind is bytes or kind is float
