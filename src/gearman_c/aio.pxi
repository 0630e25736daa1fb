# What gearman_c.aio runs a client by, in an event loop's thread.

def _prepare(Client client):
    """Do all that may block: connect, and ask what was asked for. See ``_stop()``."""
    begin(client, now())
    try:
        if client._questions:
            ask(client, &client._channel, client._questions, FOREVER)
        if client._channel.client == NULL and has_waiting(client):
            client._progress_at = now()
            use_server(client, FOREVER)
    except BaseException as error:
        if not client._closing:     # else nobody waits, and what is in flight stays so
            interrupt(client, error)
        raise
    finally:
        release(client)


def _seconds(timeout):
    """Return a time-out as a float or None, checked as ``Client.run_tasks()`` does."""
    cdef double seconds = read_timeout(timeout)
    return None if seconds < 0 else seconds


def _priority(priority):
    """Return a ``Priority``, checked as ``Client.submit()`` does."""
    return Priority(read_priority(priority))


def _stop(Client client, bint stop):
    """Have a blocking call of a client end at the end of its slice; or, again, not."""
    client._closing = stop


def _sibling(Client client):
    """Return a client for a question that blocks, which can be stopped on its own."""
    cdef Client copy = clone(client)
    copy._preferred = client._preferred     # the server that is in use is asked
    return copy


def _poll(Client client, bint first, bint again, double seconds=0.0) -> str:
    """Do what can be done, waiting for so many seconds at most; return what is to come next.

    Args:
        first: whether this is the beginning of a run.
        again: whether tasks that a full queue has refused in this run shall be tried again.

    Returns:
        ``"finished"``; ``"again"``, at once; ``"prepare"``, in a thread; ``"read"``, when there is
        something to read; ``"write"``, when there is that or room to write.
    """
    cdef channel *c = &client._channel
    begin(client, now())
    try:
        if first:
            start_afresh(client)
        elif again:
            bring_back(client)
        if must_prepare(client):
            return "prepare"
        if is_at_work(client):
            if seconds == 0 and c.client != NULL:
                look(c, is_unsent(client))
            step(client, FOREVER, 0, seconds)
        if not is_at_work(client):
            return "finished"
        if must_prepare(client):
            return "prepare"
        if c.first_event != NULL or client._untold or can_refill(client):
            return "again"
        return "write" if is_unsent(client) else "read"
    except BaseException as error:
        interrupt(client, error)
        raise
    finally:
        release(client)


cdef bint must_prepare(Client client) noexcept:
    """Whether a run could not go on now without blocking."""
    return PyList_GET_SIZE(client._questions) or (
        client._channel.client == NULL and has_waiting(client))


cdef bint is_unsent(Client client) noexcept:
    """Whether a task waits for the socket to take more: then the last one does."""
    cdef Py_ssize_t place = client._next
    cdef record *rec
    if client._channel.client == NULL:
        return False
    if lib.gearman_client_has_option(client._channel.client, lib.GEARMAN_CLIENT_NO_NEW):
        return True
    while place > client._head:
        place -= 1
        rec = record_at(client, place)
        if rec != NULL and rec.task != NULL:
            return not is_sent_whole(rec.task)
    return False


def _descriptor(Client client) -> tuple:
    """Return the connection's socket, -1 where it is not known, and how many there have been."""
    cdef plug *p = &client._channel.socket
    return p.descriptor if p.tuned else -1, client._connections


def _put_off(Client client, Py_ssize_t refused, Py_ssize_t held):
    """Return what a run has put off, so that it could go on, but so many tasks of each kind.

    Returns:
        None, or the first error, which may be None, the tasks that a full queue has refused, and
        those of the same functions that were not tried.
    """
    if client._refusal is None and PyList_GET_SIZE(client._refused) == refused and \
            PyList_GET_SIZE(client._held) == held:
        return None
    refusal, client._refusal = client._refusal, None
    return refusal, client._refused[refused:], client._held[held:]


def _is_put_off(Client client, Task task) -> bool:
    """Whether this run does not try tasks like this one; None: whether there are any such."""
    return client._full is not None and (task is None or task._function in client._full)


def _watch(Task task, list done):
    """Have a task appended to a list as soon as it is done."""
    if is_done(&task.rec):
        done.append(task)
    else:
        outcome_of(task).finished = done


def _abandon(Client client, Task task) -> bool:
    """Withdraw a task whose caller has gone; False if that is possible only later."""
    cdef record *rec = &task.rec
    if is_done(rec):
        return True
    if rec.queued != NULL and rec.task == NULL and rec.state in (PENDING, UNCONFIRMED):
        # It only waits, so it can be taken away even while a thread runs the client.
        leave_queue(rec, UNCONFIRMED if rec.state == UNCONFIRMED else CANCELLED)
        return True
    if not try_lock(client._lock):
        return False
    client._runner = PyThread_get_thread_ident()
    try:
        if rec.state < RUNNING and rec.task != NULL:
            return False            # its acknowledgement, which is counted, must come first
        withdraw(client, task, None)
        return True
    finally:
        release(client)
