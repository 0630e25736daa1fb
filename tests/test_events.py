"""What a client calls while foreground jobs run: in order, once, whatever it raises."""

from __future__ import annotations

import pytest
from fix_tasks import numbers, workloads_at
from fix_worker import RawWorker

from gearman_c import (
    Client,
    Task,
    TaskState,
    UsageError,
)
from gearman_c.testing import Gearmand

EVENTS = ("created", "data", "warning", "status", "complete", "exception", "fail")


def record(client: Client) -> list[tuple[str, Task]]:
    """Set all callbacks; return the list they write."""
    log: list[tuple[str, Task]] = []
    for event in EVENTS:
        setattr(client, f"on_{event}", lambda task, event=event: log.append((event, task)))
    return log


def test_what_a_worker_says(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        seen: list[tuple[str, object]] = []
        client.on_status = lambda task: seen.append(("status", (task.numerator, task.denominator)))
        client.on_data = lambda task: seen.append(("data", (task.chunks[-1], task.data)))
        client.on_warning = lambda task: seen.append(("warning", task.warnings[-1]))
        client.on_complete = lambda task: seen.append(("complete", task.result()))
        task = client.add_task("talk")
        client.run_tasks()
    assert seen == [
        ("status", (1, 2)),
        ("data", (b"one ", b"one ")),
        ("warning", b"careful"),
        ("data", (b"two ", b"one two ")),
        ("status", (2, 2)),
        ("complete", b"end"),
    ]
    assert task.data == b"one two "
    assert task.chunks == (b"one ", b"two ")
    assert task.warnings == (b"careful",)
    assert (task.numerator, task.denominator) == (2, 2)
    assert task.result() == b"end"


def test_events(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        log = record(client)
        good = client.add_task("reverse")
        background = client.add_task_background("reverse")
        failed, thrown = client.add_task("fail"), client.add_task("throw")
        client.run_tasks()
    of = {task: [event for event, each in log if each is task] for _, task in log}
    assert of == {
        good: ["created", "complete"],
        background: ["created"],
        failed: ["created", "fail"],
        thrown: ["created", "exception"],
    }


def test_exception_in_each_callback(gearmand: Gearmand, worker: RawWorker) -> None:
    """Each event is told once, and none is lost, whatever the callbacks raise."""
    with Client(gearmand.address) as client:
        log: list[tuple[str, str]] = []
        for event in EVENTS:

            def callback(task: Task, event: str = event) -> None:
                log.append((event, task.function_name))
                raise KeyError(event)

            setattr(client, f"on_{event}", callback)
        for name in ("talk", "fail", "throw"):
            client.add_task(name)
        raised = []
        while client.pending:
            with pytest.raises(KeyError) as caught:
                client.run_tasks()
            assert caught.traceback[-1].name == "callback"
            raised.append(caught.value.args[0])
    talked = ["created", "status", "data", "warning", "data", "status", "complete"]
    assert [event for event, name in log if name == "talk"] == talked
    assert [event for event, name in log if name == "fail"] == ["created", "fail"]
    assert [event for event, name in log if name == "throw"] == ["created", "exception"]
    assert raised == [event for event, _ in log]


def test_callbacks_add_tasks_and_may_not_run(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        added: list[Task] = []

        def on_complete(task: Task) -> None:
            if len(added) < 3:
                added.append(client.add_task("reverse", b"%d" % len(added)))
            for call in (client.run_tasks, client.close, lambda: client.do("reverse")):
                with pytest.raises(UsageError):
                    call()

        client.on_complete = on_complete
        client.add_task("reverse")
        client.run_tasks()
        assert client.pending == 0
    assert [task.result() for task in added] == [b"0", b"1", b"2"]


def test_callbacks_can_be_removed(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        log = record(client)
        for event in EVENTS:
            assert callable(getattr(client, f"on_{event}"))
            with pytest.raises(TypeError, match=f"on_{event} must be callable or None"):
                setattr(client, f"on_{event}", 1)
            setattr(client, f"on_{event}", None)
        client.add_task("talk")
        client.run_tasks()
    assert log == []


def test_on_workload(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        with pytest.raises(TypeError, match="must be str or a buffer"):
            client.add_task("reverse", None)
        client.on_workload = lambda task: task.context
        tasks = [client.add_task("reverse", None, context=b"%d!" % number) for number in range(900)]
        background = client.add_task_background("reverse", None, context="text")
        assert tasks[0].workload is None
        client.run_tasks()
        assert [task.result()[::-1] for task in tasks] == [task.context for task in tasks]
        assert background.workload == b"text"


def test_on_workload_raises(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        answers: list[object] = [KeyError("no payload"), 17, b"ab"]

        def on_workload(task: Task) -> bytes:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[return-value]

        client.on_workload = on_workload
        first, task = client.add_task("reverse", b"12"), client.add_task("reverse", None)
        with pytest.raises(KeyError, match="no payload"):
            client.run_tasks()
        with pytest.raises(TypeError, match="must be str or a buffer"):
            client.run_tasks()
        assert client.pending == 2
        client.run_tasks()
        assert (first.result(), task.result()) == (b"21", b"ba")


@pytest.mark.parametrize("count", [59, 60, 61, 100, 700])
def test_on_workload_raises_half_way(gearmand: Gearmand, count: int) -> None:
    """Where some tasks are already on their way to the server: 60 go out ahead of the others."""
    told: list[int] = []
    with Client(gearmand.address) as client:

        def on_workload(task: Task) -> str:
            nonlocal count
            if task.context == count:
                count = -1
                raise ZeroDivisionError
            return str(task.context)

        client.on_workload = on_workload
        client.on_created = lambda task: told.append(task.context)
        for number in range(1000):
            client.add_task_background("f", None, context=number)
        with pytest.raises(ZeroDivisionError):
            client.run_tasks()
        assert len(told) <= 1000 - client.pending  # the others are told of in the next run
        client.run_tasks()
    assert told == list(range(1000))
    assert workloads_at(gearmand) == numbers(1000)


def test_cancelled_in_on_workload(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        client.on_workload = lambda task: (task.cancel(), b"ab")[1]
        cancelled, sent = client.add_task("reverse", None), client.add_task("reverse", b"12")
        client.run_tasks()
        assert (cancelled.state, sent.result()) == (TaskState.CANCELLED, b"21")


def test_callback_raises_while_do_has_its_result(gearmand: Gearmand, worker: RawWorker) -> None:
    """The events of a task that nobody knows any more are gone with it."""
    with Client(gearmand.address) as client:
        for _ in range(50):

            def on_complete(task: Task) -> None:
                client.on_complete = None
                raise KeyError("mine")

            client.on_complete = on_complete
            client.add_task("reverse", b"a")
            with pytest.raises(KeyError, match="mine"):
                client.do("reverse", b"b")
            client.run_tasks()
            assert client.pending == 0
