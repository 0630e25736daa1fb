"""Every method and attribute of a client, given anything: it works, or raises what is documented.

The methods are those that the classes have; one with a new parameter fails until fix_calls.py
knows what is ordinary for that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice

import pytest
from fix_calls import (
    Call,
    attempt,
    attributes_of,
    brief,
    draw_value,
    lengthy,
    methods_of,
    quietly,
)
from hypothesis import given
from hypothesis import strategies as st

from gearman_c import Client, Job, Submission, Task, UsageError, Worker
from gearman_c.testing import Gearmand

EVENTS = ("created", "data", "warning", "status", "complete", "exception", "fail", "workload")


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
    # With what is still queued: foreground jobs that nobody does are no hindrance.
    assert client.do_background("after", timeout=5).startswith("H:")
    assert client.add_task_background("after").cancel()
    assert client.clone().servers == client.servers


def set_up(data: st.DataObject, server: Gearmand) -> tuple[Client, Callable[[], None]]:
    """A client with a task and little patience; and what an argument does to it meanwhile."""
    client = Client(server.address, timeout=0.03)
    client.add_task_background("f", b"x")
    steps = [
        quietly(client.close),
        quietly(client.run_tasks, 0.02),
        quietly(client.add_task_background, "back"),
        quietly(client.remove_servers),
        quietly(client.add_server, "127.0.0.1", 1),
        quietly(client.do_background, b"back"),
        quietly(client.set_log, None),
    ]
    return client, data.draw(st.sampled_from(steps), "callback")


def check_method(data: st.DataObject, server: Gearmand, name: str) -> None:
    client, callback = set_up(data, server)
    with client:
        call = Call(data, getattr(Client, name), callback)
        timer = threading.Timer(0.1, client.close)
        if name == "execute_by_partition":
            timer.start()  # Client.timeout does not end it
        given_out = attempt(call.of(getattr(client, name)))
        timer.cancel()
        if isinstance(given_out, Submission):
            for _ in range(3):
                attempt(lambda: list(islice(given_out, 3)))
        elif isinstance(given_out, Client) and given_out is not client:
            given_out.close()
        if name == "set_log":
            attempt(client.run_tasks)
            attempt(lambda: client.job_status("H:a:1"))
            quietly(client.set_log, None)()
        call = given_out = None  # now goes what calls back when it is dropped
        check_client(client, server)


@pytest.mark.parametrize("name", methods_of(Client))
@brief
@given(data=st.data())
def test_methods(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_method(data, shared_gearmand, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods_of(Client))
@lengthy
@given(data=st.data())
def test_methods_at_length(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_method(data, shared_gearmand, name)


@pytest.mark.parametrize("name", attributes_of(Client))
@brief
@given(data=st.data())
def test_attributes(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    """One that cannot be set says so by an AttributeError, whatever the value."""
    client, callback = set_up(data, shared_gearmand)

    def try_one() -> None:
        value = draw_value(data, callback=callback)
        attempt(lambda: setattr(client, name, value), AttributeError)
        attempt(client.run_tasks)
        getattr(client, name)

    with client:
        for _ in range(3):
            try_one()
        check_client(client, shared_gearmand)


@pytest.mark.parametrize("kind", [Client, Worker])
@brief
@given(data=st.data())
def test_constructors(
    shared_gearmand: Gearmand, kind: type[Client | Worker], data: st.DataObject
) -> None:
    """Also of an object that is half made, while an argument uses it or makes it itself."""
    made = kind.__new__(kind)
    steps = [made.close, made.__init__, lambda: made.add_server("127.0.0.1", 1)]  # type: ignore[misc]
    callback = quietly(data.draw(st.sampled_from(steps), "callback"))
    for _ in range(2):
        attempt(Call(data, kind, callback).of(made.__init__))  # type: ignore[misc]
    for name in attributes_of(kind):
        getattr(made, name)
    if isinstance(made, Client):
        check_client(made, shared_gearmand)
    made.close()


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
        given_out = client.add_task("f") if kind is Task else client.submit("f", [b"x", callback])  # type: ignore[list-item]
        for _ in range(3):
            attempt(Call(data, getattr(kind, name)).of(getattr(given_out, name)), StopIteration)
            attempt(lambda: setattr(given_out, name, None), AttributeError)
        check_client(client, shared_gearmand)


@pytest.mark.parametrize("kind", [Job, Task, Submission])
def test_what_cannot_be_made(kind: type) -> None:
    """Not by a call; and what __new__() gives is nothing, and harmless."""
    with pytest.raises(TypeError):
        kind()
    made = kind.__new__(kind)
    with pytest.raises(TypeError):
        made.__init__()  # type: ignore[misc]
    repr(made)
    for name in attributes_of(kind):
        getattr(made, name)
    for name in methods_of(kind):
        method = getattr(made, name)
        for arguments in ((), (b"x",), (1, 1)):
            attempt(lambda method=method, arguments=arguments: method(*arguments))  # type: ignore[misc]
