"""Many batches in flight: each acknowledgement finds its own task, whatever lies between them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from fix_running import reverse, running
from fix_tasks import check_jobs, settle, take

import gearman_c
from gearman_c import (
    Client,
    ConnectionFailedError,
    QueueFullError,
    Task,
    TaskState,
    WaitTimeoutError,
    Worker,
)
from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy

# Sizes of batches; the binding tells 16 of them apart.
BATCHES = {
    "of one": [1] * 40,
    "of two and three": [2, 3] * 8,
    "growing": list(range(1, 17)),
    "shrinking": list(range(16, 0, -1)),
    "few": [100, 1],
    "mixed": random.Random(1).choices([1, 2, 5, 30, 100], k=60),
}

# Two batches, and what becomes of each of their tasks: "f" is taken, "g" is refused.
REFUSED = [
    ("f", "g"),
    ("g", "f"),
    ("g", "g"),
    ("gf", "f"),
    ("fg", "ff"),
    ("ff", "gf"),
    ("gg", "fgf"),
    ("fgf", "g"),
    ("fffff", "g", "f", "g", "ffff"),
    ("g", "f") * 20,
]


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    """Connected; what it sends is answered when the proxy resumes."""
    with Client(proxy.address, max_in_flight=10_000) as client:
        client.set_server_option("exceptions")  # else foreground tasks want a new connection
        client.do_background("connected", b"")
        proxy.stall(to_server=False)
        yield client


def send(client: Client, functions: Iterable[str]) -> list[Task]:
    """Have tasks of these functions sent in one batch, while no answer comes."""
    tasks = [client.add_task_background(name, name) for name in functions]
    with pytest.raises(WaitTimeoutError):
        client.run_tasks(timeout=0.01)
    assert {task.state for task in tasks} == {TaskState.UNCONFIRMED}  # and still under way
    return tasks


def test_the_way_is_short() -> None:
    """It costs nothing but time if it is not."""
    assert gearman_c._gearman._has_shortcut()


@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
def test_answers(gearmand: Gearmand, proxy: Proxy, client: Client, sizes: list[int]) -> None:
    tasks = [task for size in sizes for task in send(client, "f" * size)]
    proxy.resume()
    client.run_tasks(timeout=60)
    check_jobs(take(gearmand), tasks)


@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
def test_answers_byte_by_byte(
    gearmand: Gearmand, proxy: Proxy, client: Client, sizes: list[int]
) -> None:
    """More is sent while answers come: there is no end of the newest batch for long."""
    tasks = [task for size in sizes[:20] for task in send(client, "f" * size)]
    proxy.resume()
    proxy.one_byte_at_a_time()
    for size in sizes[20:]:
        tasks += [client.add_task_background("f", "f") for _ in range(size)]
        with suppress(WaitTimeoutError):
            client.run_tasks(timeout=0.001)
    client.run_tasks(timeout=60)
    check_jobs(take(gearmand), tasks)


@pytest.mark.parametrize("batches", REFUSED, ids="-".join)
def test_refusals(gearmand: Gearmand, proxy: Proxy, client: Client, batches: Sequence[str]) -> None:
    """Each ERROR is for its own task, too, and what was refused is sent again."""
    assert gearmand.command("create function g") == ["OK"]
    assert gearmand.command("maxqueue g 1") == ["OK"]
    with Client(gearmand.address) as other:
        other.do_background("g", b"full")
    tasks = [task for functions in batches for task in send(client, functions)]
    tasks += [client.add_task_background("f", "f") for _ in range(3000)]  # more than a window
    proxy.resume()
    with pytest.raises(QueueFullError):
        client.run_tasks(timeout=60)
    assert [task for task in tasks if task.function_name == "g"] == [
        task for task in tasks if task.state is TaskState.PENDING
    ]
    assert [job.workload for job in take(gearmand, "g")] == [b"full"]
    assert gearmand.command("maxqueue g 0") == ["OK"]
    client.run_tasks(timeout=60)
    check_jobs(take(gearmand, ("f", "g")), tasks)


@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
def test_cut(gearmand: Gearmand, proxy: Proxy, client: Client, sizes: list[int]) -> None:
    tasks = [task for size in sizes for task in send(client, "f" * size)]
    proxy.resume()
    proxy.cut_after(bytes_to_client=200)
    with suppress(ConnectionFailedError):  # where all are answered by then
        client.run_tasks(timeout=60)
    client.run_tasks(timeout=60)
    settle(gearmand)
    check_jobs(take(gearmand), tasks, handles=False)


@pytest.mark.parametrize("kinds", ["bf" * 5, "fb" * 5, "bbff" * 3, "b" * 20 + "f", "f" + "b" * 20])
def test_among_foreground_tasks(
    gearmand: Gearmand, proxy: Proxy, client: Client, kinds: str
) -> None:
    """Foreground tasks stay where they are when they are acknowledged."""
    tasks, jobs = [], []
    for number, kind in enumerate(kinds):
        if kind == "b":
            tasks += send(client, "ff")
        else:
            jobs.append(client.add_task("reverse", f"<{number}"))
            with pytest.raises(WaitTimeoutError):
                client.run_tasks(timeout=0.01)
    proxy.resume()
    worker = Worker(gearmand.address)
    worker.add_function("reverse", reverse)
    with running(worker):
        client.run_tasks(timeout=60)
    assert [job.result() for job in jobs] == [(job.workload or b"")[::-1] for job in jobs]
    tasks += send_rest(client)
    check_jobs(take(gearmand), tasks)


def send_rest(client: Client) -> list[Task]:
    """Behind all that, the way is short again: batches as before."""
    tasks = [client.add_task_background("f", "f") for _ in range(3000)]
    client.run_tasks(timeout=60)
    return tasks
