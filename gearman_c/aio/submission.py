"""Tasks made from an iterable while earlier ones are on their way, for asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from .runner import Needed, raise_error

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._gearman import Task
    from .client import Client

_Workload = TypeVar("_Workload", bound="str | Buffer")

_READ_AHEAD = 1000  # workloads, and
_READ_AHEAD_BYTES = 8 << 20  # their bytes, that a submission has under way


class Submission(Generic[_Workload]):
    """What ``Client.submit()`` returns: an asynchronous iterator of tasks that are done.

    Background tasks come in the order of their workloads, foreground tasks as their jobs end. An
    error of the connection is raised from ``__anext__()``, which may then be called again.
    """

    def __init__(
        self,
        client: Client,
        add: Callable[..., Task],
        workloads: Iterable[_Workload] | AsyncIterable[_Workload],
        unique: Callable[[_Workload], str | bytes | None] | None,
        background: bool,
    ) -> None:
        if isinstance(workloads, (str, bytes)):
            raise TypeError("workloads must be an iterable of payloads; for one, write [payload]")
        self._client = client
        self._add = add
        self._unique = unique
        self._background = background
        self._source: Iterator[_Workload] | None = None
        self._async_source: AsyncIterator[_Workload] | None = None
        if isinstance(workloads, AsyncIterable):
            self._async_source = aiter(workloads)
        else:
            self._source = iter(workloads)
        self._pull: asyncio.Task[tuple[_Workload] | None] | None = None
        self._open: deque[Task] = deque()  # background: in their order
        self._under_way = 0
        self._bytes = 0
        self._ready: deque[Task] = deque()  # foreground: as they end
        self._progress = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Task:
        while True:
            task = self._first_done()
            if task is not None:
                return task
            self._fill()
            if not self._under_way and self._source is None and self._async_source is None:
                raise StopAsyncIteration
            await self._advance()

    def _first_done(self) -> Task | None:
        if self._background:
            if not self._open or not self._open[0].is_finished:
                return None
            task = self._open.popleft()
        elif self._ready:
            task = self._ready.popleft()
        else:
            return None
        self._under_way -= 1
        self._bytes -= len(task.workload or b"")
        return task

    def _has_room(self) -> bool:
        return self._under_way < _READ_AHEAD and self._bytes < _READ_AHEAD_BYTES

    def _fill(self) -> None:
        """Add tasks of what can be had without waiting."""
        while self._source is not None and self._has_room():
            try:
                workload = next(self._source)
            except StopIteration:
                self._source = None
                return
            self._put(workload)
        if self._async_source is not None:
            if self._pull is not None and self._pull.done():
                pull, self._pull = self._pull, None
                pulled = pull.result()
                if pulled is None:
                    self._async_source = None
                    return
                self._put(*pulled)
            if self._pull is None and self._has_room():
                self._pull = asyncio.ensure_future(_next(self._async_source))
                self._pull.add_done_callback(lambda _: self._progress.set())

    def _put(self, workload: _Workload) -> None:
        unique = None if self._unique is None else self._unique(workload)
        task = self._add(workload, unique=unique)
        future = self._client._future(task)
        future.add_done_callback(lambda future: self._end(task, future))
        self._under_way += 1
        self._bytes += len(task.workload or b"")
        if self._background:
            self._open.append(task)

    def _end(self, task: Task, future: asyncio.Future[None]) -> None:
        """A task is done; or its run has failed, and the next one has it still."""
        if not future.cancelled() and future.exception() is not None and not task.is_finished:
            again = self._client._future(task)
            again.add_done_callback(lambda future: self._end(task, future))
        elif not self._background:
            self._ready.append(task)
        self._progress.set()

    async def _advance(self) -> None:
        """Wait for a task to end or a workload to come."""
        self._progress.clear()
        if not self._under_way:
            await self._progress.wait()
            return
        async with Needed(self._client) as runner:
            self._client._woken.set()
            progress = asyncio.ensure_future(self._progress.wait())
            try:
                await asyncio.wait({progress, runner}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                progress.cancel()
            if runner.done():
                raise_error(runner)


async def _next(source: AsyncIterator[_Workload]) -> tuple[_Workload] | None:
    """Return the next workload; None at the end, since a task cannot raise what says so."""
    try:
        return (await anext(source),)
    except StopAsyncIteration:
        return None
