"""What lives how long: cycles are collected, and dropped clients say what they leave undone."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from fix_gc import collect

from gearman_c import Client, ConnectionFailedError, Task, TaskState, WaitTimeoutError
from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy

NOWHERE = "127.0.0.1:1"

RunScript = Callable[..., str]


class Node:
    """Something that can be part of a cycle and be watched."""

    def __init__(self, **links: object) -> None:
        self.__dict__.update(links)


def drop(held: list[Any]) -> None:
    """Let go of what is in the list, and collect it."""
    held.clear()
    collect()


class Text(str):
    """A text that can be part of a cycle."""


# Cycles


def test_client_in_its_own_callback(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    client.on_created = Node(client=client).__dict__.get  # type: ignore[assignment]
    client.add_task_background("f")
    client.run_tasks()
    watch = weakref.ref(client)
    del client
    collect()
    assert watch() is None


def test_client_in_the_context_of_its_task(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    node = Node(client=client)
    node.task = client.add_task_background("f", context=node)  # type: ignore[attr-defined]
    client.run_tasks()
    watches = [weakref.ref(client), weakref.ref(node)]
    del client, node
    collect()
    assert [watch() for watch in watches] == [None, None]


def test_client_in_the_context_of_a_pending_task() -> None:
    node = Node(client=Client(NOWHERE))
    node.client.add_task_background("f", context=node)  # type: ignore[attr-defined]
    watches = [weakref.ref(node.client), weakref.ref(node)]  # type: ignore[attr-defined]
    held = [node]
    del node
    with pytest.warns(ResourceWarning, match="dropped with 1 tasks pending"):
        drop(held)
    assert [watch() for watch in watches] == [None, None]


@pytest.mark.parametrize("state", ["pending", "created", "cancelled", "closed"])
@pytest.mark.parametrize("kind", [Node, Text])
def test_task_in_its_own_context(gearmand: Gearmand, kind: Any, state: str) -> None:
    """A subclass of a type that is in no cycle can be in one."""
    context = kind()
    with Client(gearmand.address) as client:
        context.task = client.add_task_background("f", context=context)
        watch = weakref.ref(context)
        if state == "created":
            client.run_tasks()
        elif state == "cancelled":
            context.task.cancel()
            client.run_tasks()
        elif state == "closed":
            client.close()
        del context
        collect()
        assert (watch() is None) is (state != "pending")
    collect()
    assert watch() is None


@pytest.mark.parametrize("context", [None, "text", []])
def test_task_in_its_own_error(proxy: Proxy, context: object) -> None:
    with Client(proxy.address, resend=False) as client:
        client.add_task_background("f")
        client.run_tasks()
        proxy.stall(to_server=False)
        task = client.add_task_background("f", context=context)
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        proxy.cut()
        proxy.resume()
        with pytest.raises(ConnectionFailedError):
            client.run_tasks()
        assert task.state is TaskState.FAILED
        assert task.error.task is task  # type: ignore[union-attr]
    watch = weakref.ref(task.error)
    del task
    collect()
    assert watch() is None


def test_exception_that_holds_its_client(gearmand: Gearmand) -> None:
    """The frames in the traceback hold the client, whose task holds the exception."""

    class RaisedError(Exception):
        pass

    def on_created(task: Task) -> None:
        raise task.context

    def run() -> list[weakref.ref[Any]]:
        client = Client(gearmand.address)
        client.on_created = on_created
        task = client.add_task_background("f", context=RaisedError())
        with pytest.raises(RaisedError) as caught:
            client.run_tasks()
        assert caught.value is task.context
        return [weakref.ref(client), weakref.ref(caught.value)]

    watches = run()
    collect()
    assert [watch() for watch in watches] == [None, None]


def test_submission_in_its_own_source(gearmand: Gearmand) -> None:
    held: dict[str, object] = {}

    def source(held: dict[str, object]) -> Iterator[str]:
        while True:
            yield str(len(held))

    client = Client(gearmand.address)
    generator = source(held)
    held["submission"] = client.submit("f", generator)
    client.on_created = held.get  # type: ignore[assignment]
    next(held["submission"])  # type: ignore[call-overload]
    client.run_tasks()
    watches = [weakref.ref(client), weakref.ref(generator)]
    del client, generator, held, source
    collect()
    assert [watch() for watch in watches] == [None, None]


def test_contexts_go_with_their_tasks(gearmand: Gearmand) -> None:
    """Once a task is acknowledged, its client holds neither it nor its context."""
    with Client(gearmand.address) as client:
        nodes = [Node() for _ in range(3000)]
        watches = [weakref.ref(node) for node in nodes]
        for node in nodes:
            client.add_task_background("f", context=node)
        del node, nodes
        assert all(watch() for watch in watches)
        client.run_tasks()
        assert not any(watch() for watch in watches)


def test_callbacks_go_with_their_client() -> None:
    class Callback:
        def __call__(self, task: Task) -> None: ...

    callback = Callback()
    watch = weakref.ref(callback)
    client = Client(NOWHERE)
    client.on_created = callback
    del callback
    assert watch() is not None
    client.on_created = None
    assert watch() is None
    client.on_created = Callback()
    watch = weakref.ref(client.on_created)
    del client
    assert watch() is None


def test_source_goes_when_it_is_exhausted(gearmand: Gearmand) -> None:
    def source() -> Iterator[str]:
        yield "one"

    with Client(gearmand.address) as client:
        generator = source()
        watch = weakref.ref(generator)
        submission = client.submit("f", generator)
        del generator
        assert watch() is not None
        assert len(list(submission)) == 1
        assert watch() is None


# What the collector has to look at


@pytest.mark.parametrize("context", [None, "text", b"bytes", 10**30, 1.5])
def test_tasks_that_can_be_in_no_cycle_are_not_tracked(context: object) -> None:
    """Else every collection would walk the whole queue."""
    with Client(NOWHERE) as client:
        assert not gc.is_tracked(client.add_task_background("f", "payload", context=context))


@pytest.mark.parametrize("context", [[], {}, (1,), object(), Text("text"), print])
def test_other_tasks_are_tracked(context: object) -> None:
    with Client(NOWHERE) as client:
        assert gc.is_tracked(client.add_task_background("f", "payload", context=context))


# Dropped clients


def test_dropped_with_tasks_pending() -> None:
    clients = [Client("h:1")]
    tasks = [clients[0].add_task_background("f") for _ in range(3)]
    with pytest.warns(ResourceWarning, match="dropped with 3 tasks pending") as caught:
        clients.clear()
    assert len(caught) == 1
    assert {task.state for task in tasks} == {TaskState.CANCELLED}


def test_dropped_without_tasks_pending(gearmand: Gearmand) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = Client(NOWHERE)
        del client
        client = Client(gearmand.address)
        client.add_task_background("f")
        client.run_tasks()
        del client
        client = Client(NOWHERE)
        client.add_task_background("f").cancel()
        del client
        client = Client(NOWHERE)
        client.add_task_background("f")
        client.close()
        del client
        collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("where", ["client", "holder = {'client': client}; holder['me'] = holder"])
def test_pending_at_the_end_of_python(run_script: RunScript, where: str) -> None:
    """It must not end with anything worse than the warning, which is off here."""
    code = f"""
import warnings
warnings.simplefilter("ignore")
from gearman_c import Client
client = Client("127.0.0.1:1")
task = client.add_task_background("f", context=client)
{where}
"""
    assert run_script(code) == ""
