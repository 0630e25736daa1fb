"""The client for asyncio, with asyncio's debug mode on."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
from fix_proxy import Proxy
from fix_worker import RawWorker

from gearman_c import (
    ArgumentError,
    ConnectionFailedError,
    JobFailedError,
    QueueFullError,
    Task,
    TaskState,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)
from gearman_c.aio import Client
from gearman_c.aio.watch import Watch
from gearman_c.testing import Gearmand, drain, unused_port


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


def test_cancellation(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            calls = [asyncio.create_task(client.do("keep")) for _ in range(50)]
            running = asyncio.create_task(client.run_tasks())
            for moment in (0.0, 0.2):
                await asyncio.sleep(moment)
                for call in calls[:25]:
                    call.cancel()
            running.cancel()
            for call in calls[25:]:
                call.cancel()
            await asyncio.wait({running, *calls})
            assert all(call.cancelled() for call in calls)
            assert await client.do("reverse", b"ab") == b"ba"
            assert client.pending == 0

    run(main())


def test_one_goes_as_another_comes(gearmand: Gearmand, worker: RawWorker) -> None:
    """Nobody waits for a runner that ends because nobody needed it."""

    async def main() -> None:
        async with Client(gearmand.address) as client:

            async def caller(number: int) -> None:
                for turn in range(30):
                    call = asyncio.create_task(client.do("reverse", b"ab"))
                    if turn % 5 == number % 5:
                        await asyncio.sleep(0)
                        call.cancel()
                        await asyncio.wait({call})
                    else:
                        assert await call == b"ba"
                    await asyncio.sleep(0.0001 * (number * turn % 7))

            await asyncio.gather(*(caller(number) for number in range(4)))

    run(main())


def test_cancelled_while_it_connects(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            gearmand.pause()
            call = asyncio.create_task(client.do("reverse"))
            await asyncio.sleep(0.2)
            call.cancel()
            await asyncio.wait({call})
            assert call.cancelled()
            gearmand.resume()
            assert await client.do("reverse", b"ab") == b"ba"

    run(main())


@pytest.mark.parametrize(
    "count", [0, 1, 999, 1000, 1001, pytest.param(20_000, marks=pytest.mark.slow)]
)
def test_submit(gearmand: Gearmand, count: int) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            workloads = (b"%d" % number for number in range(count))
            got = [task async for task in client.submit("f", workloads)]
            assert [task.workload for task in got] == [b"%d" % number for number in range(count)]
            assert {task.state for task in got} <= {TaskState.CREATED}
            assert client.pending == 0
        assert len(drain(gearmand.address, "f")) == count

    run(main())


async def slowly(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        if number % 100 == 0:
            await asyncio.sleep(0.001)
        yield b"%d" % number


@pytest.mark.slow
def test_submit_from_an_async_iterable(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            keys = []
            stream = client.submit(
                "reverse", slowly(3000), background=False, priority="high", unique=bytes.decode
            )
            async for task in stream:
                assert task.result()[::-1] == task.workload
                keys.append(task.unique)
            assert sorted(map(int, keys)) == list(range(3000))

    run(main())


def test_results_do_not_wait_for_workloads(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        more = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            yield b"ab"
            await more.wait()
            yield b"cd"

        async with Client(gearmand.address) as client:
            stream = client.submit("reverse", source(), background=False)
            assert (await anext(stream)).result() == b"ba"
            more.set()
            assert (await anext(stream)).result() == b"dc"
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())


@pytest.mark.slow
def test_back_pressure(gearmand: Gearmand) -> None:
    """Workloads are read as tasks are taken, not before."""
    read = 0

    def source() -> Iterator[bytes]:
        nonlocal read
        while read < 10_000:
            read += 1
            yield b"x"

    async def main() -> None:
        async with Client(gearmand.address) as client:
            taken = 0
            async for _ in client.submit("f", source()):
                taken += 1
                assert read - taken <= 1000
            assert taken == 10_000

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


def test_nobody_listens() -> None:
    async def main() -> None:
        async with Client(f"127.0.0.1:{unused_port()}") as client:
            calls = [client.do("f") for _ in range(3)] + [client.do_background("f")]
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, ConnectionFailedError)
            assert client.pending == 0
            client.add_task("f")
            with pytest.raises(ConnectionFailedError):
                await client.run_tasks()
            with pytest.raises(ConnectionFailedError):
                await client.job_status("H:a:1")
            assert client.pending == 1

    run(main())


def test_connection_breaks(proxy: Proxy, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(proxy.address) as client:
            call = asyncio.create_task(client.do("keep"))
            await asyncio.sleep(0.2)
            stream = client.submit("later", slowly(300))
            await anext(stream)
            proxy.cut()
            with pytest.raises((ConnectionFailedError, UnconfirmedError)):
                await call
            got = 1
            while got < 300:
                with suppress(ConnectionFailedError):
                    await anext(stream)
                    got += 1
            assert client.pending == 0
            assert await client.do("reverse", b"ab") == b"ba"

    run(main())


def test_restart_between_calls(gearmand: Gearmand) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            for _ in range(3):
                assert await client.do_background("f")
                gearmand.restart()

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
