"""The exceptions of gearman_c: one tree, one class for each thing a caller can do about it.

Each class lists the return codes of libgearman it stands for in ``codes``; the table from code to
class is built from the classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .enums import ReturnCode

if TYPE_CHECKING:
    from ._gearman import Task

__all__ = [
    "ArgumentError",
    "ConnectionFailedError",
    "GearmanError",
    "JobFailed",
    "JobFailedError",
    "NotSupportedError",
    "ProtocolError",
    "QueueFullError",
    "ServerError",
    "UnconfirmedError",
    "UsageError",
    "WaitTimeoutError",
]

_classes: dict[ReturnCode, type[GearmanError]] = {}


def class_for(code: ReturnCode) -> type[GearmanError]:
    """Return the exception class that stands for a return code of libgearman."""
    return _classes.get(code, GearmanError)


class GearmanError(Exception):
    """Any failure of gearman_c; the base of the tree.

    Attributes:
        code: the ``ReturnCode`` of libgearman behind it, or None where libgearman was not asked.
        operation: what was being done, for instance ``"run_tasks"``.
        detail: libgearman's or the server's own words, whole.
        task: the ``Task`` to blame, or None.
        unconfirmed: the tasks that had been handed to a connection and not acknowledged when
            this was raised, oldest first. The server may or may not have them.
    """

    codes: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        code: ReturnCode | None = None,
        operation: str | None = None,
        detail: str | None = None,
        task: Task | None = None,
        unconfirmed: tuple[Task, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.operation = operation
        self.detail = detail
        self.task = task
        self.unconfirmed = unconfirmed

    def __init_subclass__(cls) -> None:
        for name in vars(cls).get("codes", "").split():
            code = ReturnCode[name]
            if code in _classes:
                raise RuntimeError(f"{name} is claimed by {_classes[code].__name__} already")
            _classes[code] = cls

    def __reduce__(self) -> tuple[Any, ...]:
        # Tasks belong to a client of this process, so they stay behind.
        state = {k: v for k, v in vars(self).items() if k not in ("task", "unconfirmed")}
        return (_rebuild, (type(self), self.args, state))


def _rebuild(cls: type[GearmanError], args: tuple[Any, ...], state: dict[str, Any]) -> GearmanError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.task = None
    error.unconfirmed = ()
    error.__dict__.update(state)
    return error


class ConnectionFailedError(GearmanError, ConnectionError):
    """No server could be reached, or the connection to it broke."""

    codes = "GETADDRINFO NO_SERVERS LOST_CONNECTION NOT_CONNECTED COULD_NOT_CONNECT NO_ACTIVE_FDS"


class WaitTimeoutError(GearmanError, TimeoutError):
    """The time allowed was over before the work was done."""

    codes = "TIMEOUT"


class ArgumentError(GearmanError, ValueError):
    """An argument has a value that Gearman cannot carry."""

    codes = "INVALID_ARGUMENT ARGUMENT_TOO_LARGE DATA_TOO_LARGE INVALID_FUNCTION_NAME TOO_MANY_ARGS"


class ServerError(GearmanError):
    """The server answered with an error."""

    codes = "SERVER_ERROR INVALID_SERVER_OPTION UNKNOWN_OPTION JOB_NOT_FOUND"


class QueueFullError(ServerError):
    """The server's queue for a function takes no more; the refused tasks stay pending."""

    codes = "QUEUE_ERROR JOB_QUEUE_FULL"


class ProtocolError(GearmanError):
    """What came over the connection is not the Gearman protocol."""

    codes = (
        "INVALID_MAGIC INVALID_COMMAND INVALID_PACKET UNEXPECTED_PACKET ECHO_DATA_CORRUPTION "
        "IGNORE_PACKET SEND_BUFFER_TOO_SMALL"
    )


class JobFailedError(GearmanError):
    """A worker reported that it could not do the job.

    Attributes:
        data: what the worker sent about its exception, bytes; None if it just failed.
    """

    codes = "WORK_FAIL WORK_EXCEPTION WORK_ERROR"

    def __init__(self, message: str = "", *, data: bytes | None = None, **known: Any) -> None:
        super().__init__(message, **known)
        self.data = data


class UnconfirmedError(GearmanError):
    """The connection broke, and nobody knows what became of the task; it is not sent again.

    A background task only with ``Client(resend=False)``: it was sent and not acknowledged. A
    foreground task always: a worker may be at it.
    """


class UsageError(GearmanError, RuntimeError):
    """The call does not fit the state of the object: closed, busy, or of another process."""


class NotSupportedError(GearmanError):
    """The libgearman that is loaded, or this version of gearman_c, lacks the function."""


class JobFailed(Exception):  # noqa: N818 - said, not suffered: the job failed, the callable did not
    """Raised by a worker's callable to let its job fail, without a traceback in the log.

    A text given to it is told to the client that waits for the job, as a warning.
    """
