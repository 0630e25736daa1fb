"""Python binding of libgearman: submit jobs to Gearman servers at the speed of C."""

# First, since it refuses sub-interpreters: Python 3.12.1 crashes when one has imported datetime,
# as importlib.metadata does, and then the main interpreter does.
from ._gearman import Client, Job, Submission, Task, libgearman_version

# isort: split
from importlib.metadata import version as _version

from .admin import Admin
from .enums import ClientOption, Priority, ReturnCode, TaskState, WorkerOption
from .errors import (
    ArgumentError,
    ConnectionFailedError,
    GearmanError,
    JobFailed,
    JobFailedError,
    NotSupportedError,
    ProtocolError,
    QueueFullError,
    ServerError,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)
from .settings import (
    TLS,
    FunctionStatus,
    JobStatus,
    PriorityStatus,
    ServerJob,
    WorkerStatus,
)
from .worker import Worker

__version__ = _version("gearman_c")

__all__ = [
    "TLS",
    "Admin",
    "ArgumentError",
    "Client",
    "ClientOption",
    "ConnectionFailedError",
    "FunctionStatus",
    "GearmanError",
    "Job",
    "JobFailed",
    "JobFailedError",
    "JobStatus",
    "NotSupportedError",
    "Priority",
    "PriorityStatus",
    "ProtocolError",
    "QueueFullError",
    "ReturnCode",
    "ServerError",
    "ServerJob",
    "Submission",
    "Task",
    "TaskState",
    "UnconfirmedError",
    "UsageError",
    "WaitTimeoutError",
    "Worker",
    "WorkerOption",
    "WorkerStatus",
    "__version__",
    "libgearman_version",
]
