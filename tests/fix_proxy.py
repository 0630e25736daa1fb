"""A TCP proxy between client and server that cuts, stalls and slows connections at will.

One thread owns all sockets (an asyncio loop). That is what makes `cut()` immediate: a socket
that another thread is reading is not closed, and sends no RST, before that read returns.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self

import pytest

from gearman_c.testing import Gearmand, unused_port

if sys.platform == "linux":
    import fcntl
    import termios

Side = Literal["server", "client"]

_BLOCK: Final = 64 * 1024


@pytest.fixture
def proxy(gearmand: Gearmand) -> Iterator[Proxy]:
    """A proxy in front of the fixture `gearmand`; clients connect to `proxy.address`."""
    with Proxy(gearmand.host, gearmand.port) as started:
        yield started


class Proxy:
    """Forwards 127.0.0.1:`port` to a server. Use it as a context manager.

    Methods return when they have taken effect, and may be called from any thread.
    connections: accepted so far; open_connections: those not closed yet; cuts: so far;
    bytes_to_server, bytes_to_client: forwarded so far.
    """

    def __init__(self, server_host: str, server_port: int) -> None:
        self.host = "127.0.0.1"
        self.server = (server_host, server_port)
        self.port = unused_port()
        self.connections = 0
        self.cuts = 0
        self._forwarded: dict[Side, int] = {"server": 0, "client": 0}
        self._changed = threading.Condition()
        self._pairs: set[_Pair] = set()
        self._budget: dict[Side, int] = {}  # bytes left before the cut
        self._rate = 0.0  # bytes per second, 0: no limit
        self._block = _BLOCK
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing: dict[Side, asyncio.Event] = {
            "server": asyncio.Event(),
            "client": asyncio.Event(),
        }
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.resume()
        self.accept()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """Where clients connect: "127.0.0.1:PORT"."""
        return f"{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._pairs)

    @property
    def bytes_to_server(self) -> int:
        return self._forwarded["server"]

    @property
    def bytes_to_client(self) -> int:
        return self._forwarded["client"]

    def cut(self) -> None:
        """Reset all connections on both sides at once (RST); new ones are welcome."""
        self._do(self._cut)

    def cut_after(
        self, *, bytes_to_server: int | None = None, bytes_to_client: int | None = None
    ) -> None:
        """Cut, once, when so many more bytes have been forwarded, wherever packets begin.

        The bytes count from now on, over all connections. The last of them has reached the
        receiver's kernel when the cut comes (Linux); the one behind it is never forwarded.
        """
        limits: list[tuple[Side, int | None]] = [
            ("server", bytes_to_server),
            ("client", bytes_to_client),
        ]

        def arm() -> None:
            self._budget = {side: size for side, size in limits if size is not None}

        self._do(arm)

    def stall(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Forward nothing in these directions; connections stay, and new ones are accepted."""

        def stop() -> None:
            if to_server:
                self._flowing["server"].clear()
            if to_client:
                self._flowing["client"].clear()

        self._do(stop)

    def resume(self) -> None:
        """Forward at full speed: undoes `stall`, `slow` and `one_byte_at_a_time`."""

        def go() -> None:
            self._rate, self._block = 0.0, _BLOCK
            for event in self._flowing.values():
                event.set()

        self._do(go)

    def slow(self, bytes_per_second: float) -> None:
        """Forward no faster than this in each direction of each connection."""

        def brake() -> None:
            self._rate, self._block = bytes_per_second, max(1, int(bytes_per_second / 100))

        self._do(brake)

    def one_byte_at_a_time(self) -> None:
        """Forward each byte with a `send` of its own, without Nagle's algorithm."""

        def crumble() -> None:
            self._block = 1

        self._do(crumble)

    def refuse(self) -> None:
        """Close the port: new connections are refused, those that exist go on."""
        self._do(self._close_port)

    def accept(self) -> None:
        """Open the port (again, after `refuse`)."""
        self._do(self._open_port)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait until a condition on the counters holds, e.g. `lambda: proxy.cuts == 1`.

        timeout: seconds. Raises TimeoutError.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"this did not come about: {vars(self)}")

    def _do(self, action: Callable[[], None]) -> None:
        """Have the loop's thread do something, and wait until it is done."""

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(30)

    # The rest runs in the loop's thread.

    def _open_port(self) -> None:
        if self._listener is None:
            self._listener = self._listen()
            self._listener.setblocking(False)
            self._accepting = self._loop.create_task(self._accept(self._listener))

    def _listen(self) -> socket.socket:
        return socket.create_server((self.host, self.port), backlog=128)

    def _close_port(self) -> None:
        if self._listener is not None and self._accepting is not None:
            self._accepting.cancel()
            _close(self._loop, self._listener)
            self._listener = None

    def _cut(self) -> None:
        self._budget.clear()
        for pair in self._pairs.copy():
            pair.reset()
        self.cuts += 1
        self._notify()

    async def _finish(self) -> None:
        self._close_port()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for pair in self._pairs.copy():
            pair.reset()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            self.connections += 1
            self._pairs.add(_Pair(self, client))
            self._notify()

    def _closed(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        self._notify()

    def _allowance(self, side: Side) -> int:
        """How many bytes the next `send` may have."""
        return min(self._block, self._budget.get(side, self._block))

    async def _sent(self, side: Side, size: int, sink: socket.socket) -> None:
        """Count what was forwarded; cut if that was enough, wait if that was fast."""
        self._forwarded[side] += size
        self._notify()
        if side in self._budget:
            self._budget[side] -= size
            if self._budget[side] == 0:
                await self._spent(sink)
        await asyncio.sleep(size / self._rate if self._rate else 0)

    async def _spent(self, sink: socket.socket) -> None:
        """Cut because of `cut_after`, once."""
        await _delivered(sink)
        if self._budget:
            self._cut()


class _Pair:
    """One connection: the client's socket, ours to the server, and what runs between them."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._loop = proxy._loop
        self._client = client
        self._server = socket.socket()
        for end in (self._client, self._server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._task = self._loop.create_task(self._run())

    def reset(self) -> None:
        """Close both sides with RST."""
        for end in (self._client, self._server):
            if end.fileno() != -1:
                # No lingering: close() throws away what is unsent and resets the connection.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()
        self._task.cancel()

    def _close(self) -> None:
        for end in (self._client, self._server):
            _close(self._loop, end)
        self._proxy._closed(self)

    async def _run(self) -> None:
        try:
            await self._loop.sock_connect(self._server, self._proxy.server)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(self._client, self._server, "server"))
                group.create_task(self._pump(self._server, self._client, "client"))
        except* OSError:
            self.reset()  # one side is broken: show it to the other one
        else:
            self._close()

    async def _pump(self, source: socket.socket, sink: socket.socket, side: Side) -> None:
        """Forward until the source ends; `side` is where the bytes go."""
        flowing = self._proxy._flowing[side]
        while data := await self._loop.sock_recv(source, _BLOCK):
            rest = memoryview(data)
            while rest:
                await flowing.wait()
                allowance = self._proxy._allowance(side)
                if allowance == 0:
                    await self._proxy._spent(sink)
                    return
                try:
                    size = sink.send(rest[:allowance])
                except BlockingIOError:
                    await _writable(self._loop, sink)
                    continue
                rest = rest[size:]
                await self._proxy._sent(side, size, sink)
        await flowing.wait()
        sink.shutdown(socket.SHUT_WR)


async def _writable(loop: asyncio.AbstractEventLoop, end: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_writer(end, ready.set)
    try:
        await ready.wait()
    finally:
        if end.fileno() != -1:
            loop.remove_writer(end)


async def _delivered(end: socket.socket) -> None:
    """Wait until the other side's kernel has everything (only Linux can tell)."""
    while sys.platform == "linux":
        unacknowledged = fcntl.ioctl(end, termios.TIOCOUTQ, struct.pack("i", 0))
        if struct.unpack("i", unacknowledged) == (0,):
            return
        await asyncio.sleep(0.001)


def _close(loop: asyncio.AbstractEventLoop, end: socket.socket) -> None:
    """Close a socket that the loop may be waiting for."""
    if end.fileno() != -1:
        # First off the loop, which otherwise keeps the number, and a new socket may get it.
        with suppress(ValueError):
            loop.remove_reader(end)
            loop.remove_writer(end)
        end.close()
