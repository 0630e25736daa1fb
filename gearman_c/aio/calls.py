"""Calls that block, made in a thread, which somebody may cease to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from .. import _gearman
from ..errors import UsageError

_T = TypeVar("_T")


class Calls:
    """Makes one call after the other, in a thread of its own."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._open: set[Call[Any]] = set()

    def start(self, client: _gearman.Client, function: Callable[[], _T]) -> Call[_T]:
        """Have a function called that uses this client."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "gearman_c")
        call = Call(client, function, self._executor)
        self._open.add(call)
        call.future.add_done_callback(lambda _: self._open.discard(call))
        return call

    async def close(self) -> None:
        """Give up all the calls, and wait for their end."""
        calls = list(self._open)
        for call in calls:
            call.give_up()
        futures = [asyncio.wrap_future(call.future) for call in calls]
        await asyncio.gather(*futures, return_exceptions=True)
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None


class Call(Generic[_T]):
    """One call; once it is given up it ends within a slice of waiting, about 0.1 s.

    Else the next call, the exit of the interpreter, and whoever closes the client would wait for
    an answer that nobody wants any more.

    Attributes:
        future: tells how it ended.
        given_up: nobody waits for it.
    """

    def __init__(
        self, client: _gearman.Client, function: Callable[[], _T], executor: ThreadPoolExecutor
    ) -> None:
        self.given_up = False
        self._client = client
        self._function = function
        self._ended = False
        self._lock = threading.Lock()  # so that the client is not stopped after the end
        self.future: Future[_T] = executor.submit(self._run)

    def _run(self) -> _T:
        try:
            if self.given_up:
                raise UsageError("nobody waits for this call any more")
            return self._function()
        finally:
            with self._lock:
                self._ended = True
                if self.given_up:
                    _gearman._stop(self._client, False)

    def give_up(self) -> None:
        """Have the call end soon, with an exception that is for nobody."""
        with self._lock:
            self.given_up = True
            if not self._ended:
                _gearman._stop(self._client, True)
