"""Servers that tell about jobs what no server may: an exception, no crash, no wrong result."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from fix_impostor import Impostor, answer_status, read_packet, reply

from gearman_c import Client, GearmanError, ProtocolError, Task, TaskState, WaitTimeoutError

CREATED, STATUS, COMPLETE, FAIL, ERROR = 8, 12, 13, 14, 19
STATUS_RES, EXCEPTION, OPTION_RES, DATA, WARNING = 20, 25, 27, 28, 29
SUBMIT_JOB = 7
HANDLE = b"H:a:1"

Packets = list[tuple[int, bytes]]


def serve(*answers: Packets) -> Callable[[socket.socket], None]:
    """Answer the handshake, and then each job that is submitted with the packets of its turn."""

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        _, option = read_packet(connection)
        connection.sendall(reply(OPTION_RES, option))
        for packets in answers:
            assert read_packet(connection)[0] in (SUBMIT_JOB, 18)
            connection.sendall(b"".join(reply(*packet) for packet in packets))
        connection.recv(1)

    return behave


def finish(task: Task, client: Client) -> None:
    """Run the client, whatever it raises but a time-out."""
    with suppress(ProtocolError):
        client.run_tasks(timeout=30)
    assert task.is_finished


def test_as_it_should_be() -> None:
    answers = [(CREATED, HANDLE), (DATA, HANDLE + b"\0ab"), (COMPLETE, HANDLE + b"\0cd")]
    with Impostor(serve(answers)) as impostor, Client(impostor.address) as client:
        task = client.add_task("f")
        client.run_tasks(timeout=30)
    assert (task.data, task.result()) == (b"ab", b"cd")


@pytest.mark.parametrize(
    "packets",
    [
        [(COMPLETE, b"\0x")],
        [(COMPLETE, b"")],
        [(FAIL, b"")],
        [(DATA, b"\0x")],
        [(STATUS, b"\0001\0002")],
        [(EXCEPTION, b"\0x")],
        [(WARNING, b"\0x")],
        [(CREATED, HANDLE), (CREATED, HANDLE)],
        [(CREATED, HANDLE), (COMPLETE, b"\0x")],
        [(CREATED, b""), (COMPLETE, b"\0x")],
        [(CREATED, HANDLE), (STATUS_RES, HANDLE + b"\0001\0001\0001\0002")],
        [(STATUS_RES, HANDLE + b"\0001\0001\0001\0002")],
        [(OPTION_RES, b"exceptions")],
        [(99, b"what")],
        [(SUBMIT_JOB, b"f\0\0")],
    ],
)
def test_what_no_job_has(packets: Packets) -> None:
    """It is ignored, or ends the connection, and then nobody takes it for a result."""
    rest = [(CREATED, HANDLE), (COMPLETE, HANDLE + b"\0right")]
    with Impostor(serve(packets + rest)) as impostor, Client(impostor.address) as client:
        task = client.add_task("f")
        # libgearman asks for all the memory there is when a packet ends before its handle.
        with suppress(GearmanError, MemoryError):
            client.run_tasks(timeout=2)
        if task.state is TaskState.COMPLETE:
            assert task.result() in {b"right", b"x"}


@pytest.mark.parametrize("kind", [COMPLETE, FAIL, DATA, STATUS, WARNING, EXCEPTION])
@pytest.mark.parametrize("handle", [b"H:other:1", b"H:a:", b"H:a:11", HANDLE + b"\1", b"h" * 5000])
def test_of_a_job_that_is_not_ours(kind: int, handle: bytes) -> None:
    """Libgearman finds no such task and drops the packet."""
    arguments = {FAIL: b"", STATUS: b"\0001\0002"}.get(kind, b"\0x")
    strange = [(CREATED, HANDLE), (kind, handle + arguments)]
    answers = [*strange, (COMPLETE, HANDLE + b"\0right")]
    with Impostor(serve(answers)) as impostor, Client(impostor.address) as client:
        task = client.add_task("f")
        finish(task, client)
        if task.state is TaskState.COMPLETE:
            assert task.result() == b"right"
            assert (task.data, task.warnings, task.denominator) == (b"", (), 0)


@pytest.mark.parametrize("kind", [COMPLETE, FAIL, DATA, STATUS, EXCEPTION])
def test_of_a_background_job(kind: int) -> None:
    arguments = {FAIL: b"", STATUS: b"\0001\0002"}.get(kind, b"\0x")
    answers = [(CREATED, HANDLE), (kind, HANDLE + arguments)]
    foreground = [(CREATED, b"H:a:2"), (kind, HANDLE + arguments), (COMPLETE, b"H:a:2\0right")]
    with Impostor(serve(answers, foreground)) as impostor, Client(impostor.address) as client:
        client.set_server_option("exceptions")
        background, task = client.add_task_background("f"), client.add_task("f")
        finish(task, client)
    assert background.state is TaskState.CREATED
    assert task.result() == b"right"


@pytest.mark.parametrize("strange", [(COMPLETE, b"\0x"), (FAIL, b""), (EXCEPTION, b"\0x")])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_end_of_a_job_that_is_not_created(strange: tuple[int, bytes], count: int) -> None:
    """Libgearman lets go of a task that is in no turn, with batches before and behind it."""
    sent = threading.Event()

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        for _ in range(9):
            read_packet(connection)
        assert sent.wait(60)
        answers = [strange] * count + [(CREATED, b"H:a:%d" % number) for number in range(9)]
        connection.sendall(b"".join(reply(*packet) for packet in answers))
        connection.recv(1)

    with Impostor(behave) as impostor, Client(impostor.address) as client:
        tasks = []
        for _ in range(3):
            tasks += [client.add_task_background("f") for _ in range(3)]
            with pytest.raises(WaitTimeoutError):
                client.run_tasks(timeout=0.01)
        sent.set()
        with pytest.raises(ProtocolError):
            client.run_tasks(timeout=30)
        done = [task for task in tasks if task.state is TaskState.CREATED]
        assert [task.job_handle for task in done] == [f"H:a:{n}" for n in range(len(done))]
        assert {task.state for task in tasks} - {TaskState.CREATED} == {TaskState.UNCONFIRMED}


@pytest.mark.parametrize("end", [COMPLETE, FAIL, EXCEPTION])
def test_after_the_end(end: int) -> None:
    """A job ends once; what comes about it later is nobody's."""
    last = (end, HANDLE + (b"" if end == FAIL else b"\0first"))
    answers = [(CREATED, HANDLE), last, (COMPLETE, HANDLE + b"\0second"), (DATA, HANDLE + b"\0x")]
    second = [(CREATED, b"H:a:2"), (COMPLETE, b"H:a:2\0right")]
    with Impostor(serve(answers, second)) as impostor, Client(impostor.address) as client:
        told: list[Task] = []
        client.on_complete = client.on_fail = client.on_exception = told.append
        first, task = client.add_task("f"), client.add_task("f")
        client.run_tasks(timeout=30)
    assert sorted(told, key=id) == sorted([first, task], key=id)
    assert first.state is (TaskState.COMPLETE if end == COMPLETE else TaskState.FAILED)
    assert first.data == b""
    assert task.result() == b"right"


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        (b"1\0004294967295", (1, 4294967295)),
        (b"\0", (0, 0)),
        (b"x\0y", (0, 0)),
        (b"9" * 3000 + b"\0" + b"9" * 3000, None),
        (b"-1\0-1", None),
    ],
)
def test_strange_numbers(numbers: bytes, shown: tuple[int, int] | None) -> None:
    answers = [(CREATED, HANDLE), (STATUS, HANDLE + b"\0" + numbers), (COMPLETE, HANDLE + b"\0")]
    with Impostor(serve(answers)) as impostor, Client(impostor.address) as client:
        task = client.add_task("f")
        client.run_tasks(timeout=30)
    assert 0 <= task.numerator < 1 << 32
    assert 0 <= task.denominator < 1 << 32
    if shown is not None:
        assert (task.numerator, task.denominator) == shown


