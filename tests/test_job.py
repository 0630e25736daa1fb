"""Job: what a worker may say about it, and until when."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator

import pytest
from fix_proxy import Proxy
from fix_running import reverse, running
from fix_tasks import wait_for

from gearman_c import (
    ArgumentError,
    Client,
    ConnectionFailedError,
    Job,
    JobFailedError,
    TaskState,
    UsageError,
    Worker,
)
from gearman_c.testing import Gearmand


@pytest.fixture
def worker(gearmand: Gearmand) -> Iterator[Worker]:
    with Worker(gearmand.address) as started:
        started.register("f")
        yield started


def grab(worker: Worker) -> Job:
    job = worker.grab_job(30)
    assert job is not None
    return job


def test_all_of_a_job(gearmand: Gearmand, worker: Worker) -> None:
    with Client(gearmand.address) as client:
        task = client.add_task("f", b"\0payload", unique="mine")
        sending = threading.Thread(target=client.run_tasks)
        sending.start()
        job = grab(worker)
        assert (job.function_name, job.unique, job.workload) == ("f", "mine", b"\0payload")
        assert job.handle.startswith("H:")
        job.send_data(b"one ")
        job.send_data("two ")
        job.send_data(b"")
        job.send_warning(b"careful")
        job.send_status(2**32 - 1, 0)
        assert not job.is_finished
        job.send_complete(bytearray(b"end"))
        assert job.is_finished
        sending.join()
        assert (task.data, task.result()) == (b"one two ", b"end")
        assert task.warnings == (b"careful",)
        assert (task.numerator, task.denominator) == (2**32 - 1, 0)
        assert task.job_handle == job.handle


def test_failures(gearmand: Gearmand, worker: Worker) -> None:
    with Client(gearmand.address) as client:
        tasks = [client.add_task("f", workload) for workload in (b"1", b"2")]
        sending = threading.Thread(target=client.run_tasks)
        sending.start()
        grab(worker).send_fail()
        grab(worker).send_exception("why")
        sending.join()
        assert [task.state for task in tasks] == [TaskState.FAILED] * 2
        assert isinstance(tasks[1].error, JobFailedError)
        assert tasks[1].error.data == b"why"


def test_finished(gearmand: Gearmand, worker: Worker) -> None:
    with Client(gearmand.address) as client:
        client.do_background("f")
    job = grab(worker)
    job.send_complete()
    for send in (job.send_complete, job.send_fail, lambda: job.send_status(1, 2)):
        with pytest.raises(UsageError, match="finished"):
            send()
    assert "finished" in repr(job)


def test_bad_values(gearmand: Gearmand, worker: Worker) -> None:
    with Client(gearmand.address) as client:
        client.do_background("f")
    job = grab(worker)
    for numbers in ((-1, 1), (1, 2**32)):
        with pytest.raises(ArgumentError, match="0 to 4294967295"):
            job.send_status(*numbers)
    with pytest.raises(TypeError, match="numerator"):
        job.send_status(0.5, 1)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="empty"):
        job.send_exception(b"")
    with pytest.raises(TypeError, match="workload"):
        job.send_data(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Job()
    with pytest.raises(TypeError):
        pickle.dumps(job)
    job.send_complete()


def test_several_at_once(gearmand: Gearmand, worker: Worker) -> None:
    """Finished in another order, from another thread, while more are grabbed."""
    with Client(gearmand.address) as client:
        for number in range(20):
            client.add_task_background("f", b"%d" % number)
        client.run_tasks()
    jobs = [grab(worker) for _ in range(10)]

    def finish() -> None:
        for job in reversed(jobs):
            job.send_status(1, 2)
            job.send_complete(b"x" * 100_000)

    finishing = threading.Thread(target=finish)
    finishing.start()
    others = [grab(worker) for _ in range(10)]
    finishing.join()
    for job in others:
        job.send_complete()
    wait_for(lambda: gearmand.status()["f"].total == 0)
    assert {job.workload for job in jobs + others} == {b"%d" % number for number in range(20)}


def test_server_goes(gearmand: Gearmand, worker: Worker) -> None:
    """What is sent afterwards raises, so that a callable can stop."""
    with Client(gearmand.address) as client:
        client.do_background("f")
    job = grab(worker)
    gearmand.kill()
    with pytest.raises(ConnectionFailedError):
        for _ in range(1000):
            job.send_data(b"x" * 1000)
            time.sleep(0.001)
    with pytest.raises(ConnectionFailedError, match="is gone"):
        job.send_complete()
    assert "lost" in repr(job)


def test_callable_without_a_server(
    gearmand: Gearmand, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Its job goes back to the server, which is told nothing of the first attempt."""
    attempts = []

    def work(job: Job) -> None:
        attempts.append(job.handle)
        if len(attempts) == 1:
            proxy.cut()
            for _ in range(10_000):
                job.send_data(b"x" * 1000)
                time.sleep(0.001)

    worker = Worker(proxy.address)
    worker.add_function("f", work)
    with Client(gearmand.address) as client:
        client.do_background("f")
    with running(worker):
        wait_for(lambda: len(attempts) == 2)
    assert len(set(attempts)) == 1
    texts = [record.getMessage() for record in caplog.records]
    assert sum("was given up" in text for text in texts) == 1
    assert not any(record.exc_info for record in caplog.records)


