"""What comes between: forks, signals, failed allocations and closings in the middle of a run."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest
from fix_impostor import Impostor, answer_status, read_packet, reply
from fix_script import Script

from gearman_c import (
    Client,
    ConnectionFailedError,
    GearmanError,
    ProtocolError,
    ServerError,
    Task,
    TaskState,
    UsageError,
)
from gearman_c.testing import Gearmand, drain


def accept_all(connection: socket.socket, refused: bytes = b"\0") -> None:
    """Acknowledge each task, but refuse those of one function."""
    number = 0
    while True:
        command, body = read_packet(connection)
        if command == 15:
            connection.sendall(reply(20, body + b"\x000\x000\x000\x000"))
        elif body.split(b"\0")[0] == refused:
            connection.sendall(reply(19, b"QUEUE_ERROR\0Job queue is full"))
        else:
            number += 1
            connection.sendall(reply(8, b"H:x:%d" % number))


def test_child_that_returns_from_a_callback(gearmand: Gearmand) -> None:
    client = Client(gearmand.address, max_in_flight=50)
    tasks = [client.add_task_background("f", str(number)) for number in range(2000)]
    children: list[int] = []

    def fork(task: Task) -> None:
        if not children:
            children.append(os.fork())

    client.on_created = fork
    try:
        client.run_tasks()
        outcome = 1
    except UsageError:
        outcome = 0 if client.pending == 0 else 2
    except BaseException:
        outcome = 3
    if children == [0]:
        os._exit(outcome)
    _, status = os.waitpid(children[0], 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert outcome == 1, "the parent's run was disturbed"
    assert len({task.job_handle for task in tasks}) == 2000
    assert gearmand.status()["f"].total == 2000
    client.close()


def test_signal_with_an_error_of_the_server() -> None:
    """The refused task stays the refused one, whatever the signal interrupts."""
    sent = []

    def behave(connection: socket.socket) -> None:
        while True:
            command, body = read_packet(connection)
            if command == 15:
                connection.sendall(reply(20, body + b"\x000\x000\x000\x000"))
            elif body.startswith(b"full\0") and not sent:
                sent.append(body)
                os.kill(os.getpid(), signal.SIGINT)
                connection.sendall(reply(19, b"QUEUE_ERROR\0Job queue is full"))
            elif body.startswith(b"bad\0"):
                connection.sendall(reply(19, b"SERVER_ERROR\0no such thing"))
            else:
                connection.sendall(reply(8, b"H:x:1"))

    with Impostor(behave) as server, Client(server.address) as client:
        names = ["f"] * 5 + ["full"] + ["f"] * 4
        tasks = [client.add_task_background(name) for name in names]
        with pytest.raises(KeyboardInterrupt):
            client.run_tasks()
        client.run_tasks()
        assert {task.state for task in tasks} == {TaskState.CREATED}
        bad = client.add_task_background("bad")
        with pytest.raises(ServerError) as caught:
            client.run_tasks()
        assert caught.value.task is bad
        assert bad.state is TaskState.FAILED
        assert client.pending == 0


ALLOCATIONS = """
import mmap, sys
import _testcapi
from gearman_c import Client, GearmanError, TaskState
full = sys.argv[1]
for number in range(160):
    client = Client(sys.argv[2], max_in_flight=8)
    client.on_created = lambda task: None
    tasks = [client.add_task_background(full if i % 3 else "f", b"w") for i in range(40)]
    try:
        _testcapi.set_nomemory(number, number + 1)
        try:
            client.run_tasks(timeout=30)
        finally:
            _testcapi.remove_mem_hooks()
    except (MemoryError, GearmanError, SystemError):
        pass
    try:
        client.run_tasks(timeout=30)
    except GearmanError:
        pass
    waiting = [task for task in tasks if task.state is not TaskState.CREATED]
    assert client.pending == len(waiting), (number, client.pending, waiting)
    assert all(task.function_name == full for task in waiting), (number, waiting)
    client.close()
    assert not any(task.state is TaskState.PENDING for task in tasks), number
print("done")
"""


@pytest.mark.slow
def test_each_allocation_of_a_run_fails_once() -> None:
    """With a full queue, so that tasks change hands in every way there is."""
    with (
        Impostor(lambda connection: accept_all(connection, b"full")) as server,
        Script(ALLOCATIONS, "full", server.address) as script,
    ):
        assert script.read() == "done"


def test_closed_while_a_workload_is_frozen() -> None:
    class Closing:
        def __buffer__(self, flags: int) -> memoryview:
            client.close()
            return memoryview(b"x")

    # Before Python 3.12 that is no buffer, and nothing else has a say in the freezing.
    refusal = UsageError if sys.version_info >= (3, 12) else TypeError
    with Client("127.0.0.1:1") as client:
        with pytest.raises(refusal):
            client.add_task_background("f", Closing())  # type: ignore[arg-type]
        assert client.pending == 0


def test_stop_iteration_is_no_end(gearmand: Gearmand) -> None:
    def stop(workload: object) -> str:
        raise StopIteration

    with Client(gearmand.address) as client:
        submission = client.submit("f", ["a"], unique=stop)
        with pytest.raises(RuntimeError, match="StopIteration"):
            next(submission)


def test_workload_is_not_lost_to_an_interruption(gearmand: Gearmand) -> None:
    def keys() -> Iterator[str]:
        yield "one"
        yield ""
        yield "two"

    names = keys()

    def unique(workload: object) -> str:
        name = next(names)
        if not name:
            raise KeyboardInterrupt
        return name

    with Client(gearmand.address) as client:
        submission = client.submit("f", ["a", "b"], unique=unique)
        with pytest.raises(KeyboardInterrupt):
            next(submission)
        assert [task.workload for task in submission] == [b"a", b"b"]
    assert [job.workload for job in drain(gearmand.address, "f")] == [b"a", b"b"]


def test_created_without_a_request() -> None:
    def behave(connection: socket.socket) -> None:
        read_packet(connection)
        connection.sendall(reply(8, b"H:x:1"))

    with Impostor(behave) as server, Client(server.address) as client:
        task = client.add_task_background("f")
        with pytest.raises(ConnectionFailedError):
            client.run_tasks()
        assert task.state is TaskState.PENDING
        task.cancel()


@pytest.mark.parametrize("command", [13, 14, 25], ids=["complete", "fail", "exception"])
def test_end_of_a_job_without_a_handle(command: int) -> None:
    """It matches every task that has no handle yet, and libgearman frees one."""

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        read_packet(connection)
        connection.sendall(reply(command, b"" if command == 14 else b"\0"))

    with Impostor(behave) as server, Client(server.address) as client:
        tasks = [client.add_task_background("f", str(number)) for number in range(5)]
        with pytest.raises(ProtocolError) as caught:
            client.run_tasks(timeout=30)
        assert client.pending == 5
        assert not any(task.is_finished for task in tasks)
        assert isinstance(caught.value, GearmanError)
        for task in tasks:
            task.cancel()
