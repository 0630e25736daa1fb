"""Callers of the asyncio client that go before they have what they asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from fix_aio import run, steps
from fix_proxy import Proxy
from fix_worker import COMPLETE, Packets, RawWorker

from gearman_c import WaitTimeoutError
from gearman_c.aio import Client
from gearman_c.testing import Gearmand, drain


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


class Recorder:
    """What a worker was given, by its function `record`."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def record(self, workload: bytes) -> Packets:
        self.seen.append(workload)
        return [(COMPLETE, (workload[::-1],))]

    def check(self, *all_of: bytes) -> None:
        """Check that nothing came twice, and that these came."""
        assert len(set(self.seen)) == len(self.seen)
        assert set(all_of) <= set(self.seen)


@pytest.fixture
def recorder(gearmand: Gearmand) -> Iterator[Recorder]:
    recorder = Recorder()
    with RawWorker(gearmand.address, {"record": recorder.record}):
        yield recorder


@pytest.mark.parametrize("connected", [True, False])
def test_cancelled_after_any_step(gearmand: Gearmand, recorder: Recorder, connected: bool) -> None:
    async def main() -> None:
        client = Client(gearmand.address)
        for count in range(61):
            if not connected:
                await client.close()
                client = Client(gearmand.address)
            call = asyncio.create_task(client.do("record", b"cancelled %d" % count))
            await steps(count)
            call.cancel()
            await asyncio.wait({call})
            assert await client.do("record", b"%d" % count) == (b"%d" % count)[::-1]
            assert client.pending == 0
        await client.close()

    run(main())
    recorder.check(*(b"%d" % count for count in range(61)))


def test_background_cancelled_after_any_step(gearmand: Gearmand) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            for count in range(30):
                call = asyncio.create_task(client.do_background("f", b"cancelled %d" % count))
                await steps(count)
                call.cancel()
                await asyncio.wait({call})
                await client.do_background("f", b"%d" % count)
                assert client.pending == 0

    run(main())
    jobs = [job.workload for job in drain(gearmand.address, "f")]
    assert len(set(jobs)) == len(jobs)
    assert {b"%d" % count for count in range(30)} <= set(jobs)


def test_run_tasks_cancelled_after_any_step(gearmand: Gearmand, recorder: Recorder) -> None:
    """Its tasks stay, and the next run goes on with them."""

    async def main() -> None:
        async with Client(gearmand.address) as client:
            for count in range(30):
                task = client.add_task("record", b"%d" % count)
                call = asyncio.create_task(client.run_tasks())
                await steps(count)
                call.cancel()
                await asyncio.wait({call})
                await client.run_tasks()
                assert task.result()[::-1] == task.workload

    run(main())
    recorder.check(*(b"%d" % count for count in range(30)))


def test_withdrawn_before_it_was_sent(gearmand: Gearmand, proxy: Proxy, recorder: Recorder) -> None:
    async def main() -> None:
        async with Client(proxy.address) as client:
            proxy.stall()
            with pytest.raises(WaitTimeoutError) as caught:
                await client.do("record", b"never sent", timeout=0.2)
            assert caught.value.unconfirmed == ()
            assert client.pending == 0
            proxy.resume()
            assert await client.do("record", b"ab") == b"ba"

    run(main())
    assert recorder.seen == [b"ab"]


def test_withdrawn_while_it_is_sent(gearmand: Gearmand, proxy: Proxy, recorder: Recorder) -> None:
    """A server may get the first; so may it what waits behind, and that is not sent twice."""
    large = bytes(20_000_000)

    async def main() -> None:
        async with Client(proxy.address) as client:
            assert await client.do("record", b"ab") == b"ba"
            proxy.stall()
            calls = [client.do("record", load, timeout=0.3) for load in (large, b"behind")]
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, WaitTimeoutError)
                assert all(task.workload in (large, b"behind") for task in error.unconfirmed)
            proxy.resume()
            assert await client.do("record", b"cd") == b"dc"
            assert client.pending == 0

    run(main())
    recorder.check(b"ab", b"cd")


def test_as_a_run_ends(gearmand: Gearmand, worker: RawWorker) -> None:
    """Who comes as a run ends is not forgotten with it."""

    async def main() -> None:
        for count in range(10):
            async with Client(gearmand.address) as client:
                ending = asyncio.create_task(client.run_tasks())
                await steps(count)
                time.sleep(0.02)  # the loop is busy: what comes meanwhile is seen all at once
                assert await client.do("reverse", b"ab") == b"ba"
                await ending

    run(main())
