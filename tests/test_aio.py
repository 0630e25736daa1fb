"""The client for asyncio where nothing goes wrong but jobs and arguments."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from fix_aio import run
from fix_worker import RawWorker

from gearman_c import (
    ArgumentError,
    JobFailedError,
    QueueFullError,
    Task,
    TaskState,
    UsageError,
    WaitTimeoutError,
)
from gearman_c.aio import Client
from gearman_c.testing import Gearmand, drain


def test_do(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            assert await client.do("reverse", b"abc") == b"cba"
            assert await client.do_high("reverse", "abc") == b"cba"
            assert await client.do_low("reverse", b"abc", unique="key") == b"cba"
            assert await client.do("talk") == b"one two end"
            for name in ("fail", "throw"):
                with pytest.raises(JobFailedError):
                    await client.do(name)
            assert client.pending == 0

    run(main())


def test_do_background(gearmand: Gearmand) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            handles = [
                await client.do_low_background("f", b"low"),
                await client.do_background("f", b"normal", unique="key"),
                await client.do_high_background("f", b"high"),
                await client.do_background("later", b"at", at=time.time() + 1000),
            ]
            for handle in handles:
                assert (await client.job_status(handle)).is_known
            assert (await client.unique_status("key")).is_known
            await client.echo(b"x")
        jobs = drain(gearmand.address, "f")
        assert [(job.handle, job.workload) for job in jobs] == [
            (handles[2], b"high"),
            (handles[1], b"normal"),
            (handles[0], b"low"),
        ]

    run(main())


@pytest.mark.slow
def test_ten_thousand_at_a_time(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            threads = threading.active_count()
            calls = [client.do("reverse", b"%05d" % number) for number in range(10_000)]
            results = await asyncio.gather(*calls)
            assert [int(result[::-1]) for result in results] == list(range(10_000))
            assert threading.active_count() <= threads + 1
            assert len(gearmand.command("workers")) <= 3

    run(main())


def test_run_tasks(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            told: list[Task] = []
            client.on_complete = told.append
            assert client.on_complete == told.append
            tasks = [client.add_task("reverse", b"%d" % number) for number in range(2000)]
            background = client.add_task_background("later")
            question = client.add_task_status("H:nobody:1")
            assert client.pending == 2002
            await client.run_tasks()
            assert client.pending == 0
            assert [task.result()[::-1] for task in tasks] == [task.workload for task in tasks]
            assert background.state is TaskState.CREATED
            assert question.state is TaskState.COMPLETE
            assert len(told) == 2000
            await client.run_tasks()

    run(main())


def test_timeouts(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            kept = client.add_task("keep")
            with pytest.raises(WaitTimeoutError, match="1 tasks were not done"):
                await client.run_tasks(timeout=0.2)
            assert kept.state is TaskState.RUNNING
            with pytest.raises(WaitTimeoutError) as caught:
                await client.do("keep", timeout=0.2)
            (task,) = caught.value.unconfirmed
            assert task.state is TaskState.UNCONFIRMED
            assert await client.do("reverse", b"ab") == b"ba"
            assert client.pending == 1

    run(main())


def test_full_queue(gearmand: Gearmand) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            await client.do_background("f")
            gearmand.command("maxqueue f 1")
            with pytest.raises(QueueFullError):
                await client.do_background("f")
            assert client.pending == 0
            assert await client.do_background("g")

    run(main())


def test_closed(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        client = Client(gearmand.address)
        calls = [asyncio.create_task(client.do("keep")) for _ in range(3)]
        calls.append(asyncio.create_task(client.run_tasks()))  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        await client.close()
        await client.close()
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, UsageError)
        assert client.closed
        for call in (client.do("f"), client.run_tasks(), client.job_status("x")):
            with pytest.raises(UsageError, match="the client is closed"):
                await call

    run(main())


def test_bad_arguments(gearmand: Gearmand) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            with pytest.raises(ArgumentError):
                await client.do("")
            with pytest.raises(ArgumentError, match="is not a priority"):
                await client.do("f", priority="highest")
            with pytest.raises(TypeError, match="must be an iterable of payloads"):
                client.submit("f", b"bytes")  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                await client.do("f", 17)  # type: ignore[arg-type]
            assert client.pending == 0

    run(main())


def test_large_payloads(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            payloads = [bytes([number]) * 12_000_000 for number in range(4)]
            results = await asyncio.gather(*(client.do("reverse", each) for each in payloads))
            assert results == payloads
            stream = client.submit("f", [bytes(5_000_000)] * 5)
            assert len([task async for task in stream]) == 5

    run(main())
