"""Worker: functions, what comes of their jobs, and settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from fix_running import reverse, running
from fix_tasks import wait_for

import gearman_c
from gearman_c import (
    ArgumentError,
    Client,
    ConnectionFailedError,
    Job,
    JobFailed,
    JobFailedError,
    ReturnCode,
    TaskState,
    UsageError,
    Worker,
)
from gearman_c.testing import Gearmand

LOGGER = "gearman_c.worker"


def test_results(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)
    assert worker.add_function("reverse", reverse) is reverse

    @worker.add_function("text")
    def text(job: Job) -> str:
        return "ä"

    @worker.add_function(b"none")
    def none(job: Job) -> None:
        assert job.workload == b""

    worker.add_function("buffer", lambda job: bytearray(b"ab"))
    with running(worker), Client(gearmand.address) as client:
        assert client.do("reverse", b"abc", timeout=30) == b"cba"
        assert client.do("text", timeout=30) == "ä".encode()
        assert client.do("none", timeout=30) == b""
        assert client.do("buffer", timeout=30) == b"ab"
        large = b"0123456789" * 300_000
        assert client.do("reverse", large, timeout=60) == large[::-1]


def test_generator(gearmand: Gearmand) -> None:
    closed = threading.Event()

    def chunks(job: Job) -> Iterator[str]:
        yield "one "
        job.send_status(1, 2)
        yield "two "
        return "end"

    def broken(job: Job) -> Iterator[object]:
        try:
            yield b"a"
            yield 5
        finally:
            closed.set()

    worker = Worker(gearmand.address)
    worker.add_function("chunks", chunks)
    worker.add_function("broken", broken)
    with running(worker), Client(gearmand.address) as client:
        task = client.execute("chunks", timeout=30)
        assert (task.chunks, task.result()) == ((b"one ", b"two "), b"end")
        assert (task.numerator, task.denominator) == (1, 2)
        task = client.execute("broken", timeout=30)
        assert isinstance(task.error, JobFailedError)
        assert task.chunks == (b"a",)
        assert closed.is_set()


def fail(job: Job) -> None:
    if job.workload:
        raise JobFailed(job.workload.decode())
    raise ValueError("no good")


def test_failures(gearmand: Gearmand, caplog: pytest.LogCaptureFixture) -> None:
    """Every client sees a failure; the text comes as a warning."""
    worker = Worker(gearmand.address)
    worker.add_function("fail", fail)
    worker.add_function("wrong", lambda job: 5)
    with running(worker), Client(gearmand.address) as client:
        for workload, told in ((b"", b"ValueError: no good"), (b"quiet", b"quiet")):
            task = client.execute("fail", workload, timeout=30)
            assert (task.state, task.return_code) == (TaskState.FAILED, ReturnCode.WORK_FAIL)
            assert task.warnings == (told,)
        task = client.execute("wrong", timeout=30)
        assert task.warnings[0].startswith(b"TypeError: ")
    logged = [record for record in caplog.records if record.name == LOGGER]
    assert [record.exc_info is not None for record in logged] == [True, True]


def test_failures_as_exceptions(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address, exceptions=True)
    worker.add_function("fail", fail)
    with running(worker), Client(gearmand.address) as client:
        task = client.execute("fail", timeout=30)
        assert task.return_code is ReturnCode.WORK_EXCEPTION
        assert isinstance(task.error, JobFailedError)
        assert task.error.data == b"ValueError: no good"
        assert client.execute("fail", b"q", timeout=30).return_code is ReturnCode.WORK_FAIL


def test_work(gearmand: Gearmand) -> None:
    with Worker(gearmand.address, timeout=0.01) as worker, Client(gearmand.address) as client:
        worker.add_function("f", reverse)
        assert worker.work() is False
        client.do_background("f", b"1")
        assert worker.work(30) is True
        assert worker.work(0) is False
        assert not client.job_status("H:x:1").is_known
        assert gearmand.status()["f"].total == 0


def test_functions_change(gearmand: Gearmand) -> None:
    """Also while the worker runs."""
    worker = Worker(gearmand.address)
    worker.add_function("a", lambda job: b"1")
    with running(worker), Client(gearmand.address) as client:
        assert client.do("a", timeout=30) == b"1"
        worker.add_function("a", lambda job: b"2")
        assert client.do("a", timeout=30) == b"2"
        worker.add_function("b", lambda job: b"3")
        assert client.do("b", timeout=30) == b"3"
        assert worker.function_exist("a")
        worker.unregister("a")
        assert not worker.function_exist("a")
        wait_for(lambda: gearmand.status()["a"].available_workers == 0)
        with pytest.raises(ArgumentError, match="not registered"):
            worker.unregister("a")
        worker.unregister_all()
        wait_for(lambda: gearmand.status()["b"].available_workers == 0)


def test_time_limit(gearmand: Gearmand) -> None:
    """The server gives the job that took too long to another one, also behind quick ones."""
    calls: list[bytes] = []
    given_again = threading.Event()

    def slow_once(job: Job) -> None:
        calls.append(job.workload)
        if calls.count(b"slow") == 1 and job.workload == b"slow":
            assert given_again.wait(60)
        elif job.workload == b"slow":
            given_again.set()

    first, second = Worker(gearmand.address), Worker(gearmand.address)
    for worker in (first, second):
        worker.add_function("f", slow_once, timeout=1)
    with Client(gearmand.address) as client:
        for workload in (b"1", b"2", b"3", b"slow"):
            client.add_task_background("f", workload)
        client.run_tasks()
    with running(first):
        wait_for(lambda: b"slow" in calls)
        with running(second):
            assert given_again.wait(60)
    assert sorted(calls) == [b"1", b"2", b"3", b"slow", b"slow"]
    wait_for(lambda: gearmand.status()["f"].running == 0)


@pytest.mark.parametrize("timeout", [-1, 0.5, 2147484, float("nan")])
def test_bad_time_limit(timeout: float) -> None:
    with Worker("a") as worker, pytest.raises(ArgumentError, match="timeout"):
        worker.add_function("f", reverse, timeout=timeout)


def test_bad_functions() -> None:
    with Worker("a", namespace="n") as worker:
        for bad in ("", "a\0b", "x" * 512):
            with pytest.raises(ArgumentError, match="the function name"):
                worker.add_function(bad, reverse)
        with pytest.raises(TypeError, match="callable"):
            worker.add_function("f", 5)  # type: ignore[call-overload]
        with pytest.raises(UsageError, match="no functions"):
            worker.work(0)
        worker.register("x" * 511)
        with pytest.raises(ArgumentError, match="512"):
            worker.namespace = "nn"
        with pytest.raises(UsageError, match="no callable"):
            worker.work(0)
        worker.remove_servers()
        with pytest.raises(ConnectionFailedError, match="no servers"):
            worker.grab_job(0)


def test_closed(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)
    worker.add_function("f", reverse)
    worker.work(0.1)
    worker.close()
    worker.close()
    assert worker.closed
    assert "closed" in repr(worker)
    for call in (worker.work, worker.grab_job, worker.run, worker.unregister_all, worker.clone):
        with pytest.raises(UsageError, match="closed"):
            call()
    wait_for(lambda: gearmand.status()["f"].available_workers == 0)


def test_not_in_a_callable(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)

    def nested(job: Job) -> None:
        for call in (worker.close, lambda: worker.work(0), lambda: worker.grab_job(0)):
            with pytest.raises(UsageError, match="at work"):
                call()

    worker.add_function("f", nested)
    with Client(gearmand.address) as client:
        client.do_background("f")
    assert worker.work(30)
    worker.close()
    wait_for(lambda: gearmand.status()["f"].total == 0)


def test_memory_of_connections(gearmand: Gearmand) -> None:
    before = gearman_c._gearman._open_channels()
    with Worker(gearmand.address) as worker:
        worker.add_function("f", reverse)
        worker.work(0.1)
        assert gearman_c._gearman._open_channels() == before + 1
    assert gearman_c._gearman._open_channels() == before
    worker = Worker(gearmand.address)
    worker.add_function("f", reverse)
    worker.work(0.1)
    del worker
    assert gearman_c._gearman._open_channels() == before
