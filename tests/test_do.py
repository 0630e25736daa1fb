"""One job at a time: do(), do_background() and execute(), in each way they can end."""

from __future__ import annotations

import datetime
import signal
import time
from collections.abc import Callable

import pytest
from fix_proxy import Proxy
from fix_script import Script
from fix_tasks import held
from fix_worker import RawWorker

from gearman_c import (
    ArgumentError,
    Client,
    ConnectionFailedError,
    JobFailedError,
    Priority,
    QueueFullError,
    ReturnCode,
    TaskState,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)
from gearman_c.testing import Gearmand, drain, unused_port

DO = ["do", "do_high", "do_low"]
DO_BACKGROUND = ["do_background", "do_high_background", "do_low_background"]


@pytest.mark.parametrize("name", DO)
def test_do(gearmand: Gearmand, worker: RawWorker, name: str) -> None:
    with Client(gearmand.address) as client:
        assert getattr(client, name)("reverse", b"abc") == b"cba"
        assert getattr(client, name)("reverse", "å") == "å".encode()[::-1]
        assert getattr(client, name)("reverse") == b""


def test_all_the_worker_sent(gearmand: Gearmand, worker: RawWorker) -> None:
    """As in libgearman: the data and what the job is completed with, in one."""
    seen: list[tuple[int, int]] = []
    with Client(gearmand.address) as client:
        client.on_status = lambda task: seen.append((task.numerator, task.denominator))
        assert client.do("talk") == b"one two end"
    assert seen == [(1, 2), (2, 2)]


