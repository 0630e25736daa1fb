"""Client.submit(): what the iterable of payloads may do: raise, take its time, use the client."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fix_tasks import numbers, workloads_at

from gearman_c import ArgumentError, Client, Task, UsageError
from gearman_c.testing import Gearmand, drain


class SourceError(Exception):
    pass


@pytest.mark.parametrize("error", [SourceError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("place", [0, 1, 500, 2500])
def test_iterable_that_raises(gearmand: Gearmand, place: int, error: type[BaseException]) -> None:
    """Its exception comes out as it is; what it had given before is sent and given out."""

    def source() -> Iterator[str]:
        yield from numbers(place)
        raise error("from the source")

    tasks: list[Task] = []
    with Client(gearmand.address) as client:
        submission = client.submit("f", source())
        with pytest.raises(error, match="from the source") as caught:
            for task in submission:
                tasks.append(task)
        assert "source" in [entry.name for entry in caught.traceback]
        tasks += submission
        assert [task.workload.decode() for task in tasks] == numbers(place)
        assert client.pending == 0
    assert workloads_at(gearmand) == numbers(place)


@pytest.mark.parametrize(
    ("workload", "error"), [(None, TypeError), (5, TypeError), ("\ud800", ArgumentError)]
)
@pytest.mark.parametrize("place", [0, 1, 500, 2999])
def test_bad_workload_in_the_middle(
    gearmand: Gearmand, place: int, workload: Any, error: type[Exception]
) -> None:
    """It alone is left out: the next call goes on behind it."""
    good = numbers(3000)
    tasks: list[Task] = []
    with Client(gearmand.address) as client:
        submission = client.submit("f", [*good[:place], workload, *good[place:]])
        with pytest.raises(error):
            for task in submission:
                tasks.append(task)
        assert len(tasks) <= place
        tasks += submission
    assert [task.workload.decode() for task in tasks] == good
    assert workloads_at(gearmand) == good


def test_bad_key_in_the_middle(gearmand: Gearmand) -> None:
    def key(workload: str) -> str:
        return "k" * 64 if workload == "5" else f"key {workload}"

    tasks: list[Task] = []
    with Client(gearmand.address) as client:
        submission = client.submit("f", numbers(10), unique=key)
        with pytest.raises(ArgumentError):
            for task in submission:
                tasks.append(task)
        tasks += submission
    assert [task.unique for task in tasks] == [
        f"key {number}" for number in range(10) if number != 5
    ]
    assert len(drain(gearmand.address, "f")) == 9


def test_slow_source(gearmand: Gearmand) -> None:
    """A source that takes its time does not hold back what it gave before."""
    pause = threading.Event()

    def source() -> Iterator[str]:
        for number in range(5):
            deadline = time.monotonic() + 30
            while len(gearmand.command("show unique jobs")) < number:
                assert time.monotonic() < deadline, "what was given before is not sent"
            pause.wait(0.1)  # it is slow
            yield str(number)

    with Client(gearmand.address) as client:
        assert [task.workload.decode() for task in client.submit("f", source())] == numbers(5)


def test_source_that_sends_before_it_waits(gearmand: Gearmand) -> None:
    """A source that knows it is going to wait has sent what it gave."""

    def source() -> Iterator[str]:
        for number in range(50):
            client.run_tasks()
            assert gearmand.status()["f"].total == number if number else not gearmand.status()
            yield str(number)

    with Client(gearmand.address) as client:
        assert [task.workload.decode() for task in client.submit("f", source())] == numbers(50)
    assert workloads_at(gearmand) == numbers(50)


def test_source_that_adds_tasks(gearmand: Gearmand) -> None:
    """They are sent in their place and not given out: they are not of the submission."""

    def source() -> Iterator[str]:
        for number in range(2000):
            client.add_task_background("f", f"before {number}")
            yield str(number)

    with Client(gearmand.address) as client:
        assert [t.workload.decode() for t in client.submit("f", source())] == numbers(2000)
        client.run_tasks()
    assert workloads_at(gearmand) == [
        text for number in range(2000) for text in (f"before {number}", str(number))
    ]


def test_source_that_asks_its_own_submission(gearmand: Gearmand) -> None:
    def source() -> Iterator[str]:
        yield "0"
        with pytest.raises((UsageError, ValueError)):
            next(submission)
        yield "1"

    with Client(gearmand.address) as client:
        submission = client.submit("f", source())
        assert [task.workload for task in submission] == [b"0", b"1"]
    assert workloads_at(gearmand) == ["0", "1"]


@pytest.mark.parametrize("ending", ["close", "run"])
def test_source_that_ends_the_client(gearmand: Gearmand, ending: str) -> None:
    """A source may close the client: the submission then says so, and nothing crashes."""

    def source() -> Iterator[str]:
        yield from numbers(10)
        if ending == "close":
            client.close()
        else:
            client.run_tasks()
        yield "after"

    client = Client(gearmand.address)
    submission = client.submit("f", source())
    if ending == "close":
        with pytest.raises(UsageError, match="closed"):
            list(submission)
        assert client.pending == 0
    else:
        assert [t.workload.decode() for t in submission] == [*numbers(10), "after"]
        client.close()


def test_generator_is_closed_with_the_submission(gearmand: Gearmand) -> None:
    """Dropping the submission half-way drops its source."""
    closed: list[bool] = []

    def source() -> Iterator[str]:
        try:
            for number in itertools.count():
                yield str(number)
        finally:
            closed.append(True)

    with Client(gearmand.address) as client:
        submission = client.submit("f", source())
        next(submission)
        del submission
        gc.collect()
        assert closed == [True]
        client.run_tasks()
