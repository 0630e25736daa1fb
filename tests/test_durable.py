"""A server with a store, killed again and again: all is there, and nothing twice."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest
from fix_tasks import add_tasks, check_jobs, check_pending, held, take, wait_for

from gearman_c import Client, ConnectionFailedError, Task, TaskState
from gearman_c.testing import Gearmand

FUNCTIONS = ("f", "g", "h")


@pytest.fixture
def server(gearmand_factory: Callable[..., Gearmand]) -> Iterator[Gearmand]:
    """In memory if possible: it has to survive a SIGKILL, not a loss of power."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        started = gearmand_factory(
            arguments=["-q", "libsqlite3", "--libsqlite3-db", f"{place}/queue"]
        )
        yield started
        started.stop()


def finish(
    client: Client, server: Gearmand, tasks: list[Task], lock: AbstractContextManager[object]
) -> int:
    """Run until nothing is pending, restarting the server; return how often it died."""
    deaths = 0
    while client.pending:
        unconfirmed: tuple[Task, ...] = ()
        try:
            client.run_tasks()
        except ConnectionFailedError as error:
            deaths += 1
            unconfirmed = error.unconfirmed
        with lock:
            assert all(task.state is TaskState.UNCONFIRMED for task in unconfirmed)
            check_pending(client, tasks)
            server.start()
            acknowledged = sum(task.is_known for task in tasks)
            assert acknowledged <= held(server) <= len(tasks)
    return deaths


def test_killed_four_times(server: Gearmand) -> None:
    # Tasks are told of when those behind them have gone out: some must be left after the last kill.
    client = Client(server.address, max_in_flight=400)
    tasks = add_tasks(client, 6000, FUNCTIONS, size=50)
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) in {700, 2200, 3700, 4900}:
            server.kill()

    client.on_created = on_created
    assert finish(client, server, tasks, nullcontext()) == 4
    assert told == tasks
    check_jobs(take(server, FUNCTIONS), tasks, handles=False)


def test_killed_at_work(server: Gearmand) -> None:
    """Killed by another thread, whatever it was doing."""
    client = Client(server.address, max_in_flight=100)
    tasks = add_tasks(client, 6000, FUNCTIONS, size=50)
    calm, through, killed = threading.Lock(), threading.Event(), threading.Event()

    def kill() -> None:
        for limit in range(400, 6000, 800):
            wait_for(lambda limit=limit: through.is_set() or count(server) > limit)
            if through.is_set():
                return
            with calm:
                server.kill()
            killed.set()

    def on_created(task: Task) -> None:
        # A fast machine would be through before the other thread has looked once.
        if task is tasks[4000]:
            assert killed.wait(30)

    client.on_created = on_created
    killer = threading.Thread(target=kill)
    killer.start()
    deaths = finish(client, server, tasks, calm)
    through.set()
    killer.join()
    server.start()
    assert deaths
    check_jobs(take(server, FUNCTIONS), tasks, handles=False)


def count(server: Gearmand) -> int:
    """How many jobs the server holds; 0 while it is down."""
    try:
        return held(server)
    except OSError:
        return 0


def test_twice_is_worse_than_never(server: Gearmand) -> None:
    """With resend=False a task has either its job or UnconfirmedError."""
    client = Client(server.address, resend=False, max_in_flight=100)
    tasks = add_tasks(client, 2000, FUNCTIONS)
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) % 450 == 0:
            server.kill()

    client.on_created = on_created
    unconfirmed: list[Task] = []
    while client.pending:
        try:
            client.run_tasks()
        except ConnectionFailedError as error:
            unconfirmed.extend(error.unconfirmed)
        server.start()
    failed = [task for task in tasks if task.state is TaskState.FAILED]
    assert failed == unconfirmed
    assert told == [task for task in tasks if task.state is TaskState.CREATED]
    assert len(told) + len(failed) == len(tasks)
    keys = [job.unique for job in take(server, FUNCTIONS)]
    assert len(keys) == len(set(keys))
    assert {task.unique for task in told} <= set(keys)
    assert set(keys) <= {task.unique for task in told + failed}
