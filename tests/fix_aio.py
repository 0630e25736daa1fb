"""Running tests of gearman_c.aio, with asyncio's debug mode on."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test; a coroutine nobody awaited or an error nobody saw is a failure."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        async with asyncio.timeout(100):
            await main
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, others

    asyncio.run(watched(), debug=True)
    gc.collect()
    assert complaints == []


async def until(condition: Callable[[], Any]) -> None:
    """Return as soon as a condition holds; `run()` limits how long it may take."""
    while not condition():
        await asyncio.sleep(0.002)


async def steps(count: int) -> None:
    """Let the event loop do so many rounds."""
    for _ in range(count):
        await asyncio.sleep(0)


async def slowly(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        if number % 100 == 0:
            await asyncio.sleep(0.001)
        yield b"%d" % number