def test_closed_worker(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)
    worker.register("f")
    with Client(gearmand.address) as client:
        client.do_background("f", b"1")
    job = grab(worker)
    worker.close()
    assert job.workload == b"1"
    with pytest.raises(ConnectionFailedError):
        job.send_complete()
    wait_for(lambda: gearmand.status()["f"].running == 0)
    assert gearmand.status()["f"].total == 1


def test_dropped(gearmand: Gearmand) -> None:
    with Worker(gearmand.address) as worker, Client(gearmand.address) as client:
        worker.register("f")
        client.do_background("f")
        job = grab(worker)
        with pytest.warns(ResourceWarning, match="unfinished"):
            del job
        client.do_background("f", b"2")
        grab(worker).send_complete()
    wait_for(lambda: gearmand.status()["f"].running == 0)
    assert gearmand.status()["f"].total == 1


def test_slow_server(gearmand: Gearmand, proxy: Proxy) -> None:
    """A large result waits for it, in slices; another thread's sends take turns."""
    with Worker(proxy.address) as worker, Client(gearmand.address) as client:
        worker.register("f")
        task = client.add_task("f")
        sending = threading.Thread(target=client.run_tasks)
        sending.start()
        job = grab(worker)
        proxy.stall(to_client=False)
        large = b"0123456789" * 2_000_000
        completing = threading.Thread(target=job.send_complete, args=(large,))
        completing.start()
        assert worker.grab_job(0.3) is None
        assert completing.is_alive()
        proxy.resume()
        completing.join(60)
        sending.join(60)
        assert task.result() == large


def test_interrupted_send(gearmand: Gearmand, run_script: object) -> None:
    """Ctrl-C ends it; half a packet cannot stay, so the connection goes."""
    code = """
import os, signal, sys, threading
from fix_proxy import Proxy
from gearman_c import Client, ConnectionFailedError, Worker

host, port = sys.argv[1].split(":")
with Proxy(host, int(port)) as proxy, Worker(proxy.address) as worker:
    worker.register("f")
    with Client(sys.argv[1]) as client:
        client.do_background("f")
    job = worker.grab_job(30)
    proxy.stall(to_client=False)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        job.send_complete(b"x" * 50_000_000)
    except KeyboardInterrupt:
        print("interrupted")
    try:
        job.send_complete()
    except ConnectionFailedError:
        print("gone")
    proxy.resume()
    job = worker.grab_job(30)
    job.send_complete()
    print("again")
"""
    assert run_script(code, gearmand.address) == "interrupted\ngone\nagain\n"  # type: ignore[operator]


def test_large(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)
    worker.add_function("f", reverse)
    with running(worker), Client(gearmand.address) as client:
        for _ in range(20):
            assert len(client.do("f", b"x" * 1_000_000, timeout=60)) == 1_000_000
