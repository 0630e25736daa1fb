"""A socket of libgearman, watched by an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class Watch:
    """Has the event loop call a function as soon as a socket is ready."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptor = -1  # a copy, so that nobody else gets its number while it is watched
        self._connection = 0
        self._reading = False
        self._writing = False

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)  # the event loop, which held us, has gone

    def follow(self, descriptor: int, connection: int) -> bool:
        """Change over to the socket of another connection; False if it is not known (-1)."""
        if self._connection != connection or descriptor < 0:
            self.forget()
        if self._descriptor < 0 and descriptor >= 0:
            self._descriptor, self._connection = os.dup(descriptor), connection
            self._loop = asyncio.get_running_loop()
        return self._descriptor >= 0

    def listen(self, read: bool, write: bool) -> None:
        """Say what the function shall be called for."""
        if self._loop is None or self._loop.is_closed():
            return
        if read != self._reading:
            self._reading = read
            if read:
                self._loop.add_reader(self._descriptor, self._ready)
            else:
                self._loop.remove_reader(self._descriptor)
        if write != self._writing:
            self._writing = write
            if write:
                self._loop.add_writer(self._descriptor, self._ready)
            else:
                self._loop.remove_writer(self._descriptor)

    def forget(self) -> None:
        """Cease to watch, and close the copy."""
        if self._descriptor >= 0:
            self.listen(False, False)
            os.close(self._descriptor)
            self._descriptor, self._loop = -1, None
            self._reading = self._writing = False  # also where the loop was closed before
