"""Client.submit(): a stream of payloads becomes a stream of acknowledged tasks."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from fix_tasks import numbers, workloads_at

from gearman_c import (
    ArgumentError,
    Client,
    ConnectionFailedError,
    Priority,
    Submission,
    Task,
    TaskState,
)
from gearman_c.testing import Gearmand, drain

if TYPE_CHECKING:
    from fix_proxy import Proxy

NOWHERE = "127.0.0.1:1"


class Counted:
    """An iterator that knows how much of it was read."""

    def __init__(self, workloads: Iterable[Any]) -> None:
        self.workloads = iter(workloads)
        self.read = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        workload = next(self.workloads)
        self.read += 1
        return workload


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 1999, 2001, 20_000])
@pytest.mark.parametrize("window", [1, 10, 1000])
def test_tasks_come_in_order(gearmand: Gearmand, count: int, window: int) -> None:
    with Client(gearmand.address, max_in_flight=window) as client:
        submission = client.submit("f", numbers(count))
        assert type(submission) is Submission
        assert iter(submission) is submission
        tasks = []
        for task in submission:
            assert type(task) is Task
            assert task.is_known
            tasks.append(task)
        assert client.pending == 0
        with pytest.raises(StopIteration):
            next(submission)
        with pytest.raises(StopIteration):
            next(submission)
    jobs = drain(gearmand.address, "f")
    assert [job.workload.decode() for job in jobs] == numbers(count)
    assert [(job.handle, job.unique) for job in jobs] == [(t.job_handle, t.unique) for t in tasks]
    assert all(task.context is None for task in tasks)


@pytest.mark.parametrize("workloads", [[], (), iter([]), (x for x in ()), {}])
def test_nothing_to_submit(workloads: Iterable[Any]) -> None:
    """No server is needed for it."""
    with Client(NOWHERE) as client:
        assert list(client.submit("f", workloads)) == []


@pytest.mark.parametrize("window", [1, 2, 7, 1000])
def test_reads_no_more_than_two_windows_ahead(gearmand: Gearmand, window: int) -> None:
    source = Counted(numbers(5000))
    with Client(gearmand.address, max_in_flight=window) as client:
        submission = client.submit("f", source)
        assert source.read == 0
        ahead = []
        for given, _ in enumerate(submission):
            ahead.append(source.read - given)
        assert 1 <= max(ahead) <= 2 * window
    assert source.read == 5000


@pytest.mark.slow
def test_reads_few_large_payloads_ahead(gearmand: Gearmand, proxy: Proxy) -> None:
    """The window is one of bytes too, however fast the source and however slow the server."""
    size = 4 << 20
    proxy.slow(50_000_000)
    source = Counted(bytes([number]) * size for number in range(40))
    with Client(proxy.address) as client:
        ahead = [(source.read - given) * size for given, _ in enumerate(client.submit("f", source))]
    assert max(ahead) <= 128 << 20
    assert [job.workload[0] for job in drain(gearmand.address, "f")] == list(range(40))


def test_nothing_is_read_or_sent_before_the_first_next(proxy: Proxy) -> None:
    source = Counted(numbers(10))
    with Client(proxy.address) as client:
        submission = client.submit("f", source)
        assert (source.read, client.pending) == (0, 0)
        assert drain(proxy.address, "f") == []
        assert proxy.connections == 1
        next(submission)
        assert source.read > 0
        list(submission)
    assert workloads_at(proxy) == numbers(10)  # type: ignore[arg-type]


def test_endless(gearmand: Gearmand) -> None:
    """What was read and not given out when the loop is left is pending, and can be sent."""
    source = Counted(str(number) for number in itertools.count())
    with Client(gearmand.address) as client:
        given = [
            task.workload.decode() for task in itertools.islice(client.submit("f", source), 5000)
        ]
        assert given == numbers(5000)
        gc.collect()
        assert 5000 <= source.read <= 5000 + 2 * client.max_in_flight
        assert 0 <= client.pending <= source.read - 5000
        client.run_tasks()
        assert client.pending == 0
    assert workloads_at(gearmand) == numbers(source.read)


@pytest.mark.parametrize("place", [0, 1, 50, 1500, 2999])
def test_left_half_way(gearmand: Gearmand, place: int) -> None:
    source = Counted(numbers(3000))
    with Client(gearmand.address) as client:
        for number, _ in enumerate(client.submit("f", source)):
            if number == place:
                break
        read = source.read
        client.add_task_background("f", "last")
        client.run_tasks()
        assert source.read == read
    assert workloads_at(gearmand) == [*numbers(read), "last"]


def test_goes_on_after_another_run(gearmand: Gearmand) -> None:
    with Client(gearmand.address, max_in_flight=10) as client:
        submission = client.submit("f", numbers(300))
        tasks = [next(submission) for _ in range(5)]
        client.add_task_background("g")
        client.run_tasks()
        assert client.pending == 0
        tasks += submission
    assert [task.workload.decode() for task in tasks] == numbers(300)
    assert workloads_at(gearmand) == numbers(300)


def test_priorities(gearmand: Gearmand) -> None:
    choices: list[Any] = ["low", "LOW", Priority.LOW, 2, "normal", Priority.NORMAL, 1]
    choices += ["High", "high", Priority.HIGH, 0]
    with Client(gearmand.address) as client:
        list(client.submit("f", ["default"]))
        for choice in choices:
            (task,) = client.submit("f", [str(choice)], priority=choice)
            expected = Priority[choice.upper()] if isinstance(choice, str) else Priority(choice)
            assert task.priority is expected
    order = [*choices[7:], "default", *choices[4:7], *choices[:4]]
    assert workloads_at(gearmand) == [str(choice) for choice in order]


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("f", ["a"]), {"priority": "urgent"}, ArgumentError),
        (("f", ["a"]), {"priority": ""}, ArgumentError),
        (("f", ["a"]), {"priority": 7}, ArgumentError),
        (("f", ["a"]), {"priority": -1}, ArgumentError),
        (("f", ["a"]), {"priority": None}, (TypeError, ArgumentError)),
        (("f", 5), {}, TypeError),
        (("f", None), {}, TypeError),
        (("f",), {}, TypeError),
        (("", ["a"]), {}, ArgumentError),
        ((5, ["a"]), {}, TypeError),
    ],
)
def test_bad_arguments(
    gearmand: Gearmand, arguments: tuple[Any, ...], options: dict[str, Any], error: Any
) -> None:
    """Refused by submit() itself, and nothing is left behind."""
    with Client(gearmand.address) as client:
        with pytest.raises(error):
            client.submit(*arguments, **options)
        assert client.pending == 0
        assert [task.workload for task in client.submit("f", ["a"])] == [b"a"]


def test_callback_that_adds_tasks(gearmand: Gearmand) -> None:
    """Each acknowledged task of the stream makes one more, which is sent and not given out."""

    def follow(task: Task) -> None:
        if task.function_name == "f":
            client.add_task_background("g", task.workload)

    with Client(gearmand.address, max_in_flight=50) as client:
        client.on_created = follow
        assert [t.workload.decode() for t in client.submit("f", numbers(3000))] == numbers(3000)
        client.run_tasks()
        assert client.pending == 0
    assert workloads_at(gearmand) == numbers(3000)
    assert workloads_at(gearmand, "g") == numbers(3000)


def test_tasks_that_waited_before_are_sent_first(gearmand: Gearmand) -> None:
    with Client(gearmand.address, max_in_flight=10) as client:
        waiting = [client.add_task_background("f", f"waiting {number}") for number in range(500)]
        given = list(client.submit("f", numbers(100)))
        assert all(task.is_known for task in waiting)
        assert [task.workload.decode() for task in given] == numbers(100)
    assert workloads_at(gearmand) == [f"waiting {number}" for number in range(500)] + numbers(100)


def test_no_server(gearmand: Gearmand) -> None:
    """What was read waits in its order; calling next() again goes on."""
    source = Counted(numbers(3000))
    tasks: list[Task] = []
    with Client(gearmand.address) as client:
        submission = client.submit("f", source)
        gearmand.stop()
        for _ in range(3):
            with pytest.raises(ConnectionFailedError):
                next(submission)
            assert client.pending == source.read
        gearmand.start()
        tasks += submission
        assert all(task.state is TaskState.CREATED for task in tasks)
    assert [task.workload.decode() for task in tasks] == numbers(3000)
    assert workloads_at(gearmand) == numbers(3000)


def test_submissions_of_several_threads(gearmand: Gearmand) -> None:
    """Each thread gets the tasks of its own stream, through one client."""
    given: dict[str, list[str]] = {}

    def run(client: Client, function: str) -> None:
        stream = client.submit(function, numbers(2000))
        given[function] = [task.workload.decode() for task in stream]

    with Client(gearmand.address) as client:
        threads = [threading.Thread(target=run, args=(client, name)) for name in "fghi"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.pending == 0
    for function in "fghi":
        assert given[function] == numbers(2000)
        assert workloads_at(gearmand, function) == numbers(2000)
