"""What the asyncio client does with its event loop."""

from __future__ import annotations

import asyncio
import gc
import os

import pytest
from fix_aio import run, steps, until
from fix_worker import RawWorker

from gearman_c import TaskState, UsageError
from gearman_c.aio import Client
from gearman_c.aio.watch import Watch
from gearman_c.testing import Gearmand


def test_added_while_it_runs(
    gearmand: Gearmand, worker: RawWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gearman_c.aio.runner._TICK", 1000)

    async def main() -> None:
        async with Client(gearmand.address) as client:
            client.add_task("keep")
            running = asyncio.create_task(client.run_tasks())
            await until(lambda: worker.done == 1)
            task = client.add_task_background("f")
            await until(lambda: task.state is TaskState.CREATED)
            question = client.add_task_status(task.job_handle or "")
            await until(lambda: question.is_known)
            running.cancel()
            await asyncio.wait({running})

    run(main())


def test_added_to_the_client_behind(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            client.add_task("keep")
            running = asyncio.create_task(client.run_tasks())
            await until(lambda: worker.done == 1)
            task = client.tasks.add_task_background("f")
            await until(lambda: task.state is TaskState.CREATED)
            task = await asyncio.to_thread(client.tasks.add_task_background, "f")
            await until(lambda: task.state is TaskState.CREATED)
            running.cancel()
            await asyncio.wait({running})

    run(main())


def test_one_loop_after_the_other(gearmand: Gearmand, worker: RawWorker) -> None:
    client = Client(gearmand.address)

    async def main() -> None:
        assert await client.do("reverse", b"ab") == b"ba"
        asyncio.create_task(client.do("keep"))  # noqa: RUF006  # the end of the loop cancels it
        await steps(5)

    async def other() -> None:
        with pytest.raises(UsageError, match="belongs to another event loop"):
            await client.do("reverse")

    async def both() -> None:
        await client.do("reverse")
        await asyncio.to_thread(asyncio.run, other())

    for _ in range(3):
        asyncio.run(main())
    asyncio.run(both())
    asyncio.run(client.close())


def test_dropped_without_close(gearmand: Gearmand) -> None:
    """What the loop holds of a client goes as soon as nobody waits."""

    async def main() -> None:
        before = set(os.listdir("/proc/self/fd"))
        client = Client(gearmand.address)
        await client.do_background("f")
        assert set(os.listdir("/proc/self/fd")) - before
        del client
        await until(lambda: gc.collect() >= 0 and set(os.listdir("/proc/self/fd")) == before)

    run(main())


def test_descriptor_not_known(
    gearmand: Gearmand, worker: RawWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the thread does the waiting."""
    monkeypatch.setattr(Watch, "follow", lambda *_: False)

    async def main() -> None:
        async with Client(gearmand.address) as client:
            calls = [client.do("reverse", b"%d" % number) for number in range(500)]
            assert len(await asyncio.gather(*calls)) == 500
            stream = client.submit("later", [b"x"] * 1500)
            assert len([task async for task in stream]) == 1500

    run(main())
