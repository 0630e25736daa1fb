"""`gearman-c submit` as a process of its own: to run, to start and talk to; a bottomless server."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self

import pytest

from gearman_c.testing import Gearmand, drain

COMMAND = [sys.executable, "-m", "gearman_c", "submit"]
Process = subprocess.Popen[bytes]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "GEARMAN_SERVERS"}
    return kept | variables


def run(
    *arguments: str | bytes, data: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=data,
        capture_output=True,
        env=environment(**variables),
        timeout=120,
        check=False,
    )


def submit(server: Gearmand, *arguments: str | bytes, data: bytes = b"") -> list[bytes]:
    """Run the command successfully and silently; return the lines of its output."""
    result = run(*arguments, "--server", server.address, data=data)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.splitlines()


def refusal(*arguments: str | bytes, data: bytes = b"", status: int = 1, **variables: str) -> str:
    """Run the command, which must fail with one line on stderr; return that line."""
    result = run(*arguments, data=data, **variables)
    message = result.stderr.decode()
    assert result.returncode == status, message
    assert message.startswith("gearman-c: ")
    assert message.count("\n") == 1
    return message.strip()


def workloads(server: Gearmand, function: str = "f") -> list[bytes]:
    return [job.workload for job in drain(server.address, function)]


def numbered(count: int) -> list[bytes]:
    return [b"line %d" % number for number in range(count)]


def joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "this did not come about"
        time.sleep(0.005)


def holds(server: Gearmand, count: int, function: str = "f") -> bool:
    status = server.status()
    return function in status and status[function].total == count


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Start the command in the background, with pipes."""
    processes: list[Process] = []
    # A pytest in the background of a shell ignores SIGINT, and its children would inherit that.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def begin(*arguments: str, command: Sequence[str] = COMMAND, **options: Any) -> Process:
        keywords: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        keywords |= {"bufsize": 0, "env": environment()} | options
        process: Process = subprocess.Popen([*command, *arguments], **keywords)
        processes.append(process)
        return process

    yield begin
    signal.signal(signal.SIGINT, handler)
    for process in processes:
        process.kill()
        process.communicate()


def type_in(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)


def read_line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    assert select.select([stream], [], [], 60)[0], "nothing was written"
    return stream.readline()


def end(process: Process, data: bytes = b"") -> tuple[int, bytes, str]:
    """Give the last of the input; return the exit status, stdout and stderr."""
    output, messages = process.communicate(data, timeout=120)
    return process.returncode, output, messages.decode()


class Sink:
    """A server that acknowledges jobs and forgets them: millions take no memory here.

    refused: a workload that it refuses.
    """

    def __init__(self, refused: bytes | None = None) -> None:
        self.count = 0
        self._refused = refused
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        header = struct.Struct(">4xII")
        created = b"\0RES" + struct.pack(">II", 8, 3) + b"H:1"
        error = b"\0RES" + struct.pack(">II", 19, 9) + b"NO\0refuse"
        buffer = bytearray()
        while data := connection.recv(1 << 18):
            buffer += data
            start, replies = 0, []
            while len(buffer) - start >= 12:
                command, size = header.unpack_from(buffer, start)
                if len(buffer) - start - 12 < size:
                    break
                body = start + 12
                start = body + size
                if command == 15:  # GET_STATUS, answered by STATUS_RES
                    reply = bytes(buffer[body:start]) + b"\x000\x000\x000\x000"
                    replies.append(b"\0RES" + struct.pack(">II", 20, len(reply)) + reply)
                elif self._refused is not None and buffer.endswith(self._refused, body, start):
                    replies.append(error)
                else:
                    self.count += 1
                    replies.append(created)
            del buffer[:start]
            connection.sendall(b"".join(replies))
