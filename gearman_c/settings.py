"""What a client is told, and what it tells, in more than one word."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What a server says about a job.

    Attributes:
        is_known: whether the server has the job: queued, or with a worker.
        is_running: whether a worker is at it.
        numerator: how far the worker says it is; 0 until it says so.
        denominator: of how much; 0 until it says so.
        client_count: how many clients wait for its result; None where the server was asked by
            handle, which does not tell.
    """

    is_known: bool
    is_running: bool
    numerator: int
    denominator: int
    client_count: int | None = None


@dataclass(frozen=True, slots=True)
class TLS:
    """The files of an encrypted connection, in PEM format.

    Args:
        ca: the certificate of the authority that signed the server's.
        certificate: the client's own.
        key: the private key of that.
    """

    ca: str | PathLike[str] | None = None
    certificate: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None


@dataclass(frozen=True, slots=True)
class FunctionStatus:
    """What a server says about a function.

    Attributes:
        function_name: its name; bytes that are not UTF-8 are lone surrogates, as in file names.
        total: how many of its jobs the server has, those running included.
        running: how many of them are with a worker.
        available_workers: how many workers offer it, busy or not.
    """

    function_name: str
    total: int
    running: int
    available_workers: int


@dataclass(frozen=True, slots=True)
class PriorityStatus:
    """What a server says about the queues of a function.

    Attributes:
        function_name: as in ``FunctionStatus``.
        high: how many jobs of high priority wait for a worker.
        normal: how many of normal priority.
        low: how many of low priority.
        available_workers: how many workers offer it, busy or not.
    """

    function_name: str
    high: int
    normal: int
    low: int
    available_workers: int


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A connection to a server. Clients are listed too: they offer no function.

    Attributes:
        descriptor: the number of the connection in the server.
        address: where it comes from, an IP address.
        identifier: what it calls itself; None if it has not said so.
        functions: the names of the functions that it offers.
    """

    descriptor: int
    address: str
    identifier: str | None
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerJob:
    """A job that a server has, waiting or running.

    Attributes:
        job_handle: its handle.
        retries: how many workers gave it up, or were lost with it.
        ignored: whether it was cancelled, or the clients that wanted its result have gone. It
            stays in the queue until a worker would get it.
        queued: whether it is a background job, kept in the durable queue if there is one.
    """

    job_handle: str
    retries: int
    ignored: bool
    queued: bool
