"""Worker.run(): threads, stopping, signals; and what a callable may do to it."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time

import pytest
from fix_impostor import Impostor, read_packet, reply
from fix_running import reverse, running
from fix_script import Script, until_quick
from fix_tasks import wait_for

from gearman_c import ArgumentError, Client, Job, UsageError, Worker
from gearman_c.testing import Gearmand

SCRIPT = """
import sys, time
from gearman_c import Worker

def work(job):
    print("begin", flush=True)
    if job.workload == b"exit":
        raise SystemExit(0)
    time.sleep(float(job.workload))
    print("end", flush=True)

worker = Worker(sys.argv[1])
worker.add_function("f", work)
print("ready", flush=True)
try:
    worker.run(handle_signals=True, threads=int(sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted")
worker.close()
print("stopped")
"""


def test_stop_when_idle(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)
    worker.add_function("f", reverse)

    def stop() -> float:
        thread = threading.Thread(target=worker.run)
        thread.start()
        wait_for(lambda: gearmand.status().get("f") and gearmand.status()["f"].available_workers)
        start = time.monotonic()
        worker.stop()
        thread.join()
        return time.monotonic() - start

    until_quick(stop, 0.2)
    wait_for(lambda: gearmand.status()["f"].available_workers == 0)


@pytest.mark.parametrize("unfinished", [0, 1])
def test_connections(gearmand: Gearmand, unfinished: int) -> None:
    """A run has its own; those of an earlier work() do not lie about, unless a job needs them."""

    def available() -> int:
        return gearmand.status()["reverse"].available_workers

    with Client(gearmand.address) as client, Worker(gearmand.address) as worker:
        worker.add_function("reverse", reverse)
        for _ in range(unfinished):
            client.do_background("reverse")
            job = worker.grab_job(30)
            assert job is not None
        worker.work(0.2)
        with running(worker):
            assert client.do("reverse", b"abc", timeout=30) == b"cba"
            wait_for(lambda: available() == 1 + unfinished)
            if unfinished:
                job.send_complete()


def test_stop_before_run(gearmand: Gearmand) -> None:
    """It is not lost: a signal may come just before."""
    worker = Worker(gearmand.address)
    worker.add_function("f", reverse)
    worker.stop()
    worker.run()
    worker.stop()
    assert worker.work() is False
    worker.stop()
    assert worker.grab_job() is None
    worker.close()


def test_job_in_hand_is_done(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)
    done = []

    def work(job: Job) -> None:
        worker.stop()
        time.sleep(0.1)
        done.append(job.workload)

    worker.add_function("f", work)
    with Client(gearmand.address) as client:
        for number in range(5):
            client.add_task_background("f", b"%d" % number)
        client.run_tasks()
    worker.run()
    assert done == [b"0"]
    wait_for(lambda: gearmand.status()["f"].running == 0)
    assert gearmand.status()["f"].total == 4
    worker.close()


def test_nothing_is_dropped_by_stopping(gearmand: Gearmand) -> None:
    """However the stop meets the server's answer, each job is done, once."""
    done: list[bytes] = []
    with Client(gearmand.address) as client:
        for number in range(300):
            client.add_task_background("f", b"%d" % number)
        client.run_tasks()
    worker = Worker(gearmand.address)
    worker.add_function("f", lambda job: done.append(job.workload))
    end = time.monotonic() + 60
    while len(done) < 300 and time.monotonic() < end:
        threading.Timer(0.001 + len(done) % 7 * 0.0003, worker.stop).start()
        worker.run()
    worker.close()
    assert sorted(done, key=int) == [b"%d" % number for number in range(300)]


@pytest.mark.smoke
def test_threads(gearmand: Gearmand) -> None:
    """Three at the same time: each waits for the other two."""
    together = threading.Barrier(3)
    worker = Worker(gearmand.address)
    worker.add_function("f", lambda job: together.wait(60) * 0 or b"")
    with running(worker, threads=3), Client(gearmand.address) as client:
        for _ in range(6):
            client.add_task("f")
        client.run_tasks(timeout=60)


def test_an_exit_in_a_thread(gearmand: Gearmand) -> None:
    """It ends the run; its job goes back."""
    worker = Worker(gearmand.address)
    attempts = []

    def leave(job: Job) -> None:
        attempts.append(job.handle)
        raise SystemExit(3)

    worker.add_function("f", leave)
    with Client(gearmand.address) as client:
        client.do_background("f")
    for threads in (1, 2):
        with pytest.raises(SystemExit):
            worker.run(threads=threads)
    worker.close()
    assert len(attempts) >= 2
    wait_for(lambda: gearmand.status()["f"].running == 0)
    assert gearmand.status()["f"].total == 1


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.smoke
def test_signals(gearmand: Gearmand, number: signal.Signals, threads: int) -> None:
    """The job in hand is done first."""
    with Client(gearmand.address) as client, Script(SCRIPT, gearmand.address, threads) as script:
        assert script.read() == "ready"
        client.do_background("f", b"0.3")
        assert script.read() == "begin"
        script.send_signal(number)
        assert script.read() == "end"
        assert script.read() == "stopped"
    assert gearmand.status()["f"].total == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_signal_to_another_thread(gearmand: Gearmand, threads: int) -> None:
    """As the system may deliver it; or it comes just before the main thread begins to wait."""
    with Script(ELSEWHERE + SCRIPT, gearmand.address, threads) as script:
        assert script.read() == "ready"
        wait_for(lambda: gearmand.status().get("f") and gearmand.status()["f"].available_workers)
        script.send_signal(signal.SIGTERM)
        assert script.read() == "stopped"


ELSEWHERE = """
import signal, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # here, and in threads made from now on
"""


def test_second_signal(gearmand: Gearmand) -> None:
    """It does not wait: the job goes back into the queue."""
    with Client(gearmand.address) as client, Script(SCRIPT, gearmand.address, 1) as script:
        assert script.read() == "ready"
        client.do_background("f", b"60")
        assert script.read() == "begin"
        script.send_signal(signal.SIGINT)
        time.sleep(0.1)  # or the kernel makes one of the two
        script.send_signal(signal.SIGINT)
        assert script.read() == "interrupted"
        assert script.read() == "stopped"
    wait_for(lambda: gearmand.status()["f"].running == 0)
    assert gearmand.status()["f"].total == 1


def test_signal_when_idle(gearmand: Gearmand) -> None:
    with Script(SCRIPT, gearmand.address, 1) as script:
        assert script.read() == "ready"
        wait_for(lambda: gearmand.status().get("f") and gearmand.status()["f"].available_workers)
        script.send_signal(signal.SIGTERM)
        assert script.read() == "stopped"


def test_signals_in_another_thread(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)
    worker.add_function("f", reverse)
    with pytest.raises(UsageError, match="main thread"), running(worker, handle_signals=True):
        pass


def test_close_from_another_thread(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address)
    worker.add_function("f", reverse)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_for(lambda: gearmand.status().get("f") and gearmand.status()["f"].available_workers)
    worker.close()
    thread.join(30)
    assert not thread.is_alive()


def test_two_runs_at_a_time(gearmand: Gearmand) -> None:
    """A stop is for both."""
    worker = Worker(gearmand.address)
    worker.add_function("f", reverse)
    threads = [threading.Thread(target=worker.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_for(lambda: gearmand.status().get("f") and gearmand.status()["f"].available_workers == 2)
    worker.stop()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    worker.close()


def test_forked_child(gearmand: Gearmand, run_script: object) -> None:
    """It has its own connections, and leaves those of its parent alone."""
    code = """
import os, sys
from gearman_c import Client, UsageError, Worker

client = Client(sys.argv[1])
worker = Worker(sys.argv[1])
worker.register("f")
client.do_background("f", b"1")
job = worker.grab_job(30)
pid = os.fork()
if pid == 0:
    try:
        job.send_complete()
    except UsageError:
        Client(sys.argv[1]).do_background("f", b"2")
        other = worker.grab_job(30)
        assert other.workload == b"2"
        other.send_complete()
        worker.close()
        os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
job.send_status(1, 2)
job.send_complete()
client.do_background("f", b"3")
job = worker.grab_job(30)
assert job.workload == b"3"
job.send_complete()
worker.close()
client.close()
"""
    run_script(code, gearmand.address)  # type: ignore[operator]


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"processes": -1}, {"threads": 10_001}])
def test_bad_counts(arguments: dict[str, int]) -> None:
    with Worker("a") as worker:
        with pytest.raises(ArgumentError, match="1 to 10000"):
            worker.run(**arguments)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must be int"):
            worker.run(threads=True)


def request(command: int, body: bytes = b"") -> bytes:
    return struct.pack(">4sII", b"\0REQ", command, len(body)) + body


def test_one_segment() -> None:
    """The end of a job and the question for the next one: the server wakes up once for both."""
    assign = reply(31, b"H:x:1\0f\0u\0load")
    done, ask = request(13, b"H:x:1\0daol"), request(30)
    received: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        # At the first job a worker may still have to note that its server is there.
        for answer in (assign, b""):
            while read_packet(connection)[0] != 30:
                pass
            connection.sendall(answer)
        for _ in range(5):
            connection.sendall(assign)
            received.append(connection.recv(65536))
        connection.sendall(reply(10))  # no job
        while connection.recv(65536):
            pass

    with Impostor(behave) as impostor:
        worker = Worker(impostor.address)
        worker.add_function("f", reverse)
        with running(worker):
            wait_for(lambda: len(received) == 5)
    assert received == [done + ask] * 5


def test_no_question_after_stop() -> None:
    """A callable that stops the worker gets no job that another worker could have had."""
    received = []

    def behave(connection: socket.socket) -> None:
        while read_packet(connection)[0] != 30:
            pass
        connection.sendall(reply(31, b"H:x:1\0f\0u\0load"))
        while data := connection.recv(65536):
            received.append(data)

    def stop(job: Job) -> None:
        worker.stop()

    with Impostor(behave) as impostor, Worker(impostor.address) as worker:
        worker.add_function("f", stop)
        worker.run()
        worker.close()
        wait_for(lambda: received)
    assert b"".join(received) == request(13, b"H:x:1\0")
