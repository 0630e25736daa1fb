"""Admin and servers that answer what no server should: each is the right error, and in time."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fix_impostor import Impostor

from gearman_c import (
    Admin,
    ConnectionFailedError,
    FunctionStatus,
    ProtocolError,
    ServerError,
    UsageError,
    WaitTimeoutError,
)

QUESTIONS: dict[str, Callable[[Admin], Any]] = {
    "status": Admin.status,
    "priority_status": Admin.priority_status,
    "workers": Admin.workers,
    "version": Admin.version,
    "verbose": Admin.verbose,
    "getpid": Admin.getpid,
    "jobs": Admin.jobs,
    "unique_jobs": Admin.unique_jobs,
    "maxqueue": lambda admin: admin.maxqueue("f", 1),
    "create_function": lambda admin: admin.create_function("f"),
    "drop_function": lambda admin: admin.drop_function("f"),
    "cancel_job": lambda admin: admin.cancel_job("H:x:1"),
    "shutdown": Admin.shutdown,
}

ask_all = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())


def connect(impostor: Impostor, timeout: float | None = 60, **options: Any) -> Admin:
    host, _, port = impostor.address.partition(":")
    return Admin(host, int(port), timeout=timeout, **options)


def saying(answer: bytes) -> Impostor:
    """Give each command the same answer, and keep the connection open."""

    def behave(connection: socket.socket) -> None:
        while connection.recv(4096):
            connection.sendall(answer)

    return Impostor(behave)


def silence(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def close_at_once(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.shutdown(socket.SHUT_RDWR)


def close_half_way(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"f\t1\t2")
    connection.shutdown(socket.SHUT_RDWR)


def drip(connection: socket.socket) -> None:
    """A byte at a time, so that no single one is late; never an end."""
    connection.recv(4096)
    pause = threading.Event()
    while not pause.wait(0.01):
        connection.sendall(b"f")


def flood(piece: bytes) -> Callable[[socket.socket], None]:
    """Send without an end."""

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        while True:
            connection.sendall(piece)

    return behave


@ask_all
def test_silence(question: Callable[[Admin], Any]) -> None:
    with (
        Impostor(silence) as impostor,
        connect(impostor, 0.05) as admin,
        pytest.raises(WaitTimeoutError, match="in the time allowed"),
    ):
        question(admin)


@ask_all
def test_drip(question: Callable[[Admin], Any]) -> None:
    with (
        Impostor(drip) as impostor,
        connect(impostor, 0.1) as admin,
        pytest.raises(WaitTimeoutError),
    ):
        question(admin)


@ask_all
@pytest.mark.parametrize("behave", [close_at_once, close_half_way])
def test_connection_that_breaks(
    question: Callable[[Admin], Any], behave: Callable[[socket.socket], None]
) -> None:
    with (
        Impostor(behave) as impostor,
        connect(impostor) as admin,
        pytest.raises(ConnectionFailedError),
    ):
        question(admin)


@ask_all
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n.\n",
        b"\0RES\0\0\0\x13\0\0\0\0\n.\n",
        b"\xff\xfe\n.\n",
        b"\n.\n",
        b"OK\tOK\n.\n",
        b"OKAY\n.\n",
    ],
)
def test_garbage(question: Callable[[Admin], Any], answer: bytes) -> None:
    """Unique keys may be anything: what tells is that the end does not come."""
    is_keys = question is Admin.unique_jobs
    expected, timeout = (WaitTimeoutError, 0.1) if is_keys else (ProtocolError, 60)
    with saying(answer) as impostor, connect(impostor, timeout) as admin, pytest.raises(expected):
        question(admin)


@ask_all
@pytest.mark.parametrize("piece", [b"x" * 100_000, b"f\t1\t1\t1\n" * 10_000])
def test_flood(question: Callable[[Admin], Any], piece: bytes) -> None:
    with (
        Impostor(flood(piece)) as impostor,
        connect(impostor, reply_limit=3_000_000) as admin,
        pytest.raises(ProtocolError),
    ):
        question(admin)


def test_limits_are_named() -> None:
    with (
        Impostor(flood(b"x" * 10_000)) as impostor,
        connect(impostor) as admin,
        pytest.raises(ProtocolError, match="a line has more than 1048576 bytes"),
    ):
        admin.status()
    row = b"f\t1\t1\t1\n"
    with (
        Impostor(flood(row * 1000)) as impostor,
        connect(impostor, reply_limit=100_000) as admin,
        pytest.raises(ProtocolError, match="it has more than 100000 bytes"),
    ):
        admin.status()


@pytest.mark.parametrize("end", [b".\n", b""])
@pytest.mark.parametrize(
    ("question", "line"),
    [
        (Admin.status, b"f\t1\t2"),
        (Admin.status, b"f\t1\t2\t-3"),
        (Admin.status, b"f\t1\t2\t" + b"9" * 5000),  # int() would take its time
        (Admin.status, "f\t1\t2\t٣".encode()),
        (Admin.status, b"f 1 2 3"),
        (Admin.status, b"\t1\t2\t3"),
        (Admin.priority_status, b"f\t1\t2\t3"),
        (Admin.workers, b"x 127.0.0.1 - : f"),
        (Admin.workers, b"3 127.0.0.1 -"),
        (Admin.jobs, b"H:x:1\t0\t0"),
    ],
)
def test_rows_of_another_form(question: Callable[[Admin], Any], line: bytes, end: bytes) -> None:
    with (
        saying(line + b"\n" + end) as impostor,
        connect(impostor) as admin,
        pytest.raises(ProtocolError) as caught,
    ):
        question(admin)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("answer", [b"OK\n", b"OK \n", b"OK x\n", b"OK -1\n", b"ok 1\n", b"1\n"])
def test_no_process_id(answer: bytes) -> None:
    with saying(answer) as impostor, connect(impostor) as admin, pytest.raises(ProtocolError):
        admin.getpid()


@ask_all
def test_refusal(question: Callable[[Admin], Any]) -> None:
    """Behind it the connection is good, where it is known to have ended."""

    def behave(connection: socket.socket) -> None:
        while data := connection.recv(4096):
            for line in data.decode().splitlines():
                end = line if len(line) == 32 else ""
                refusal = f"Unknown+server+command{end}" if end else "words+of+reason"
                connection.sendall(f"ERR UNKNOWN_COMMAND {refusal}\r\n".encode())

    with Impostor(behave) as impostor, connect(impostor) as admin:
        for _ in range(2):
            with pytest.raises(ServerError) as caught:
                question(admin)
            assert caught.value.detail == "ERR UNKNOWN_COMMAND words+of+reason"


def test_second_answer_is_not_taken_for_the_next() -> None:
    """Two answers to the first command; the connection is given up, whenever the second comes."""
    turn = iter([b"OK 1\nOK 2\n", b"OK 3\n", b"OK 4\n"])

    def behave(connection: socket.socket) -> None:
        while connection.recv(4096):
            connection.sendall(next(turn))

    with Impostor(behave) as impostor, connect(impostor) as admin:
        with pytest.raises(ProtocolError, match="more follows"):
            admin.getpid()
        assert admin.getpid() == 3


def test_late_answer_is_not_taken_for_the_next() -> None:
    late, told = threading.Event(), threading.Event()

    def behave(connection: socket.socket) -> None:
        command = connection.recv(4096)
        if b"status" in command:
            late.wait()
            connection.sendall(b"late\t1\t1\t1\n.\n")
            told.set()
        else:
            connection.sendall(b"OK 7\n")

    with Impostor(behave) as impostor, connect(impostor, 0.2) as admin:
        with pytest.raises(WaitTimeoutError):
            admin.status()
        late.set()
        told.wait()
        assert admin.getpid() == 7


def test_what_nobody_asked_for_is_not_an_answer() -> None:
    turns = itertools.count(1)
    ready, told = threading.Event(), threading.Event()

    def behave(connection: socket.socket) -> None:
        turn = next(turns)
        while connection.recv(4096):
            connection.sendall(b"OK %d\n" % turn)
            if turn == 1:
                ready.wait()
                connection.sendall(b"OK 666\n")
                told.set()

    with Impostor(behave) as impostor, connect(impostor) as admin:
        assert admin.getpid() == 1
        ready.set()
        told.wait()
        assert admin.getpid() == 2  # of a new connection


def test_reply_in_pieces() -> None:
    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while connection.recv(4096):
            for byte in b"f\t1\t2\t3\n.\t4\t5\t6\n.\n":
                connection.sendall(bytes([byte]))

    with Impostor(behave) as impostor, connect(impostor) as admin:
        expected = [FunctionStatus("f", 1, 2, 3), FunctionStatus(".", 4, 5, 6)]
        assert admin.status() == expected
        assert admin.status() == expected


def test_large_reply() -> None:
    rows = b"".join(b"function-%d\t1\t2\t3\n" % number for number in range(100_000))
    with saying(rows + b".\n") as impostor, connect(impostor) as admin:
        answer = admin.status()
        assert len(answer) == 100_000
        assert answer[-1] == FunctionStatus("function-99999", 1, 2, 3)


def test_close_ends_the_call_of_another_thread() -> None:
    asked = threading.Event()
    failures: list[BaseException] = []

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        asked.set()
        connection.recv(4096)

    def ask() -> None:
        try:
            admin.status()
        except UsageError as error:
            failures.append(error)

    with Impostor(behave) as impostor:
        admin = connect(impostor, None)
        thread = threading.Thread(target=ask)
        thread.start()
        asked.wait()
        admin.close()
        thread.join()
    assert len(failures) == 1


def test_thread_that_waits_for_its_turn_has_a_time_limit() -> None:
    asked = threading.Event()
    failures: list[BaseException] = []

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        asked.set()
        connection.recv(4096)

    def ask() -> None:
        try:
            admin.status()
        except WaitTimeoutError as error:
            failures.append(error)

    with Impostor(behave) as impostor, connect(impostor, 0.2) as admin:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert asked.is_set()
    assert len(failures) == 4
