"""Several threads and one client, or one each; and those that have nothing to do with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from fix_script import until_quick, within
from fix_tasks import add_tasks, check_all_there, check_pending, held, take, wait_for

from gearman_c import Client, ConnectionFailedError, Task, TaskState, UsageError, WaitTimeoutError
from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy


class Threads:
    """Runs functions, each in a thread of its own; leaving it waits for them and raises theirs."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a thread hangs"
        if kind is None and self.errors:
            raise self.errors[0]

    def start(self, function: Callable[..., object], *arguments: object) -> threading.Thread:
        def run() -> None:
            try:
                function(*arguments)
            except BaseException as error:
                self.errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread


def start_blocked_run(
    threads: Threads, proxy: Proxy, client: Client, run: Callable[[], object], size: int = 100
) -> list[Task]:
    """Run in another thread, and return when its requests are out and no answer comes."""
    client.add_task_background("f")
    client.run_tasks()
    proxy.stall(to_server=False)
    tasks = add_tasks(client, 10, size=size)
    sent = proxy.bytes_to_server
    threads.start(run)
    proxy.wait_until(lambda: proxy.bytes_to_server >= sent + 1000)
    return tasks


@pytest.mark.parametrize("window", [3, 1000])
def test_shared(gearmand: Gearmand, window: int) -> None:
    client = Client(gearmand.address, max_in_flight=window)
    told: list[Task] = []
    client.on_created = told.append
    tasks: list[list[Task]] = [[], [], [], []]

    def work(mine: int) -> None:
        for _ in range(25):
            for number in range(50):
                workload = b"%d %d" % (mine, number)
                tasks[mine].append(client.add_task_background(f"f{mine}", workload))
            client.run_tasks()
            assert all(task.is_known for task in tasks[mine])

    with Threads() as threads:
        for mine in range(4):
            threads.start(work, mine)
    assert client.pending == 0
    everything = [task for each in tasks for task in each]
    assert sorted(map(id, told)) == sorted(map(id, everything))
    check_all_there(gearmand, everything, ["f0", "f1", "f2", "f3"])


def test_shared_and_cut(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address, max_in_flight=50)
    tasks: list[list[Task]] = [[], [], [], []]
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        if len(told) % 400 == 0:
            proxy.cut()

    client.on_created = on_created

    def work(mine: int) -> None:
        for _ in range(20):
            tasks[mine].extend(client.add_task_background(f"f{mine}", b"x") for _ in range(50))
            while not all(task.is_known for task in tasks[mine]):
                with suppress(ConnectionFailedError):
                    client.run_tasks()

    with Threads() as threads:
        for mine in range(4):
            threads.start(work, mine)
    assert client.pending == 0
    check_all_there(gearmand, [task for each in tasks for task in each], ["f0", "f1", "f2", "f3"])


