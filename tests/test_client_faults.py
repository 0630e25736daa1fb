"""The process itself is killed, or has no descriptors left, in each of the six kinds of work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fix_running import reverse, running
from fix_script import Script
from fix_tasks import settle, wait_for

from gearman_c import Client, Worker
from gearman_c.testing import Gearmand, drain

KINDS = ("background", "foreground", "do", "submit", "worker", "asynchronous")

# Works for ever, and prints the number of each job that it was told is acknowledged, or done.
WORKING = """
import asyncio, sys
from itertools import count
from gearman_c import Client, Worker, aio

address, kind = sys.argv[1:]

def tell(payload):
    print(payload.decode(), flush=True)

async def asynchronous():
    async with aio.Client(address) as client:
        for number in count():
            tell((await client.do("f", str(number)))[::-1])

if kind == "asynchronous":
    asyncio.run(asynchronous())
elif kind == "worker":
    worker = Worker(address)
    worker.add_function("f", lambda job: tell(job.workload))
    worker.run()
with Client(address) as client:
    if kind == "submit":
        for task in client.submit("f", (str(number) for number in count())):
            tell(task.workload)
    for number in count():
        if kind == "do":
            tell(client.do("f", str(number))[::-1])
            continue
        add = client.add_task if kind == "foreground" else client.add_task_background
        task = add("f", str(number))
        client.run_tasks()
        tell(task.workload)
"""

# Tries to work without descriptors, prints what that raises and what is queued, and does it then.
NO_DESCRIPTORS = """
import asyncio, logging, os, resource, sys
from contextlib import contextmanager
from operator import length_hint
from gearman_c import Client, ConnectionFailedError, Worker, aio

address, kind = sys.argv[1:]

@contextmanager
def no_descriptors():
    lowest = os.dup(0)
    os.close(lowest)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    except ConnectionFailedError as error:
        print(error.unconfirmed)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

async def asynchronous():
    async with aio.Client(address) as client:
        with no_descriptors():
            await client.do("f", "0", timeout=30)
        print(client.pending)
        for number in range(10):
            assert await client.do("f", str(number), timeout=30) == str(number).encode()[::-1]

if kind == "asynchronous":
    asyncio.run(asynchronous())
elif kind == "worker":
    logging.disable()  # it tells that it cannot connect
    done = []
    with Worker(address) as worker:
        worker.add_function("f", lambda job: done.append(job.workload))
        with no_descriptors():
            print(worker.work(0.5), len(done))
        while len(done) < 10:
            worker.work(30)
elif kind == "do":
    with Client(address) as client:
        with no_descriptors():
            client.do("f", "0", timeout=30)
        print(client.pending)
        for number in range(10):
            client.do("f", str(number), timeout=30)
else:
    with Client(address) as client:
        numbers = [str(number) for number in range(10)]
        source = iter(numbers)
        if kind == "submit":
            tasks = client.submit("f", source)
            with no_descriptors():
                next(tasks)
        else:
            add = client.add_task if kind == "foreground" else client.add_task_background
            tasks = [add("f", number) for number in numbers]
            with no_descriptors():
                client.run_tasks(timeout=10)
        unread = length_hint(source) if kind == "submit" else 0
        print(client.pending + unread)  # how far submit() reads ahead depends on time
        if kind != "submit":
            client.run_tasks(timeout=30)
        assert all(task.is_finished and task.error is None for task in tasks)
        assert client.pending == 0
"""


@pytest.fixture
def done(gearmand: Gearmand, kind: str) -> Iterator[list[int]]:
    """What a worker has done, where somebody waits for it; else what waits in the queue."""
    jobs: list[int] = []

    def work(job: object) -> bytes:
        result = reverse(job)
        jobs.append(int(result[::-1]))
        return result

    worker = Worker(gearmand.address)
    worker.add_function("f", work)
    if kind in ("foreground", "do", "asynchronous"):
        with running(worker):
            yield jobs
    else:
        yield jobs
        worker.close()


@pytest.mark.parametrize("kind", KINDS)
def test_killed(gearmand: Gearmand, kind: str, done: list[int]) -> None:
    """What it was told about is there, or done; nothing twice but what the worker had in hand."""
    if kind == "worker":
        with Client(gearmand.address) as client:
            for number in range(2000):
                client.add_task_background("f", str(number))
            client.run_tasks()
    with Script(WORKING, gearmand.address, kind) as script:
        told = [int(script.read()) for _ in range(500)]
        script.kill()
    assert told == list(range(500))
    if kind in ("foreground", "do", "asynchronous"):
        wait_for(lambda: gearmand.status()["f"].total == 0)
        assert done == list(range(len(done)))
        assert len(done) >= 500
        return
    settle(gearmand, clients=0)
    left = [int(job.workload) for job in drain(gearmand.address, "f")]
    if kind == "worker":
        # What it had in hand comes again, and also what it had not told yet.
        assert sorted(left) == list(range(2000 - len(left), 2000))
        assert len(left) <= 1501
    else:
        assert left == list(range(len(left)))
        assert len(left) >= 500


@pytest.mark.parametrize("kind", KINDS)
def test_no_descriptors(
    gearmand: Gearmand, kind: str, done: list[int], run_script: Callable[..., str]
) -> None:
    """It is said, nothing was sent, and when there are some again all goes on."""
    if kind == "worker":
        with Client(gearmand.address) as client:
            for number in range(10):
                client.add_task_background("f", str(number))
            client.run_tasks()
    lines = run_script(NO_DESCRIPTORS, gearmand.address, kind).splitlines()
    if kind == "worker":
        assert lines == ["False 0"]
        assert gearmand.status()["f"].total == 0
        return
    pending = {"do": 0, "asynchronous": 0}
    assert lines == ["()", str(pending.get(kind, 10))]
    if kind in ("background", "submit"):
        done += [int(job.workload) for job in drain(gearmand.address, "f")]
    assert sorted(done) == list(range(10))
