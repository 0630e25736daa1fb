# What gearman_c.aio runs a client by, in an event loop's thread.

def _prepare(Client client):
    """Do all that may block: connect, and ask what was asked for."""
    begin(client, FOREVER)
    try:
        if client._questions:
            ask(client, &client._channel, client._questions, FOREVER)
        if client._channel.client == NULL and has_waiting(client):
            client._progress_at = now()
            use_server(client, FOREVER)
    except BaseException as error:
        interrupt(client, error)
        raise
    finally:
        release(client)


def _is_prepared(Client client) -> bool:
    """Whether ``_poll()`` would not block now."""
    return not client._questions and (client._channel.client != NULL or not has_waiting(client))


def _poll(Client client, bint first, double seconds=0.0) -> bool:
    """Do what can be done, waiting for so many seconds at most; return whether all is done.

    Args:
        first: whether this is the beginning of a run.
    """
    begin(client, now())
    try:
        if first:
            start_afresh(client)
        if client._channel.client == NULL and has_waiting(client):
            return False            # _prepare() is to make the connection
        if is_at_work(client):
            if seconds == 0 and client._channel.client != NULL:
                look(&client._channel, _is_unsent(client))
            step(client, FOREVER, 0, seconds)
        if is_at_work(client):
            return False
        end_run(client)
        return True
    except BaseException as error:
        interrupt(client, error)
        raise
    finally:
        release(client)


def _descriptor(Client client) -> tuple:
    """Return the connection's socket, -1 where it is not known, and how many there have been."""
    cdef plug *p = &client._channel.socket
    return p.descriptor if p.tuned else -1, client._connections


def _is_unsent(Client client) -> bool:
    """Whether a task waits for the socket to take more: then the last one does."""
    cdef record *rec = NULL
    if client._next > client._head:
        rec = record_at(client, client._next - 1)
    return rec != NULL and rec.task != NULL and strcmp(
        lib.gearman_task_strstate(rec.task), "GEARMAN_TASK_STATE_WORK") != 0


def _watch(Task task, list done):
    """Have a task that is not done appended to a list as soon as it is."""
    outcome_of(task).finished = done


def _abandon(Client client, Task task) -> bool:
    """Withdraw a task whose caller has gone; False if its acknowledgement must come first."""
    begin(client, now())
    try:
        if task.rec.state < RUNNING and task.rec.task != NULL:
            return False
        withdraw(client, task, None)
        return True
    finally:
        release(client)
