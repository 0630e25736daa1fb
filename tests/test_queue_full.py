"""A full queue is back-pressure: its own tasks wait, those of other functions go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fix_tasks import add_tasks, check_jobs, check_pending, held, settle, take

from gearman_c import (
    Client,
    ConnectionFailedError,
    Priority,
    QueueFullError,
    ServerError,
    Task,
    TaskState,
)
from gearman_c.testing import DrainedJob, Gearmand, drain

if TYPE_CHECKING:
    from fix_proxy import Proxy


def limit(server: Gearmand, function: str, jobs: str) -> None:
    """Limit the queue of a function; the server wants to know it first."""
    assert server.command(f"create function {function}") == ["OK"]
    assert server.command(f"maxqueue {function} {jobs}") == ["OK"]


def of(tasks: list[Task], function: str) -> list[Task]:
    return [task for task in tasks if task.function_name == function]


def add(client: Client, functions: str) -> list[Task]:
    """Add one task for each letter."""
    return [
        client.add_task_background(name, b"%d" % number) for number, name in enumerate(functions)
    ]


def run_and_drain(client: Client, server: Gearmand, functions: str) -> list[DrainedJob]:
    """Run, and drain the full queues, until all is through; return what came out."""
    jobs: list[DrainedJob] = []
    for _ in range(1000):
        pending, named = client.pending, functions[0]
        try:
            client.run_tasks()
        except QueueFullError as error:
            named = error.task.function_name
        assert named in functions
        assert client.pending < pending
        jobs += take(server, functions)
        if not client.pending:
            return jobs
    raise AssertionError("no end in sight")


def check_full(client: Client, *functions: str) -> None:
    """Check that a run raises QueueFullError for one of these functions."""
    with pytest.raises(QueueFullError) as caught:
        client.run_tasks()
    error = caught.value
    assert isinstance(error, ServerError)
    assert error.task.function_name in functions
    assert repr(error.task.function_name) in str(error)
    assert error.code is not None
    assert error.unconfirmed == ()


def test_message_says_what_to_do_once(gearmand: Gearmand) -> None:
    limit(gearmand, "f", "1")
    with Client(gearmand.address) as client:
        add(client, "ff")
        with pytest.raises(QueueFullError) as caught:
            client.run_tasks()
        assert str(caught.value).count("call run_tasks()") == 1


@pytest.mark.parametrize("resend", [False, True])
@pytest.mark.parametrize("window", [1, 2, 10, 1000])
def test_others_go_on(gearmand: Gearmand, window: int, *, resend: bool) -> None:
    limit(gearmand, "f", "3")
    client = Client(gearmand.address, max_in_flight=window, resend=resend)
    tasks = add(client, "fgfghffffggffhhfffgh" + "gh" * 30)
    check_full(client, "f")
    refused = of(tasks, "f")[3:]
    assert [task for task in tasks if not task.is_known] == refused
    assert {(task.state, task.error) for task in refused} == {(TaskState.PENDING, None)}
    check_pending(client, tasks)
    assert gearmand.status()["f"].total == 3
    jobs = take(gearmand, "fgh")
    jobs += run_and_drain(client, gearmand, "f")
    check_jobs(jobs, tasks)


@pytest.mark.parametrize("window", [1, 10, 1000])
def test_several_full(gearmand: Gearmand, window: int) -> None:
    for name, jobs in (("a", "1"), ("b", "2"), ("c", "5")):
        limit(gearmand, name, jobs)
    client = Client(gearmand.address, max_in_flight=window)
    tasks = add(client, "abcd" * 25)
    check_full(client, "a", "b", "c")
    assert held(gearmand) == 33
    check_pending(client, tasks)
    check_full(client, "a", "b", "c")  # nothing was drained: nothing goes through
    assert held(gearmand) == 33
    assert client.pending == 67
    check_jobs(take(gearmand, "abcd") + run_and_drain(client, gearmand, "abc"), tasks)


def test_thousands_refused(gearmand: Gearmand) -> None:
    limit(gearmand, "f", "700")
    client = Client(gearmand.address)
    tasks = add(client, "f" * 5000 + "g" * 100)
    check_full(client, "f")
    assert client.pending == 4300
    check_jobs(take(gearmand, "fg") + run_and_drain(client, gearmand, "f"), tasks)


def test_large_payloads_behind(gearmand: Gearmand) -> None:
    limit(gearmand, "f", "1")
    client = Client(gearmand.address)
    tasks = [
        client.add_task_background("fg"[number % 2], bytes([number]) * size)
        for number, size in enumerate([10, 20_000_000, 3_000_000, 7, 0, 0, 5_000_000, 1])
    ]
    check_full(client, "f")
    assert client.pending == 3
    check_jobs(take(gearmand, "fg") + run_and_drain(client, gearmand, "f"), tasks)


def test_limit_raised(gearmand: Gearmand) -> None:
    limit(gearmand, "f", "3")
    client = Client(gearmand.address)
    tasks = add(client, "fg" * 50)
    check_full(client, "f")
    more = add(client, "gf" * 50)  # behind the refused ones
    limit(gearmand, "f", "0")
    client.run_tasks()
    assert client.pending == 0
    check_jobs(take(gearmand, "fg"), tasks + more)


def test_one_priority_full(gearmand: Gearmand) -> None:
    limit(gearmand, "f", "1 0 2")
    client = Client(gearmand.address)
    tasks = add_tasks(client, 60, ("f", "g"))
    check_full(client, "f")
    assert all(task.is_known for task in of(tasks, "g"))
    check_pending(client, tasks)
    jobs = take(gearmand, "fg") + run_and_drain(client, gearmand, "f")
    assert sorted(job.unique for job in jobs) == sorted(task.unique for task in tasks)
    for priority in Priority:  # one before another cannot be told: it was drained in between
        expected = [task.unique for task in of(tasks, "f") if task.priority is priority]
        assert [
            job.unique for job in jobs if job.unique in expected and job.function == "f"
        ] == expected


def test_added_in_a_callback(gearmand: Gearmand) -> None:
    limit(gearmand, "f", "2")
    client = Client(gearmand.address, max_in_flight=4)
    tasks: list[Task] = []

    def on_created(task: Task) -> None:
        if len(tasks) < 60:
            tasks.extend(add(client, "gf"))

    client.on_created = on_created
    tasks += add(client, "ff" * 5 + "gg")
    check_full(client, "f")
    check_pending(client, tasks)
    assert all(task.is_known for task in of(tasks, "g"))
    check_jobs(take(gearmand, "fg") + run_and_drain(client, gearmand, "fg"), tasks)


def test_connection_cut_meanwhile(proxy: Proxy, gearmand: Gearmand) -> None:
    limit(gearmand, "f", "3")
    client = Client(proxy.address, max_in_flight=5)
    tasks = add(client, "fgf" * 40)
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) % 9 == 0:
            proxy.cut()

    client.on_created = on_created
    jobs: list[DrainedJob] = []
    while client.pending:
        with pytest.raises((ConnectionFailedError, QueueFullError)):
            while client.pending:
                client.run_tasks()
            raise QueueFullError("or through")
        check_pending(client, tasks)
        jobs += take(gearmand, "g")
        # What is drained before it is acknowledged would be sent twice, and rightly so.
        settle(gearmand)
        if all(task.state is not TaskState.UNCONFIRMED for task in tasks):
            jobs += take(gearmand, "f")
    jobs += take(gearmand, "fg")
    assert {job.unique for job in jobs} == {task.unique for task in tasks}
    assert [job.unique for job in jobs if job.function == "f"] == [
        task.unique for task in of(tasks, "f")
    ]


@pytest.mark.parametrize("window", [1, 10, 1000])
def test_submit(gearmand: Gearmand, window: int) -> None:
    limit(gearmand, "f", "25")
    client = Client(gearmand.address, max_in_flight=window)
    submission = client.submit("f", (b"%d" % number for number in range(300)))
    done: list[Task] = []
    jobs: list[DrainedJob] = []
    refusals = 0
    while True:
        try:
            done.append(next(submission))
        except QueueFullError:
            refusals += 1
            jobs += drain(gearmand.address, "f")
        except StopIteration:
            break
    jobs += drain(gearmand.address, "f")
    assert refusals >= 300 // 25 - 1
    assert [task.workload for task in done] == [b"%d" % number for number in range(300)]
    assert client.pending == 0
    check_jobs(jobs, done)


def test_submit_among_refused_tasks(gearmand: Gearmand) -> None:
    """Tasks of another function that wait do not keep a submission from its end."""
    limit(gearmand, "f", "1")
    client = Client(gearmand.address)
    tasks = add(client, "f" * 10)
    check_full(client, "f")
    submission = client.submit("g", [b"%d" % number for number in range(2000)])
    done: list[Task] = []
    refusals = 0
    while refusals < 100:
        try:
            done.extend(submission)
            break
        except QueueFullError:
            refusals += 1
    assert len(done) == 2000
    assert client.pending == 9
    check_jobs(take(gearmand, "fg") + run_and_drain(client, gearmand, "f"), tasks + done)
