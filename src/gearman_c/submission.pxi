# Submission: tasks made from an iterable while earlier ones are on their way.

cdef double FILL_SECONDS = 0.01     # a slow iterable does not hold back what it has given
cdef object NOTHING = object()


@cython.auto_pickle(False)
@cython.final
cdef class Submission:
    """The iterator that ``Client.submit()`` returns.

    ``next()`` gives the next ``Task`` that is done: background tasks in the order of their
    workloads, foreground tasks in the order in which their jobs end. It raises what
    ``Client.run_tasks()`` raises, and may then be called again. If it is dropped half-way, the
    workloads it had read stay queued in the client.

    The iterable is read while nothing runs the client, so an iterable that is about to wait for
    its own data may call ``Client.run_tasks()`` first, to have sent what it has given.
    """

    def __init__(self):
        raise TypeError("submissions are made by Client.submit()")

    def __reduce__(self):
        raise TypeError("a Submission belongs to its client; it cannot be copied or pickled")

    def __iter__(self):
        return self

    def __next__(self):
        cdef Task task = None
        if self._client is None:
            raise TypeError("submissions are made by Client.submit()")
        if not PyList_GET_SIZE(self._client._untold):   # else on_created goes first: it has raised
            task = first_done(self)
        if task is None:
            try:
                task = advance(self)
            except StopIteration as error:
                # Of the caller's own code; it must not look like the end of the submission.
                raise RuntimeError("a callable of the submission raised StopIteration") from error
        if task is None:
            raise StopIteration
        return task


cdef Submission make_submission(Client client, uint8_t kind, object function, object workloads,
                                object priority, object unique):
    cdef Submission self = Submission.__new__(Submission)
    # Python itself fails on a memoryview that was released.
    if isinstance(workloads, (str, bytes, bytearray, memoryview)):
        raise TypeError("workloads must be an iterable of payloads; for one, write [payload]")
    if unique is not None and not callable(unique):
        raise TypeError(f"unique must be callable or None, not {type(unique).__name__}")
    self._client = client
    self._unique = unique
    self._function = encode_function(client, function)
    self._workloads = iter(workloads)
    self._tasks = []
    self._given = NOTHING
    self._kind = kind
    self._priority = read_priority(priority)
    return self


cdef int read_priority(object priority) except -1:
    if isinstance(priority, str):
        priority = plain_text(priority)
    elif isinstance(priority, int) and not isinstance(priority, bool):
        return read_int(priority, "priority", 0, 2)
    else:
        raise TypeError(f"priority must be a Priority or its name, not {type(priority).__name__}")
    try:
        return Priority(priority)
    except ValueError:
        raise errors.ArgumentError(
            f"{priority!r} is not a priority: high, normal and low are") from None


cdef inline Task first_done(Submission self):
    """Give out the oldest task if it is done, else None."""
    cdef object item
    if self._head == PyList_GET_SIZE(self._tasks):
        return None
    item = <object> PyList_GET_ITEM(self._tasks, self._head)
    if not is_done(&(<Task> item).rec):
        return None
    self._tasks[self._head] = None
    self._head += 1
    self._open -= 1
    if not (<Task> item).rec.is_late:
        self._payload -= (<Task> item).rec.size
    if (<Task> item)._error is not None and (<Task> item)._error is self._client._refusal:
        self._client._refusal = None    # the caller sees it in the task
    return <Task> item


cdef Task advance(Submission self):
    """Run the client until a task can be given out; None when there is none left."""
    cdef Client client = self._client
    cdef Task task = None
    refuse_callbacks(client)
    if self._filling:
        raise errors.UsageError("the workloads of a submission are being read already")
    cdef bint tried = client._full is None      # what an earlier call found refused
    client._progress_at = now()
    while task is None:
        self._filling = True
        try:
            fill(self)
        finally:
            self._filling = False
        if self._open == 0 and not PyList_GET_SIZE(client._untold):
            return None
        begin(client, FOREVER)
        try:
            if not is_at_work(client):
                if tried:
                    end_run(client)     # what is left was refused: raises
                start_afresh(client)
                tried = True
            # Only where more workloads are wanted is there a reason to come back early.
            step(client, FOREVER, refill_mark(client, self._kind) if has_room(self) else 0)
            if self._kind == BACKGROUND and client._next < PyList_GET_SIZE(client._queue):
                # The server works on the next window while the caller takes this one's tasks.
                step(client, FOREVER, client._window)
        except BaseException as error:
            interrupt(client, error)
            raise
        finally:
            release(client)
        task = first_done(self)
    return task


cdef bint has_room(Submission self) noexcept:
    """Whether workloads are to be read: two windows of them, in tasks and bytes."""
    return self._workloads is not None and self._open < 2 * self._client._window and \
        self._payload < 2 * WINDOW_BYTES


cdef int fill(Submission self) except -1:
    """Read workloads ahead, for at most FILL_SECONDS."""
    cdef Client client = self._client
    cdef double until
    cdef object workload
    cdef Task task
    del self._tasks[:self._head]
    self._head = 0
    until = roughly_now() + FILL_SECONDS
    while has_room(self):
        if self._given is NOTHING:
            try:
                self._given = next(self._workloads)
            except StopIteration:
                self._workloads = None
                break
        workload = self._given
        try:
            task = add(client, self._kind, self._function, workload,
                       None if self._unique is None else self._unique(workload), None,
                       self._priority)
        except (TypeError, ValueError):
            self._given = NOTHING   # it never will be accepted; any other error is not its fault
            raise
        self._given = NOTHING
        if self._kind == BACKGROUND:
            self._tasks.append(task)
        else:
            outcome_of(task).finished = self._tasks
        self._open += 1
        self._payload += task.rec.size
        if roughly_now() >= until:
            break
    return 0
