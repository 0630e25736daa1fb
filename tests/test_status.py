"""Questions about jobs: one at a time and in bulk."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest
from fix_impostor import Impostor, answer_status, read_packet, reply
from fix_tasks import wait_for
from fix_worker import STATUS, Packets, RawWorker

from gearman_c import (
    ArgumentError,
    Client,
    ConnectionFailedError,
    JobStatus,
    ProtocolError,
    Task,
    TaskState,
    UsageError,
    WaitTimeoutError,
)
from gearman_c.testing import Gearmand, unused_port

UNKNOWN = JobStatus(is_known=False, is_running=False, numerator=0, denominator=0)


def third(workload: bytes) -> Packets:
    return [(STATUS, (b"1", b"3"))]


def test_by_handle(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        handle = client.do_background("f")
        assert client.job_status(handle) == JobStatus(True, False, 0, 0, None)
        assert client.job_status(handle.encode()).is_known
        assert client.job_status("H:nobody:1") == UNKNOWN


def test_of_a_running_job(gearmand: Gearmand) -> None:
    with RawWorker(gearmand.address, {"f": third}), Client(gearmand.address) as client:
        told: list[Task] = []
        client.on_status = told.append
        task = client.add_task("f", unique="mine")
        while not told:
            with pytest.raises(WaitTimeoutError):
                client.run_tasks(timeout=0.1)
        # The client waits for the very job it asks about.
        assert client.job_status(task.job_handle or "") == JobStatus(True, True, 1, 3, None)
        assert client.unique_status("mine") == JobStatus(True, True, 1, 3, 1)
        question = client.add_task_status(task.job_handle or "")
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        assert question.state is TaskState.COMPLETE
        assert (question.numerator, question.denominator) == (1, 3)
        assert task.state is TaskState.RUNNING
        assert task.is_running


def test_by_key(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.do_background("f", unique="mine")
        assert client.unique_status("mine") == JobStatus(True, False, 0, 0, 0)
        assert client.unique_status("other") == JobStatus(False, False, 0, 0, 0)


def test_task_of_a_question(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        handle = client.do_background("f", unique="mine")
        told: list[Task] = []
        client.on_status = told.append
        by_handle = client.add_task_status(handle, context=[1])
        by_key = client.add_task_status_by_unique("mine")
        assert client.pending == 2
        assert by_handle.state is TaskState.PENDING
        client.run_tasks()
        assert client.pending == 0
    assert told == [by_handle, by_key]
    assert (by_handle.job_handle, by_handle.context) == (handle, [1])
    assert (by_key.unique, by_key.job_handle) == ("mine", None)
    assert by_handle.function_name == ""
    for task in told:
        assert (task.state, task.is_finished) == (TaskState.COMPLETE, True)
        assert (task.is_known, task.is_running) == (True, False)
        with pytest.raises(UsageError, match="only foreground tasks"):
            task.result()


def test_in_bulk(gearmand: Gearmand) -> None:
    """Many at once, with jobs before and behind them."""
    with Client(gearmand.address) as client:
        jobs = [client.add_task_background("f", unique=f"key {number}") for number in range(100)]
        client.run_tasks()
        handles = [job.job_handle or "" for job in jobs] + ["H:nobody:7"]
        questions = [client.add_task_status(handles[number % 101]) for number in range(5000)]
        keys = [client.add_task_status_by_unique(f"key {n % 101}") for n in range(5000)]
        behind = client.add_task_background("f")
        client.run_tasks()
    assert behind.state is TaskState.CREATED
    for asked in (questions, keys):
        assert {task.state for task in asked} == {TaskState.COMPLETE}
        assert [task.is_known for task in asked] == [n % 101 < 100 for n in range(5000)]


def test_cancel(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        asked, cancelled = (client.add_task_status("H:a:1") for _ in range(2))
        assert cancelled.cancel()
        client.run_tasks()
        assert client.pending == 0
        assert not asked.cancel()
    assert (asked.state, cancelled.state) == (TaskState.COMPLETE, TaskState.CANCELLED)


def test_from_a_callback(gearmand: Gearmand) -> None:
    """A question is not a run: it has its own connection."""
    with Client(gearmand.address) as client:
        seen: list[JobStatus] = []
        questions: list[Task] = []

        def on_created(task: Task) -> None:
            seen.append(client.job_status(task.job_handle or ""))
            questions.append(client.add_task_status(task.job_handle or ""))

        client.on_created = on_created
        client.add_task_background("f")
        client.run_tasks()
    assert [status.is_known for status in seen] == [True]
    assert [task.is_known for task in questions] == [True]


def test_no_server() -> None:
    with Client(f"127.0.0.1:{unused_port()}") as client:
        question = client.add_task_status("H:a:1")
        for call in (client.run_tasks, lambda: client.job_status("H:a:1")):
            with pytest.raises(ConnectionFailedError, match="no server takes a connection"):
                call()
        with pytest.raises(ConnectionFailedError):
            client.unique_status("key")
        assert (client.pending, question.state) == (1, TaskState.PENDING)


def test_stopped_server(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.do_background("f")
        gearmand.pause()
        question = client.add_task_status("H:a:1")
        for call in (
            client.run_tasks,
            *(
                lambda timeout, k=k: k("x", timeout=timeout)
                for k in (client.job_status, client.unique_status, client.cancel_job)
            ),
        ):
            with pytest.raises(WaitTimeoutError):
                call(timeout=0.3)
        gearmand.resume()
        client.run_tasks()
    assert question.state is TaskState.COMPLETE


def test_connection_breaks() -> None:
    """What was answered is kept; the rest is asked again."""

    def behave(connection: socket.socket) -> None:
        for _ in range(4):
            answer_status(connection)
        connection.shutdown(socket.SHUT_RDWR)

    with Impostor(behave) as impostor, Client(impostor.address) as client:
        questions = [client.add_task_status(f"H:a:{number}") for number in range(10)]
        for answered in (3, 6, 9):
            with pytest.raises(ConnectionFailedError):
                client.run_tasks(timeout=30)
            assert [task.state for task in questions].count(TaskState.PENDING) == 10 - answered
        client.run_tasks(timeout=30)
        assert {task.state for task in questions} == {TaskState.COMPLETE}


def test_an_answer_nobody_asked_for() -> None:
    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        read_packet(connection)
        for command, body in ((13, b"H:a:1\0data"), (8, b"H:a:1")):
            connection.sendall(reply(command, body))
        connection.recv(1)

    with (
        Impostor(behave) as impostor,
        Client(impostor.address) as client,
        pytest.raises(ProtocolError, match="what it sends is not"),
    ):
        client.job_status("H:a:1", timeout=30)


# Python 3.12 warns of a fork while there are threads, which is what is done here.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_signal_handler_that_forks() -> None:
    """The child gives up the call; the parent's connection is none of its business."""
    children: list[int] = []
    asked, child_is_gone = threading.Event(), threading.Event()

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        _, handle = read_packet(connection)
        asked.set()
        child_is_gone.wait(60)
        connection.sendall(reply(20, handle + b"\x001\x001\x002\x003"))

    def interrupt() -> None:
        asked.wait(60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        wait_for(lambda: children)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
        child_is_gone.set()

    before = signal.signal(signal.SIGUSR1, lambda *_: children.append(os.fork()))
    interrupter = threading.Thread(target=interrupt)
    try:
        with Impostor(behave) as impostor, Client(impostor.address) as client:
            interrupter.start()
            try:
                assert client.job_status("H:a:1", timeout=60) == JobStatus(True, True, 2, 3, None)
            except UsageError as error:
                os._exit("forked" not in str(error) or children != [0])
            finally:
                if children == [0]:
                    os._exit(1)
            interrupter.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(children) == 1


@pytest.mark.parametrize("bad", ["", "H:" + "x" * 62, "a\0b", "\ud800"])
def test_bad_handles(bad: str) -> None:
    with Client("127.0.0.1:1") as client:
        for call in (client.job_status, client.add_task_status, client.cancel_job):
            with pytest.raises(ArgumentError):
                call(bad)
            with pytest.raises(TypeError):
                call(3)  # type: ignore[arg-type]
        assert client.pending == 0


@pytest.mark.parametrize("bad", ["", "x" * 64, "a\0b"])
def test_bad_keys(bad: str) -> None:
    with Client("127.0.0.1:1") as client:
        for call in (client.unique_status, client.add_task_status_by_unique):
            with pytest.raises(ArgumentError):
                call(bad)


def test_closed() -> None:
    client = Client("127.0.0.1:1")
    question = client.add_task_status("H:a:1")
    client.close()
    assert question.state is TaskState.CANCELLED
    for call in (
        client.job_status,
        client.unique_status,
        client.add_task_status,
        client.add_task_status_by_unique,
        client.cancel_job,
    ):
        with pytest.raises(UsageError, match="the client is closed"):
            call("x")


def test_settings_change_meanwhile() -> None:
    """A question in another thread goes on with the settings it began with."""
    identifiers = []

    def behave(connection: socket.socket) -> None:
        while True:
            command, body = read_packet(connection)
            if command == 15:
                connection.sendall(reply(20, body + b"\x000\x000\x000\x000"))
            elif command == 22:
                identifiers.append(body)

    def silent(connection: socket.socket) -> None:
        is_asked.set()
        connection.recv(1 << 20)
        is_over.wait(60)

    is_asked, is_over = threading.Event(), threading.Event()
    with Impostor(silent) as deaf, Impostor(behave) as server:
        client = Client([deaf.address, server.address], timeout=1, identifier="A" * 60)
        asking = threading.Thread(target=client.job_status, args=("H:x:1",))
        asking.start()
        assert is_asked.wait(60)
        client.identifier = "new"
        reused = [b"%060d" % number for number in range(20_000)]
        asking.join()
        is_over.set()
        client.close()
        del reused
    assert identifiers == [b"A" * 60]


def test_answers_before_the_end() -> None:
    """What was answered when the connection broke is told by the next run, and is pending."""
    answers = [1, 5]  # so many before each connection ends

    def behave(connection: socket.socket) -> None:
        for _ in range(answers.pop(0)):
            _, handle = read_packet(connection)
            connection.sendall(reply(20, handle + b"\x001\x001\x002\x003"))
        connection.shutdown(socket.SHUT_RDWR)

    told: list[Task] = []
    with Impostor(behave) as impostor, Client(impostor.address) as client:
        client.on_status = told.append
        tasks = [client.add_task_status(f"H:x:{number}") for number in range(3)]
        with pytest.raises(ConnectionFailedError):
            client.run_tasks(timeout=30)
        assert client.pending == 3
        client.run_tasks(timeout=30)
        assert client.pending == 0
    assert sorted(told, key=tasks.index) == tasks
    assert [task.numerator for task in tasks] == [2] * 3
