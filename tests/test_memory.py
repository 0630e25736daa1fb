"""What is left when clients and tasks are gone: no objects, no descriptors, and flat memory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fix_worker import RawWorker

from gearman_c import Client, ConnectionFailedError
from gearman_c.testing import Gearmand, drain

NOWHERE = "127.0.0.1:1"

RunScript = Callable[..., str]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["close", "drop", "lose", "refuse"])
def test_no_objects_left(gearmand: Gearmand, flat_objects: Callable[..., Any], way: str) -> None:
    """However 30 clients with 40 tasks each come to their end."""

    def once() -> None:
        client = Client(NOWHERE if way == "refuse" else gearmand.address)
        client.on_created = lambda task: client
        for number in range(20):
            client.add_task_background("f", str(number), context=[number, client])
        try:
            client.run_tasks()
            list(client.submit("f", ["a"] * 20))
        except ConnectionFailedError:
            client.close()
        if way == "lose":
            client.add_task_background("f", context=client)
            gearmand.restart()
            client.run_tasks()
        if way == "close":
            client.close()

    once()
    with flat_objects():
        for _ in range(30):
            once()
    jobs = {"close": 31 * 40, "drop": 31 * 40, "lose": 1}
    if way == "refuse":
        assert gearmand.status() == {}
    else:
        assert gearmand.status()["f"].total == jobs[way]


def test_no_descriptors_left(gearmand: Gearmand) -> None:
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    def once() -> None:
        with Client(gearmand.address) as client:
            client.add_task_background("f")
            client.run_tasks()
            client.echo("x")
        with Client(NOWHERE) as client:
            client.add_task_background("f")
            with pytest.raises(ConnectionFailedError):
                client.run_tasks()

    once()
    before = descriptors()
    for _ in range(50):
        once()
    assert descriptors() == before


ROUNDS = """
import gc, sys
from fix_gc import resident
from gearman_c import Client

def one_client(client, tasks=5000):
    for number in range(tasks):
        client.add_task_background("f", b"x" * 100, context=number)
    client.run_tasks()

def new_clients(_):
    with Client(sys.argv[1]) as client:
        one_client(client)

def submit(client):
    for task in client.submit("f", (b"x" * 100 for _ in range(5000))):
        pass

def callbacks(client):
    client.on_created = lambda task: task.job_handle
    one_client(client)

def contexts(client):
    for number in range(5000):
        client.add_task_background("f", context=[client])
    client.run_tasks()

one_round = globals()[sys.argv[2]]
with Client(sys.argv[1]) as client:
    for number in range(34):
        one_round(client)
        if number == 3:
            gc.collect()
            before = resident()
gc.collect()
print(resident() - before)
"""


@pytest.mark.unsanitized
@pytest.mark.parametrize("way", ["one_client", "new_clients", "submit", "callbacks", "contexts"])
def test_rounds(large_gearmand: Gearmand, run_script: RunScript, way: str) -> None:
    growth = int(run_script(ROUNDS, large_gearmand.address, way))
    assert growth < 3 << 20
    assert large_gearmand.status()["f"].total == 34 * 5000


PENDING = """
import sys
from fix_gc import resident
from gearman_c import Client
payload = b"x" * 100_000
with Client("127.0.0.1:1") as client:
    for _ in range(1000):
        client.add_task_background("f", payload)
    before = resident()
    for _ in range(200_000):
        client.add_task_background("f", payload)
    print((resident() - before) / 200_000)
"""


@pytest.mark.unsanitized
def test_memory_of_a_pending_task(run_script: RunScript) -> None:
    """In bytes, beyond the payload, which all of them share."""
    assert float(run_script(PENDING)) < 300


STREAM = """
import socket, sys, time
from fix_gc import resident
from gearman_c import Client
address, count, size, ahead, step = sys.argv[1], *map(int, sys.argv[2:])
host, port = address.split(":")

def held_by_the_server():
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"status\\r\\n")
        lines = connection.makefile()
        rows = [row.split() for row in iter(lines.readline, ".\\n")]
    return sum(int(row[1]) for row in rows)

def source():
    global most
    filling = b"x" * (size - 10)
    for number in range(count):
        if number % step == 0:
            while held_by_the_server() > ahead:
                time.sleep(0.001)
            most = max(most, resident())
        yield b"%010d" % number + filling

most = before = resident()
with Client(address) as client:
    for number, task in enumerate(client.submit("f", source())):
        if number % step == 0:
            most = max(most, resident())
    assert number == count - 1
print(most - before)
"""


def stream(
    server: Gearmand, run_script: RunScript, *, count: int, size: int, ahead: int, step: int
) -> int:
    """Submit so many payloads while another thread takes them off; return the most memory added.

    ahead: jobs that the server may hold before the source waits: its memory is bounded too.
    """
    numbers: list[int] = []
    arguments = [str(each) for each in (count, size, ahead, step)]
    with ThreadPoolExecutor(1) as executor:
        script = executor.submit(run_script, STREAM, server.address, *arguments, limit=500)
        while len(numbers) < count:
            ended = script.done()
            jobs = drain(server.address, "f", min(ahead, count - len(numbers)), prefetch=step)
            assert all(len(job.workload) == size for job in jobs)
            numbers += [int(job.workload[:10]) for job in jobs]
            if ended and not jobs:
                break
        growth = int(script.result())
    assert numbers == list(range(count))
    return growth


@pytest.mark.unsanitized
@pytest.mark.slow
def test_a_million_small_payloads(large_gearmand: Gearmand, run_script: RunScript) -> None:
    growth = stream(large_gearmand, run_script, count=1_000_000, size=1000, ahead=50_000, step=1000)
    assert growth < 24 << 20


@pytest.mark.unsanitized
@pytest.mark.slow
def test_a_hundred_large_payloads(gearmand: Gearmand, run_script: RunScript) -> None:
    """A few of them at a time: the one being made, those in the window, the copy in libgearman."""
    size = 50 << 20
    growth = stream(gearmand, run_script, count=100, size=size, ahead=2, step=1)
    assert growth < 10 * size


def in_huge_pages() -> int:
    """Return how many megabytes of this process the kernel was told to put in huge pages."""
    mapping = re.compile(r"^Rss: +(\d+) kB$.*?^VmFlags:([^\n]*)", re.MULTILINE | re.DOTALL)
    found = mapping.findall(Path("/proc/self/smaps").read_text())
    return sum(int(size) for size, flags in found if "hg" in flags.split()) // 1000


@pytest.mark.skipif(
    not os.path.exists("/sys/kernel/mm/transparent_hugepage"), reason="the kernel has no huge pages"
)
def test_large_results_in_huge_pages(gearmand: Gearmand, worker: RawWorker) -> None:
    """Whether it then does so is the kernel's affair."""
    with Client(gearmand.address) as client:
        before = in_huge_pages()
        results = [client.do("reverse", bytes(20_000_000)) for _ in range(3)]
        assert in_huge_pages() - before >= 55
        assert results == [bytes(20_000_000)] * 3


@pytest.mark.parametrize("size", [(4 << 20) - 1, 4 << 20, (4 << 20) + 4097])
def test_results_that_are_just_large(gearmand: Gearmand, worker: RawWorker, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + b"!" * (size % 256)
    with Client(gearmand.address) as client:
        assert client.do("reverse", payload) == payload[::-1]
