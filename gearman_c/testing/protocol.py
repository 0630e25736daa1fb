"""The binary Gearman protocol over a plain socket: what a server really holds."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

_HEADER: Final = struct.Struct(">4sII")

CAN_DO: Final = 1
CANT_DO: Final = 2
NOOP: Final = 6
JOB_CREATED: Final = 8
NO_JOB: Final = 10
WORK_COMPLETE: Final = 13
ECHO_REQ: Final = 16
ECHO_RES: Final = 17
SUBMIT_JOB_BG: Final = 18
ERROR: Final = 19
GRAB_JOB_UNIQ: Final = 30
JOB_ASSIGN_UNIQ: Final = 31
SUBMIT_JOB_HIGH_BG: Final = 32
SUBMIT_JOB_LOW_BG: Final = 34

_SUBMIT: Final = {
    "high": SUBMIT_JOB_HIGH_BG,
    "normal": SUBMIT_JOB_BG,
    "low": SUBMIT_JOB_LOW_BG,
}


class DrainedJob(NamedTuple):
    """A job as the server gave it to a worker."""

    handle: str
    function: str
    unique: str
    workload: bytes


class ServerReplyError(Exception):
    """The server answered with an ERROR packet, or with one that has no place here."""


def packet(command: int, *arguments: bytes) -> bytes:
    """Return one request packet; the arguments are joined with NUL bytes."""
    body = b"\0".join(arguments)
    return _HEADER.pack(b"\0REQ", command, len(body)) + body


def text(data: bytes) -> str:
    """Decode a name or a key; bytes that are not UTF-8 survive as lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def raw(name: str | bytes) -> bytes:
    """Encode a name or a key: the reverse of `text`."""
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


class Connection:
    """A socket that speaks packets. Use it as a context manager.

    address: "host:port". timeout: seconds that a single send or receive may take.
    Raises OSError when nobody listens.
    """

    def __init__(self, address: str, *, timeout: float = 30.0) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout)
        # Small requests must not wait for the acknowledgement of the one before.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._chunk = bytearray(256 * 1024)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes made by `packet`. Raises OSError (TimeoutError when it takes too long)."""
        self.socket.sendall(data)

    def receive(self, *, raise_errors: bool = True) -> list[tuple[int, bytes]]:
        """Wait for at least one packet; return (command, body) of all that have come.

        Raises ConnectionError when the server closes, TimeoutError when nothing comes, and
        ServerReplyError on an ERROR packet, unless raise_errors is False.
        """
        packets: list[tuple[int, bytes]] = []
        while not packets:
            size = self.socket.recv_into(self._chunk)
            if size == 0:
                raise ConnectionResetError("the gearmand server closed the connection")
            self._buffer += memoryview(self._chunk)[:size]
            packets = self._take()
        for command, body in packets:
            if command == ERROR and raise_errors:
                raise ServerReplyError(text(body.replace(b"\0", b": ", 1)))
        return packets

    def synchronize(self) -> None:
        """Return when the server has worked on everything sent so far (an echo came back)."""
        self.send(packet(ECHO_REQ, b"synchronize"))
        while all(command != ECHO_RES for command, _ in self.receive()):
            pass

    def _take(self) -> list[tuple[int, bytes]]:
        """Cut the complete packets off the front of the buffer."""
        packets: list[tuple[int, bytes]] = []
        start, end = 0, len(self._buffer)
        with memoryview(self._buffer) as view:
            while end - start >= _HEADER.size:
                magic, command, size = _HEADER.unpack_from(view, start)
                if magic != b"\0RES":
                    raise ServerReplyError(f"not a Gearman reply: {magic!r}")
                body = start + _HEADER.size
                if end - body < size:
                    break
                packets.append((command, bytes(view[body : body + size])))
                start = body + size
        del self._buffer[:start]
        return packets


def drain(
    address: str,
    function: str | bytes,
    count: int | None = None,
    *,
    result: bytes = b"",
    prefetch: int = 200,
    timeout: float = 30.0,
) -> list[DrainedJob]:
    """Take the jobs of one function off a server, in the order in which it gives them.

    address: "host:port". count: take at most so many; None: until the server has no more.
    result: what each job is completed with. prefetch: jobs asked for ahead. timeout: seconds
    without an answer. When this returns, the server has worked on all the completions and
    no longer counts this worker.
    Raises OSError (TimeoutError, ConnectionError) and ServerReplyError.
    """
    jobs: list[DrainedJob] = []
    grab = packet(GRAB_JOB_UNIQ)
    asked = 0  # questions the server has not answered yet
    empty = False
    with Connection(address, timeout=timeout) as connection:
        outgoing = [packet(CAN_DO, raw(function))]
        while True:
            ask = 0 if empty else prefetch - asked
            if count is not None:
                ask = min(ask, count - len(jobs) - asked)
            outgoing.append(grab * ask)
            asked += max(ask, 0)
            connection.send(b"".join(outgoing))
            outgoing.clear()
            # After the first NO_JOB the other questions must still be answered: a job that
            # was submitted in between is ours and would otherwise go back into the queue.
            if not asked:
                break
            for command, body in connection.receive():
                if command == JOB_ASSIGN_UNIQ:
                    handle, name, unique, workload = body.split(b"\0", 3)
                    jobs.append(DrainedJob(text(handle), text(name), text(unique), workload))
                    outgoing.append(packet(WORK_COMPLETE, handle, result))
                elif command == NO_JOB:
                    empty = True
                else:
                    continue
                asked -= 1
        # Signing off first: the server counts this worker until it notices the closed socket.
        connection.send(packet(CANT_DO, raw(function)))
        connection.synchronize()
    return jobs


def submit(
    address: str,
    function: str | bytes,
    workloads: Iterable[bytes],
    *,
    uniques: Iterable[str | bytes] | None = None,
    priority: Literal["high", "normal", "low"] = "normal",
    timeout: float = 30.0,
) -> list[str]:
    """Submit background jobs over a plain socket; return their handles in the same order.

    address: "host:port". uniques: one key a workload; None: none, so that nothing coalesces.
    timeout: seconds without an answer. Raises OSError (TimeoutError, ConnectionError) and
    ServerReplyError, for instance when the queue is full.
    """
    command, name = _SUBMIT[priority], raw(function)
    if uniques is None:
        packets = (packet(command, name, b"", workload) for workload in workloads)
    else:
        pairs = zip(uniques, workloads, strict=True)
        packets = (packet(command, name, raw(unique), workload) for unique, workload in pairs)
    handles: list[str] = []
    with Connection(address, timeout=timeout) as connection:
        for batch in _batches(packets):
            connection.send(b"".join(batch))
            missing = len(batch)
            while missing:
                created = [body for code, body in connection.receive() if code == JOB_CREATED]
                handles.extend(map(text, created))
                missing -= len(created)
    return handles


def _batches(packets: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Group packets: few enough that the replies fit into the buffers while we still send."""
    batch: list[bytes] = []
    size = 0
    for data in packets:
        batch.append(data)
        size += len(data)
        if len(batch) == 1000 or size > 1_000_000:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
