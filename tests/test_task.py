"""Task: what it shows in each state, how long it lives, and that nobody can make one."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from gearman_c import (
    Client,
    ConnectionFailedError,
    Priority,
    ReturnCode,
    Submission,
    Task,
    TaskState,
    UnconfirmedError,
    WaitTimeoutError,
)
from gearman_c.testing import Gearmand, drain

if TYPE_CHECKING:
    from fix_proxy import Proxy

NOWHERE = "127.0.0.1:1"


def check(task: Task, state: TaskState, *, code: ReturnCode = ReturnCode.IO_WAIT) -> None:
    """Assert all that follows from the state."""
    assert task.state is state
    assert task.return_code is code
    assert task.is_known is (state is TaskState.CREATED)
    assert task.is_finished is (state >= TaskState.CREATED)
    assert (task.job_handle is not None) is (state is TaskState.CREATED)
    assert (task.error is not None) is (state is TaskState.FAILED)
    assert state.name in repr(task)
    assert repr(task.function_name) in repr(task)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "this did not come about"
        time.sleep(0.001)


def connected(client: Client) -> None:
    """Send a first task, so that the next run meets a connection that works."""
    client.add_task_background("first")
    client.run_tasks()


def unconfirmed_task(client: Client, proxy: Proxy) -> Task:
    """Return a task that the server took and whose acknowledgement was lost."""
    connected(client)
    proxy.stall(to_server=False)
    task = client.add_task_background("f", "x")
    with pytest.raises(WaitTimeoutError):
        client.run_tasks(timeout=0.2)
    proxy.cut()
    proxy.resume()
    return task


# States


def test_pending() -> None:
    with Client(NOWHERE) as client:
        context = object()
        task = client.add_task_background("resize", b"payload", unique="key", context=context)
        check(task, TaskState.PENDING)
        assert type(task) is Task
        assert task.function_name == "resize"
        assert task.workload == b"payload"
        assert task.unique == "key"
        assert task.context is context
        assert task.priority is Priority.NORMAL
        assert task.background is True
        assert client.pending == 1


def test_defaults_and_priorities() -> None:
    with Client(NOWHERE) as client:
        for add, priority in [
            (client.add_task_high_background, Priority.HIGH),
            (client.add_task_background, Priority.NORMAL),
            (client.add_task_low_background, Priority.LOW),
        ]:
            task = add("f")
            assert task.priority is priority
            assert task.workload == b""
            assert task.context is None
            assert 1 <= len(task.unique.encode()) <= 63
            assert add("f", "w", unique=b"u", context=1).priority is priority


def test_created(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        task = client.add_task_background("Größe", "Grüße", unique="Schlüssel")
        client.run_tasks()
        check(task, TaskState.CREATED, code=ReturnCode.SUCCESS)
        assert task.job_handle in repr(task)
        assert task.cancel() is False
        check(task, TaskState.CREATED, code=ReturnCode.SUCCESS)
        assert client.pending == 0
    (job,) = drain(gearmand.address, "Größe")
    assert (task.job_handle, task.function_name, task.unique, task.workload) == job


def test_in_flight(proxy: Proxy) -> None:
    with Client(proxy.address) as client:
        connected(client)
        proxy.stall(to_server=False)
        task = client.add_task_background("f", "x")
        before = proxy.bytes_to_server
        run = threading.Thread(target=client.run_tasks, args=(60,))
        run.start()
        try:
            proxy.wait_until(lambda: proxy.bytes_to_server > before)
            check(task, TaskState.IN_FLIGHT)
            assert task.cancel() is False
            check(task, TaskState.IN_FLIGHT)
            assert client.pending == 1
        finally:
            proxy.resume()
            run.join()
        check(task, TaskState.CREATED, code=ReturnCode.SUCCESS)
    assert [job.handle for job in drain(proxy.address, "f")] == [task.job_handle]


def test_unconfirmed_while_the_connection_lives(gearmand: Gearmand, proxy: Proxy) -> None:
    with Client(proxy.address) as client:
        connected(client)
        proxy.stall(to_server=False)
        task = client.add_task_background("f", "x")
        with pytest.raises(WaitTimeoutError) as caught:
            client.run_tasks(timeout=0.2)
        assert caught.value.unconfirmed == (task,)
        check(task, TaskState.UNCONFIRMED)
        assert task.cancel() is False  # its acknowledgement is still to come
        assert client.pending == 1
        proxy.resume()
        client.run_tasks()
        check(task, TaskState.CREATED, code=ReturnCode.SUCCESS)
    assert gearmand.status()["f"].total == 1


def test_unconfirmed_is_sent_again(gearmand: Gearmand, proxy: Proxy) -> None:
    with Client(proxy.address) as client:
        task = unconfirmed_task(client, proxy)
        check(task, TaskState.UNCONFIRMED)
        client.run_tasks()
        check(task, TaskState.CREATED, code=ReturnCode.SUCCESS)
    assert [job.handle for job in drain(gearmand.address, "f")] == [task.job_handle]


def test_unconfirmed_can_be_cancelled(gearmand: Gearmand, proxy: Proxy) -> None:
    """Once its connection is gone; then it is not sent again, though the server may have it."""
    with Client(proxy.address) as client:
        connected(client)
        proxy.stall()  # not a byte of it reaches the server
        task = client.add_task_background("f", "x")
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        check(task, TaskState.UNCONFIRMED)
        proxy.refuse()
        proxy.cut()
        proxy.resume()
        with pytest.raises(ConnectionFailedError):
            client.run_tasks()
        check(task, TaskState.UNCONFIRMED)
        assert task.cancel() is True
        check(task, TaskState.CANCELLED)
        assert client.pending == 0
        proxy.accept()
        other = client.add_task_background("g")
        client.run_tasks()
        check(other, TaskState.CREATED, code=ReturnCode.SUCCESS)
    assert gearmand.status()["g"].total == 1
    assert "f" not in gearmand.status()


def test_failed(gearmand: Gearmand, proxy: Proxy) -> None:
    with Client(proxy.address, resend=False) as client:
        task = unconfirmed_task(client, proxy)
        with pytest.raises(ConnectionFailedError) as caught:
            client.run_tasks()
        assert caught.value.unconfirmed == (task,)
        check(task, TaskState.FAILED, code=ReturnCode.LOST_CONNECTION)
        assert isinstance(task.error, UnconfirmedError)
        assert task.error.task is task
        assert task.cancel() is False
        assert client.pending == 0
        client.run_tasks()
        check(task, TaskState.FAILED, code=ReturnCode.LOST_CONNECTION)
    assert gearmand.status()["f"].total == 1


def test_unconfirmed_when_the_client_closes(proxy: Proxy) -> None:
    client = Client(proxy.address)
    connected(client)
    proxy.stall(to_server=False)
    sent = client.add_task_background("f", "x")
    with pytest.raises(WaitTimeoutError):
        client.run_tasks(timeout=0.2)
    unsent = client.add_task_background("f", "y")
    client.close()
    check(sent, TaskState.FAILED, code=ReturnCode.LOST_CONNECTION)
    assert isinstance(sent.error, UnconfirmedError)
    check(unsent, TaskState.CANCELLED)


def test_cancel(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        tasks = [client.add_task_background("f", str(number)) for number in range(3000)]
        for task in tasks[::3]:
            assert task.cancel() is True
            check(task, TaskState.CANCELLED)
            assert task.cancel() is True
        assert client.pending == 2000
        client.run_tasks()
        assert client.pending == 0
        for task in tasks[::3]:
            check(task, TaskState.CANCELLED)
    sent = [task for index, task in enumerate(tasks) if index % 3]
    assert [job.handle for job in drain(gearmand.address, "f")] == [t.job_handle for t in sent]


def test_cancel_all() -> None:
    """Nothing is left to send, so no server is needed."""
    with Client(NOWHERE) as client:
        for task in [client.add_task_background("f") for _ in range(10)]:
            task.cancel()
        assert client.pending == 0
        client.run_tasks()


def test_cancel_during_the_run(gearmand: Gearmand) -> None:
    with Client(gearmand.address, max_in_flight=10) as client:
        tasks = [client.add_task_background("f", str(number)) for number in range(100)]
        client.on_created = lambda task: task is tasks[0] and tasks[-1].cancel()
        client.run_tasks()
        assert client.pending == 0
    check(tasks[-1], TaskState.CANCELLED)
    assert gearmand.status()["f"].total == 99


# Life


def test_a_dropped_task_is_sent(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        for number in range(2000):
            client.add_task_background("f", str(number), context=[number])
        gc.collect()
        assert client.pending == 2000
        client.run_tasks()
    workloads = [job.workload for job in drain(gearmand.address, "f")]
    assert workloads == [str(number).encode() for number in range(2000)]


def test_a_task_outlives_its_client(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    context = {"any": "object"}
    task = client.add_task_background("f", b"payload", unique="key", context=context)
    assigned = client.add_task_background("f", b"other")
    key = assigned.unique
    client.run_tasks()
    handle = task.job_handle
    client.close()
    del client
    gc.collect()
    check(task, TaskState.CREATED, code=ReturnCode.SUCCESS)
    assert (task.job_handle, task.unique, task.workload) == (handle, "key", b"payload")
    assert task.context is context
    assert assigned.unique == key
    assert task.cancel() is False
    jobs = drain(gearmand.address, "f")
    assert [job.handle for job in jobs] == [handle, assigned.job_handle]
    assert [job.unique for job in jobs] == ["key", key]


def test_a_pending_task_outlives_its_client() -> None:
    client = Client(NOWHERE)
    task = client.add_task_background("f", b"payload", context=[1])
    clients = [client]
    del client
    with pytest.warns(ResourceWarning, match="1 tasks pending"):
        clients.clear()
    check(task, TaskState.CANCELLED)
    assert (task.workload, task.context) == (b"payload", [1])
    assert task.cancel() is True


# Wrong use


def test_tasks_are_made_by_clients() -> None:
    with pytest.raises(TypeError, match="add_task_background"):
        Task()
    with pytest.raises(TypeError, match="submit"):
        Submission()
    for kind in (Task, Submission):
        with pytest.raises(TypeError):
            type("Mine", (kind,), {})


def test_tasks_cannot_be_copied_or_changed(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        task = client.add_task_background("f", unique="key")
        submission = client.submit("f", ["x"])
        for each in (task, submission):
            for action in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError):
                    action(each)
        for name in [name for name in dir(Task) if not name.startswith("_")]:
            with pytest.raises(AttributeError):
                setattr(task, name, None)
        with pytest.raises(TypeError):
            task.__init__()  # type: ignore[misc]
        client.run_tasks()
        assert task.is_known


NAMES = [name for name in dir(Task) if not name.startswith("_")]

TOUCH_EVERYTHING = """
import sys
from gearman_c import Submission, Task
half_built = {"Task": Task, "Submission": Submission}[sys.argv[1]]
half_built = half_built.__new__(half_built)
def touch(name):
    value = getattr(half_built, name)
    if callable(value) and name not in ("__class__", "__init_subclass__", "__subclasshook__"):
        value()
