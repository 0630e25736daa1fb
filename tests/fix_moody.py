"""A server that answers rightly, or as its mood is: wrong, too much, too little, or not at all."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Self

from fix_fuzz import PACKETS, SIZES
from fix_impostor import Impostor, read_packet, reply

Mood = Callable[[socket.socket, bytes], None]

ERROR = reply(19, b"QUEUE_ERROR\0a text")
FOREGROUND = {7, 21, 33}
BACKGROUND = {18, 32, 34, 36}


def rightly(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer)


def byte_by_byte(connection: socket.socket, answer: bytes) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in answer:
        connection.sendall(bytes([byte]))


def in_silence(connection: socket.socket, answer: bytes) -> None:
    pass


def twice(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer * 2)


def with_an_error(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(ERROR)


def after_an_error(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(ERROR + answer)


def half(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer[: len(answer) // 2])


def closing(connection: socket.socket, answer: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def closing_half_way(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer[: len(answer) // 2])
    connection.shutdown(socket.SHUT_RDWR)


def resetting(connection: socket.socket, answer: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _with_packet(packet: bytes) -> list[Mood]:
    return [
        lambda connection, answer: connection.sendall(packet),
        lambda connection, answer: connection.sendall(packet + answer),
        lambda connection, answer: connection.sendall(answer + packet),
    ]


def _with_size(size: int) -> Mood:
    return lambda connection, answer: connection.sendall(
        answer[:8] + struct.pack(">I", size) + answer[12:]
    )


MOODS: list[Mood] = [
    rightly,
    byte_by_byte,
    in_silence,
    twice,
    with_an_error,
    after_an_error,
    half,
    closing,
    closing_half_way,
    resetting,
    *map(_with_size, SIZES),
    *itertools.chain.from_iterable(map(_with_packet, PACKETS)),
]


class Moody:
    """A server for clients and workers; a context manager.

    It keeps to its moods, one for each answer, and answers rightly when it has none left. So that
    a mood is about what was asked last, the machines give it only what it will use next.
    """

    def __init__(self) -> None:
        self._moods: deque[Mood] = deque()
        self._lock = threading.Lock()
        self._jobs = itertools.count(1)
        self._impostor = Impostor(self._serve)
        self.address = self._impostor.address

    def __enter__(self) -> Self:
        self._impostor.__enter__()
        return self

    def close(self) -> None:
        self._impostor.__exit__(None, None, None)

    def take(self, moods: Iterable[Mood]) -> None:
        """Replace its moods."""
        with self._lock:
            self._moods = deque(moods)

    def _serve(self, connection: socket.socket) -> None:
        while True:
            answer = self._answer(*read_packet(connection))
            if answer:
                with self._lock:
                    mood = self._moods.popleft() if self._moods else rightly
                mood(connection, answer)

    def _answer(self, command: int, body: bytes) -> bytes:
        if command in FOREGROUND | BACKGROUND:
            with self._lock:
                handle = b"H:moody:%d" % next(self._jobs)
            done = reply(28, handle + b"\0da") + reply(13, handle + b"\0ta")
            return reply(8, handle) + (done if command in FOREGROUND else b"")
        answers = {
            15: lambda: reply(20, body + b"\x001\x000\x000\x000"),
            16: lambda: reply(17, body),
            26: lambda: reply(27, body),
            41: lambda: reply(42, body + b"\x001\x000\x000\x000\x001"),
            30: lambda: reply(31, b"H:moody:%d\0f\0u\0load" % next(self._jobs)),
            4: lambda: reply(6),
        }
        return answers[command]() if command in answers else b""
