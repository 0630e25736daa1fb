"""Foreground tasks: results, and the ways in which jobs end."""

from __future__ import annotations

import pickle
import threading

import pytest
from fix_proxy import Proxy
from fix_tasks import wait_for
from fix_worker import COMPLETE, DATA, STATUS, RawWorker

import gearman_c
from gearman_c import (
    Client,
    ConnectionFailedError,
    JobFailedError,
    ReturnCode,
    Task,
    TaskState,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)
from gearman_c.testing import Gearmand, drain
from gearman_c.testing.protocol import CAN_DO, GRAB_JOB_UNIQ, JOB_ASSIGN_UNIQ, Connection, packet


def test_result(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        task = client.add_task("reverse", b"abc", context="mine")
        assert (task.state, task.background) == (TaskState.PENDING, False)
        with pytest.raises(UsageError, match=r"call run_tasks\(\) first"):
            task.result()
        client.run_tasks()
        assert client.pending == 0
    assert task.result() == b"cba"
    assert (task.state, task.return_code) == (TaskState.COMPLETE, ReturnCode.SUCCESS)
    assert task.is_finished
    assert task.is_known
    assert not task.is_running
    assert task.job_handle
    assert (task.context, task.error, task.data) == ("mine", None, b"")


def test_empty_result(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        task = client.add_task("reverse")
        client.run_tasks()
    assert task.result() == b""


@pytest.mark.parametrize("size", [1, 8191, 8192, 8193, 1_000_000, 20_000_000])
def test_sizes(gearmand: Gearmand, worker: RawWorker, size: int) -> None:
    payload = bytes(range(251)) * (size // 251 + 1)
    with Client(gearmand.address) as client:
        task = client.add_task("reverse", payload[:size])
        client.run_tasks()
    assert task.result() == payload[:size][::-1]


def test_priorities(gearmand: Gearmand) -> None:
    order: list[bytes] = []
    with Client(gearmand.address) as client:
        tasks = [
            client.add_task_low("f", b"low"),
            client.add_task("f", b"normal"),
            client.add_task_high("f", b"high"),
        ]
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        assert {task.state for task in tasks} == {TaskState.RUNNING}
        order = [job.workload for job in drain(gearmand.address, "f", result=b"done")]
        client.run_tasks()
    assert order == [b"high", b"normal", b"low"]
    assert [task.result() for task in tasks] == [b"done"] * 3


def test_one_failure_does_not_stop_the_others(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        failed = client.add_task("fail", b"ab")
        good = client.add_task("reverse", b"ab")
        thrown = client.add_task("throw", b"ab")
        client.run_tasks()
    assert good.result() == b"ba"
    assert failed.state is thrown.state is TaskState.FAILED
    assert failed.return_code is ReturnCode.WORK_FAIL
    assert thrown.return_code is ReturnCode.WORK_EXCEPTION
    with pytest.raises(JobFailedError, match="the worker of function 'fail' could not") as caught:
        failed.result()
    assert caught.value.task is failed
    assert caught.value.data is None
    with pytest.raises(JobFailedError, match="function 'throw' raised: cannot: ab") as caught:
        thrown.result()
    assert caught.value.data == b"cannot: ab"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.data, again.code) == (b"cannot: ab", ReturnCode.WORK_EXCEPTION)


def test_mixed_with_background(gearmand: Gearmand, worker: RawWorker) -> None:
    """First background, then foreground: the connection changes on the way."""
    with Client(gearmand.address) as client:
        client.run_tasks()
        tasks = [
            (client.add_task if number % 3 else client.add_task_background)(
                "reverse", b"%d" % number
            )
            for number in range(3000)
        ]
        client.run_tasks()
    for number, task in enumerate(tasks):
        if number % 3:
            assert task.result() == (b"%d" % number)[::-1]
        else:
            assert task.state is TaskState.CREATED
            with pytest.raises(UsageError, match="only foreground tasks have a result"):
                task.result()
    assert len({task.job_handle for task in tasks}) == 3000


def test_same_key_same_job(gearmand: Gearmand, worker: RawWorker) -> None:
    worker.gate.clear()
    with Client(gearmand.address) as client:
        tasks = [client.add_task("reverse", b"ab", unique="one") for _ in range(3)]
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        worker.gate.set()
        client.run_tasks()
    assert len({task.job_handle for task in tasks}) == 1
    assert [task.result() for task in tasks] == [b"ba"] * 3
    assert worker.done == 1


def test_same_key_each_hears_all(gearmand: Gearmand) -> None:
    """Also one that joins later, from then on."""
    joined = threading.Event()

    def work() -> None:
        wait_for(lambda: gearmand.status()["f"].total)
        with Connection(gearmand.address) as connection:
            connection.send(packet(CAN_DO, b"f") + packet(GRAB_JOB_UNIQ))
            [(command, body)] = connection.receive()
            assert command == JOB_ASSIGN_UNIQ
            handle = body.partition(b"\0")[0]
            connection.send(packet(DATA, handle, b"first"))
            joined.wait(60)
            for number in range(5):
                connection.send(packet(DATA, handle, b"%d" % number))
            connection.send(packet(STATUS, handle, b"3", b"4") + packet(COMPLETE, handle, b"end"))
            connection.synchronize()

    tasks: list[Task] = []
    told: list[Task] = []
    with Client(gearmand.address) as client:

        def on_data(task: Task) -> None:
            told.append(task)
            if len(told) == 1:
                client.on_created = lambda task: joined.set() if task is tasks[-1] else None
                tasks.extend(client.add_task("f", b"x", unique="k") for _ in range(2))

        client.on_data = on_data
        tasks.append(client.add_task("f", b"x", unique="k"))
        assert gearmand.command("create function f") == ["OK"]
        worker = threading.Thread(target=work)
        worker.start()
        client.run_tasks(timeout=60)
        worker.join()
    assert tasks[0].data == b"first01234"
    assert [task.data for task in tasks[1:]] == [b"01234"] * 2
    assert [task.result() for task in tasks] == [b"end"] * 3
    assert [task.numerator for task in tasks] == [3] * 3
    assert [told.count(task) for task in tasks] == [6, 5, 5]


def test_same_key_as_one_withdrawn(gearmand: Gearmand, worker: RawWorker) -> None:
    """The server goes on sending for the one that nobody waits for any more."""
    worker.gate.clear()
    with Client(gearmand.address) as client:
        task = client.add_task("talk", b"", unique="k")
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        with pytest.raises(WaitTimeoutError) as caught:
            client.do("talk", b"", unique="k", timeout=0.2)
        assert [each.job_handle for each in caught.value.unconfirmed] == [task.job_handle]
        worker.gate.set()
        client.run_tasks(timeout=60)
        assert task.chunks == (b"one ", b"two ")
        assert task.warnings == (b"careful",)
        assert client.do("talk", b"", unique="k") == b"one two end"


def test_timeout_keeps_waiting(gearmand: Gearmand, worker: RawWorker) -> None:
    worker.gate.clear()
    with Client(gearmand.address) as client:
        task = client.add_task("reverse", b"ab")
        for _ in range(2):
            with pytest.raises(WaitTimeoutError, match="1 tasks were not done") as caught:
                client.run_tasks(timeout=0.2)
            assert caught.value.unconfirmed == ()
            assert (task.state, client.pending) == (TaskState.RUNNING, 1)
        worker.gate.set()
        client.run_tasks()
        assert worker.done == 1
    assert task.result() == b"ba"


@pytest.mark.parametrize("resend", [True, False])
def test_lost_is_not_repeated(proxy: Proxy, gearmand: Gearmand, resend: bool) -> None:
    """Nobody knows whether a worker is at it."""
    with RawWorker(gearmand.address) as worker, Client(proxy.address, resend=resend) as client:
        worker.gate.clear()
        running = [client.add_task("reverse", b"%d" % number) for number in range(5)]
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.3)
        proxy.cut()
        waiting = client.add_task("reverse", b"new")
        with pytest.raises(ConnectionFailedError, match="5 foreground jobs may be") as caught:
            client.run_tasks()
        assert caught.value.unconfirmed == tuple(running)
        assert {task.state for task in running} == {TaskState.UNCONFIRMED}
        assert all(task.is_finished for task in running)
        with pytest.raises(UnconfirmedError, match="a worker may be at it"):
            running[0].result()
        assert client.pending == 1
        worker.gate.set()
        client.run_tasks()
        assert waiting.result() == b"wen"


def test_closed_while_running(gearmand: Gearmand, worker: RawWorker) -> None:
    worker.gate.clear()
    client = Client(gearmand.address)
    running = client.add_task("reverse")
    with pytest.raises(WaitTimeoutError):
        client.run_tasks(timeout=0.2)
    pending = client.add_task("reverse")
    client.close()
    assert (running.state, pending.state) == (TaskState.UNCONFIRMED, TaskState.CANCELLED)
    assert isinstance(running.error, UnconfirmedError)
    with pytest.raises(UsageError, match="was cancelled"):
        pending.result()


def test_cancel(gearmand: Gearmand, worker: RawWorker) -> None:
    worker.gate.clear()
    with Client(gearmand.address) as client:
        kept, cancelled = client.add_task("reverse"), client.add_task("reverse")
        assert cancelled.cancel()
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        assert not kept.cancel()
        worker.gate.set()
        client.run_tasks()
        assert worker.done == 1


def test_linear(gearmand: Gearmand, worker: RawWorker) -> None:
    """Ten thousand through one worker, more than a window; every result belongs to its task."""
    with Client(gearmand.address) as client:
        tasks = [client.add_task("reverse", b"%05d" % number) for number in range(10_000)]
        client.run_tasks()
    assert [int(task.result()[::-1]) for task in tasks] == list(range(10_000))
    assert worker.done == 10_000


def test_no_task_in_flight_stays_known(gearmand: Gearmand) -> None:
    """More jobs than a window, and a worker that comes late: never more at the server than that."""
    with Client(gearmand.address, max_in_flight=10) as client:
        tasks = [client.add_task("reverse", b"%d" % number) for number in range(50)]
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        assert gearmand.status()["reverse"].total == 10
        with RawWorker(gearmand.address):
            client.run_tasks()
    assert {task.state for task in tasks} == {TaskState.COMPLETE}


def test_threads_share_a_client(gearmand: Gearmand, worker: RawWorker) -> None:
    client = Client(gearmand.address)
    results: list[bytes] = []

    def work(number: int) -> None:
        results.extend(client.do("reverse", b"%d" % number) for _ in range(50))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert sorted(results) == sorted(b"%d" % number for number in range(4) for _ in range(50))


def test_server_dies_with_jobs_running(gearmand: Gearmand) -> None:
    with (
        RawWorker(gearmand.address) as worker,
        Client(gearmand.address, max_in_flight=500) as client,
    ):
        worker.gate.clear()
        foreground = [client.add_task("reverse") for _ in range(700)]
        background = [client.add_task_background("later") for _ in range(300)]
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.3)
        gearmand.kill()
        with pytest.raises(ConnectionFailedError) as caught:
            client.run_tasks()
    lost = [task for task in foreground if task.state is TaskState.UNCONFIRMED]
    assert caught.value.unconfirmed == tuple(lost) == tuple(foreground[:500])
    assert {task.state for task in foreground if task not in lost} == {TaskState.CANCELLED}
    assert not any(task.state is TaskState.COMPLETE for task in foreground + background)


def test_dropped_tasks_run(gearmand: Gearmand, worker: RawWorker) -> None:
    others = gearman_c._gearman._open_channels()
    with Client(gearmand.address) as client:
        for _ in range(100):
            client.add_task("reverse")
        client.run_tasks()
        wait_for(lambda: worker.done == 100)
        assert client.pending == 0
    assert gearman_c._gearman._open_channels() <= others
