"""When a client's runner runs: as long as somebody waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from .client import Client


class Needed:
    """A context in which the runner of a client runs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __aenter__(self) -> asyncio.Task[None]:
        client = self._client
        while client._runner is not None and client._runner.cancelling():
            # Whoever needed it last has just gone; it is of no use to us any more.
            await asyncio.wait({client._runner})
            if client._runner.done():
                client._runner = None
        if client.tasks.closed:
            raise UsageError("the client is closed; make a new one")
        if client._runner is None or client._runner.done():
            client._runner = asyncio.get_running_loop().create_task(client._run())
            client._runner.add_done_callback(_look_at)
        client._waiting += 1
        return client._runner

    async def __aexit__(self, *exception: object) -> None:
        client = self._client
        client._waiting -= 1
        if client._waiting == 0 and client._runner is not None and not client._runner.done():
            client._runner.cancel()
            await asyncio.wait({client._runner})


def raise_error(runner: asyncio.Task[None]) -> None:
    """Raise what ended the runner; its being cancelled is not the caller's."""
    if runner.cancelled():
        raise UsageError("the client was closed")
    runner.result()


def _look_at(runner: asyncio.Task[None]) -> None:
    """Its error was raised in all who waited; asyncio is not to complain that nobody saw it."""
    if not runner.cancelled():
        runner.exception()
