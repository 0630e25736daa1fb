"""A worker over a plain socket that does with each job what a test tells it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import pytest

from gearman_c.testing import Gearmand
from gearman_c.testing.protocol import (
    CAN_DO,
    GRAB_JOB_UNIQ,
    JOB_ASSIGN_UNIQ,
    NO_JOB,
    NOOP,
    Connection,
    packet,
)

PRE_SLEEP, STATUS, COMPLETE, FAIL, EXCEPTION, DATA, WARNING = 4, 12, 13, 14, 25, 28, 29

Packets = list[tuple[int, tuple[bytes, ...]]]
Do = Callable[[bytes], Packets]


def reverse(workload: bytes) -> Packets:
    return [(COMPLETE, (workload[::-1],))]


def fail(workload: bytes) -> Packets:
    return [(FAIL, ())]


def throw(workload: bytes) -> Packets:
    return [(EXCEPTION, (b"cannot: " + workload,))]


def talk(workload: bytes) -> Packets:
    """Say all that a worker can say before the end."""
    return [
        (STATUS, (b"1", b"2")),
        (DATA, (b"one ",)),
        (WARNING, (b"careful",)),
        (DATA, (b"two ",)),
        (STATUS, (b"2", b"2")),
        (COMPLETE, (b"end",)),
    ]


def keep(workload: bytes) -> Packets:
    """Never finish."""
    return []


ALL: Mapping[str, Do] = {
    "reverse": reverse,
    "fail": fail,
    "throw": throw,
    "talk": talk,
    "keep": keep,
}


class RawWorker:
    """Does jobs in a thread until it is left. A context manager.

    done: how many jobs it was given. gate: while it is clear, no job is answered.
    """

    def __init__(self, address: str, functions: Mapping[str, Do] = ALL) -> None:
        self._functions = functions
        self._connection = Connection(address, timeout=120)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.done = 0
        self.gate = threading.Event()
        self.gate.set()

    def __enter__(self) -> Self:
        names = b"".join(packet(CAN_DO, name.encode()) for name in self._functions)
        self._connection.send(names)
        self._connection.synchronize()
        self._connection.send(packet(GRAB_JOB_UNIQ))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.gate.set()
        with suppress(OSError):
            self._connection.socket.shutdown(2)
        self._thread.join()
        self._connection.socket.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                # The server answers with an ERROR to the result of a job whose client is gone.
                packets = self._connection.receive(raise_errors=False)
                self._connection.send(b"".join([self._answer(*each) for each in packets]))

    def _answer(self, command: int, body: bytes) -> bytes:
        if command == NO_JOB:
            return packet(PRE_SLEEP)
        if command == NOOP:
            return packet(GRAB_JOB_UNIQ)
        if command != JOB_ASSIGN_UNIQ:
            return b""
        self.gate.wait()
        self.done += 1
        handle, function, _, workload = body.split(b"\0", 3)
        said = self._functions[function.decode()](workload)
        answers = [packet(kind, handle, *arguments) for kind, arguments in said]
        return b"".join([*answers, packet(GRAB_JOB_UNIQ)])


@pytest.fixture
def worker(gearmand: Gearmand) -> Iterator[RawWorker]:
    """A worker of `gearmand` for all the functions above."""
    with RawWorker(gearmand.address) as started:
        yield started