for name in dir(half_built):
    try:
        touch(name)
    except Exception as error:
        pass
for action in (repr, str, hash, iter, next, lambda each: each == each):
    try:
        action(half_built)
    except Exception as error:
        pass
del half_built
print("alive")
"""


@pytest.mark.parametrize("kind", ["Task", "Submission"])
def test_half_built(kind: str, run_script: Callable[..., str]) -> None:
    """Whatever is done to an object without a client raises or answers, and never crashes."""
    assert run_script(TOUCH_EVERYTHING, kind) == "alive\n"


@pytest.mark.parametrize("name", NAMES)
def test_half_built_task(name: str, run_script: Callable[..., str]) -> None:
    code = """
import sys
from gearman_c import Task
task = Task.__new__(Task)
try:
    value = getattr(task, sys.argv[1])
    print(value() if callable(value) else value)
except Exception as error:
    print(type(error).__name__)
"""
    assert run_script(code, name)


def test_task_without_arguments_from_new(gearmand: Gearmand) -> None:
    """One that nobody queued cannot be withdrawn, and disturbs no client."""
    task = Task.__new__(Task)
    assert task.cancel() is False
    with Client(gearmand.address) as client:
        client.add_task_background("f")
        client.run_tasks()
    del task
    assert gearmand.status()["f"].total == 1
