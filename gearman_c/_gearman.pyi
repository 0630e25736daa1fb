"""Types of the extension; its docstrings are in the extension itself."""

from collections.abc import Callable, Iterable
from datetime import datetime
from logging import Logger
from types import TracebackType
from typing import Any, Self, TypeVar, final

from typing_extensions import Buffer

from .enums import ClientOption, Priority, ReturnCode, TaskState
from .errors import GearmanError
from .settings import TLS, JobStatus

_Workload = TypeVar("_Workload", bound=str | Buffer)

@final
class Client:
    def __init__(
        self,
        servers: str | Iterable[str | tuple[str, int]] | None = None,
        *,
        timeout: float | None = None,
        namespace: str | bytes | None = None,
        identifier: str | bytes | None = None,
        tls: TLS | None = None,
        max_in_flight: int = 1000,
        resend: bool = True,
    ) -> None: ...
    def __del__(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def add_server(self, host: str = "localhost", port: int = 4730) -> None: ...
    def add_servers(self, servers: str | Iterable[str | tuple[str, int]]) -> None: ...
    def remove_servers(self) -> None: ...
    @property
    def servers(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def max_in_flight(self) -> int: ...
    @property
    def resend(self) -> bool: ...
    @property
    def timeout(self) -> float | None: ...
    @timeout.setter
    def timeout(self, timeout: float | None) -> None: ...
    @property
    def on_created(self) -> Callable[[Task], object] | None: ...
    @on_created.setter
    def on_created(self, function: Callable[[Task], object] | None) -> None: ...
    @property
    def on_data(self) -> Callable[[Task], object] | None: ...
    @on_data.setter
    def on_data(self, function: Callable[[Task], object] | None) -> None: ...
    @property
    def on_warning(self) -> Callable[[Task], object] | None: ...
    @on_warning.setter
    def on_warning(self, function: Callable[[Task], object] | None) -> None: ...
    @property
    def on_status(self) -> Callable[[Task], object] | None: ...
    @on_status.setter
    def on_status(self, function: Callable[[Task], object] | None) -> None: ...
    @property
    def on_complete(self) -> Callable[[Task], object] | None: ...
    @on_complete.setter
    def on_complete(self, function: Callable[[Task], object] | None) -> None: ...
    @property
    def on_exception(self) -> Callable[[Task], object] | None: ...
    @on_exception.setter
    def on_exception(self, function: Callable[[Task], object] | None) -> None: ...
    @property
    def on_fail(self) -> Callable[[Task], object] | None: ...
    @on_fail.setter
    def on_fail(self, function: Callable[[Task], object] | None) -> None: ...
    @property
    def on_workload(self) -> Callable[[Task], str | Buffer] | None: ...
    @on_workload.setter
    def on_workload(self, function: Callable[[Task], str | Buffer] | None) -> None: ...
    @property
    def namespace(self) -> str | None: ...
    @namespace.setter
    def namespace(self, text: str | bytes | None) -> None: ...
    @property
    def identifier(self) -> str | None: ...
    @identifier.setter
    def identifier(self, text: str | bytes | None) -> None: ...
    @property
    def options(self) -> ClientOption: ...
    @options.setter
    def options(self, options: ClientOption | int) -> None: ...
    def set_server_option(self, name: str | bytes) -> None: ...
    def set_log(
        self, target: Logger | Callable[[int, str], object] | None, level: int = 20
    ) -> None: ...
    def clone(self) -> Client: ...
    @property
    def pending(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def add_task(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        context: Any = None,
    ) -> Task: ...
    def add_task_high(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        context: Any = None,
    ) -> Task: ...
    def add_task_low(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        context: Any = None,
    ) -> Task: ...
    def add_task_background(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        context: Any = None,
    ) -> Task: ...
    def add_task_high_background(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        context: Any = None,
    ) -> Task: ...
    def add_task_low_background(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        context: Any = None,
    ) -> Task: ...
    def add_task_status(self, job_handle: str | bytes, *, context: Any = None) -> Task: ...
    def add_task_status_by_unique(self, unique: str | bytes, *, context: Any = None) -> Task: ...
    def do(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        timeout: float | None = None,
    ) -> bytes: ...
    def do_high(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        timeout: float | None = None,
    ) -> bytes: ...
    def do_low(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        timeout: float | None = None,
    ) -> bytes: ...
    def do_background(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        timeout: float | None = None,
        at: datetime | float | None = None,
    ) -> str: ...
    def do_high_background(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        timeout: float | None = None,
        at: datetime | float | None = None,
    ) -> str: ...
    def do_low_background(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        timeout: float | None = None,
        at: datetime | float | None = None,
    ) -> str: ...
    def execute(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        context: Any = None,
        priority: Priority | str = Priority.NORMAL,
        background: bool = False,
        at: datetime | float | None = None,
        timeout: float | None = None,
    ) -> Task: ...
    def cancel_job(self, job_handle: str | bytes, timeout: float | None = None) -> None: ...
    def job_status(self, job_handle: str | bytes, timeout: float | None = None) -> JobStatus: ...
    def unique_status(self, unique: str | bytes, timeout: float | None = None) -> JobStatus: ...
    def run_tasks(self, timeout: float | None = None) -> None: ...
    def submit(
        self,
        function: str | bytes,
        workloads: Iterable[_Workload],
        *,
        priority: Priority | str = Priority.NORMAL,
        unique: Callable[[_Workload], str | bytes | None] | None = None,
        background: bool = True,
    ) -> Submission: ...
    def echo(self, workload: str | Buffer, timeout: float | None = None) -> None: ...
    def close(self) -> None: ...

@final
class Task:
    @property
    def function_name(self) -> str: ...
    @property
    def unique(self) -> str: ...
    @property
    def workload(self) -> bytes | None: ...
    @property
    def context(self) -> Any: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def background(self) -> bool: ...
    @property
    def job_handle(self) -> str | None: ...
    @property
    def state(self) -> TaskState: ...
    @property
    def return_code(self) -> ReturnCode: ...
    @property
    def error(self) -> GearmanError | None: ...
    @property
    def is_known(self) -> bool: ...
    @property
    def is_running(self) -> bool: ...
    @property
    def is_finished(self) -> bool: ...
    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    @property
    def chunks(self) -> tuple[bytes, ...]: ...
    @property
    def warnings(self) -> tuple[bytes, ...]: ...
    def result(self) -> bytes: ...
    def cancel(self) -> bool: ...

@final
class Submission:
    def __iter__(self) -> Self: ...
    def __next__(self) -> Task: ...

def libgearman_version() -> str: ...
