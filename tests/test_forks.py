"""A forked child has a copy of the parent's clients, and none of their connections."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
from fix_script import Script
from fix_tasks import add_tasks, at, check_all_there, held, take, wait_for
from fix_worker import RawWorker

from gearman_c import Client, Task, TaskState, WaitTimeoutError
from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy

# Python 3.12 warns of a fork while there are threads, which is what is done here.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def fork(function: Callable[[], object]) -> int:
    """Call the function in a child, which ends without further ado; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def join(pid: int) -> None:
    """Wait for a child, which must have ended well, within a minute."""
    try:
        wait_for(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def use(client: Client, tasks: list[Task]) -> None:
    assert client.pending == 0
    assert not client.closed
    own = [client.add_task_background("child", b"%d" % number) for number in range(100)]
    client.run_tasks()
    assert client.pending == 0
    assert all(task.is_known for task in own)


def close(client: Client, tasks: list[Task]) -> None:
    client.close()
    assert client.closed


def use_and_close(client: Client, tasks: list[Task]) -> None:
    use(client, tasks)
    close(client, tasks)


def cancel(client: Client, tasks: list[Task]) -> None:
    for task in tasks:
        task.cancel()
    use(client, tasks)


def look(client: Client, tasks: list[Task]) -> None:
    assert client.pending == 0
    for task in tasks:
        repr(task)
        assert task.unique
        assert task.workload


def submit(client: Client, tasks: list[Task]) -> None:
    assert len(list(client.submit("child", [b"x"] * 100))) == 100


def change_servers(client: Client, tasks: list[Task]) -> None:
    client.remove_servers()
    client.timeout = 1
    client.close()


ACTIONS = [use, close, use_and_close, cancel, look, submit, change_servers]


@pytest.mark.parametrize("action", ACTIONS)
def test_idle(proxy: Proxy, gearmand: Gearmand, action: Callable[..., None]) -> None:
    client = Client(proxy.address)
    tasks = add_tasks(client, 100)
    client.run_tasks()
    connections = proxy.connections
    join(fork(lambda: action(client, tasks)))
    own = proxy.connections - connections
    assert own == (action in {use, use_and_close, cancel, submit})
    tasks += add_tasks(client, 100)
    client.run_tasks()
    assert proxy.connections == connections + own, "the parent's connection broke"
    check_all_there_but_the_childs(gearmand, tasks)


def check_all_there_but_the_childs(server: Gearmand, tasks: list[Task]) -> None:
    take(server, ["child"])
    check_all_there(server, tasks)


@pytest.mark.parametrize("action", ACTIONS)
def test_tasks_in_flight(proxy: Proxy, gearmand: Gearmand, action: Callable[..., None]) -> None:
    client = Client(proxy.address, max_in_flight=50)
    tasks = add_tasks(client, 1)
    client.run_tasks()
    proxy.stall(to_server=False)
    tasks += add_tasks(client, 200)
    with pytest.raises(WaitTimeoutError) as caught:
        client.run_tasks(timeout=0.1)
    assert len(caught.value.unconfirmed) == 50
    pid = fork(lambda: action(client, tasks))
    proxy.resume()
    client.run_tasks()
    join(pid)
    assert client.pending == 0
    tasks += add_tasks(client, 100)
    client.run_tasks()
    assert proxy.connections == 1 + (action in {use, use_and_close, cancel, submit})
    check_all_there_but_the_childs(gearmand, tasks)


@pytest.mark.parametrize("action", ACTIONS)
def test_from_a_callback(gearmand: Gearmand, action: Callable[..., None]) -> None:
    """In the midst of a run; the child has its own."""
    client = Client(gearmand.address, max_in_flight=50)
    pids: list[int] = []

    def child() -> None:
        client.on_created = None
        action(client, tasks)

    told = at(client, 30, lambda: pids.append(fork(child)))
    tasks = add_tasks(client, 500)
    client.run_tasks()
    join(pids[0])
    assert told == tasks
    check_all_there_but_the_childs(gearmand, tasks)


@pytest.mark.parametrize("action", [use, close, use_and_close, cancel, submit, gc.collect])
def test_jobs_running(gearmand: Gearmand, worker: RawWorker, action: Callable[..., object]) -> None:
    """The parent's results come to the parent, also those it had and did not look at."""
    worker.gate.clear()
    with Client(gearmand.address) as client:
        tasks = [client.add_task("reverse", b"%d" % number) for number in range(20)]
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.3)

        def in_child() -> None:
            if action is not gc.collect:
                action(client, tasks)
            client.close()
            told = {task for task in tasks if task.state is TaskState.COMPLETE}
            assert all(task.result()[::-1] == task.workload for task in told)
            assert {task.state for task in set(tasks) - told} == {TaskState.CANCELLED}

        join(fork(in_child))
        worker.gate.set()
        client.on_complete = lambda task: join(fork(in_child)) if task is tasks[7] else None
        client.run_tasks()
    assert [task.result()[::-1] for task in tasks] == [task.workload for task in tasks]


