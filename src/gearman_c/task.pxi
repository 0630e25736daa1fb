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
    RUNNING = 3
    CREATED = 4
    COMPLETE = 5
    FAILED = 6
    CANCELLED = 7

cdef enum:                          # task_kind
    BACKGROUND
    FOREGROUND
    STATUS_OF_HANDLE
    STATUS_OF_UNIQUE


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
        """The function to be run, str; empty for a status task.

        Wraps ``gearman_task_function_name()``.
        """
        return (self._function or b"").decode("utf-8", "surrogateescape")

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
        """The payload, bytes; None until ``Client.on_workload`` has given it."""
        return self._workload

    @property
    def priority(self):
        """The ``Priority`` it was added with."""
        return Priority(self.rec.priority)

    @property
    def background(self):
        """Whether it is a background job, whose result nobody waits for."""
        return self.rec.kind == BACKGROUND

    @property
    def job_handle(self):
        """The handle the server gave the job, str; None until it is acknowledged.

        Wraps ``gearman_task_job_handle()``.
        """
        if self.rec.state < RUNNING and self.rec.queued != NULL and not is_question(&self.rec):
            return None
        return read_handle(&self.rec).decode("utf-8", "surrogateescape") or None

    @property
    def state(self):
        """The ``TaskState``.

        Wraps ``gearman_task_strstate()``.
        """
        return TaskState(self.rec.state)

    @property
    def return_code(self):
        """SUCCESS when done, the error's code when failed, else IO_WAIT; a ``ReturnCode``.

        Wraps ``gearman_task_return()``.
        """
        if self.rec.state == CREATED or self.rec.state == COMPLETE:
            return ReturnCode.SUCCESS
        code = getattr(self.error, "code", None)
        return ReturnCode.IO_WAIT if code is None else code

    @property
    def error(self):
        """The exception that made the task fail, or None.

        Wraps ``gearman_task_error()``.
        """
        if self._error is None and (self.rec.state == FAILED or
                                    (self.rec.state == UNCONFIRMED and is_done(&self.rec))):
            set_error(self, errors.UnconfirmedError(
                "the task was sent, and the connection ended before the server "
                + ("told how the job ended; a worker may be at it"
                   if self.rec.kind == FOREGROUND else "acknowledged it; it may have the job"),
                code=ReturnCode.LOST_CONNECTION, task=self))
        return self._error

    @property
    def is_known(self):
        """True once a server has acknowledged the job; of a status task, what the server says.

        Wraps ``gearman_task_is_known()``.
        """
        if is_question(&self.rec):
            return self._outcome is not None and self._outcome.is_known
        return self.job_handle is not None

    @property
    def is_running(self):
        """True while a worker is known to be at the job; of a status task, what the server says.

        Wraps ``gearman_task_is_running()``.
        """
        if self._outcome is None:
            return False
        return self._outcome.is_running or (
            self.rec.state == RUNNING and not is_question(&self.rec))

    @property
    def is_finished(self):
        """True when nothing more will happen to the task.

        A background task is finished when it is acknowledged, a foreground task when its job has
        ended.

        Wraps ``gearman_task_is_finished()``.
        """
        return is_done(&self.rec)

    @property
    def numerator(self):
        """How much of ``denominator`` the worker says it has done; 0 until it says so.

        Wraps ``gearman_task_numerator()``.
        """
        return 0 if self._outcome is None else self._outcome.numerator

    @property
    def denominator(self):
        """What ``numerator`` will be when the job is done; 0 until the worker says so.

        Wraps ``gearman_task_denominator()``.
        """
        return 0 if self._outcome is None else self._outcome.denominator

    @property
    def data(self):
        """What the worker has sent before the end of the job so far, bytes.

        In ``on_data`` the last piece that is in it is the one it is called for.

        Wraps ``gearman_task_data()``.
        """
        if self._outcome is None or self._outcome.chunks is None:
            return b""
        return b"".join(self._outcome.chunks)

    @property
    def chunks(self):
        """``data`` in the pieces in which the worker sent it, a tuple of bytes."""
        return () if self._outcome is None else tuple(self._outcome.chunks or ())

    @property
    def warnings(self):
        """What the worker sent as warnings, a tuple of bytes."""
        return () if self._outcome is None else tuple(self._outcome.warnings or ())

    def result(self):
        """Return what the worker completed the job with, bytes.

        Raises:
            JobFailedError: the worker could not do it.
            UnconfirmedError: the connection was lost, so nobody knows.
            ServerError: the server refused the job.
            UsageError: the job has not ended, or it is one without a result.

        Wraps ``gearman_task_take_data()``.
        """
        if self.rec.kind != FOREGROUND:
            raise errors.UsageError("only foreground tasks have a result; see add_task()")
        if self.rec.state == COMPLETE:
            return self._outcome.result
        error = self.error
        if error is not None:
            raise error
        raise errors.UsageError(
            "the task was cancelled" if self.rec.state == CANCELLED else
            "the job has not ended; call run_tasks() first")

    def cancel(self):
        """Withdraw the task from its client's queue.

        Returns:
            True if it will not be sent; False if it is in flight, or finished, so that it is too
            late. An ``UNCONFIRMED`` task may have reached a server; it is only kept from being
            sent again.
        """
        if self.rec.state == CANCELLED:
            return True
        if is_question(&self.rec):
            if self.rec.state == PENDING:
                self.rec.state = CANCELLED
            return self.rec.state == CANCELLED
        if self.rec.queued == NULL or self.rec.task != NULL or \
                self.rec.state not in (PENDING, UNCONFIRMED):
            return False
        leave_queue(&self.rec, CANCELLED)
        settle_stream(self)
        return True


cdef inline bint is_question(const record *rec) noexcept nogil:
    """Whether the task asks for a status, and submits no job."""
    return rec.kind >= STATUS_OF_HANDLE


cdef inline bint is_open(const record *rec) noexcept:
    """Whether the task is in its client's queue, and no server has acknowledged it."""
    return rec.state < RUNNING and rec.queued != NULL


cdef inline bint is_done(const record *rec) noexcept:
    """Whether nothing more will happen to the task."""
    return rec.state >= CREATED or (rec.state == UNCONFIRMED and rec.queued == NULL)


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
