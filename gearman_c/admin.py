"""Admin: what a gearmand server has, and what it can be told, by its text protocol."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

from ._text import LISTED, MARKED, SINGLE, Call, TextConnection
from .errors import ArgumentError
from .settings import FunctionStatus, PriorityStatus, ServerJob, WorkerStatus

__all__ = ["Admin"]

_Answer = TypeVar("_Answer")

_NAME_LIMIT: Final = 512  # bytes, as libgearman allows
_HANDLE_LIMIT: Final = 63
_QUEUE_LIMIT: Final = 2**31 - 1  # gearmand reads the number with atoi()

_OK: Final = re.compile(rb"OK()")
_OK_TEXT: Final = re.compile(rb"OK (\S.*)")
_OK_NUMBER: Final = re.compile(rb"OK (\d{1,10})")
_COLUMNS_3: Final = re.compile(rb"(.+)" + rb"\t(\d{1,10})" * 3, re.DOTALL)
_COLUMNS_4: Final = re.compile(rb"(.+)" + rb"\t(\d{1,10})" * 4, re.DOTALL)
# The first " :" with nothing or a space behind it, for names may begin with a colon.
_WORKER: Final = re.compile(rb"(\d{1,10}) (\S+) (.*?) :((?: .+)?)", re.DOTALL)


class Admin:
    """Asks a gearmand server what it has, and tells it what to do.

    The connection is made by the first call and kept; when it broke, the next call makes a new
    one. It may be shared between threads, which take turns, and is a context manager.

    Args:
        host, port: the server.
        timeout: seconds for each call, connecting included (not the look-up of the name, which
            has limits of its own); None for no limit.
        reply_limit: bytes that a reply may have. A million jobs take 20 to 60 MB.

    Raises:
        ArgumentError: a value is out of range.

    Each method can raise:
        ConnectionFailedError: the server cannot be reached, or the connection broke. Whether an
        order was carried out is not known then. WaitTimeoutError: the time is over; likewise.
        ServerError: the server refused; ``detail`` has its words. ProtocolError: the reply is
        not of the protocol, or too long. UsageError: the Admin was closed.

    Names that hold a newline break gearmand's own lists: they are a ProtocolError.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 4730,
        *,
        timeout: float | None = 10.0,
        reply_limit: int = 64 * 1024 * 1024,
    ) -> None:
        if not host or not host.isprintable() or " " in host:
            raise ArgumentError(f"{host!r} is not a host name or address")
        if not 0 < port < 65536:
            raise ArgumentError(f"{port} is not a port: 1 to 65535 are")
        if timeout is not None and not timeout > 0:
            raise ArgumentError(f"timeout is {timeout:g}; it must be above 0 seconds, or None")
        self._connection = TextConnection(host, port, reply_limit)
        self._timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Admin of {self._connection.server}>"

    def close(self) -> None:
        """Close the connection for good. Idempotent; a call of another thread ends at once."""
        self._connection.close()

    def status(self) -> list[FunctionStatus]:
        """Return the functions that the server knows, each with its jobs and workers."""
        return self._list(
            "status",
            b"status",
            _COLUMNS_3,
            lambda name, *numbers: FunctionStatus(_decode(name), *map(int, numbers)),
        )

    def priority_status(self) -> list[PriorityStatus]:
        """Return the functions that the server knows, with the jobs that wait, by priority."""
        return self._list(
            "priority_status",
            b"prioritystatus",
            _COLUMNS_4,
            lambda name, *numbers: PriorityStatus(_decode(name), *map(int, numbers)),
        )

    def workers(self) -> list[WorkerStatus]:
        """Return all connections to the server, of workers and clients, this one included.

        gearmand does not keep the identifier apart from the function names that follow it: an
        identifier that contains " : " is cut there, and a name with a space counts as two.
        """

        def make(descriptor: bytes, address: bytes, name: bytes, functions: bytes) -> WorkerStatus:
            names = tuple(map(_decode, functions[1:].split(b" "))) if functions else ()
            identifier = None if name == b"-" else _decode(name)
            return WorkerStatus(int(descriptor), _decode(address), identifier, names)

        return self._list("workers", b"workers", _WORKER, make)

    def jobs(self) -> list[ServerJob]:
        """Return all jobs of the server, waiting or running, in no particular order."""
        return self._list(
            "jobs",
            b"show jobs",
            _COLUMNS_3,
            lambda handle, retries, ignored, queued: ServerJob(
                _decode(handle), int(retries), ignored != b"0", queued != b"0"
            ),
        )

    def unique_jobs(self) -> list[str]:
        """Return the unique key of each job of the server; "" for a job without one."""

        def parse(lines: list[bytes], call: Call) -> list[str]:
            if lines[-1:] != [LISTED]:
                raise call.not_understood(lines)
            return [_decode(line) for line in lines[:-1]]

        # A key may be ".", which ends the other lists.
        return self._ask("unique_jobs", b"show unique jobs", parse, end=MARKED)

    def version(self) -> str:
        """Return the version of the server, for instance ``"1.1.20"``."""
        return self._read("version", b"version", _OK_TEXT)

    def verbose(self) -> str:
        """Return how much the server logs, for instance ``"ERROR"`` or ``"DEBUG"``."""
        return self._read("verbose", b"verbose", _OK_TEXT)

    def getpid(self) -> int:
        """Return the process id of the server, on its own machine."""
        return int(self._read("getpid", b"getpid", _OK_NUMBER))

    def maxqueue(
        self,
        function: str | bytes,
        maximum: int | None = None,
        *,
        high: int | None = None,
        normal: int | None = None,
        low: int | None = None,
    ) -> None:
        """Limit the queue of a function; beyond it the server refuses jobs (QueueFullError).

        gearmand sets the three limits at once, and tells nobody what they are. Each is compared
        with the number of all jobs of the function, of any priority and running ones included.
        gearmand accepts the call for a function that it does not know, and does nothing.

        Args:
            function: its name.
            maximum: jobs, 1 or more; None for no limit.
            high, normal, low: the same for jobs of one priority; None: as `maximum`.
        """
        limits = [maximum if limit is None else limit for limit in (high, normal, low)]
        for limit in limits:
            if limit is not None and not 0 < limit <= _QUEUE_LIMIT:
                raise ArgumentError(
                    f"{limit} is no limit of a queue: 1 to {_QUEUE_LIMIT} are, or None"
                )
        # Never two numbers: gearmand takes the one that is missing for no limit.
        numbers = b" ".join(b"%d" % (limit or 0) for limit in limits)
        self._order("maxqueue", b"maxqueue " + _encode_function(function) + b" " + numbers)

    def create_function(self, function: str | bytes) -> None:
        """Make a function known to the server, so that ``maxqueue()`` can limit it.

        Does nothing when the server knows it already.

        Args:
            function: its name, 1 to 512 bytes without white space.
        """
        self._order("create_function", b"create function " + _encode_function(function))

    def drop_function(self, function: str | bytes) -> None:
        """Make the server forget a function that has no workers, and no jobs.

        gearmand 1.1.20 refuses while there are workers or running jobs, but not while jobs wait:
        those are lost and keep their memory. It does not tell capital letters from small ones,
        and drops every function whose name differs in nothing else.

        Args:
            function: its name.
        """

        def parse(lines: list[bytes], call: Call) -> None:
            if not lines or any(line != b"OK\r" for line in lines):
                raise call.not_understood([line for line in lines if line != b"OK\r"])

        # One line for each function that was dropped, or not.
        command = b"drop function " + _encode_function(function)
        self._ask("drop_function", command, parse, end=MARKED)

    def cancel_job(self, job_handle: str | bytes) -> None:
        """Cancel a job that waits: no worker gets it. Clients that wait for it see it fail.

        A job that runs is not stopped; if its worker gives it up, it does not run again.

        Args:
            job_handle: its handle.

        Raises:
            ServerError: the server has no such job (``UNKNOWN_JOB``).
        """
        self._order("cancel_job", b"cancel job " + _encode(job_handle, "job handle", _HANDLE_LIMIT))

    def shutdown(self, graceful: bool = False) -> None:
        """End the server.

        gearmand 1.1.20 has lost this command and refuses it (``UNKNOWN_COMMAND``). There a signal
        to the process that ``getpid()`` names does it: SIGTERM, or SIGUSR1 for graceful.

        Args:
            graceful: let running jobs end first; the server takes no connections meanwhile.
        """
        self._order("shutdown", b"shutdown graceful" if graceful else b"shutdown")

    def _list(
        self, operation: str, command: bytes, row: re.Pattern[bytes], make: Callable[..., _Answer]
    ) -> list[_Answer]:
        def parse(lines: list[bytes], call: Call) -> list[_Answer]:
            matches = [row.fullmatch(line) for line in lines]
            if None in matches:
                raise call.not_understood(lines[matches.index(None) :])
            return [make(*match.groups()) for match in matches if match]

        return self._ask(operation, command, parse, end=LISTED)

    def _read(self, operation: str, command: bytes, form: re.Pattern[bytes]) -> str:
        def parse(lines: list[bytes], call: Call) -> str:
            match = form.fullmatch(lines[0].rstrip(b"\r"))
            if not match:
                raise call.not_understood(lines)
            return _decode(match[1])

        return self._ask(operation, command, parse)

    def _order(self, operation: str, command: bytes) -> None:
        self._read(operation, command, _OK)

    def _ask(
        self,
        operation: str,
        command: bytes,
        parse: Callable[[list[bytes], Call], _Answer],
        end: bytes | None = SINGLE,
    ) -> _Answer:
        return self._connection.ask(operation, command, parse, end=end, timeout=self._timeout)


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _encode_function(function: str | bytes) -> bytes:
    return _encode(function, "function name", _NAME_LIMIT)


def _encode(name: str | bytes, what: str, limit: int) -> bytes:
    """Return a name as the bytes of one word of a command; what could be two is refused."""
    if not isinstance(name, (str, bytes)):
        raise TypeError(f"the {what} must be str or bytes, not {type(name).__name__}")
    text = _decode(name) if isinstance(name, bytes) else name
    if not text:
        raise ArgumentError(f"the {what} is empty")
    for character in text:
        if character.isspace() or unicodedata.category(character) == "Cc":
            raise ArgumentError(f"the {what} has {character!r} in it; the command would end there")
    try:
        encoded = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"the {what} has a lone surrogate at {error.start}, which UTF-8 cannot carry"
        ) from None
    if len(encoded) > limit:
        raise ArgumentError(f"the {what} has {len(encoded)} bytes, {limit} are allowed")
    return encoded