def test_failure(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        with pytest.raises(JobFailedError) as caught:
            client.do("fail")
        assert caught.value.code is ReturnCode.WORK_FAIL
        with pytest.raises(JobFailedError, match="cannot: this") as caught:
            client.do("throw", "this")
        assert caught.value.code is ReturnCode.WORK_EXCEPTION
        assert client.do("reverse", b"12") == b"21"


def test_sends_what_is_queued(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        before = client.add_task_background("other", b"1")
        failing = client.add_task("fail")
        assert client.do("reverse", b"12") == b"21"
        assert before.state is TaskState.CREATED
        assert failing.state is TaskState.FAILED


def test_key(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        handle = client.do_background("f", b"x", unique="mine")
        assert client.do_background("f", b"x", unique="mine") == handle
    (job,) = drain(gearmand.address, "f")
    assert (job.handle, job.unique, job.workload) == (handle, "mine", b"x")


def test_timeout_leaves_nothing_behind(gearmand: Gearmand, worker: RawWorker) -> None:
    worker.gate.clear()
    with Client(gearmand.address) as client:
        with pytest.raises(WaitTimeoutError) as caught:
            client.do("reverse", b"late", timeout=0.3)
        (task,) = caught.value.unconfirmed
        assert task.workload == b"late"
        assert (task.state, client.pending) == (TaskState.UNCONFIRMED, 0)
        assert isinstance(task.error, UnconfirmedError)
        worker.gate.set()
        # The late result, on the same connection, is nobody's.
        assert client.do("reverse", b"12") == b"21"
        client.run_tasks()
        assert task.state is TaskState.UNCONFIRMED
    assert worker.done == 2


def test_timeout_on_a_stopped_server(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.run_tasks()
        client.do_background("f", b"before")
        gearmand.pause()
        waiting = client.add_task_background("f", b"queued")
        for call in (client.do, client.do_background):
            with pytest.raises(WaitTimeoutError):
                call("f", b"given up", timeout=0.3)
        assert client.pending == 1
        gearmand.resume()
        client.run_tasks()
        assert waiting.state is TaskState.CREATED
    keys = [job.unique for job in drain(gearmand.address, "f") if job.workload == b"queued"]
    assert keys == [waiting.unique]


def test_nobody_listens() -> None:
    with Client(f"127.0.0.1:{unused_port()}") as client:
        for name in DO + DO_BACKGROUND:
            with pytest.raises(ConnectionFailedError) as caught:
                getattr(client, name)("f")
            assert caught.value.unconfirmed == ()
        with pytest.raises(ConnectionFailedError):
            client.do_background("f", at=time.time() + 10)
        assert client.pending == 0


def test_lost_while_it_runs(proxy: Proxy, gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(proxy.address) as client:

        def on_created(task: object) -> None:
            proxy.cut()

        worker.gate.clear()
        client.on_created = on_created
        with pytest.raises(ConnectionFailedError) as caught:
            client.do("reverse", b"ab")
        (task,) = caught.value.unconfirmed
        assert (task.state, client.pending) == (TaskState.UNCONFIRMED, 0)
        client.on_created = None
        worker.gate.set()
        assert client.do("reverse", b"12") == b"21"


def test_full_queue(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.do_background("f")
        gearmand.command("maxqueue f 1")  # it has no effect on a function nobody knows
        other = client.add_task_background("f")
        for call in (client.do, client.do_background):
            with pytest.raises(QueueFullError):
                call("f", timeout=30)
        assert client.pending == 1
        assert client.do_background("g")
        assert other.state is TaskState.PENDING


@pytest.mark.parametrize("name", DO_BACKGROUND)
def test_do_background(gearmand: Gearmand, name: str) -> None:
    with Client(gearmand.address) as client:
        handle = getattr(client, name)("f", b"payload")
    (job,) = drain(gearmand.address, "f")
    assert (job.handle, job.workload) == (handle, b"payload")


@pytest.mark.parametrize("name", DO_BACKGROUND)
def test_at(gearmand: Gearmand, name: str) -> None:
    """The server gives the job to nobody before its time."""
    with Client(gearmand.address) as client:
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        handle = getattr(client, name)("f", b"later", at=moment)
        assert client.job_status(handle).is_known
        assert drain(gearmand.address, "f") == []
        now = getattr(client, name)("f", b"soon", unique="key", at=time.time())
        (job,) = drain(gearmand.address, "f")
        assert (job.handle, job.workload, job.unique) == (now, b"soon", "key")
        assert gearmand.status()["f"].total == 1


def test_at_has_keys(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        handles = {client.do_background("f", at=time.time()) for _ in range(3)}
    jobs = drain(gearmand.address, "f")
    assert {job.handle for job in jobs} == handles
    assert len({job.unique for job in jobs}) == 3


@pytest.mark.parametrize(
    ("at", "error", "message"),
    [
        (0, ArgumentError, "lies more than a second in the past"),
        (lambda: time.time() - 2, ArgumentError, "in the past"),
        (2**63, ArgumentError, "cannot carry"),
        (float("inf"), ArgumentError, "cannot carry"),
        (float("nan"), ArgumentError, "is not a moment"),
        (lambda: datetime.datetime.now() + datetime.timedelta(1), ArgumentError, "no time zone"),
        ("tomorrow", TypeError, "must be a datetime or seconds"),
        (True, TypeError, "must be a datetime or seconds"),
    ],
)
def test_bad_moments(gearmand: Gearmand, at: object, error: type[Exception], message: str) -> None:
    with Client(gearmand.address) as client, pytest.raises(error, match=message):
        client.do_background("f", at=at() if callable(at) else at)  # type: ignore[arg-type]
    assert held(gearmand) == 0


def test_execute(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        good = client.execute("reverse", b"ab", context=1, priority="high")
        assert (good.result(), good.context, good.priority) == (b"ba", 1, Priority.HIGH)
        failed = client.execute("fail")
        assert isinstance(failed.error, JobFailedError)
        background = client.execute("later", b"x", background=True, priority=Priority.LOW)
        assert background.state is TaskState.CREATED
        later = client.execute("later", b"y", background=True, at=time.time() + 1000, context=2)
        assert (later.state, later.context) == (TaskState.CREATED, 2)
        assert client.job_status(later.job_handle or "").is_known
        with pytest.raises(ArgumentError, match="only a background job"):
            client.execute("later", at=time.time())
        with pytest.raises(ArgumentError, match="is not a priority"):
            client.execute("later", priority="highest")
        assert client.pending == 0


def test_closed(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    client.close()
    for name in [*DO, *DO_BACKGROUND, "execute"]:
        with pytest.raises(UsageError, match="the client is closed"):
            getattr(client, name)("f")


INTERRUPTED = """
import sys, gearman_c
client = gearman_c.Client(sys.argv[1])
try:
    client.on_created = lambda task: print("created", flush=True)
    client.do("keep", b"x")
except KeyboardInterrupt:
    print("interrupted", client.pending, flush=True)
print(client.do("reverse", b"ab"))
"""


def test_ctrl_c(gearmand: Gearmand, worker: RawWorker) -> None:
    with Script(INTERRUPTED, gearmand.address) as script:
        assert script.read() == "created"
        with RawWorker(gearmand.address):
            script.send_signal(signal.SIGINT)
            assert script.read() == "interrupted 0"
            assert script.read() == "created"
            assert script.read() == "b'ba'"


def test_round_trips_make_one_connection(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        client.do("reverse")
        connections = len(gearmand.command("workers"))
        for _ in range(200):
            client.do("reverse", b"x")
        assert len(gearmand.command("workers")) == connections


@pytest.mark.slow
@pytest.mark.unsanitized
def test_memory_of_round_trips(run_script: Callable[..., str], gearmand: Gearmand) -> None:
    with RawWorker(gearmand.address):
        grown = run_script(GROWTH, gearmand.address)
    assert int(grown) < 1_000_000


GROWTH = """
import sys, gearman_c
from pathlib import Path
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
client = gearman_c.Client(sys.argv[1])
def work(count):
    for number in range(count):
        client.do("reverse", b"x" * 1000)
        task = client.add_task("talk", context=[number])
        client.run_tasks()
        try:
            client.do("throw")
        except gearman_c.JobFailedError:
            pass
        client.job_status(task.job_handle)
work(300)
before = resident()
work(1500)
print(resident() - before)
client.close()
"""
