"""What brings a client's tasks to the server: callbacks of the event loop, while somebody waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from .. import _gearman
from .._gearman import Task
from ..errors import ConnectionFailedError, ProtocolError, UsageError, WaitTimeoutError
from .calls import Call, Calls
from .watch import Watch

_TICK = 0.1  # seconds until tasks are seen that were added behind the runner's back
_SLICE = 0.05  # seconds that the thread waits where the descriptor is not known

_OF_THE_CONNECTION = (ConnectionFailedError, ProtocolError, WaitTimeoutError)


class Runner:
    """Runs a client step by step. Nobody waits for a step; each is short and plans the next one.

    It is no coroutine, which could be cancelled half-way: whoever needs it waits for a future, and
    it takes steps as long as there is one. What it keeps between two steps, the event loop's watch
    over the socket, goes with the first tick that finds nobody waiting.
    """

    def __init__(self, tasks: _gearman.Client) -> None:
        self.closed = False
        self._tasks = tasks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0  # of the loop
        self._waiting: dict[asyncio.Future[None], None] = {}  # in the order in which they came
        self._for_all: set[asyncio.Future[None]] = set()  # those that wait until all is done
        self._told: dict[Task, Callable[[BaseException | None], None]] = {}
        self._done: list[Task] = []
        self._abandoned: set[Task] = set()
        self._calls = Calls()
        self._call: Call[Any] | None = None  # the one under way
        self._preparing = False  # it has no limit
        self._socket = Watch(self._step)
        self._ticker: asyncio.TimerHandle | None = None
        self._due = False  # a step is planned
        self._first = False  # it begins a run
        self._again = False  # it tries again what a full queue has refused
        self._refusals: list[BaseException] = []  # of this run
        self._put_off = (0, 0)  # so many tasks are known to be put off

    # For those who wait

    @contextmanager
    def waiting(self, task: Task | None = None) -> Iterator[asyncio.Future[None]]:
        """Keep the runner going; the future gets the exception that ends the run.

        Args:
            task: what is waited for, if it is one.
        """
        loop = self._attach()
        future = loop.create_future()
        if not self._waiting:
            self._first = True
        elif _gearman._is_put_off(self._tasks, task):
            self._again = True
        self._waiting[future] = None
        self.wake()
        try:
            yield future
        finally:
            self._waiting.pop(future, None)  # another loop may have made an end of all
            self._for_all.discard(future)
            if future.done() and not future.cancelled():
                future.exception()  # asyncio is not to complain that nobody saw it
            if not self._waiting and self._call is not None and self._preparing:
                self._call.give_up()

    def tell_when_all_is_done(self, future: asyncio.Future[None]) -> None:
        """Have a future of ``waiting()`` done when nothing is left to do."""
        self._for_all.add(future)

    def watch(self, task: Task, told: Callable[[BaseException | None], None]) -> None:
        """Have a function called when a task is done, with None, and when it is put off."""
        self._told[task] = told
        _gearman._watch(task, self._done)

    def withdraw(self, task: Task) -> None:
        """Nobody waits for a task any more: nothing of it is to stay in the client."""
        self._told.pop(task, None)
        if not self._tasks.closed and not _gearman._abandon(self._tasks, task):
            self._abandoned.add(task)

    def wake(self) -> None:
        """Take a step soon: there may be something new to do. For any thread."""
        if self._due or self._loop is None or not self._waiting:
            return
        if threading.get_ident() == self._thread:
            self._due = True
            self._loop.call_soon(self._step)
        else:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._step)

    async def close(self) -> None:
        """End the run; whoever waits gets UsageError."""
        self.closed = True
        self._fail(UsageError("the client was closed"))
        self._socket.forget()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        await self._calls.close()

    def _attach(self) -> asyncio.AbstractEventLoop:
        """Let the loop that runs now be the one that takes the steps."""
        if self.closed or self._tasks.closed:
            raise UsageError("the client is closed; make a new one")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise UsageError("the client belongs to another event loop, which is still open")
            # What was left of the old one will never be called.
            self._socket.forget()
            self._ticker = None
            self._waiting.clear()
            self._for_all.clear()
            self._due = False
            self._loop = loop
            self._thread = threading.get_ident()
        if self._ticker is None:
            self._ticker = loop.call_later(_TICK, self._tick)
        return loop

    # What the event loop calls

    def _tick(self) -> None:
        """See what no wake-up tells: tasks added to the client behind, and its time-out."""
        self._ticker = None
        if self._waiting and self._loop is not None:
            self._ticker = self._loop.call_later(_TICK, self._tick)
            self.wake()
        else:
            self._socket.forget()

    def _step(self) -> None:
        self._due = False
        try:
            self._advance()
        except BaseException as error:  # a callback may raise any
            # A callback for the end of a job comes before the next job's end: its exception is
            # also for whoever waits for the last one. What breaks the connection is not.
            blamed = [] if isinstance(error, _OF_THE_CONNECTION) else self._done[-1:]
            del self._done[len(self._done) - len(blamed) :]
            self._tell()
            told = self._fail(error)
            self._done.extend(blamed)
            self._tell()
            self._socket.follow(*_gearman._descriptor(self._tasks))
            if not told and isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise

    def _advance(self) -> None:
        if self._call is not None:
            if not self._call.future.done():
                self._socket.listen(False, False)
                return  # its end wakes us
            call, self._call = self._call, None
            if not call.given_up:
                call.future.result()
        self._tell()
        if all(future.done() for future in self._waiting):
            self._socket.listen(False, False)
            return
        if self._first or self._again:
            self._put_off = (0, 0)
        if self._first:
            self._refusals.clear()
        first, self._first, again, self._again = self._first, False, self._again, False
        to_do = _gearman._poll(self._tasks, first, again)
        self._tell()
        self._tell_put_off()
        if to_do == "again":
            self.wake()
        elif to_do == "prepare":
            self._preparing = True
            self._call_in_thread(partial(_gearman._prepare, self._tasks))
        elif to_do == "finished":
            self._finish()
        elif self._socket.follow(*_gearman._descriptor(self._tasks)):
            self._socket.listen(True, to_do == "write")
        else:
            self._preparing = False
            self._call_in_thread(partial(_gearman._poll, self._tasks, False, False, _SLICE))

    def _call_in_thread(self, function: Callable[[], object]) -> None:
        self._socket.listen(False, False)
        self._call = self._calls.start(self._tasks, function)
        self._call.future.add_done_callback(lambda _: self.wake())

    # How those who wait are told

    def _tell(self) -> None:
        """Wake those whose tasks are done, and withdraw what nobody waits for."""
        if self._done:
            done, self._done[:] = self._done[:], []
            for task in done:
                told = self._told.pop(task, None)
                if told is not None:
                    told(None)
        if self._abandoned and not self._tasks.closed:
            self._abandoned = {
                task for task in self._abandoned if not _gearman._abandon(self._tasks, task)
            }

    def _tell_put_off(self) -> None:
        """Tell those whose tasks a full queue has refused: the run may go on for ever."""
        news = _gearman._put_off(self._tasks, *self._put_off)
        if news is None:
            return
        refusal, refused, held = news
        self._put_off = (self._put_off[0] + len(refused), self._put_off[1] + len(held))
        if refusal is not None:
            self._refusals.append(refusal)
        for task in (*refused, *held):
            told = self._told.get(task)
            if told is not None:
                told(self._refusals[-1])

    def _finish(self) -> None:
        """All is done, but what was put off."""
        for future in self._for_all:
            if not future.done():
                if self._refusals:
                    future.set_exception(self._refusals[0])
                else:
                    future.set_result(None)
        self._for_all.clear()
        self._first = True

    def _fail(self, error: BaseException) -> bool:
        """Raise what ended the run in all who wait; False if there is nobody."""
        told = False
        if not _can_be_raised(error):
            error = _explain(error)
        for future in self._waiting:
            if not future.done():
                future.set_exception(error)
                told = True
                if not isinstance(error, Exception):
                    error = _explain(error)  # for one of them it is enough to end the program
        self._for_all.clear()
        self._first = True  # for who comes before those are gone
        return told


def _can_be_raised(error: BaseException) -> bool:
    """Whether an exception of a callback means the same where a coroutine waits for the run."""
    # CancelledError there says that the coroutine was cancelled, the others that an iterator ended.
    if isinstance(error, (StopIteration, StopAsyncIteration)):
        return False
    return isinstance(error, (Exception, KeyboardInterrupt, SystemExit))


def _explain(error: BaseException) -> RuntimeError:
    explained = RuntimeError(f"a callback of the client raised {error!r}")
    explained.__cause__ = error
    return explained
