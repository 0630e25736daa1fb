"""Admin: what a gearmand server has, and what it can be told, by its text protocol."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Final, Self

from . import _replies
from ._names import encode_function, encode_handle
from ._text import LISTED, MARKED, SINGLE, Answer, Parse, TextConnection
from .errors import ArgumentError
from .settings import FunctionStatus, PriorityStatus, ServerJob, WorkerStatus

__all__ = ["Admin"]

_QUEUE_LIMIT: Final = 2**31 - 1  # gearmand reads the number with atoi()


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
        if host.count(":") == 1:
            raise ArgumentError(f"{host!r} is not a host: Admin takes host and port apart")
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
        return self._ask("status", b"status", _replies.read_functions, LISTED, _replies.COLUMNS_3)

    def priority_status(self) -> list[PriorityStatus]:
        """Return the functions that the server knows, with the jobs that wait, by priority."""
        return self._ask(
            "priority_status",
            b"prioritystatus",
            _replies.read_priorities,
            LISTED,
            _replies.COLUMNS_4,
        )

    def workers(self) -> list[WorkerStatus]:
        """Return all connections to the server, of workers and clients, this one included.

        gearmand does not keep the identifier apart from the function names that follow it: an
        identifier that contains " : " is cut there, and a name with a space counts as two.
        """
        return self._ask("workers", b"workers", _replies.read_workers, LISTED, _replies.WORKER)

    def jobs(self) -> list[ServerJob]:
        """Return all jobs of the server, waiting or running, in no particular order."""
        return self._ask("jobs", b"show jobs", _replies.read_jobs, LISTED, _replies.COLUMNS_3)

    def unique_jobs(self) -> list[str]:
        """Return the unique key of each job of the server; "" for a job without one."""
        # A key may be ".", which ends the other lists.
        return self._ask("unique_jobs", b"show unique jobs", _replies.read_keys, MARKED)

    def version(self) -> str:
        """Return the version of the server, for instance ``"1.1.20"``."""
        return self._ask("version", b"version", _replies.read_ok(_replies.OK_TEXT))

    def verbose(self) -> str:
        """Return how much the server logs, for instance ``"ERROR"`` or ``"DEBUG"``."""
        return self._ask("verbose", b"verbose", _replies.read_ok(_replies.OK_TEXT))

    def getpid(self) -> int:
        """Return the process id of the server, on its own machine."""
        return int(self._ask("getpid", b"getpid", _replies.read_ok(_replies.OK_NUMBER)))

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
            high: the same for jobs of this priority; None: as `maximum`.
            normal: likewise.
            low: likewise.
        """
        limits = [maximum if limit is None else limit for limit in (high, normal, low)]
        for limit in limits:
            if limit is not None and not 0 < limit <= _QUEUE_LIMIT:
                raise ArgumentError(
                    f"{limit} is no limit of a queue: 1 to {_QUEUE_LIMIT} are, or None"
                )
        # Never two numbers: gearmand takes the one that is missing for no limit.
        numbers = b" ".join(b"%d" % (limit or 0) for limit in limits)
        self._order("maxqueue", b"maxqueue " + encode_function(function) + b" " + numbers)

    def create_function(self, function: str | bytes) -> None:
        """Make a function known to the server, so that ``maxqueue()`` can limit it.

        Does nothing when the server knows it already.

        Args:
            function: its name, 1 to 512 bytes without white space.
        """
        self._order("create_function", b"create function " + encode_function(function))

    def drop_function(self, function: str | bytes) -> None:
        """Make the server forget a function that has no workers, and no jobs.

        gearmand 1.1.20 refuses while there are workers or running jobs, but not while jobs wait:
        those are lost and keep their memory. It does not tell capital letters from small ones,
        and drops every function whose name differs in nothing else.

        Args:
            function: its name.
        """
        command = b"drop function " + encode_function(function)
        self._ask("drop_function", command, _replies.read_drops, MARKED, _replies.DROPPED)

    def cancel_job(self, job_handle: str | bytes) -> None:
        """Cancel a job that waits: no worker gets it. Clients that wait for it see it fail.

        A job that runs is not stopped; if its worker gives it up, it does not run again.

        Args:
            job_handle: its handle.

        Raises:
            ServerError: the server has no such job (``UNKNOWN_JOB``).
        """
        self._order("cancel_job", b"cancel job " + encode_handle(job_handle))

    def shutdown(self, graceful: bool = False) -> None:
        """End the server.

        gearmand 1.1.20 has lost this command and refuses it (``UNKNOWN_COMMAND``). There a signal
        to the process that ``getpid()`` names does it: SIGTERM, or SIGUSR1 for graceful.

        Args:
            graceful: let running jobs end first; the server takes no connections meanwhile.
        """
        self._order("shutdown", b"shutdown graceful" if graceful else b"shutdown")

    def _order(self, operation: str, command: bytes) -> None:
        self._ask(operation, command, _replies.read_ok(_replies.OK))

    def _ask(
        self,
        operation: str,
        command: bytes,
        parse: Parse[Answer],
        end: bytes | None = SINGLE,
        form: re.Pattern[bytes] | None = None,
    ) -> Answer:
        return self._connection.ask(
            operation, command, parse, form=form, end=end, timeout=self._timeout
        )