def test_result_cut_short() -> None:
    """The header says more than comes."""

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        _, option = read_packet(connection)
        connection.sendall(reply(OPTION_RES, option))
        read_packet(connection)
        whole = reply(COMPLETE, HANDLE + b"\0" + b"x" * 100_000)
        connection.sendall(reply(CREATED, HANDLE) + whole[:50_000])
        connection.shutdown(socket.SHUT_RDWR)

    with Impostor(behave) as impostor, Client(impostor.address) as client:
        task = client.add_task("f")
        with pytest.raises(GearmanError) as caught:
            client.run_tasks(timeout=30)
        assert not isinstance(caught.value, WaitTimeoutError)
        assert caught.value.unconfirmed == (task,)
        assert task.state is TaskState.UNCONFIRMED


def test_error_while_jobs_run() -> None:
    """An ERROR blames the oldest task that was not acknowledged, not one that runs."""
    answers = [
        [(CREATED, HANDLE)],
        [(ERROR, b"QUEUE_ERROR\0Job queue is full")],
        [(CREATED, b"H:a:3"), (COMPLETE, b"H:a:3\0third"), (COMPLETE, HANDLE + b"\0first")],
    ]
    with Impostor(serve(*answers)) as impostor, Client(impostor.address) as client:
        first, second, third = (client.add_task(name) for name in ("f", "g", "h"))
        with pytest.raises(GearmanError):
            client.run_tasks(timeout=2)
        assert second.state is not TaskState.COMPLETE
        for task, result in ((first, b"first"), (third, b"third")):
            if task.state is TaskState.COMPLETE:
                assert task.result() == result
