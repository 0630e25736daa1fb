"""Callbacks of the asyncio client that raise."""

from __future__ import annotations

import asyncio

import pytest
from fix_aio import run, until
from fix_worker import RawWorker

from gearman_c import (
    Task,
    UsageError,
)
from gearman_c.aio import Client
from gearman_c.testing import Gearmand


def test_callback_raises(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:

            def on_created(task: Task) -> None:
                raise KeyError("mine")

            client.on_created = on_created
            task = client.add_task("reverse", b"ab")
            with pytest.raises(KeyError, match="mine"):
                await client.run_tasks()
            client.on_created = None
            await client.run_tasks()
            assert task.result() == b"ba"

    run(main())


@pytest.mark.parametrize("name", ["on_created", "on_data"])
@pytest.mark.parametrize(
    "kind",
    [KeyError, UsageError, asyncio.CancelledError, StopIteration, StopAsyncIteration, TimeoutError],
)
def test_callback_raises_anything(
    gearmand: Gearmand, worker: RawWorker, name: str, kind: type[BaseException]
) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:

            def raise_it(task: Task) -> None:
                raise kind("mine")

            others = [asyncio.create_task(client.do("keep")) for _ in range(3)]
            await until(lambda: worker.done == 3)
            setattr(client, name, raise_it)
            stream = client.submit("talk", [b"x"], background=False)
            calls = [client.do("talk"), anext(stream), client.run_tasks(), *others]
            errors = await asyncio.gather(*calls, return_exceptions=True)
            for error in errors:
                assert isinstance(error, Exception)
                assert kind.__name__ in repr(error)
                assert "mine" in repr(error)
            setattr(client, name, None)
            assert await client.do("reverse", b"ab") == b"ba"

    run(main())


def test_callback_raises_for_the_only_job(gearmand: Gearmand, worker: RawWorker) -> None:
    """Its end and the exception are seen in the same step."""

    async def main() -> None:
        async with Client(gearmand.address) as client:

            def raise_it(task: Task) -> None:
                raise asyncio.CancelledError

            client.on_complete = raise_it
            with pytest.raises(RuntimeError, match="raised CancelledError"):
                await client.do("reverse", b"ab")
            stream = client.submit("reverse", [b"ab"], background=False)
            with pytest.raises(RuntimeError, match="raised CancelledError"):
                await anext(stream)
            assert (await anext(stream)).result() == b"ba"

    run(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_callback_ends_the_program(
    gearmand: Gearmand, worker: RawWorker, kind: type[BaseException]
) -> None:
    ended: list[BaseException] = []

    async def main() -> None:
        async with Client(gearmand.address) as client:

            def raise_it(task: Task) -> None:
                raise kind

            async def call() -> None:
                try:
                    await client.do("reverse", b"ab")
                except BaseException as error:
                    ended.append(error)
                    raise

            client.on_complete = raise_it
            await asyncio.gather(*(call() for _ in range(3)))

    with pytest.raises(kind):
        run(main())
    assert len(ended) == 3
    assert [type(error) for error in ended].count(kind) == 1
