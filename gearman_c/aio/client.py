"""The client for asyncio.

The socket is watched by the event loop. Only what may block is done in threads: looking up names
and connecting in one, questions in another. Where the descriptor of the socket is not known (see
"Large payloads" in docs/semantics.md), the first does the waiting, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .. import _gearman
from .._gearman import Task
from ..enums import ClientOption, Priority, ReturnCode, TaskState
from ..errors import UsageError, WaitTimeoutError
from .behind import Same, adding, passing
from .calls import Calls
from .runner import Runner
from .submission import Submission

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Buffer

    from ..settings import TLS, JobStatus

_T = TypeVar("_T")
_Listener = Callable[[Task], object]
_Workload = TypeVar("_Workload", bound="str | Buffer")


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
        self._runner = Runner(self.tasks)
        self._questions = Calls()

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

    add_server = passing(_gearman.Client.add_server)
    add_servers = passing(_gearman.Client.add_servers)
    remove_servers = passing(_gearman.Client.remove_servers)
    servers = Same[tuple[tuple[str, int], ...]]()
    add_task = adding(_gearman.Client.add_task)
    add_task_high = adding(_gearman.Client.add_task_high)
    add_task_low = adding(_gearman.Client.add_task_low)
    add_task_background = adding(_gearman.Client.add_task_background)
    add_task_high_background = adding(_gearman.Client.add_task_high_background)
    add_task_low_background = adding(_gearman.Client.add_task_low_background)
    add_task_status = adding(_gearman.Client.add_task_status)
    add_task_status_by_unique = adding(_gearman.Client.add_task_status_by_unique)
    pending = Same[int]()
    closed = Same[bool]()
    max_in_flight = Same[int]()
    resend = Same[bool]()
    timeout = Same["float | None"]()
    namespace = Same["str | bytes | None"]()
    identifier = Same["str | bytes | None"]()
    options = Same[ClientOption]()
    set_server_option = passing(_gearman.Client.set_server_option)
    set_log = passing(_gearman.Client.set_log)
    on_created = Same["_Listener | None"]()
    on_data = Same["_Listener | None"]()
    on_warning = Same["_Listener | None"]()
    on_status = Same["_Listener | None"]()
    on_complete = Same["_Listener | None"]()
    on_exception = Same["_Listener | None"]()
    on_fail = Same["_Listener | None"]()
    on_workload = Same["Callable[[Task], str | Buffer] | None"]()

    async def run_tasks(self, timeout: float | None = None) -> None:
        """Send the queued tasks, and wait until each is done; as ``gearman_c.Client.run_tasks()``.

        If it is cancelled, or the time is over, the tasks stay queued and in flight; the next
        call goes on.
        """
        timeout = _gearman._seconds(timeout)
        with self._runner.waiting() as all_done:
            self._runner.tell_when_all_is_done(all_done)
            await asyncio.wait({all_done}, timeout=timeout)
            if not all_done.done():
                raise WaitTimeoutError(
                    f"{self.tasks.pending} tasks were not done in the time allowed; call "
                    "run_tasks() again to go on waiting",
                    code=ReturnCode.TIMEOUT,
                    operation="run_tasks",
                )
            all_done.result()

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
        timeout = _gearman._seconds(timeout)
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
        add = _add_function(self.tasks, priority, background=True)
        if at is not None:
            return await self._ask(
                lambda client: client.do_background(
                    function, workload, unique=unique, timeout=timeout, at=at
                )
            )
        timeout = _gearman._seconds(timeout)
        task = add(function, workload, unique=unique)
        await self._finish(task, timeout)
        if task.error is not None:
            raise task.error
        if task.job_handle is None:
            raise UsageError("the task was cancelled")
        return task.job_handle

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
        return Submission(self._runner, partial(add, function), workloads, unique, background)

    async def job_status(self, job_handle: str | bytes, timeout: float | None = None) -> JobStatus:
        """As ``gearman_c.Client.job_status()``."""
        return await self._ask(lambda client: client.job_status(job_handle, timeout))

    async def unique_status(self, unique: str | bytes, timeout: float | None = None) -> JobStatus:
        """As ``gearman_c.Client.unique_status()``."""
        return await self._ask(lambda client: client.unique_status(unique, timeout))

    async def echo(self, workload: str | Buffer, timeout: float | None = None) -> None:
        """As ``gearman_c.Client.echo()``."""
        await self._ask(lambda client: client.echo(workload, timeout))

    async def close(self) -> None:
        """Close the connection; as ``gearman_c.Client.close()``. What waits is cancelled."""
        await self._runner.close()
        await self._questions.close()
        self.tasks.close()

    async def _finish(self, task: Task, timeout: float | None) -> None:
        """Wait until a task is done; if that fails, nothing of it stays in the client."""
        limit = asyncio.timeout(timeout)
        try:
            with self._runner.waiting(task) as done:
                self._runner.watch(task, partial(_settle, done))
                async with limit:
                    await done
        except TimeoutError:
            if not limit.expired():
                raise
            self._runner.withdraw(task)
            raise WaitTimeoutError(
                "the job was not done in the time allowed",
                code=ReturnCode.TIMEOUT,
                operation="do",
                # One that was never handed to a connection is now cancelled.
                unconfirmed=() if task.state is TaskState.CANCELLED else (task,),
            ) from None
        finally:
            self._runner.withdraw(task)

    async def _ask(self, question: Callable[[_gearman.Client], _T]) -> _T:
        """Ask something that blocks, in a thread; it ends when nobody waits for the answer."""
        if self._runner.closed:
            raise UsageError("the client is closed; make a new one")
        client = _gearman._sibling(self.tasks)

        def ask() -> _T:
            with client:
                return question(client)

        call = self._questions.start(client, ask)
        try:
            return await asyncio.wrap_future(call.future)
        except UsageError:
            if call.given_up:
                raise UsageError("the client was closed") from None
            raise
        finally:
            if not call.future.done():
                call.give_up()


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _add_function(
    client: _gearman.Client, priority: Priority | str, *, background: bool
) -> Callable[..., Task]:
    rank = _gearman._priority(priority)
    middle = "" if rank is Priority.NORMAL else f"_{rank.name.lower()}"
    function: Callable[..., Task] = getattr(
        client, f"add_task{middle}{'_background' if background else ''}"
    )
    return function
