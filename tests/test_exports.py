"""The public names, spelled out: a change here is a change for users."""

from __future__ import annotations

import importlib
import importlib.metadata
from importlib.resources import files

import pytest

import gearman_c
from gearman_c import errors
from gearman_c.testing import Gearmand

ERRORS = [
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

NAMES = {
    "gearman_c": [
        *ERRORS,
        "Admin",
        "Client",
        "ClientOption",
        "FunctionStatus",
        "Job",
        "JobStatus",
        "Priority",
        "PriorityStatus",
        "ReturnCode",
        "ServerJob",
        "Submission",
        "TLS",
        "Task",
        "TaskState",
        "Worker",
        "WorkerOption",
        "WorkerStatus",
        "__version__",
        "libgearman_version",
    ],
    "gearman_c.admin": ["Admin"],
    "gearman_c.aio": ["Client", "Submission"],
    "gearman_c.errors": ERRORS,
    "gearman_c.worker": ["Worker"],
    "gearman_c.testing": [
        "DrainedJob",
        "FunctionStatus",
        "Gearmand",
        "ServerReplyError",
        "drain",
        "find_gearmand",
        "submit",
        "unused_port",
    ],
}

ATTRIBUTES: dict[type, list[str]] = {
    gearman_c.Admin: [
        "cancel_job",
        "close",
        "create_function",
        "drop_function",
        "getpid",
        "jobs",
        "maxqueue",
        "priority_status",
        "shutdown",
        "status",
        "unique_jobs",
        "verbose",
        "version",
        "workers",
    ],
    gearman_c.Client: [
        "add_server",
        "add_servers",
        "add_task",
        "add_task_background",
        "add_task_high",
        "add_task_high_background",
        "add_task_low",
        "add_task_low_background",
        "add_task_status",
        "add_task_status_by_unique",
        "cancel_job",
        "clone",
        "close",
        "closed",
        "do",
        "do_background",
        "do_high",
        "do_high_background",
        "do_low",
        "do_low_background",
        "echo",
        "execute",
        "execute_by_partition",
        "identifier",
        "job_status",
        "max_in_flight",
        "namespace",
        "on_complete",
        "on_created",
        "on_data",
        "on_exception",
        "on_fail",
        "on_status",
        "on_warning",
        "on_workload",
        "options",
        "pending",
        "remove_servers",
        "resend",
        "run_tasks",
        "servers",
        "set_log",
        "set_server_option",
        "submit",
        "timeout",
        "unique_status",
    ],
    gearman_c.Task: [
        "background",
        "cancel",
        "chunks",
        "context",
        "data",
        "denominator",
        "error",
        "function_name",
        "is_finished",
        "is_known",
        "is_running",
        "job_handle",
        "numerator",
        "priority",
        "result",
        "return_code",
        "state",
        "unique",
        "warnings",
        "workload",
    ],
    gearman_c.Submission: [],
    gearman_c.Worker: [
        "add_function",
        "add_server",
        "add_servers",
        "clone",
        "close",
        "closed",
        "echo",
        "exceptions",
        "function_exist",
        "grab_job",
        "identifier",
        "namespace",
        "options",
        "register",
        "remove_servers",
        "run",
        "servers",
        "set_log",
        "stop",
        "timeout",
        "unregister",
        "unregister_all",
        "work",
    ],
    gearman_c.Job: [
        "function_name",
        "handle",
        "is_finished",
        "send_complete",
        "send_data",
        "send_exception",
        "send_fail",
        "send_status",
        "send_warning",
        "unique",
        "workload",
    ],
    Gearmand: [
        "address",
        "command",
        "host",
        "kill",
        "log",
        "pause",
        "pid",
        "port",
        "restart",
        "resume",
        "running",
        "start",
        "status",
        "stop",
    ],
}


@pytest.mark.parametrize("module", NAMES)
@pytest.mark.smoke
def test_all(module: str) -> None:
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == sorted(NAMES[module])
    assert all(hasattr(loaded, name) for name in loaded.__all__)


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_attributes(kind: type) -> None:
    assert [name for name in dir(kind) if not name.startswith("_")] == ATTRIBUTES[kind]


@pytest.mark.parametrize("name", ERRORS)
def test_one_class_under_both_names(name: str) -> None:
    assert getattr(gearman_c, name) is getattr(errors, name)


@pytest.mark.parametrize("kind", [*ATTRIBUTES, *(getattr(errors, name) for name in ERRORS)])
def test_everything_is_documented(kind: type) -> None:
    assert kind.__doc__
    # A field that Cython merely makes readable has no docstring.
    public = set(ATTRIBUTES.get(kind, [])) - {"context", "max_in_flight", "resend"}
    assert [name for name in public if not getattr(kind, name).__doc__] == []


@pytest.mark.parametrize("name", ["py.typed", "_gearman.pyi"])
def test_typed(name: str) -> None:
    assert files(gearman_c).joinpath(name).is_file()


@pytest.mark.smoke
def test_versions() -> None:
    assert gearman_c.__version__ == importlib.metadata.version("gearman_c")
    major, minor, *_ = gearman_c.libgearman_version().split(".")
    assert (int(major), int(minor)) >= (1, 1)
