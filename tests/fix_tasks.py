"""What every adversity test asks: is each task there, once, in order, and with its own handle?"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gearman_c import Client, GearmanError, Task, TaskState
from gearman_c.testing import DrainedJob, Gearmand, drain

_ADD = ("add_task_high_background", "add_task_background", "add_task_low_background")
WAITING = {TaskState.PENDING, TaskState.IN_FLIGHT, TaskState.UNCONFIRMED}


def add_tasks(
    client: Client, count: int, functions: Sequence[str] = ("f",), *, size: int = 0
) -> list[Task]:
    """Add tasks that take turns in function and priority; each workload begins with its number."""
    turns = itertools.product(range(3), functions)
    tasks = []
    for number, (priority, function) in zip(range(count), itertools.cycle(turns), strict=False):
        workload = b"%d:" % number + b"x" * size
        tasks.append(getattr(client, _ADD[priority])(function, workload, context=number))
    return tasks


def waiting(tasks: Iterable[Task]) -> int:
    """How many are neither acknowledged nor given up."""
    return sum(task.state in WAITING for task in tasks)


def check_pending(client: Client, tasks: Sequence[Task]) -> None:
    """Check that the client's account is that of its tasks, and that none has failed."""
    states = [task.state for task in tasks]
    known = states.count(TaskState.CREATED)
    assert client.pending == len(tasks) - known, f"{client.pending} pending, {known} acknowledged"
    assert waiting(tasks) == client.pending, set(states)
    for task in tasks:
        assert (task.job_handle is not None) == (task.state is TaskState.CREATED), task


def run_until_done(
    client: Client,
    tasks: Sequence[Task],
    *,
    before: Callable[[], object] = lambda: None,
    limit: int = 1000,
) -> list[GearmanError]:
    """Call run_tasks() until nothing is pending; return what it raised on the way."""
    raised: list[GearmanError] = []
    while client.pending:
        assert len(raised) < limit, f"{client.pending} still pending after {limit} runs"
        before()
        try:
            client.run_tasks(timeout=60)
        except GearmanError as error:
            raised.append(error)
        check_pending(client, tasks)
    return raised


def held(server: Gearmand) -> int:
    """How many jobs the server holds."""
    return sum(status.total for status in server.status().values())


def take(server: Gearmand, functions: Sequence[str] = ("f",)) -> list[DrainedJob]:
    """Take all jobs of these functions off the server; more of one than given is an error."""
    return [job for function in functions for job in drain(server.address, function)]


def check_jobs(jobs: Sequence[DrainedJob], tasks: Sequence[Task], *, handles: bool = True) -> None:
    """Check that these are the tasks' jobs: all, each once, unmixed, in order of each queue.

    handles: False after a server's restart, which numbers the jobs anew.
    """
    by_key = {task.unique: task for task in tasks}
    assert len(by_key) == len(tasks), "two tasks have one key"
    keys = [job.unique for job in jobs]
    assert len(set(keys)) == len(keys), "a job is doubled"
    assert set(keys) == set(by_key), f"{len(set(by_key) - set(keys))} jobs are lost"
    for job in jobs:
        task = by_key[job.unique]
        assert task.state is TaskState.CREATED
        assert (job.function, job.workload) == (task.function_name, task.workload)
        assert not handles or job.handle == task.job_handle
    for function in {task.function_name for task in tasks}:
        expected = sorted(
            (task for task in tasks if task.function_name == function),
            key=lambda task: task.priority,
        )
        found = [job.unique for job in jobs if job.function == function]
        assert found == [task.unique for task in expected], f"{function}: out of order"


def settle(server: Gearmand, clients: int = 1) -> None:
    """Wait until the server knows of no more clients: it has done all that broken ones sent."""
    # One of the connections is our own, which asks.
    wait_for(lambda: len(server.command("workers")) <= 1 + clients)


def check_all_there(
    server: Gearmand, tasks: Sequence[Task], functions: Sequence[str] = ("f",)
) -> None:
    """Check that the server holds the jobs of all the tasks and no other, and take them off it."""
    settle(server)
    assert held(server) == len(tasks)
    check_jobs(take(server, functions), tasks)


def at(client: Client, count: int, action: Callable[[], Any]) -> list[Task]:
    """Let on_created act at the count-th acknowledgement from now; return the list of all told."""
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) == count:
            action()

    client.on_created = on_created
    return told


def wait_for(condition: Callable[[], Any], limit: float = 60) -> None:
    """Return as soon as a condition holds, for instance that the server holds five jobs."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "this did not come about"
        time.sleep(0.002)


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def workloads_at(server: Gearmand, function: str = "f") -> list[str]:
    return [job.workload.decode() for job in drain(server.address, function)]
