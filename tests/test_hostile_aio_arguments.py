"""The client for asyncio, given anything: it works, or raises what is documented."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fix_calls import (
    DOCUMENTED,
    LIMIT,
    Call,
    attempt,
    attributes_of,
    brief,
    check_error,
    draw_value,
    lengthy,
    methods_of,
    quietly,
)
from hypothesis import given
from hypothesis import strategies as st

import gearman_c
from gearman_c import UsageError
from gearman_c.aio import Client, Submission
from gearman_c.testing import Gearmand

# Many of its methods are those of the client behind it, and found on an instance only.
METHODS = [name for name in methods_of(gearman_c.Client) if hasattr(Client, name)] + [
    name for name in methods_of(Client) if name not in methods_of(gearman_c.Client)
]
ATTRIBUTES = [name for name in attributes_of(Client) if name not in METHODS]


def test_all_is_here() -> None:
    assert {name for name in dir(Client) if name[0] != "_"} <= {*METHODS, *ATTRIBUTES}


def described(name: str) -> Callable[..., object]:
    """Where the parameters of a method stand: for many in the client behind it."""
    method: Callable[..., object] = getattr(Client, name)
    if callable(method):
        kinds = [each.kind for each in inspect.signature(method).parameters.values()]
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            return method
    return getattr(gearman_c.Client, name)


def back_into(client: Client) -> st.SearchStrategy[Callable[[], None]]:
    steps = [
        quietly(client.tasks.close),
        quietly(client.add_task_background, "back"),
        quietly(client.remove_servers),
        quietly(client.tasks.set_log, None),
    ]
    return st.sampled_from(steps)


async def attempt_and_wait(action: Callable[[], Any]) -> Any:
    """As attempt(), of what may have to be awaited. It has a time limit of its own."""
    try:
        result = action()
        if inspect.isawaitable(result):
            async with asyncio.timeout(LIMIT):
                result = await result
        return result
    except DOCUMENTED as error:
        check_error(error)
    except StopAsyncIteration:
        pass
    except RuntimeError as error:
        if error.__cause__ is None:  # a callback's, which would mean something else to a coroutine
            raise
    return None


async def check_client(client: Client, server: Gearmand) -> None:
    if client.closed:
        with pytest.raises(UsageError):
            await client.do_background("after")
        return
    client.timeout = 5
    client.remove_servers()
    client.add_servers(server.address)
    client.on_created = None
    client.on_workload = lambda task: b"late"
    await client.echo(b"hello", 5)
    assert (await client.do_background("after", timeout=5)).startswith("H:")


async def check_method(data: st.DataObject, server: Gearmand, name: str) -> None:
    client = Client(server.address, timeout=0.1)
    client.add_task_background("f", b"x")
    callback = data.draw(back_into(client), "callback")
    try:
        call = Call(data, described(name), callback)
        result = await attempt_and_wait(call.of(getattr(client, name)))
        if isinstance(result, Submission):
            for _ in range(3):
                await attempt_and_wait(lambda: anext(result))
            await attempt_and_wait(result.aclose)
        if name == "set_log":
            await attempt_and_wait(client.run_tasks)
            quietly(client.set_log, None)()
        await check_client(client, server)
    finally:
        await client.close()


@pytest.mark.parametrize("name", METHODS)
@brief
@given(data=st.data())
def test_methods(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    asyncio.run(check_method(data, shared_gearmand, name))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
@lengthy
@given(data=st.data())
def test_methods_at_length(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    asyncio.run(check_method(data, shared_gearmand, name))


@pytest.mark.parametrize("name", ATTRIBUTES)
@brief
@given(data=st.data())
def test_attributes(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    async def check() -> None:
        async with Client(shared_gearmand.address, timeout=0.1) as client:
            client.add_task_background("f")
            value = draw_value(data, callback=data.draw(back_into(client), "callback"))
            attempt(lambda: setattr(client, name, value), AttributeError)
            await attempt_and_wait(client.run_tasks)
            getattr(client, name)
            await check_client(client, shared_gearmand)

    asyncio.run(check())


@brief
@given(data=st.data())
def test_constructor(shared_gearmand: Gearmand, data: st.DataObject) -> None:
    async def check() -> None:
        client = await attempt_and_wait(Call(data, Client).of(Client))
        if client is not None:
            await check_client(client, shared_gearmand)
            await client.close()

    asyncio.run(check())


@brief
@given(data=st.data())
def test_submissions(shared_gearmand: Gearmand, data: st.DataObject) -> None:
    """Also of an asynchronous iterable of anything."""

    async def check() -> None:
        async with Client(shared_gearmand.address, timeout=0.1) as client:
            callback = data.draw(back_into(client), "callback")

            async def source() -> AsyncIterator[Any]:
                for _ in range(3):
                    yield draw_value(data, callback=callback)

            given_out = client.submit("f", source(), background=data.draw(st.booleans()))
            for _ in range(5):
                await attempt_and_wait(lambda: anext(given_out))
            await given_out.aclose()
            await check_client(client, shared_gearmand)

    asyncio.run(check())
