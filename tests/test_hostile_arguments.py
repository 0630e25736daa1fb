"""Every method and attribute, given anything: it works, or raises what is documented."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from fix_hostile import (
    Maker,
    anything,
    attempt,
    attributes_of,
    brief,
    draw_call,
    lengthy,
    methods_of,
    quietly,
)
from hypothesis import given
from hypothesis import strategies as st

from gearman_c import Client, Job, Submission, Task, UsageError, Worker
from gearman_c.testing import Gearmand

EVENTS = ("created", "data", "warning", "status", "complete", "exception", "fail", "workload")


def back_into(client: Client) -> st.SearchStrategy[Callable[[], None]]:
    """What an argument does to the client that it is given to."""
    return st.sampled_from(
        [
            quietly(client.close),
            quietly(client.run_tasks, 0.02),
            quietly(client.add_task_background, "back"),
            quietly(client.remove_servers),
            quietly(client.add_server, "127.0.0.1", 1),
            quietly(client.do_background, b"back"),
            quietly(client.set_log, None),
        ]
    )


def check_client(client: Client, server: Gearmand) -> None:
    """Whatever it was given, it still submits - or is closed, and says so."""
    if client.closed:
        with pytest.raises(UsageError):
            client.run_tasks()
        return
    client.timeout = 5
    client.remove_servers()
    client.add_servers(server.address)
    for event in EVENTS:
        setattr(client, f"on_{event}", None)
    client.on_workload = lambda task: b"late"
    client.echo(b"hello")
    assert client.do_background("after", timeout=5).startswith("H:")
    task = client.add_task_background("after")
    task.cancel()
    assert client.clone().servers == client.servers


def set_up(data: st.DataObject, server: Gearmand) -> tuple[Client, Callable[[], None]]:
    """A client with a task and little patience: nobody does the jobs."""
    client = Client(server.address, timeout=0.03)
    client.add_task_background("f", b"x")
    callback = data.draw(back_into(client), "callback")
    return client, callback


def check_method(data: st.DataObject, server: Gearmand, name: str) -> None:
    client, callback = set_up(data, server)
    with client:
        arguments, options = draw_call(data, getattr(Client, name), callback)
        timer = threading.Timer(0.1, client.close)
        if name == "execute_by_partition":
            timer.start()  # Client.timeout does not end it
        result = attempt(lambda: getattr(client, name)(*arguments, **options))
        timer.cancel()
        if isinstance(result, Submission):
            for _ in range(3):
                attempt(lambda: list(islice(result, 3)))
        elif isinstance(result, Client) and result is not client:
            result.close()
        if name == "set_log":
            attempt(client.run_tasks)
            client.timeout = 5
            attempt(client.run_tasks)
            client.set_log(None)
        del arguments, options, result
        check_client(client, server)


@pytest.mark.parametrize("name", methods_of(Client))
@brief
@given(data=st.data())
def test_client(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_method(data, shared_gearmand, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods_of(Client))
@lengthy
@given(data=st.data())
def test_client_at_length(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_method(data, shared_gearmand, name)


def given_value(data: st.DataObject, callback: Callable[[], None]) -> Any:
    value = data.draw(anything)
    return value.make(callback) if isinstance(value, Maker) else value


@pytest.mark.parametrize("name", attributes_of(Client))
@brief
@given(data=st.data())
def test_attributes_of_a_client(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    client, callback = set_up(data, shared_gearmand)
    with client:
        for _ in range(3):
            value = given_value(data, callback)
            # What cannot be set says so by an AttributeError, whatever the value.
            attempt(lambda: setattr(client, name, value), AttributeError)  # noqa: B023
            attempt(client.run_tasks)
            getattr(client, name)
            del value
        check_client(client, shared_gearmand)


@pytest.mark.parametrize("kind", [Client, Worker])
@brief
@given(data=st.data())
def test_constructors(shared_gearmand: Gearmand, kind: type, data: st.DataObject) -> None:
    """Also of an object that is half made, by an argument that uses it, and by another call."""
    made = kind.__new__(kind)
    steps = [made.close, made.__init__, lambda: made.add_server("127.0.0.1", 1)]
    callback = quietly(data.draw(st.sampled_from(steps), "callback"))
    for _ in range(2):
        arguments, options = draw_call(data, kind, callback)
        attempt(lambda: made.__init__(*arguments, **options))  # noqa: B023
        del arguments, options
    for name in attributes_of(kind):
        getattr(made, name)
    if isinstance(made, Client):
        check_client(made, shared_gearmand)
    made.close()


# Workers


def check_worker(data: st.DataObject, server: Gearmand, name: str) -> None:
    with Worker(server.address, timeout=0.02) as worker:
        worker.add_function("f", lambda job: None)
        steps = [
            quietly(worker.close),
            quietly(worker.stop),
            quietly(worker.unregister_all),
            quietly(worker.remove_servers),
            quietly(worker.work, 0.01),
            quietly(worker.add_function, "back", print),
        ]
        callback = data.draw(st.sampled_from(steps), "callback")
        arguments, options = draw_call(data, getattr(Worker, name), callback)
        timer = threading.Timer(0.05, worker.stop)
        if name in ("grab_job", "work", "run"):
            timer.start()  # it may have been told to wait for ever
        try:
            result = attempt(lambda: getattr(worker, name)(*arguments, **options))
        finally:
            timer.cancel()
        if isinstance(result, Job):
            result.send_complete()
        elif isinstance(result, Worker) and result is not worker:
            result.close()
        elif callable(result):
            attempt(lambda: result(given_value(data, callback)))
        del arguments, options, result
        if worker.closed:
            return
        worker.timeout = 5
        worker.remove_servers()
        worker.add_servers(server.address)
        worker.echo(b"hello")
        if name == "set_log":
            worker.set_log(None)
        worker.unregister_all()
        timer.join() if timer.ident else None
        with Client(server.address, namespace=worker.namespace) as client:
            handle = client.do_background("after", unique="-")
        worker.register("after")
        worker.grab_job(0)  # takes notice of a stop that came late
        while (job := worker.grab_job(5)) is not None and job.handle != handle:
            job.send_complete()
        job.send_complete()


@pytest.mark.parametrize("name", methods_of(Worker))
@brief
@given(data=st.data())
def test_worker(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_worker(data, shared_gearmand, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods_of(Worker))
@lengthy
@given(data=st.data())
def test_worker_at_length(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_worker(data, shared_gearmand, name)


@pytest.mark.parametrize("name", attributes_of(Worker))
@brief
@given(data=st.data())
def test_attributes_of_a_worker(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    with Worker(shared_gearmand.address, timeout=0.02) as worker:
        for _ in range(3):
            value = given_value(data, worker.close)
            attempt(lambda: setattr(worker, name, value), AttributeError)  # noqa: B023
            getattr(worker, name)
        if not worker.closed:
            worker.timeout = 5
            worker.echo(b"hello")


# What clients and workers give out


@pytest.mark.parametrize("name", methods_of(Job))
@brief
@given(data=st.data())
def test_job(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    with Client(shared_gearmand.address) as client, Worker(shared_gearmand.address) as worker:
        worker.register("job")
        for _ in range(2):
            client.do_background("job")
            job = worker.grab_job(5)
            steps = [job.send_fail, worker.close, lambda: job.send_data(b"x")]
            callback = quietly(data.draw(st.sampled_from(steps), "callback"))
            for _ in range(2):
                arguments, options = draw_call(data, getattr(Job, name), callback)
                attempt(lambda: getattr(job, name)(*arguments, **options))  # noqa: B023
                del arguments, options
            if worker.closed:
                return
            if not job.is_finished:
                job.send_complete()


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in (Task, Submission) for name in methods_of(kind)],
)
@brief
@given(data=st.data())
def test_what_a_client_gives_out(
    shared_gearmand: Gearmand, kind: type, name: str, data: st.DataObject
) -> None:
    client, callback = set_up(data, shared_gearmand)
    with client:
        given_out = client.add_task("f") if kind is Task else client.submit("f", [b"x", callback])
        for _ in range(3):
            arguments, options = draw_call(data, getattr(kind, name), callback)
            attempt(lambda: getattr(given_out, name)(*arguments, **options), StopIteration)
            attempt(lambda: setattr(given_out, name, arguments), AttributeError)
        del arguments, options
        check_client(client, shared_gearmand)


@pytest.mark.parametrize("kind", [Job, Task, Submission])
def test_what_cannot_be_made(kind: type) -> None:
    """Not by a call, and what __new__() gives is nothing, and harmless."""
    with pytest.raises(TypeError):
        kind()
    made = kind.__new__(kind)
    with pytest.raises(TypeError):
        made.__init__()
    for name in attributes_of(kind):
        getattr(made, name)
        attempt(lambda: setattr(made, name, 1), AttributeError)  # noqa: B023
    for name in methods_of(kind):
        attempt(getattr(made, name))
        attempt(lambda: getattr(made, name)(b"x"))  # noqa: B023
        attempt(lambda: getattr(made, name)(1, 1))  # noqa: B023
    repr(made)
