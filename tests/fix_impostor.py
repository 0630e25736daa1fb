"""Servers that are no Gearman servers, or do not behave as such."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


def reply(command: int, body: bytes = b"") -> bytes:
    """Return a packet as a server sends it."""
    return struct.pack(">4sII", b"\0RES", command, len(body)) + body


class Impostor:
    """Accepts connections, and lets `behave` do with each what it likes. A context manager."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=20)
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for end in (self._listener, *self._connections):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._connections):
            end.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._behave(connection)


def read_packet(connection: socket.socket) -> tuple[int, bytes]:
    """Read one request."""
    header = read_exactly(connection, 12)
    _, command, size = struct.unpack(">4sII", header)
    return command, read_exactly(connection, size)


def read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionResetError("the client closed the connection")
        data += piece
    return data


def answer_status(connection: socket.socket) -> None:
    """Answer the question that a client asks first, as a server does: not known."""
    command, handle = read_packet(connection)
    assert command == 15
    connection.sendall(reply(20, handle + b"\x000\x000\x000\x000"))
