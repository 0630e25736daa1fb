"""Client.on_created: once for each task, in order, and whatever it raises comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from gearman_c import Client, ConnectionFailedError, Task, UsageError
from gearman_c.testing import Gearmand, drain

if TYPE_CHECKING:
    from fix_proxy import Proxy


class CallbackError(Exception):
    pass


def add_all(client: Client, count: int, function: str = "f") -> list[Task]:
    return [client.add_task_background(function, str(number)) for number in range(count)]


def check_server(server: Gearmand, tasks: list[Task], function: str = "f") -> None:
    """Assert that the server has the job of each task, once and in this order."""
    jobs = drain(server.address, function)
    assert [job.handle for job in jobs] == [task.job_handle for task in tasks]
    assert [job.workload for job in jobs] == [task.workload for task in tasks]


def test_not_set() -> None:
    with Client("127.0.0.1:1") as client:
        assert client.on_created is None
        client.on_created = print
        assert client.on_created is print
        client.on_created = None
        assert client.on_created is None
        for wrong in (5, "print", []):
            with pytest.raises(TypeError):
                client.on_created = wrong  # type: ignore[assignment]
        assert client.on_created is None
        # Which of these a property without a deleter raises is Cython's choice, not ours.
        with pytest.raises((AttributeError, TypeError, NotImplementedError)):
            del client.on_created


@pytest.mark.parametrize("window", [1, 2, 7, 1000])
@pytest.mark.parametrize("count", [1, 100, 5000])
def test_once_for_each_task_in_order(gearmand: Gearmand, count: int, window: int) -> None:
    told: list[Task] = []

    def on_created(task: Task) -> None:
        assert task.is_known
        assert task.job_handle
        told.append(task)

    with Client(gearmand.address, max_in_flight=window) as client:
        client.on_created = on_created
        tasks = add_all(client, count)
        assert told == []
        client.run_tasks()
        assert told == tasks
        client.run_tasks()
        assert told == tasks
    check_server(gearmand, tasks)


def test_several_functions_and_priorities(gearmand: Gearmand) -> None:
    """In the order in which they were added, whatever a worker will get first."""
    told: list[Task] = []
    with Client(gearmand.address) as client:
        client.on_created = told.append
        add = [
            client.add_task_low_background,
            client.add_task_background,
            client.add_task_high_background,
        ]
        tasks = [add[number % 3](f"f{number % 2}", str(number)) for number in range(3000)]
        client.run_tasks()
    assert told == tasks


def test_what_it_returns_is_ignored(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.on_created = lambda task: task.workload  # type: ignore[misc]
        tasks = add_all(client, 100)
        client.run_tasks()
    check_server(gearmand, tasks)


def test_a_submission_tells_too(gearmand: Gearmand) -> None:
    """Each task before it is given out."""
    told: list[Task] = []
    with Client(gearmand.address) as client:
        client.on_created = told.append
        for number, task in enumerate(client.submit("f", (str(each) for each in range(5000)))):
            assert told[number] is task
    assert len(told) == 5000
    check_server(gearmand, told)


# Exceptions


@pytest.mark.parametrize("error", [CallbackError, KeyboardInterrupt, SystemExit, StopIteration])
@pytest.mark.parametrize("place", [0, 1, 700, 2499])
@pytest.mark.parametrize("window", [1, 1000])
def test_exception(gearmand: Gearmand, window: int, place: int, error: type[BaseException]) -> None:
    """It ends the run; the next run tells of the task after it."""
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) == place + 1:
            raise error("from the callback")

    with Client(gearmand.address, max_in_flight=window) as client:
        client.on_created = on_created
        tasks = add_all(client, 2500)
        with pytest.raises(error, match="from the callback") as caught:
            client.run_tasks()
        assert caught.traceback[-1].name == "on_created"
        assert told == tasks[: place + 1]
        assert client.pending == sum(not task.is_known for task in tasks)
        client.run_tasks()
        assert told == tasks
        assert client.pending == 0
    check_server(gearmand, tasks)


def test_exception_each_time(gearmand: Gearmand) -> None:
    """As many runs as tasks, and each task is told once."""
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        raise CallbackError

    with Client(gearmand.address) as client:
        client.on_created = on_created
        tasks = add_all(client, 300)
        for number in range(300):
            with pytest.raises(CallbackError):
                client.run_tasks()
            assert told == tasks[: number + 1]
        client.run_tasks()
        assert told == tasks
    check_server(gearmand, tasks)


def test_exception_in_a_submission(gearmand: Gearmand) -> None:
    def on_created(task: Task) -> None:
        if task.workload in raising:
            raise CallbackError(task.workload)

    raising = [b"0", b"1500", b"2998", b"2999"]
    given: list[Task] = []
    errors: list[Any] = []
    with Client(gearmand.address) as client:
        client.on_created = on_created
        submission = client.submit("f", (str(number) for number in range(3000)))
        while len(given) < 3000:
            try:
                given.append(next(submission))
            except CallbackError as error:
                errors.append(error.args[0])
        with pytest.raises(StopIteration):
            next(submission)
    assert errors == raising
    assert [task.workload for task in given] == [b"%d" % number for number in range(3000)]
    check_server(gearmand, given)


def test_exception_with_the_connection_lost(gearmand: Gearmand, proxy: Proxy) -> None:
    """Whichever is first: no task is told twice, none is lost."""
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) in (10, 20):
            proxy.cut()
        if len(told) in (10, 1000):
            raise CallbackError

    with Client(proxy.address, max_in_flight=100) as client:
        client.on_created = on_created
        tasks = add_all(client, 2000)
        for _ in range(10):
            try:
                client.run_tasks()
            except (CallbackError, ConnectionFailedError):
                continue
            break
        assert client.pending == 0
        assert told == tasks
    check_server(gearmand, tasks)


# What it may do


def test_adding_joins_the_run(gearmand: Gearmand) -> None:
    """A chain: each task makes the next one, a thousand times in one run."""
    chain: list[Task] = []

    def on_created(task: Task) -> None:
        if len(chain) < 1000:
            chain.append(client.add_task_background("f", str(len(chain))))

    with Client(gearmand.address) as client:
        client.on_created = on_created
        chain.append(client.add_task_background("f", "0"))
        client.run_tasks()
        assert client.pending == 0
        assert len(chain) == 1000
        assert all(task.is_known for task in chain)
    check_server(gearmand, chain)


def test_adding_many(gearmand: Gearmand) -> None:
    more: list[Task] = []

    def on_created(task: Task) -> None:
        if task.function_name == "f":
            for _ in range(3):
                more.append(client.add_task_background("g", str(len(more))))

    with Client(gearmand.address, max_in_flight=10) as client:
        client.on_created = on_created
        tasks = add_all(client, 1000)
        client.run_tasks()
        assert client.pending == 0
    check_server(gearmand, tasks)
    assert len(more) == 3000
    check_server(gearmand, more, "g")


@pytest.mark.parametrize("what", ["run", "close", "exit"])
def test_forbidden(gearmand: Gearmand, what: str) -> None:
    """UsageError, which the callback may catch; the run goes on."""
    refused: list[Task] = []

    def on_created(task: Task) -> None:
        calls: dict[str, Callable[[], object]] = {
            "run": client.run_tasks,
            "close": client.close,
            "exit": lambda: client.__exit__(None, None, None),
        }
        with pytest.raises(UsageError):
            calls[what]()
        refused.append(task)

    with Client(gearmand.address) as client:
        client.on_created = on_created
        tasks = add_all(client, 5)
        client.run_tasks()
        assert refused == tasks
        assert not client.closed
    check_server(gearmand, tasks)


def test_submission_from_a_callback(gearmand: Gearmand) -> None:
    """Refused before anything is read from its source, so it can be done later."""
    workloads = iter(["a", "b"])

    def on_created(task: Task) -> None:
        if task.function_name == "f":
            with pytest.raises(UsageError):
                next(submission)

    with Client(gearmand.address) as client:
        client.on_created = on_created
        submission = client.submit("g", workloads)
        tasks = add_all(client, 5)
        client.run_tasks()
        assert "g" not in gearmand.status()
        assert next(workloads) == "a"
        assert [task.workload for task in submission] == [b"b"]
    check_server(gearmand, tasks)


@pytest.mark.parametrize("what", ["run", "close"])
def test_forbidden_and_not_caught(gearmand: Gearmand, what: str) -> None:
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) == 1:
            client.run_tasks() if what == "run" else client.close()

    with Client(gearmand.address) as client:
        client.on_created = on_created
        tasks = add_all(client, 2000)
        with pytest.raises(UsageError):
            client.run_tasks()
        client.run_tasks()
        assert told == tasks
    check_server(gearmand, tasks)


def test_other_clients_may_be_used(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client, Client(gearmand.address) as other:

        def on_created(task: Task) -> None:
            other.add_task_background("g", task.workload)
            other.run_tasks()
            other.echo("x")

        client.on_created = on_created
        tasks = add_all(client, 20)
        client.run_tasks()
    check_server(gearmand, tasks)
    workloads = [job.workload for job in drain(gearmand.address, "g")]
    assert workloads == [task.workload for task in tasks]


def test_echo_of_the_same_client(gearmand: Gearmand) -> None:
    """It has a connection of its own."""
    with Client(gearmand.address) as client:
        client.on_created = lambda task: client.echo(task.workload)
        tasks = add_all(client, 20)
        client.run_tasks()
    check_server(gearmand, tasks)


# Taking it away


def test_replaced_between_runs(gearmand: Gearmand) -> None:
    first: list[Task] = []
    second: list[Task] = []
    with Client(gearmand.address) as client:
        client.on_created = first.append
        one = add_all(client, 100)
        client.run_tasks()
        client.on_created = second.append
        two = add_all(client, 100)
        client.run_tasks()
        client.on_created = None
        three = add_all(client, 100)
        client.run_tasks()
    assert (first, second) == (one, two)
    check_server(gearmand, one + two + three)


def test_replaced_by_itself(gearmand: Gearmand) -> None:
    """The next task is told to the new one."""
    first: list[Task] = []
    second: list[Task] = []

    def on_created(task: Task) -> None:
        first.append(task)
        client.on_created = second.append

    with Client(gearmand.address) as client:
        client.on_created = on_created
        tasks = add_all(client, 2000)
        client.run_tasks()
    assert (first, second) == (tasks[:1], tasks[1:])
    check_server(gearmand, tasks)


REMOVAL = """
import sys
from gearman_c import Client
told = []
def on_created(task):
    told.append(task)
    if sys.argv[2] == "by itself":
        client.on_created = None
    else:
        raise KeyError
with Client(sys.argv[1]) as client:
    client.on_created = on_created
    tasks = [client.add_task_background("f", str(number)) for number in range(2000)]
    try:
        client.run_tasks()
    except KeyError:
        client.on_created = None
        client.run_tasks()
    assert client.pending == 0
    assert told == tasks[:1]
    client.on_created = told.append
    client.run_tasks()
    last = client.add_task_background("f", "last")
    client.run_tasks()
    assert told == [tasks[0], last], len(told)
"""


@pytest.mark.parametrize("when", ["by itself", "after it raised"])
def test_removed(gearmand: Gearmand, run_script: Callable[..., str], when: str) -> None:
    """Tasks acknowledged while there is no callback are told to nobody, then or later."""
    run_script(REMOVAL, gearmand.address, when)
    assert gearmand.status()["f"].total == 2001