def test_one_adds_while_another_runs(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    tasks: list[Task] = []
    through = threading.Event()

    def run() -> None:
        while not through.is_set() or client.pending:
            client.run_tasks()

    with Threads() as threads:
        threads.start(run)
        for number in range(30_000):
            tasks.append(client.add_task_background("f", b"%d" % number))
        through.set()
    check_all_there(gearmand, tasks)


def test_two_submissions_and_a_run(gearmand: Gearmand) -> None:
    client = Client(gearmand.address, max_in_flight=100)
    done: dict[str, list[Task]] = {"f": [], "g": [], "h": []}

    def submit(name: str) -> None:
        done[name].extend(client.submit(name, (b"%d" % number for number in range(5000))))

    def run() -> None:
        for number in range(5000):
            done["h"].append(client.add_task_background("h", b"%d" % number))
            if number % 100 == 99:
                client.run_tasks()

    with Threads() as threads:
        threads.start(submit, "f")
        threads.start(submit, "g")
        threads.start(run)
    assert client.pending == 0
    check_all_there(gearmand, done["f"] + done["g"] + done["h"], "fgh")


def test_eight_clients(gearmand: Gearmand) -> None:
    names = [f"f{number}" for number in range(8)]
    tasks: list[Task] = []
    together = threading.Barrier(8)

    def work(name: str) -> None:
        together.wait()
        for _ in range(5):
            with Client(gearmand.address) as client:
                mine = [client.add_task_background(name, b"%d" % n) for n in range(500)]
                client.run_tasks()
                assert client.pending == 0
                tasks.extend(mine)

    with Threads() as threads:
        for name in names:
            threads.start(work, name)
    assert len(tasks) == 20_000
    tasks.sort(key=lambda task: names.index(task.function_name))
    check_all_there(gearmand, tasks, names)


def test_eight_clients_really_at_once(proxy: Proxy, gearmand: Gearmand) -> None:
    """All of them wait for the server; nobody waits for another one."""
    proxy.stall(to_server=False)
    clients = [Client(proxy.address) for _ in range(8)]
    with Threads() as threads:
        for client in clients:
            add_tasks(client, 5)
            threads.start(client.run_tasks)
        proxy.wait_until(lambda: proxy.connections == 8)
        proxy.resume()
    assert held(gearmand) == 40
    assert sum(client.pending for client in clients) == 0


@pytest.mark.parametrize("size", [100, 5_000_000])
def test_close_ends_a_blocked_run(proxy: Proxy, gearmand: Gearmand, size: int) -> None:
    def attempt() -> float:
        client = Client(proxy.address)
        with Threads() as threads:
            tasks = start_blocked_run(threads, proxy, client, client.run_tasks, size)
            start = time.monotonic()
            client.close()
            took = time.monotonic() - start
            wait_for(lambda: threads.errors)
            [error] = threads.errors
            threads.errors.clear()
        assert isinstance(error, UsageError)
        assert client.closed
        assert client.pending == 0
        assert {task.state for task in tasks} <= {TaskState.FAILED, TaskState.CANCELLED}
        proxy.cut()
        proxy.resume()
        return took

    until_quick(attempt, 0.3)  # a slice, and 0.2 s


def test_close_while_connecting(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    tasks = add_tasks(client, 10)
    gearmand.pause()
    with Threads() as threads:
        threads.start(client.run_tasks)
        wait_for(lambda: connects_to(gearmand.port))
        client.close()
        wait_for(lambda: threads.errors)
        [error] = threads.errors
        threads.errors.clear()
    assert isinstance(error, UsageError)
    assert {task.state for task in tasks} == {TaskState.CANCELLED}
    gearmand.resume()


def connects_to(port: int) -> bool:
    """Whether there is an established connection to this port of 127.0.0.1."""
    with open("/proc/self/net/tcp") as table:
        return any(
            row.split()[2] == f"0100007F:{port:04X}" and row.split()[3] == "01" for row in table
        )


def test_close_ends_a_blocked_submission(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    with Threads() as threads:
        submission = client.submit("f", [b"x"] * 10)
        start_blocked_run(threads, proxy, client, lambda: list(submission))
        client.close()
        wait_for(lambda: threads.errors)
        assert isinstance(threads.errors.pop(), UsageError)
    proxy.resume()


def test_timeout_while_another_runs(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    with Threads() as threads:
        tasks = start_blocked_run(threads, proxy, client, client.run_tasks)
        tasks += add_tasks(client, 10)

        def run() -> None:
            with pytest.raises(WaitTimeoutError):
                client.run_tasks(timeout=0.5)

        within(0.4, 1.0, run)
        assert client.pending == 20
        proxy.resume()
    client.run_tasks()
    check_pending(client, tasks)
    assert client.pending == 0
    assert held(gearmand) == 21


def test_run_waits_for_another(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    with Threads() as threads:
        tasks = start_blocked_run(threads, proxy, client, client.run_tasks)
        tasks += add_tasks(client, 10)
        for _ in range(3):
            threads.start(client.run_tasks)
        proxy.resume()
    assert client.pending == 0
    assert len(take(gearmand)) == 21


@pytest.mark.parametrize("size", [100, 5_000_000])
def test_others_run_all_the_while(proxy: Proxy, gearmand: Gearmand, size: int) -> None:
    """A blocked run does not hold the GIL, not even from one slice to the next."""
    client = Client(proxy.address)
    with Threads() as threads:
        start_blocked_run(threads, proxy, client, client.run_tasks, size)
        gaps = []
        for _ in range(3):
            last = start = time.monotonic()
            longest = 0.0
            while last < start + 0.5:
                moment = time.monotonic()
                longest = max(longest, moment - last)
                last = moment
            gaps.append(longest)
        proxy.resume()
    assert min(gaps) < 0.05, gaps
    assert client.pending == 0


def test_closed_by_many(gearmand: Gearmand) -> None:
    for _ in range(20):
        client = Client(gearmand.address)
        add_tasks(client, 100)

        def run(client: Client = client) -> None:
            with suppress(UsageError):
                client.run_tasks()

        with Threads() as threads:
            threads.start(run)
            for _ in range(4):
                threads.start(client.close)
        assert client.closed
