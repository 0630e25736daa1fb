"""Tasks made from an iterable while earlier ones are on their way, for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._gearman import Task
    from .runner import Runner

_Workload = TypeVar("_Workload", bound="str | Buffer")

_READ_AHEAD = 1000  # workloads, and
_READ_AHEAD_BYTES = 8 << 20  # their bytes, that a submission has under way
_FILL_SECONDS = 0.01  # that an iterable may take before the event loop has its turn


class Submission(Generic[_Workload]):
    """What ``Client.submit()`` returns: an asynchronous iterator of tasks that are done.

    Background tasks come in the order of their workloads, foreground tasks as their jobs end. An
    error of the connection is raised from ``__anext__()``, which may then be called again. If it
    is dropped half-way, the workloads it had read stay queued in the client.
    """

    def __init__(
        self,
        runner: Runner,
        add: Callable[..., Task],
        workloads: Iterable[_Workload] | AsyncIterable[_Workload],
        unique: Callable[[_Workload], str | bytes | None] | None,
        background: bool,
    ) -> None:
        if isinstance(workloads, (str, bytes, bytearray, memoryview)):
            raise TypeError("workloads must be an iterable of payloads; for one, write [payload]")
        self._runner = runner
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
        self._given: tuple[_Workload] | None = None  # it was read, and could not be added
        self._open: deque[Task] = deque()  # background: in their order
        self._under_way = 0
        self._bytes = 0
        self._ready: deque[Task] = deque()  # foreground: as they end
        self._waiting: set[asyncio.Future[None]] = set()
        self._put_off: BaseException | None = None  # why a full queue has not taken all

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Task:
        while True:
            task = self._first_done()
            if task is not None:
                return task
            if self._put_off is not None:
                error, self._put_off = self._put_off, None
                raise error
            self._fill()
            if not self._under_way and self._source is None and self._async_source is None:
                raise StopAsyncIteration
            await self._progress()

    async def aclose(self) -> None:
        """Read no more workloads; what is under way stays queued in the client."""
        self._source = self._async_source = None
        if self._pull is not None:
            self._pull.cancel()
            await asyncio.wait({self._pull})
            self._pull = None

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
        until = time.monotonic() + _FILL_SECONDS
        while self._has_room():
            if self._given is None and not self._read():
                return
            self._put()
            if time.monotonic() > until:
                return

    def _read(self) -> bool:
        """Have a workload given; False if there is none now."""
        if self._source is not None:
            try:
                self._given = (next(self._source),)
            except StopIteration:
                self._source = None
        elif self._async_source is not None:
            if self._pull is None:
                self._pull = asyncio.ensure_future(_next(self._async_source))
                self._pull.add_done_callback(lambda _: self._wake())
            if self._pull.done():
                pull, self._pull = self._pull, None
                self._given = pull.result()
                if self._given is None:
                    self._async_source = None
        return self._given is not None

    def _put(self) -> None:
        assert self._given is not None
        (workload,) = self._given
        try:
            unique = None if self._unique is None else self._unique(workload)
            task = self._add(workload, unique=unique)
        except (TypeError, ValueError):
            self._given = None  # it never will be accepted; any other error is not its fault
            raise
        self._given = None
        self._runner.watch(task, partial(self._told, task))
        self._under_way += 1
        self._bytes += len(task.workload or b"")
        if self._background:
            self._open.append(task)

    def _told(self, task: Task, error: BaseException | None) -> None:
        """A task is done; or put off, and tried again when somebody waits anew."""
        self._put_off = error  # what came before a task was done may hold no longer
        if error is None and not self._background:
            self._ready.append(task)
        self._wake()

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def _progress(self) -> None:
        """Wait for a task to end, or for a workload to come."""
        loop = asyncio.get_running_loop()
        if not self._under_way:
            await self._wait(loop.create_future())
            return
        with self._runner.waiting() as future:
            if self._source is not None and self._has_room():
                loop.call_soon(self._wake)  # behind the runner's step: more can be read then
            await self._wait(future)

    async def _wait(self, future: asyncio.Future[None]) -> None:
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


async def _next(source: AsyncIterator[_Workload]) -> tuple[_Workload] | None:
    """Return the next workload; None at the end, since a task cannot raise what says so."""
    try:
        return (await anext(source),)
    except StopAsyncIteration:
        return None
