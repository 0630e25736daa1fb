"""submit(background=False): results as a stream, in the order in which the jobs end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from fix_proxy import Proxy
from fix_tasks import wait_for
from fix_worker import COMPLETE, FAIL, Packets, RawWorker

from gearman_c import Client, ConnectionFailedError, JobFailedError, Priority, TaskState
from gearman_c.testing import Gearmand


def numbers(count: int) -> Iterator[bytes]:
    return (b"%d" % number for number in range(count))


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 5000])
def test_each_once(gearmand: Gearmand, worker: RawWorker, count: int) -> None:
    with Client(gearmand.address) as client:
        seen = []
        for task in client.submit("reverse", numbers(count), background=False, unique=bytes.decode):
            assert task.result()[::-1] == task.workload
            assert not task.background
            seen.append(int(task.unique))
        assert client.pending == 0
    assert sorted(seen) == list(range(count))


def test_in_the_order_in_which_they_end(gearmand: Gearmand) -> None:
    """A job that takes long holds back nobody, and the memory of nobody."""
    gate = threading.Event()

    def wait(workload: bytes) -> Packets:
        gate.wait(60)
        return [(COMPLETE, (b"late",))]

    def echo(workload: bytes) -> Packets:
        return [(COMPLETE, (workload,))]

    with (
        RawWorker(gearmand.address, {"slow": wait}),
        RawWorker(gearmand.address, {"fast": echo}),
        Client(gearmand.address) as client,
    ):
        slow = client.add_task("slow")
        for count, task in enumerate(client.submit("fast", numbers(5000), background=False), 1):
            assert int(task.result()) == count - 1
        assert slow.state is TaskState.RUNNING
        gate.set()
        client.run_tasks()
        assert slow.result() == b"late"


def test_failures_are_given_out(gearmand: Gearmand) -> None:
    def odd(workload: bytes) -> Packets:
        return [(FAIL, ())] if int(workload) % 2 else [(COMPLETE, (workload,))]

    with RawWorker(gearmand.address, {"odd": odd}), Client(gearmand.address) as client:
        stream = client.submit("odd", numbers(1000), background=False, priority=Priority.HIGH)
        failed = [task.error for task in stream if int(task.workload or b"") % 2]
    assert len(failed) == 500
    assert all(isinstance(error, JobFailedError) for error in failed)


def test_lost_jobs_are_given_out(proxy: Proxy, worker: RawWorker) -> None:
    """What may have run is UNCONFIRMED, once; the rest of the stream goes on."""
    states: list[TaskState] = []
    with Client(proxy.address, max_in_flight=20) as client:
        stream = client.submit("reverse", numbers(2000), background=False)
        breaks = unconfirmed = 0
        proxy.cut_after(bytes_to_client=20_000)  # of about 130,000
        while True:
            try:
                states.extend(task.state for task in stream)
                break
            except ConnectionFailedError as error:
                breaks += 1
                unconfirmed += len(error.unconfirmed)
                proxy.cut_after(bytes_to_client=20_000)
        assert client.pending == 0
    assert breaks >= 4
    assert len(states) == 2000
    assert set(states) <= {TaskState.COMPLETE, TaskState.UNCONFIRMED}
    assert states.count(TaskState.UNCONFIRMED) == unconfirmed <= 20 * breaks


def test_cancelled_tasks_are_given_out(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address, max_in_flight=1) as client:
        stream = client.submit("reverse", [b"1", b"2"], background=False)
        states = {next(stream).state}
        for task in stream:
            states.add(task.state)
        assert states == {TaskState.COMPLETE}


def test_read_ahead_is_bounded(gearmand: Gearmand, worker: RawWorker) -> None:
    read = 0

    def source() -> Iterator[bytes]:
        nonlocal read
        for number in range(5000):
            read = number + 1
            yield b"x"

    with Client(gearmand.address) as client:
        for taken, _ in enumerate(client.submit("reverse", source(), background=False), 1):
            assert read - taken <= 2 * client.max_in_flight


@pytest.mark.parametrize("background", [True, False])
def test_slow_source_holds_nothing_back(
    gearmand: Gearmand, worker: RawWorker, *, background: bool
) -> None:
    """What is done is given out when the source gives the next, not at its end."""
    given = 0

    def source() -> Iterator[bytes]:
        for number in range(60):
            time.sleep(0.02)  # longer than it is waited for, so all before is sent
            wait_for(lambda: worker.done >= (0 if background else number))  # noqa: B023
            assert number - given < 20
            yield b"x"

    with Client(gearmand.address) as client:
        for _ in client.submit("reverse", source(), background=background):
            given += 1
    assert given == 60


def test_waiting_for_workers_behind_a_full_queue(gearmand: Gearmand, worker: RawWorker) -> None:
    """It sleeps, and goes on with what was refused when the workers go on."""
    assert gearmand.command("maxqueue reverse 20") == ["OK"]
    worker.gate.clear()
    opener = threading.Timer(2, worker.gate.set)
    with Client(gearmand.address, max_in_flight=50) as client:
        opener.start()
        before = time.thread_time()
        stream = client.submit("reverse", numbers(200), background=False)
        next(stream)
        assert time.thread_time() - before < 1
        assert sum(1 for _ in stream) == 199
    opener.join()


@pytest.mark.parametrize("background", [True, False])
def test_payloads_that_on_workload_gives(
    gearmand: Gearmand, worker: RawWorker, *, background: bool
) -> None:
    with Client(gearmand.address) as client:
        client.on_workload = lambda task: b"0123456789"
        stream = client.submit("reverse", [None, b"x"] * 1500, background=background)
        assert sum(len(task.workload or b"") for task in stream) == 1500 * 11
        assert client.pending == 0


FLAT = """
import sys, gearman_c
from pathlib import Path
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
with gearman_c.Client(sys.argv[1]) as client:
    before = 0
    payloads = (b"x" * 1000 for _ in range(30_000))
    for count, task in enumerate(client.submit("reverse", payloads, background=False), 1):
        assert len(task.result()) == 1000
        if count == 6000:
            before = resident()
    print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.unsanitized
def test_memory_is_flat(
    gearmand: Gearmand, worker: RawWorker, run_script: Callable[..., str]
) -> None:
    assert int(run_script(FLAT, gearmand.address)) < 3_000_000
