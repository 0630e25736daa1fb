"""A server with a store, killed again and again: what it acknowledged is there, and nothing twice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator

import pytest
from fix_tasks import add_tasks, check_jobs, check_pending, held, take

from gearman_c import Client, ConnectionFailedError, Task, TaskState
from gearman_c.testing import Gearmand

FUNCTIONS = ("f", "g", "h")


@pytest.fixture
def server(gearmand_factory: Callable[..., Gearmand]) -> Iterator[Gearmand]:
    """In memory if possible: it has to survive a SIGKILL, not a loss of power."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        started = gearmand_factory(
            arguments=["-q", "libsqlite3", "--libsqlite3-db", f"{place}/queue"])
        yield started
        started.stop()


@pytest.mark.parametrize("kills", [{1000, 2200, 3700, 5100}, {1, 2, 3000, 6000}])
def test_killed_four_times(server: Gearmand, kills: set[int]) -> None:
    client = Client(server.address)
    tasks = add_tasks(client, 6000, FUNCTIONS, size=50)
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) in kills:
            server.kill()

    client.on_created = on_created
    deaths = 0
    while client.pending:
        try:
            client.run_tasks()
        except ConnectionFailedError as error:
            deaths += 1
            assert all(task.state is TaskState.UNCONFIRMED for task in error.unconfirmed)
        check_pending(client, tasks)
        server.start()
        acknowledged = sum(task.state is TaskState.CREATED for task in tasks)
        assert acknowledged <= held(server) <= len(tasks)
    assert deaths in {len(kills), len(kills) - 1}  # the last one may come when all is through
    assert told == tasks
    check_jobs(take(server, FUNCTIONS), tasks, handles=False)


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
