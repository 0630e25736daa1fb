"""The constants of libgearman, under their own names, as enumerations.

The values are literal so that reading this file needs no library; a test asks libgearman for
the name of each.
"""

from enum import IntEnum, IntFlag
from typing import Self


class ReturnCode(IntEnum):
    """What a libgearman function returned: ``gearman_return_t`` without the prefix."""

    SUCCESS = 0
    IO_WAIT = 1
    SHUTDOWN = 2
    SHUTDOWN_GRACEFUL = 3
    ERRNO = 4
    EVENT = 5
    TOO_MANY_ARGS = 6
    NO_ACTIVE_FDS = 7
    INVALID_MAGIC = 8
    INVALID_COMMAND = 9
    INVALID_PACKET = 10
    UNEXPECTED_PACKET = 11
    GETADDRINFO = 12
    NO_SERVERS = 13
    LOST_CONNECTION = 14
    MEMORY_ALLOCATION_FAILURE = 15
    JOB_EXISTS = 16
    JOB_QUEUE_FULL = 17
    SERVER_ERROR = 18
    WORK_ERROR = 19
    WORK_DATA = 20
    WORK_WARNING = 21
    WORK_STATUS = 22
    WORK_EXCEPTION = 23
    WORK_FAIL = 24
    NOT_CONNECTED = 25
    COULD_NOT_CONNECT = 26
    SEND_IN_PROGRESS = 27
    RECV_IN_PROGRESS = 28
    NOT_FLUSHING = 29
    DATA_TOO_LARGE = 30
    INVALID_FUNCTION_NAME = 31
    INVALID_WORKER_FUNCTION = 32
    NO_REGISTERED_FUNCTION = 33
    NO_REGISTERED_FUNCTIONS = 34
    NO_JOBS = 35
    ECHO_DATA_CORRUPTION = 36
    NEED_WORKLOAD_FN = 37
    PAUSE = 38
    UNKNOWN_STATE = 39
    PTHREAD = 40
    PIPE_EOF = 41
    QUEUE_ERROR = 42
    FLUSH_DATA = 43
    SEND_BUFFER_TOO_SMALL = 44
    IGNORE_PACKET = 45
    UNKNOWN_OPTION = 46
    TIMEOUT = 47
    ARGUMENT_TOO_LARGE = 48
    INVALID_ARGUMENT = 49
    IN_PROGRESS = 50
    INVALID_SERVER_OPTION = 51
    JOB_NOT_FOUND = 52


class ClientOption(IntFlag):
    """The options of a client: ``gearman_client_options_t`` without the prefix."""

    ALLOCATED = 1 << 0
    NON_BLOCKING = 1 << 1
    TASK_IN_USE = 1 << 2
    UNBUFFERED_RESULT = 1 << 3
    NO_NEW = 1 << 4
    FREE_TASKS = 1 << 5
    GENERATE_UNIQUE = 1 << 6
    EXCEPTION = 1 << 7
    SSL = 1 << 8


class WorkerOption(IntFlag):
    """The options of a worker: ``gearman_worker_options_t`` without the prefix."""

    ALLOCATED = 1 << 0
    NON_BLOCKING = 1 << 1
    PACKET_INIT = 1 << 2
    GRAB_JOB_IN_USE = 1 << 3
    PRE_SLEEP_IN_USE = 1 << 4
    WORK_JOB_IN_USE = 1 << 5
    CHANGE = 1 << 6
    GRAB_UNIQ = 1 << 7
    TIMEOUT_RETURN = 1 << 8
    GRAB_ALL = 1 << 9
    SSL = 1 << 10
    IDENTIFIER = 1 << 11


class Priority(IntEnum):
    """The queue of a function a job waits in: ``gearman_job_priority_t`` without the prefix."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """Take its name, in any case, for a priority."""
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class TaskState(IntEnum):
    """Where a task is on its way."""

    PENDING = 0
    """In the client's queue; no server has seen it."""
    IN_FLIGHT = 1
    """Given to libgearman, and not known to have been sent."""
    UNCONFIRMED = 2
    """Handed to a connection that broke, or a run that ended, too early; the server may have it.

    The next run sends a background task again. A foreground task is not sent again.
    """
    RUNNING = 3
    """A foreground job that the server has acknowledged; how it ends is not known yet."""
    CREATED = 4
    """A background job that the server has acknowledged; the task has the handle of its job."""
    COMPLETE = 5
    """A foreground job that its worker has done, or a status that the server has told."""
    FAILED = 6
    """The job failed, or was refused, or is never to be sent again; ``Task.error`` says why."""
    CANCELLED = 7
    """Withdrawn by ``Task.cancel()`` or by closing the client before it was sent."""
