"""The client for asyncio when servers, connections and callbacks fail."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import pytest
from fix_aio import run, slowly, steps, until
from fix_proxy import Proxy
from fix_tasks import held
from fix_worker import RawWorker

from gearman_c import (
    ConnectionFailedError,
    JobFailedError,
    QueueFullError,
    TaskState,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)
from gearman_c.aio import Client
from gearman_c.testing import Gearmand, drain, unused_port


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


def test_the_connection_breaks_in_one_of_many(proxy: Proxy, worker: RawWorker) -> None:
    """Each caller is told, and none waits for ever."""

    async def main() -> None:
        async with Client(proxy.address) as client:
            calls = [asyncio.create_task(client.do("keep")) for _ in range(20)]
            calls.append(asyncio.create_task(client.do("fail")))
            (failed,), _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert isinstance(failed.exception(), JobFailedError)
            await until(lambda: worker.done == 21)
            proxy.cut()
            for error in await asyncio.gather(*calls[:20], return_exceptions=True):
                assert isinstance(error, (ConnectionFailedError, UnconfirmedError))
            assert client.pending == 0

    run(main())


def test_no_word_makes_room(
    gearmand: Gearmand, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All the answers come at once, so none is left that would wake the client for a refill."""
    monkeypatch.setattr("gearman_c.aio.runner._TICK", 1000)

    def holds(jobs: int) -> bool:
        return held(gearmand) == jobs

    async def main() -> None:
        async with Client(proxy.address, max_in_flight=10) as client:
            await client.do_background("f")
            for sent in (11, 26, 41):
                proxy.stall(to_server=False)
                running = asyncio.create_task(client.run_tasks())
                for _ in range(15):
                    client.add_task_background("f")
                await until(partial(holds, sent))
                proxy.resume()
                await running

    run(main())
    assert len(drain(gearmand.address, "f")) == 46


def test_a_stalled_socket_takes_more(
    gearmand: Gearmand, proxy: Proxy, worker: RawWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gearman_c.aio.runner._TICK", 1000)

    async def main() -> None:
        async with Client(proxy.address) as client:
            await client.do("reverse")
            proxy.stall()
            payloads = [bytes([number]) * 3_000_000 for number in range(4)]
            calls = [asyncio.create_task(client.do("reverse", each)) for each in payloads]
            cancelled = asyncio.create_task(client.do("reverse", b"cancelled"))
            await steps(5)
            cancelled.cancel()
            await asyncio.wait({cancelled})
            proxy.resume()
            assert await asyncio.gather(*calls) == payloads

    run(main())


def test_full_queue_beside_a_long_job(gearmand: Gearmand, worker: RawWorker) -> None:
    """It is told at once, though the run goes on, and tried again when somebody wants it."""

    async def main() -> None:
        async with Client(gearmand.address) as client:
            long = asyncio.create_task(client.do("keep"))
            await client.do_background("f", b"first")
            gearmand.command("maxqueue f 1")
            for _ in range(2):
                calls = [client.do_background("f") for _ in range(700)]
                for error in await asyncio.gather(*calls, return_exceptions=True):
                    assert isinstance(error, QueueFullError)
                assert await client.do_background("g")
            assert len(drain(gearmand.address, "f")) == 1
            assert await client.do_background("f", b"second")
            assert client.pending == 1
            long.cancel()
            await asyncio.wait({long})
        assert [job.workload for job in drain(gearmand.address, "f")] == [b"second"]

    run(main())


def test_run_tasks_with_a_full_queue(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            await client.do_background("f")
            gearmand.command("maxqueue f 1")
            worker.gate.clear()
            tasks = [client.add_task_background("f") for _ in range(3)]
            last = client.add_task("reverse", b"ab")
            running = asyncio.create_task(client.run_tasks())
            await until(lambda: last.state is TaskState.RUNNING)
            worker.gate.set()
            with pytest.raises(QueueFullError):
                await running
            assert last.result() == b"ba"
            assert client.pending == 3
            gearmand.command("maxqueue f 0")
            await client.run_tasks()
            assert {task.state for task in tasks} == {TaskState.CREATED}

    run(main())


def test_no_progress(proxy: Proxy, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(proxy.address, timeout=0.3) as client:
            await client.do("reverse")
            proxy.stall()
            calls = [client.do_background("f"), client.do("reverse"), client.run_tasks()]
            submitted, done, ran = await asyncio.gather(*calls, return_exceptions=True)
            for error in (submitted, ran):
                assert isinstance(error, WaitTimeoutError)
                assert "made no progress" in str(error)
            assert isinstance(done, UnconfirmedError)
            proxy.resume()
            assert await client.do("reverse", b"ab") == b"ba"

    run(main())


def test_closed_behind(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            calls = [asyncio.create_task(client.do("keep")) for _ in range(3)]
            await until(lambda: worker.done == 3)
            client.tasks.close()
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, (UsageError, UnconfirmedError))

    run(main())
