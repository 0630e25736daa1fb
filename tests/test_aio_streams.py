"""Client.submit() of asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from fix_aio import run, slowly, steps, until
from fix_worker import RawWorker

from gearman_c import QueueFullError, Task, TaskState, UsageError
from gearman_c.aio import Client
from gearman_c.testing import Gearmand, drain


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


@pytest.mark.parametrize("background", [True, False])
def test_a_slow_iterable_holds_nothing_back(
    gearmand: Gearmand, worker: RawWorker, background: bool
) -> None:
    """Neither the event loop nor what it has given."""

    async def main() -> None:
        async with Client(gearmand.address) as client:
            first_came = False

            def source() -> Iterator[bytes]:
                number = 0
                while not first_came:
                    time.sleep(0.005)
                    number += 1
                    yield b"%d" % number

            stream = client.submit("reverse", source(), background=background)
            await anext(stream)
            first_came = True
            async for task in stream:
                assert task.is_finished

    run(main())


def test_full_queue_beside_a_long_job(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            long = asyncio.create_task(client.do("keep"))
            await client.do_background("f", b"first")
            gearmand.command("maxqueue f 1")
            stream = client.submit("f", [b"%d" % number for number in range(700)])
            for _ in range(2):
                with pytest.raises(QueueFullError):
                    await anext(stream)
                assert await client.do_background("g")
            gearmand.command("maxqueue f 0")
            assert [int(task.workload or b"") async for task in stream] == list(range(700))
            long.cancel()
            await asyncio.wait({long})

    run(main())
    assert len(drain(gearmand.address, "f")) == 701


def test_cancelled_after_any_step(gearmand: Gearmand, worker: RawWorker) -> None:
    """What was read is given out by the next call."""

    async def main() -> None:
        async with Client(gearmand.address) as client:
            for source in (slowly(200), (b"%d" % number for number in range(200))):
                stream = client.submit("f", source)
                got: list[Task] = []
                for count in range(40):
                    call = asyncio.ensure_future(anext(stream))
                    await steps(count)
                    call.cancel()
                    await asyncio.wait({call})
                    if not call.cancelled():
                        got.append(call.result())
                got += [task async for task in stream]
                assert [task.workload for task in got] == [b"%d" % number for number in range(200)]

    run(main())
    jobs = [job.workload for job in drain(gearmand.address, "f")]
    assert sorted(jobs) == sorted(b"%d" % number for number in range(200) for _ in range(2))


def test_several_take_from_one_stream(gearmand: Gearmand) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            stream = client.submit("f", slowly(500))

            async def take() -> int:
                return len([task async for task in stream])

            assert sum(await asyncio.gather(*(take() for _ in range(3)))) == 500

    run(main())


def test_closed_while_it_waits(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        client = Client(gearmand.address)
        stream = client.submit("keep", [b"x"], background=False)
        call = asyncio.ensure_future(anext(stream))
        await until(lambda: worker.done == 1)
        await client.close()
        with pytest.raises(UsageError, match="the client was closed"):
            await call

    run(main())


def test_stopped_half_way(gearmand: Gearmand) -> None:
    async def main() -> None:
        never = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            yield b"first"
            await never.wait()

        async with Client(gearmand.address) as client:
            async with aclosing(client.submit("f", source())) as stream:
                assert (await anext(stream)).workload == b"first"
                call = asyncio.ensure_future(anext(stream))
                await steps(3)
                call.cancel()
                await asyncio.wait({call})
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())
