"""Whatever breaks in mid-run: nothing is lost, doubled or mixed up, and the next run finishes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import pytest
from fix_script import Script, within
from fix_tasks import add_tasks, at, check_all_there, check_pending, run_until_done, settle, take

from gearman_c import Client, ConnectionFailedError, Task, TaskState, WaitTimeoutError
from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy

FUNCTIONS = ("f", "g", "h")
Side = Literal["bytes_to_server", "bytes_to_client"]


def test_refused(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    tasks = add_tasks(client, 300, FUNCTIONS)
    proxy.refuse()
    for _ in range(3):
        with pytest.raises(ConnectionFailedError) as caught:
            client.run_tasks()
        assert caught.value.unconfirmed == ()
        assert proxy.address in str(caught.value)
        assert client.pending == len(tasks)
        assert {task.state for task in tasks} == {TaskState.PENDING}
    tasks += add_tasks(client, 300, FUNCTIONS)
    proxy.accept()
    client.run_tasks()
    assert client.pending == 0
    check_all_there(gearmand, tasks, FUNCTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["bytes_to_server", "bytes_to_client"])
def test_cut_at_every_byte(proxy: Proxy, gearmand: Gearmand, side: Side) -> None:
    """From the first byte of the connection on, until the run gets through uncut."""
    position, cuts = 0, -1
    while cuts < proxy.cuts:
        cuts = proxy.cuts
        with Client(proxy.address) as client:
            tasks = add_tasks(client, 4, FUNCTIONS[:2])
            proxy.cut_after(**{side: position})
            raised = run_until_done(client, tasks)
            assert len(raised) <= 1
            assert {task.state for task in tasks} == {TaskState.CREATED}
        settle(gearmand, 0)
        check_all_there(gearmand, tasks, FUNCTIONS[:2])
        position += 1
    assert position > 100


@pytest.mark.parametrize("window", [1, 7, 1000])
@pytest.mark.parametrize("side", ["bytes_to_server", "bytes_to_client"])
def test_cut_at_random(proxy: Proxy, gearmand: Gearmand, side: Side, window: int) -> None:
    dice = random.Random(f"{side} {window}")
    for _ in range(5):
        with Client(proxy.address, max_in_flight=window) as client:
            tasks = add_tasks(client, 150, FUNCTIONS, size=dice.choice([0, 60, 2000]))
            sizes = (0, 100, 10_000, 1_000_000 if side == "bytes_to_server" else 20_000)

            def arm(sizes: tuple[int, ...] = sizes) -> None:
                proxy.cut_after(**{side: dice.randrange(dice.choice(sizes[1:]))})

            run_until_done(client, tasks, before=arm)
        settle(gearmand, 0)
        check_all_there(gearmand, tasks, FUNCTIONS)


def test_cut_every_few_hundred_packets(proxy: Proxy, gearmand: Gearmand) -> None:
    dice = random.Random(0)
    client = Client(proxy.address)
    tasks = add_tasks(client, 5000, FUNCTIONS, size=50)

    def arm() -> None:
        if dice.random() < 0.5:
            proxy.cut_after(bytes_to_server=dice.randrange(60_000))
        else:
            proxy.cut_after(bytes_to_client=dice.randrange(15_000))

    raised = run_until_done(client, tasks, before=arm)
    assert len(raised) > 10
    assert {type(error) for error in raised} == {ConnectionFailedError}
    check_all_there(gearmand, tasks, FUNCTIONS)


def test_cut_in_large_payloads(proxy: Proxy, gearmand: Gearmand) -> None:
    dice = random.Random(1)
    client = Client(proxy.address)
    tasks = [
        client.add_task_background("f", dice.randbytes(size), context=size)
        for size in (0, 3_000_000, 1, 100, 500_000, 2_000_000, 70_000, 0, 1_500_000)
    ]
    positions = [1_000_000, 2_999_999, 3_000_100, 3_000_500, 700_000, 100, 1_000_000]

    def arm() -> None:
        if positions:
            proxy.cut_after(bytes_to_server=positions.pop(0))

    run_until_done(client, tasks, before=arm)
    check_all_there(gearmand, tasks)


def test_each_task_is_told_once_whatever_is_cut(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address, max_in_flight=50)
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) % 130 == 0:
            proxy.cut()

    client.on_created = on_created
    tasks = add_tasks(client, 1000, FUNCTIONS)
    assert run_until_done(client, tasks)
    assert told == tasks
    check_all_there(gearmand, tasks, FUNCTIONS)


def test_killed_and_restarted(gearmand: Gearmand) -> None:
    """The jobs that a server without a store had acknowledged die with it, and no others."""
    client = Client(gearmand.address, max_in_flight=100)
    tasks = add_tasks(client, 3000, FUNCTIONS)
    told = at(client, 1234, gearmand.kill)
    with pytest.raises(ConnectionFailedError):
        client.run_tasks()
    assert len(told) >= 1234
    check_pending(client, tasks)
    left = [task for task in tasks if task.state is not TaskState.CREATED]
    assert left == tasks[-len(left) :]
    with pytest.raises(ConnectionFailedError):
        client.run_tasks()  # it is still down
    check_pending(client, tasks)
    gearmand.start()
    client.run_tasks()
    assert client.pending == 0
    check_all_there(gearmand, left, FUNCTIONS)


def test_other_server_on_the_same_port(gearmand_factory: Callable[..., Gearmand]) -> None:
    first = gearmand_factory()
    with Client(first.address) as client:
        tasks = add_tasks(client, 300, FUNCTIONS)
        client.run_tasks()
        check_all_there(first, tasks, FUNCTIONS)
        first.kill()
        second = gearmand_factory(port=first.port)
        tasks = add_tasks(client, 300, FUNCTIONS)
        client.run_tasks()
        check_all_there(second, tasks, FUNCTIONS)


def test_stopped_and_continued(gearmand: Gearmand) -> None:
    client = Client(gearmand.address, max_in_flight=200)
    tasks = add_tasks(client, 1000, FUNCTIONS)
    told = at(client, 500, gearmand.pause)
    with pytest.raises(WaitTimeoutError):
        client.run_tasks(timeout=0.3)
    check_pending(client, tasks)
    assert client.pending > 0
    with pytest.raises(WaitTimeoutError):
        client.run_tasks(timeout=0)
    gearmand.resume()
    client.run_tasks()
    assert client.pending == 0
    assert told == tasks
    check_all_there(gearmand, tasks, FUNCTIONS)


@pytest.mark.parametrize("connected", [False, True])
def test_timeout_takes_its_time_and_no_longer(gearmand: Gearmand, *, connected: bool) -> None:
    client = Client(gearmand.address)
    tasks = add_tasks(client, 1, FUNCTIONS)
    if connected:
        client.run_tasks()
    gearmand.pause()
    tasks += add_tasks(client, 100, FUNCTIONS)

    def run() -> None:
        with pytest.raises(WaitTimeoutError) as caught:
            client.run_tasks(timeout=0.5)
        assert isinstance(caught.value, TimeoutError)

    within(0.4, 1.0, run)
    check_pending(client, tasks)
    gearmand.resume()
    client.run_tasks()
    check_all_there(gearmand, tasks, FUNCTIONS)


def test_no_progress(proxy: Proxy, gearmand: Gearmand) -> None:
    """Client.timeout gives the connection up; the next run sends again, and the server joins."""
    client = Client(proxy.address, timeout=0.5)
    tasks = add_tasks(client, 1, FUNCTIONS)
    client.run_tasks()
    proxy.stall(to_server=False)
    tasks += add_tasks(client, 100, FUNCTIONS)

    def run() -> None:
        with pytest.raises(WaitTimeoutError):
            client.run_tasks()

    within(0.4, 1.0, run)
    check_pending(client, tasks)
    proxy.resume()
    client.run_tasks()
    check_all_there(gearmand, tasks, FUNCTIONS)


@pytest.mark.slow
def test_slow_progress_is_no_timeout(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address, timeout=1)
    proxy.slow(20_000_000)
    tasks = add_tasks(client, 1, size=60_000_000)
    client.run_tasks()
    check_all_there(gearmand, tasks)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_callback_raises(gearmand: Gearmand, kind: type[BaseException]) -> None:
    client = Client(gearmand.address, max_in_flight=100)
    tasks = add_tasks(client, 1000, FUNCTIONS)
    told: list[Task] = []
    error = kind("mine")

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) in {1, 2, 77, 500, 1000}:
            raise error

    client.on_created = on_created
    for count in (1, 2, 77, 500, 1000):
        with pytest.raises(kind) as caught:
            client.run_tasks()
        assert caught.value is error
        assert len(told) == count
        check_pending(client, tasks)
    client.run_tasks()
    assert client.pending == 0
    assert told == tasks
    check_all_there(gearmand, tasks, FUNCTIONS)


def test_idle_connection_was_reset(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    for _ in range(20):
        tasks = add_tasks(client, 10, FUNCTIONS)
        client.run_tasks()
        check_all_there(gearmand, tasks, FUNCTIONS)
        proxy.cut()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_server_restarted_between_runs(gearmand: Gearmand, how: str) -> None:
    client = Client(gearmand.address)
    for _ in range(10):
        tasks = add_tasks(client, 10, FUNCTIONS)
        client.run_tasks()
        check_all_there(gearmand, tasks, FUNCTIONS)
        getattr(gearmand, how)()
        gearmand.start()


def test_out_of_memory(gearmand: Gearmand) -> None:
    """The copy that libgearman makes does not fit; what was sent before stays sent."""
    with Script(OUT_OF_MEMORY, gearmand.address) as script:
        assert script.read() == "MemoryError"
        small, pending = script.read().split()
        assert script.read() == "finished 0"
        assert int(pending) == 2 + (small != "CREATED")
    jobs = take(gearmand)
    assert [len(job.workload) for job in jobs] == [5, 50_000_000, 50_000_000]


OUT_OF_MEMORY = """
import resource, sys
from gearman_c import Client
client = Client(sys.argv[1])
client.add_task_background("warm")
client.run_tasks()
payload = bytes(50_000_000)
small = client.add_task_background("f", b"small")
client.add_task_background("f", payload)
client.add_task_background("f", payload)
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000, before[1]))
try:
    client.run_tasks()
except MemoryError:
    resource.setrlimit(resource.RLIMIT_AS, before)
    print("MemoryError")
print(small.state.name, client.pending)
client.run_tasks()
print("finished", client.pending)
"""
