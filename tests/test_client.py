"""Client: its settings, closing, and wrong use that must not crash."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from gearman_c import ArgumentError, Client, TaskState, UsageError
from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy

NOWHERE = "127.0.0.1:1"


# Settings


@pytest.mark.parametrize("timeout", [None, 0, 0.5, 3, 1e300, float("inf"), 10**20])
def test_timeout(timeout: float | None) -> None:
    with Client(NOWHERE, timeout=timeout) as client:
        assert client.timeout == timeout
        client.timeout = 7
        assert client.timeout == 7.0
        client.timeout = timeout
        assert client.timeout == timeout


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (-1, ArgumentError),
        (-0.001, ArgumentError),
        (float("nan"), ArgumentError),
        (float("-inf"), ArgumentError),
        pytest.param(-(10**400), ArgumentError, id="minus 10^400"),
        pytest.param(10**400, ArgumentError, id="10^400"),
        ("1", TypeError),
        (True, TypeError),
        ([], TypeError),
        (1j, TypeError),
    ],
)
def test_bad_timeout(gearmand: Gearmand, timeout: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Client(NOWHERE, timeout=timeout)
    with Client(gearmand.address, timeout=5) as client:
        with pytest.raises(error):
            client.timeout = timeout
        assert client.timeout == 5.0
        client.add_task_background("f")
        with pytest.raises(error):
            client.run_tasks(timeout)
        with pytest.raises(error):
            client.echo("x", timeout)
        assert client.pending == 1
        client.run_tasks(30)
    assert gearmand.status()["f"].total == 1


@pytest.mark.parametrize("window", [1, 2, 1000, 100_000])
def test_max_in_flight(window: int) -> None:
    with Client(NOWHERE, max_in_flight=window) as client:
        assert client.max_in_flight == window


@pytest.mark.parametrize(
    ("window", "error"),
    [
        (0, ArgumentError),
        (-1, ArgumentError),
        (100_001, ArgumentError),
        (10**30, ArgumentError),
        ("1", TypeError),
        (1.0, TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
)
def test_bad_max_in_flight(window: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Client(NOWHERE, max_in_flight=window)


def test_settings_that_only_the_constructor_sets() -> None:
    with Client(NOWHERE, resend=False) as client:
        assert client.resend is False
        for name in ("resend", "max_in_flight", "servers", "pending", "closed"):
            with pytest.raises(AttributeError):
                setattr(client, name, 1)
    with Client(NOWHERE) as client:
        assert client.resend is True


def test_constructor_takes_keywords() -> None:
    with pytest.raises(TypeError):
        Client(NOWHERE, 5)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Client(NOWHERE, time_out=5)  # type: ignore[call-arg]


def test_cannot_be_set_up_twice(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    task = client.add_task_background("f")
    with pytest.raises(UsageError):
        client.__init__(NOWHERE)  # type: ignore[misc]
    client.run_tasks()
    assert task.is_known
    client.close()
    with pytest.raises(UsageError):
        client.__init__(NOWHERE)  # type: ignore[misc]
    assert client.closed


def test_cannot_be_subclassed_pickled_or_extended() -> None:
    with pytest.raises(TypeError):
        type("Mine", (Client,), {})
    with Client(NOWHERE) as client:
        with pytest.raises(TypeError):
            pickle.dumps(client)
        with pytest.raises(AttributeError):
            client.something = 1  # type: ignore[attr-defined]


def test_repr() -> None:
    with Client("h:1,[::1]:2") as client:
        assert repr(client) == "<gearman_c.Client h:1,[::1]:2 0 pending>"
        client.add_task_background("f")
        assert repr(client) == "<gearman_c.Client h:1,[::1]:2 1 pending>"
    assert repr(client) == "<gearman_c.Client h:1,[::1]:2 closed>"


# Closing


def test_close(gearmand: Gearmand, proxy: Proxy) -> None:
    client = Client(proxy.address)
    sent = client.add_task_background("f")
    client.run_tasks()
    waiting = client.add_task_background("f")
    assert not client.closed
    client.close()
    assert client.closed
    assert client.pending == 0
    assert sent.state is TaskState.CREATED
    assert waiting.state is TaskState.CANCELLED
    proxy.wait_until(lambda: proxy.open_connections == 0)
    client.close()
    client.close()
    assert client.closed
    assert gearmand.status()["f"].total == 1


def test_context_manager(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        assert isinstance(client, Client)
        task = client.add_task_background("f")
        client.run_tasks()
    assert client.closed
    assert task.is_known
    with pytest.raises(KeyError), Client(gearmand.address) as client:
        raise KeyError
    assert client.closed
    with Client(gearmand.address) as client:
        client.close()
    assert client.closed


def test_closed_client(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    submission = client.submit("f", ["a"])
    client.close()
    calls: list[Callable[[], object]] = [
        lambda: client.add_server("h", 1),
        lambda: client.add_servers("h"),
        client.remove_servers,
        lambda: client.add_task_background("f"),
        lambda: client.add_task_high_background("f"),
        lambda: client.add_task_low_background("f"),
        client.run_tasks,
        lambda: client.run_tasks(timeout=0),
        lambda: client.submit("f", []),
        lambda: client.echo("x"),
        client.__enter__,
        lambda: next(submission),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="closed"):
            call()
    assert client.servers == ((gearmand.host, gearmand.port),)
    assert (client.pending, client.closed) == (0, True)
    assert (client.timeout, client.on_created) == (None, None)
    assert (client.max_in_flight, client.resend) == (1000, True)


# Wrong use that must not crash


def test_client_without_init() -> None:
    client = Client.__new__(Client)
    assert client.closed
    assert client.servers == ()
    assert (client.pending, client.max_in_flight) == (0, 0)
    assert repr(client)
    for call in [
        lambda: client.add_server("h"),
        lambda: client.add_servers("h"),
        client.remove_servers,
        lambda: client.add_task_background("f"),
        client.run_tasks,
        lambda: client.submit("f", ["a"]),
        lambda: client.echo("x"),
        client.__enter__,
    ]:
        with pytest.raises(UsageError):
            call()
    client.timeout = 3
    client.on_created = print
    client.close()
    client.__del__()
    client.__init__("h")  # type: ignore[misc]
    assert client.servers == (("h", 4730),)
    client.close()


def test_after_a_failed_init(gearmand: Gearmand) -> None:
    client = Client.__new__(Client)
    with pytest.raises(ArgumentError):
        client.__init__(gearmand.address, max_in_flight=0)  # type: ignore[misc]
    with pytest.raises(UsageError):
        client.run_tasks()
    client.__init__(gearmand.address, max_in_flight=3)  # type: ignore[misc]
    client.add_task_background("f")
    client.run_tasks()
    client.close()
    assert gearmand.status()["f"].total == 1
