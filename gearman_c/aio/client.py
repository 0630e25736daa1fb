"""The client for asyncio.

The socket is watched by the event loop. Only what may block - looking up names, connecting, asking
for a status - is done in a thread, one for each client. Where the descriptor of the socket is not
known (see "Large payloads" in docs/semantics.md), that thread does the waiting, too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .. import _gearman
from .._gearman import Task
from ..enums import Priority
from ..errors import ArgumentError, GearmanError, UsageError, WaitTimeoutError
from .runner import Needed, raise_error
from .submission import Submission

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Buffer

    from ..settings import TLS, JobStatus

_T = TypeVar("_T")
_Workload = TypeVar("_Workload", bound="str | Buffer")

_SLICE = 0.05  # seconds that the thread waits where the descriptor is not known


def _same(name: str) -> Any:
    """Return a property that is an attribute of the ``gearman_c.Client`` behind."""

    def read(client: Client) -> Any:
        return getattr(client.tasks, name)

    def write(client: Client, value: object) -> None:
        setattr(client.tasks, name, value)

    return property(read, write, doc=f"As ``gearman_c.Client.{name}``.")


class Client:
    """Submits jobs to Gearman servers from an event loop; it belongs to that loop.

    Any number of coroutines may use it at a time: what they submit goes over one connection. A
    coroutine that is cancelled leaves the client usable: its task is withdrawn. An error of the
    connection is raised in all that wait. An asynchronous context manager.

    Args:
        As for ``gearman_c.Client``.

    Attributes:
        tasks: the ``gearman_c.Client`` behind it. Its own ``run_tasks()``, ``do*()`` and
            ``submit()`` would block the event loop.
    """

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
    ) -> None:
        self.tasks = _gearman.Client(
            servers,
            timeout=timeout,
            namespace=namespace,
            identifier=identifier,
            tls=tls,
            max_in_flight=max_in_flight,
            resend=resend,
        )
        # The first foreground task would make the connection anew, which blocks.
        self.tasks.set_server_option("exceptions")
        self._thread: ThreadPoolExecutor | None = None
        self._blocking: asyncio.Future[Any] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._waiting = 0  # coroutines that need the runner
        self._done: list[Task] = []
        self._futures: dict[Task, asyncio.Future[None]] = {}
        self._abandoned: set[Task] = set()
        self._woken = asyncio.Event()
        self._watched = -1  # a copy of the connection's descriptor, so that nobody else gets its
        self._connection = 0  # number while the event loop watches it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # What does no I/O is the same as in gearman_c.Client.

    add_server = _same("add_server")
    add_servers = _same("add_servers")
    remove_servers = _same("remove_servers")
    servers = _same("servers")
    add_task = _same("add_task")
    add_task_high = _same("add_task_high")
    add_task_low = _same("add_task_low")
    add_task_background = _same("add_task_background")
    add_task_high_background = _same("add_task_high_background")
    add_task_low_background = _same("add_task_low_background")
    add_task_status = _same("add_task_status")
    add_task_status_by_unique = _same("add_task_status_by_unique")
    pending = _same("pending")
    closed = _same("closed")
    max_in_flight = _same("max_in_flight")
    resend = _same("resend")
    timeout = _same("timeout")
    namespace = _same("namespace")
    identifier = _same("identifier")
    options = _same("options")
    set_server_option = _same("set_server_option")
    set_log = _same("set_log")
    on_created = _same("on_created")
    on_data = _same("on_data")
    on_warning = _same("on_warning")
    on_status = _same("on_status")
    on_complete = _same("on_complete")
    on_exception = _same("on_exception")
    on_fail = _same("on_fail")
    on_workload = _same("on_workload")

    async def run_tasks(self, timeout: float | None = None) -> None:
        """Send the queued tasks, and wait until each is done; as ``gearman_c.Client.run_tasks()``.

        If it is cancelled, or the time is over, the tasks stay queued and in flight; the next
        call goes on.
        """
        async with Needed(self) as runner:
            self._woken.set()
            await asyncio.wait({runner}, timeout=timeout)
            if not runner.done():
                raise WaitTimeoutError(
                    f"{self.tasks.pending} tasks were not done in the time allowed; call "
                    "run_tasks() again to go on waiting"
                )
            raise_error(runner)

    async def do(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        timeout: float | None = None,
        priority: Priority | str = Priority.NORMAL,
    ) -> bytes:
        """Run a foreground job and return its result; as ``gearman_c.Client.do()``."""
        add = _add_function(self.tasks, priority, background=False)
        task = add(function, workload, unique=unique)
        await self._finish(task, timeout)
        return task.data + task.result()

    async def do_high(
        self, function: str | bytes, workload: str | Buffer | None = b"", **options: Any
    ) -> bytes:
        """As ``do()``, with high priority."""
        return await self.do(function, workload, priority=Priority.HIGH, **options)

    async def do_low(
        self, function: str | bytes, workload: str | Buffer | None = b"", **options: Any
    ) -> bytes:
        """As ``do()``, with low priority."""
        return await self.do(function, workload, priority=Priority.LOW, **options)

    async def do_background(
        self,
        function: str | bytes,
        workload: str | Buffer | None = b"",
        *,
        unique: str | bytes | None = None,
        timeout: float | None = None,
        at: datetime | float | None = None,
        priority: Priority | str = Priority.NORMAL,
    ) -> str:
        """Submit a background job and return its handle; as ``Client.do_background()``."""
        if at is not None:
            return await self._in_thread(
                lambda: self.tasks.do_background(
                    function, workload, unique=unique, timeout=timeout, at=at
                )
            )
        add = _add_function(self.tasks, priority, background=True)
        task = add(function, workload, unique=unique)
        await self._finish(task, timeout)
        if task.error is not None:
            raise task.error
        return task.job_handle or ""

    async def do_high_background(
        self, function: str | bytes, workload: str | Buffer | None = b"", **options: Any
    ) -> str:
        """As ``do_background()``, with high priority."""
        return await self.do_background(function, workload, priority=Priority.HIGH, **options)

    async def do_low_background(
        self, function: str | bytes, workload: str | Buffer | None = b"", **options: Any
    ) -> str:
        """As ``do_background()``, with low priority."""
        return await self.do_background(function, workload, priority=Priority.LOW, **options)

    def submit(
        self,
        function: str | bytes,
        workloads: Iterable[_Workload] | AsyncIterable[_Workload],
        *,
        priority: Priority | str = Priority.NORMAL,
        unique: Callable[[_Workload], str | bytes | None] | None = None,
        background: bool = True,
    ) -> Submission[_Workload]:
        """Submit a job for each workload of an iterable, as a stream.

        As ``gearman_c.Client.submit()``; the iterable may be asynchronous.
        """
        add = _add_function(self.tasks, priority, background=background)
        return Submission(self, partial(add, function), workloads, unique, background)

    async def job_status(self, job_handle: str | bytes, timeout: float | None = None) -> JobStatus:
        """As ``gearman_c.Client.job_status()``."""
        return await self._in_thread(lambda: self.tasks.job_status(job_handle, timeout))

    async def unique_status(self, unique: str | bytes, timeout: float | None = None) -> JobStatus:
        """As ``gearman_c.Client.unique_status()``."""
        return await self._in_thread(lambda: self.tasks.unique_status(unique, timeout))

    async def echo(self, workload: str | Buffer, timeout: float | None = None) -> None:
        """As ``gearman_c.Client.echo()``."""
        await self._in_thread(lambda: self.tasks.echo(workload, timeout))

    async def close(self) -> None:
        """Close the connection; as ``gearman_c.Client.close()``. What waits is cancelled."""
        if self._runner is not None:
            self._runner.cancel()
            with suppress(BaseException):
                await asyncio.wait({self._runner})
        self._fail(UsageError("the client was closed"))
        await self._after_blocking()
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None
        self.tasks.close()

    # One coroutine, the runner, brings the tasks to the server, as long as somebody waits.

    async def _run(self) -> None:
        first = True
        try:
            await self._after_blocking()
            while True:
                if not _gearman._is_prepared(self.tasks):
                    await self._in_thread(partial(_gearman._prepare, self.tasks))
                self._woken.clear()
                self._watch_socket()
                if self._watched >= 0:
                    finished = _gearman._poll(self.tasks, first)
                else:
                    finished = await self._in_thread(
                        partial(_gearman._poll, self.tasks, first, _SLICE)
                    )
                first = False
                self._tell()
                if finished:
                    return
                if self._watched >= 0 and _gearman._is_prepared(self.tasks):
                    await self._ready()
        except Exception as error:
            self._tell()
            self._fail(error)
            raise
        finally:
            self._forget_socket()

    def _watch_socket(self) -> None:
        """Have the event loop wake the runner, where the descriptor is known."""
        descriptor, connection = _gearman._descriptor(self.tasks)
        if self._watched >= 0 and self._connection != connection:
            self._forget_socket()
        if self._watched < 0 and descriptor >= 0:
            self._watched, self._connection = os.dup(descriptor), connection
            asyncio.get_running_loop().add_reader(self._watched, self._woken.set)

    def _forget_socket(self) -> None:
        if self._watched >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._watched)
            loop.remove_writer(self._watched)
            os.close(self._watched)
            self._watched = -1

    async def _ready(self) -> None:
        """Wait until the socket is ready, or there is something new to send."""
        loop = asyncio.get_running_loop()
        unsent = _gearman._is_unsent(self.tasks)
        if unsent:
            loop.add_writer(self._watched, self._woken.set)
        try:
            # The client's own limit of silence is looked at in _poll().
            async with asyncio.timeout(None if self.tasks.timeout is None else 0.1):
                await self._woken.wait()
        except TimeoutError:
            pass
        finally:
            if unsent:
                loop.remove_writer(self._watched)

    def _tell(self) -> None:
        """Wake those whose tasks are done, and withdraw what nobody waits for."""
        done, self._done[:] = self._done[:], []
        for task in done:
            future = self._futures.pop(task, None)
            if future is not None and not future.done():
                future.set_result(None)
        self._abandoned = {task for task in self._abandoned if not self._withdraw(task)}

    def _withdraw(self, task: Task) -> bool:
        try:
            return _gearman._abandon(self.tasks, task)
        except GearmanError:
            return task.is_finished  # the connection broke, which the next run may raise, too

    def _fail(self, error: Exception) -> None:
        """Raise an error of the run in all who wait for a task."""
        futures, self._futures = self._futures, {}
        for future in futures.values():
            if not future.done():
                future.set_exception(error)

    async def _after_blocking(self) -> None:
        """Wait for a blocking call whose caller was cancelled."""
        while self._blocking is not None and not self._blocking.done():
            await asyncio.wait({self._blocking})

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        if self._thread is None:
            if self.tasks.closed:
                raise UsageError("the client is closed; make a new one")
            self._thread = ThreadPoolExecutor(1, "gearman_c")
        loop = asyncio.get_running_loop()
        self._blocking = future = loop.run_in_executor(self._thread, call)
        return await asyncio.shield(future)

    def _future(self, task: Task) -> asyncio.Future[None]:
        future = self._futures[task] = asyncio.get_running_loop().create_future()
        _gearman._watch(task, self._done)
        return future

    async def _finish(self, task: Task, timeout: float | None) -> None:
        """Wait until a task is done; if that fails, nothing of it stays in the client."""
        future = self._future(task)
        try:
            async with Needed(self), asyncio.timeout(timeout):
                self._woken.set()
                await future
        except TimeoutError as error:
            if isinstance(error, WaitTimeoutError):
                raise
            raise WaitTimeoutError(
                "the job was not done in the time allowed", unconfirmed=(task,)
            ) from None
        finally:
            self._futures.pop(task, None)
            if not task.is_finished and not self.tasks.closed:
                self._abandoned.add(task)
                if self._blocking is None or self._blocking.done():
                    self._tell()


def _add_function(
    client: _gearman.Client, priority: Priority | str, *, background: bool
) -> Callable[..., Task]:
    try:
        rank = Priority(priority)  # type: ignore[arg-type]  # it takes names, too
    except ValueError:
        raise ArgumentError(f"{priority!r} is not a priority: high, normal and low are") from None
    middle = "" if rank is Priority.NORMAL else f"_{rank.name.lower()}"
    function: Callable[..., Task] = getattr(
        client, f"add_task{middle}{'_background' if background else ''}"
    )
    return function
