"""Python binding of libgearman: submit jobs to Gearman servers at the speed of C."""

from importlib.metadata import version as _version

from ._gearman import Client, Submission, Task, libgearman_version
from .enums import ClientOption, Priority, ReturnCode, TaskState
from .errors import (
    ArgumentError,
    ConnectionFailedError,
    GearmanError,
    JobFailedError,
    NotSupportedError,
    ProtocolError,
    QueueFullError,
    ServerError,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)
from .settings import TLS, JobStatus

__version__ = _version("gearman_c")

__all__ = [
    "TLS",
    "ArgumentError",
    "Client",
    "ClientOption",
    "ConnectionFailedError",
    "GearmanError",
    "JobFailedError",
    "JobStatus",
    "NotSupportedError",
    "Priority",
    "ProtocolError",
    "QueueFullError",
    "ReturnCode",
    "ServerError",
    "Submission",
    "Task",
    "TaskState",
    "UnconfirmedError",
    "UsageError",
    "WaitTimeoutError",
    "__version__",
    "libgearman_version",
]