def test_dropped_by_the_child(gearmand: Gearmand) -> None:
    """With the collector and without, pending tasks or not: no warning, no harm."""
    for count in (0, 50):
        clients = [Client(gearmand.address)]
        tasks = add_tasks(clients[0], 10)
        clients[0].run_tasks()
        tasks += add_tasks(clients[0], count)
        cycle: list[object] = [clients]
        cycle.append(cycle)

        def child(clients: list[Client] = clients, cycle: list[object] = cycle) -> None:
            warnings.simplefilter("error")
            sys.unraisablehook = lambda _: os._exit(2)
            clients.clear()
            cycle.clear()
            gc.collect()

        join(fork(child))
        clients[0].run_tasks()
        check_all_there(gearmand, tasks)
        clients[0].close()  # the cycle keeps it alive


def test_parent_goes_on_while_children_work(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    tasks: list[Task] = []
    pids: list[int] = []
    for number in range(10):
        tasks += add_tasks(client, 500)
        client.run_tasks()
        tasks.extend(add_tasks(client, 500))
        pids.append(fork(partial(use_and_close, client, tasks)))
        client.run_tasks()
        if number % 2:
            join(pids.pop(0))
    for pid in pids:
        join(pid)
    assert gearmand.status()["child"].total == 1000
    keys = [job.unique for job in take(gearmand, ["child"])]
    assert len(set(keys)) == 1000
    check_all_there(gearmand, tasks)


def test_grandchildren(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    tasks = add_tasks(client, 10)

    def grandchild() -> None:
        use(client, tasks)

    def child() -> None:
        pid = fork(grandchild)
        use(client, tasks)
        join(pid)
        join(fork(grandchild))
        use(client, tasks)

    join(fork(child))
    client.run_tasks()
    assert gearmand.status()["child"].total == 400
    keys = [job.unique for job in take(gearmand, ["child"])]
    assert len(set(keys)) == 400
    check_all_there(gearmand, tasks)


def test_multiprocessing(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    tasks = add_tasks(client, 100)
    client.run_tasks()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=use, args=(client, tasks)) for _ in range(4)]
    for process in processes:
        process.start()
    tasks += add_tasks(client, 100)
    client.run_tasks()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
        process.close()
    assert gearmand.status()["child"].total == 400
    check_all_there_but_the_childs(gearmand, tasks)


@pytest.mark.parametrize("action", [use, use_and_close, submit])
def test_while_another_thread_runs(
    proxy: Proxy, gearmand: Gearmand, action: Callable[..., None]
) -> None:
    """The lock, and whatever else that thread holds, is of no concern to the child."""
    client = Client(proxy.address)
    tasks = add_tasks(client, 1)
    client.run_tasks()
    proxy.stall(to_server=False)
    tasks += add_tasks(client, 100)
    sent = proxy.bytes_to_server
    thread = threading.Thread(target=client.run_tasks)
    thread.start()
    proxy.wait_until(lambda: proxy.bytes_to_server > sent + 1000)

    def child() -> None:
        client.remove_servers()
        client.add_server("127.0.0.1", gearmand.port)  # not stalled
        action(client, tasks)

    join(fork(child))
    proxy.resume()
    thread.join()
    assert client.pending == 0
    assert gearmand.status()["child"].total == 100
    check_all_there_but_the_childs(gearmand, tasks)


@pytest.mark.unsanitized
def test_many_forks_while_threads_run(gearmand: Gearmand) -> None:
    """Whatever moment the fork finds the threads in, connecting included."""
    shared = Client(gearmand.address)
    tasks: list[Task] = []
    through = threading.Event()

    def run() -> None:
        while not through.is_set():
            tasks.extend(add_tasks(shared, 200))
            shared.run_tasks()

    def connect() -> None:
        while not through.is_set():
            with Client(gearmand.address) as client:
                client.add_task_background("other")
                client.run_tasks()

    threads = [threading.Thread(target=target) for target in (run, connect)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            join(fork(lambda: use_and_close(shared, [])))
    finally:
        through.set()
        for thread in threads:
            thread.join()
    assert gearmand.status()["child"].total == 2500
    keys = [job.unique for name in ("child", "f", "other") for job in take(gearmand, [name])]
    assert len(set(keys)) == len(keys) >= 2500 + len(tasks)
    assert {task.unique for task in tasks} <= set(keys)
    assert {task.state for task in tasks} == {TaskState.CREATED}


@pytest.mark.parametrize(
    "ending",
    [
        "pass",
        "sys.exit()",
        "client.close()",
        "os._exit(0)",
        "del client",
        "client.run_tasks()",
        "gc.collect()",
    ],
)
def test_ways_to_end(proxy: Proxy, gearmand: Gearmand, ending: str) -> None:
    """The child ends as programs do: the interpreter takes everything apart."""
    with Script(ENDING.replace("ENDING", ending), proxy.address) as script:
        assert script.read() == "child 0"
        assert script.read() == "finished 0"
    assert proxy.connections == 1
    assert held(gearmand) == 200


ENDING = """
import gc, os, sys
from gearman_c import Client
client = Client(sys.argv[1])
for _ in range(100):
    client.add_task_background("f")
client.run_tasks()
for _ in range(100):
    client.add_task_background("f")
pid = os.fork()
if pid == 0:
    ENDING
else:
    print("child", os.waitpid(pid, 0)[1])
    client.run_tasks()
    print("finished", client.pending)
    client.close()
"""


def test_killed_child(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    tasks = add_tasks(client, 100)
    client.run_tasks()
    pid = fork(signal.pause)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    tasks += add_tasks(client, 100)
    client.run_tasks()
    assert proxy.connections == 1
    check_all_there(gearmand, tasks)
