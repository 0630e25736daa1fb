# What a client calls, in the thread that runs it, between packets.

cdef object check_callback(object function, str name):
    if function is not None and not callable(function):
        raise TypeError(f"{name} must be callable or None, not {type(function).__name__}")
    return function


@cython.auto_pickle(False)
cdef class _Callbacks(_Connector):
    """The part of a ``Client`` that its user gives functions to."""

    @property
    def on_created(self):
        """A callable that is given each ``Task`` once a server has acknowledged it; or None.

        It may add tasks, which join the run; ``run_tasks()``, ``do()`` and ``close()`` raise
        ``UsageError`` in it. If it raises, the run ends with that exception; what it was called for
        counts as told, and the next run goes on with what came after it.

        Wraps ``gearman_client_set_created_fn()``.
        """
        return self._on_created

    @on_created.setter
    def on_created(self, function):
        self._on_created = check_callback(function, "on_created")

    @property
    def on_data(self):
        """A callable that is given each ``Task`` whose worker has sent some data, or None.

        The data is the last of ``Task.chunks``.

        See ``on_created`` for what it may do.

        Wraps ``gearman_client_set_data_fn()``.
        """
        return self._on_data

    @on_data.setter
    def on_data(self, function):
        self._on_data = check_callback(function, "on_data")

    @property
    def on_warning(self):
        """A callable that is given each ``Task`` whose worker has sent a warning, or None.

        The warning is the last of ``Task.warnings``.

        See ``on_created`` for what it may do.

        Wraps ``gearman_client_set_warning_fn()``.
        """
        return self._on_warning

    @on_warning.setter
    def on_warning(self, function):
        self._on_warning = check_callback(function, "on_warning")

    @property
    def on_status(self):
        """A callable that is given each ``Task`` whose worker has said how far it is, or None.

        And each status task when the server has answered. See ``Task.numerator``.

        See ``on_created`` for what it may do.

        Wraps ``gearman_client_set_status_fn()``.
        """
        return self._on_status

    @on_status.setter
    def on_status(self, function):
        self._on_status = check_callback(function, "on_status")

    @property
    def on_complete(self):
        """A callable that is given each ``Task`` whose worker has done the job, or None.

        See ``Task.result()``.

        See ``on_created`` for what it may do.

        Wraps ``gearman_client_set_complete_fn()``.
        """
        return self._on_complete

    @on_complete.setter
    def on_complete(self, function):
        self._on_complete = check_callback(function, "on_complete")

    @property
    def on_exception(self):
        """A callable that is given each ``Task`` whose worker has raised an exception, or None.

        The job has ended; ``on_fail`` is not called for it. See ``Task.error``.

        See ``on_created`` for what it may do.

        Wraps ``gearman_client_set_exception_fn()``.
        """
        return self._on_exception

    @on_exception.setter
    def on_exception(self, function):
        self._on_exception = check_callback(function, "on_exception")

    @property
    def on_fail(self):
        """A callable that is given each ``Task`` whose worker could not do the job, or None.

        See ``Task.error``.

        See ``on_created`` for what it may do.

        Wraps ``gearman_client_set_fail_fn()``.
        """
        return self._on_fail

    @on_fail.setter
    def on_fail(self, function):
        self._on_fail = check_callback(function, "on_fail")

    @property
    def on_workload(self):
        """A callable that returns the payload of each ``Task`` that was added without one; or None.

        It is called when the task is about to be sent, and may be called again for it after an
        error. See ``on_created`` for what it may do.

        Wraps ``gearman_client_set_workload_fn()``.
        """
        return self._on_workload

    @on_workload.setter
    def on_workload(self, function):
        self._on_workload = check_callback(function, "on_workload")
