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
        numerator, denominator: how far the worker says it is; 0 and 0 until it says so.
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
        certificate, key: the client's own.
    """

    ca: str | PathLike[str] | None = None
    certificate: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None
