"""The connection behind Admin: commands of a line each, and replies of lines that have an end.

Whatever the other side sends, a call ends within its time, and a reply that came late or has no
end can never be taken for the answer to the next command: the connection is given up.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias, TypeVar

from ._call import LONGEST_WAIT, SHOWN, Call, is_refusal
from .errors import ConnectionFailedError, ServerError, UsageError, WaitTimeoutError

Answer = TypeVar("Answer")
# What makes an answer of the lines of a reply, or raises what the call says is wrong with them.
Parse: TypeAlias = Callable[[list[bytes], Call], Answer]

SINGLE: Final = None  # how a reply ends: after its first line
LISTED: Final = b"."  # with this line, unless the first one is a refusal
MARKED: Final = b"ERR UNKNOWN_COMMAND Unknown+server+command"  # with this and a token of ours

_CHUNK: Final = 256 * 1024  # bytes
_LINE_LIMIT: Final = 1024 * 1024  # bytes; the longest lines name the functions of a worker


class TextConnection:
    """A connection that is made when it is needed, and made anew when it broke.

    Args:
        host, port: the server.
        reply_limit: bytes that a reply may have.
    """

    def __init__(self, host: str, port: int, reply_limit: int) -> None:
        self.server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host = host
        self._port = port
        self._reply_limit = reply_limit
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False

    def ask(
        self,
        operation: str,
        command: bytes,
        parse: Parse[Answer],
        *,
        form: re.Pattern[bytes] | None = None,
        end: bytes | None = SINGLE,
        timeout: float | None,
    ) -> Answer:
        """Send a command, and return what `parse` makes of the lines of the reply.

        A reply that is MARKED ends with the answer to a second command, which nobody can foresee:
        for replies whose lines may look like their end, or whose number is not known. A line
        that is not of the `form` of a row ends the call at once: its end may never come.
        """
        self._leave_parent()
        call = Call(self.server, operation, timeout)
        if not self._lock.acquire(timeout=-1 if timeout is None else min(timeout, LONGEST_WAIT)):
            raise call.late("another thread's call did not end")
        try:
            connection = self._connect(call)
            if end == MARKED:
                token = secrets.token_hex(16).encode()
                end, command = MARKED + token, command + b"\r\n" + token
            connection.settimeout(call.remaining())
            connection.sendall(command + b"\r\n")
            return parse(self._receive(connection, call, form, end), call)
        except ServerError:  # a whole reply, and nothing behind it
            raise
        except BaseException as error:
            self._disconnect()
            if self._closed and isinstance(error, OSError):
                raise UsageError("the Admin was closed by another thread") from None
            if isinstance(error, (WaitTimeoutError, ConnectionFailedError)):
                raise
            if isinstance(error, TimeoutError):
                raise call.late("it did not answer") from None
            if isinstance(error, OSError):
                raise call.broken(error.strerror or str(error)) from error
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close it for good. Idempotent; a call of another thread ends with UsageError."""
        self._leave_parent()
        self._closed = True
        connection = self._socket  # the other thread may set it to None at any moment
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes that thread
        with self._lock:
            self._disconnect()

    def _leave_parent(self) -> None:
        """In a forked child: forget the parent's connection, and its lock that may be taken."""
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()
            self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self, call: Call) -> socket.socket:
        if self._closed:
            raise UsageError("the Admin is closed")
        if self._socket is not None and _is_quiet(self._socket):
            return self._socket
        self._disconnect()
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise call.broken(f"the name does not resolve ({error})", "connect") from None
        reasons = []
        for family, kind, protocol, _, address in found:
            # Not create_connection(), which takes the whole time for each address.
            connection = self._socket = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(call.remaining())
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except TimeoutError:
                raise call.late("it took no connection") from None
            except OSError as error:
                reasons.append(error.strerror or str(error))
                self._disconnect()
            else:
                return connection
        raise call.broken(f"no connection ({', '.join(dict.fromkeys(reasons))})", "connect")

    def _receive(
        self,
        connection: socket.socket,
        call: Call,
        form: re.Pattern[bytes] | None,
        end: bytes | None,
    ) -> list[bytes]:
        """Return the lines of a reply, without newlines and without the last one if it is `end`."""
        lines: list[bytes] = []
        rest, size, position = b"", 0, -1
        while position < 0:
            connection.settimeout(call.remaining())
            chunk = connection.recv(_CHUNK)
            if not chunk:
                raise call.broken("it closed the connection before its reply ended")
            size += len(chunk)
            *fresh, rest = (rest + chunk).split(b"\n")
            if max(map(len, (rest, *fresh))) > _LINE_LIMIT:
                raise call.malformed(f"a line has more than {_LINE_LIMIT} bytes")
            if size > self._reply_limit:
                raise call.malformed(f"it has more than {self._reply_limit} bytes")
            if form is not None:
                _check(fresh, call, form, end)
            lines += fresh
            position = _find_end(lines, len(fresh), end)
        if rest or position + 1 < len(lines):
            raise call.malformed(
                f"more follows on its end: {[*lines, rest][position + 1][:SHOWN]!r}"
            )
        return lines if end is SINGLE or lines[-1].rstrip(b"\r") != end else lines[:-1]


def _is_quiet(connection: socket.socket) -> bool:
    """Whether nothing came that nobody asked for, the end of the connection neither."""
    connection.settimeout(0)
    try:
        connection.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _check(fresh: list[bytes], call: Call, form: re.Pattern[bytes], end: bytes | None) -> None:
    """Raise what is wrong with a line that is no row, nor a refusal, nor the end."""
    for line in fresh:
        if not (form.fullmatch(line) or is_refusal(line) or line.rstrip(b"\r") == end):
            raise call.not_understood([line])


def _find_end(lines: list[bytes], count: int, end: bytes | None) -> int:
    """Return the place of the line that ends the reply, -1 if it is not among the last `count`."""
    if lines and (end is SINGLE or (end == LISTED and is_refusal(lines[0]))):
        return 0
    for position in range(len(lines) - count, len(lines)):
        if lines[position].rstrip(b"\r") == end:
            return position
    return -1
