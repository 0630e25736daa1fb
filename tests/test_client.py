"""Client: its servers and settings, opening and closing, echo; nothing is sent too early."""

from __future__ import annotations

import array
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from gearman_c import (
    ArgumentError,
    Client,
    ConnectionFailedError,
    NotSupportedError,
    ReturnCode,
    TaskState,
    UsageError,
)
from gearman_c.testing import Gearmand, drain, unused_port

if TYPE_CHECKING:
    from fix_proxy import Proxy

RunScript = Callable[..., str]

NOWHERE = "127.0.0.1:1"


# Servers


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("h", [("h", 4730)]),
        ("h:1", [("h", 1)]),
        ("h:1,h2", [("h", 1), ("h2", 4730)]),
        (" h:1 , h2 ,", [("h", 1), ("h2", 4730)]),
        ("h:65535", [("h", 65535)]),
        ("10.0.0.1:4731", [("10.0.0.1", 4731)]),
        ("[::1]:4730", [("::1", 4730)]),
        ("[::1]", [("::1", 4730)]),
        ("::1", [("::1", 4730)]),
        ("[fe80::1%eth0]:7,h", [("fe80::1%eth0", 7), ("h", 4730)]),
        ("bücher.example:1", [("bücher.example", 1)]),
        (["h:1", "h2"], [("h", 1), ("h2", 4730)]),
        ([("h", 1), "h2:2", ("::1", 3)], [("h", 1), ("h2", 2), ("::1", 3)]),
        ((("h", 1),), [("h", 1)]),
        ("h:1,h:1,h:2,h", [("h", 1), ("h", 2), ("h", 4730)]),
        ([], []),
    ],
)
def test_servers(text: Any, servers: list[tuple[str, int]]) -> None:
    with Client(text) as client:
        assert client.servers == tuple(servers)
    with Client(iter(text) if isinstance(text, list) else text) as client:
        assert client.servers == tuple(servers)
    with Client("first:9") as client:
        client.add_servers(text)
        assert client.servers == (("first", 9), *servers)


BAD_SERVERS = [
    ("", ArgumentError),
    (" , ", ArgumentError),
    (":1", ArgumentError),
    ("h:x", ArgumentError),
    ("h:-1", ArgumentError),
    ("h:+1", ArgumentError),
    ("h: 1", ArgumentError),
    ("h:1_0", ArgumentError),
    ("h:\N{ARABIC-INDIC DIGIT ONE}", ArgumentError),
    ("h:0", ArgumentError),
    ("h:65536", ArgumentError),
    ("h:99999999999999999999", ArgumentError),
    ("a b:1", ArgumentError),
    ("a\0b:1", ArgumentError),
    ("a\nb", ArgumentError),
    ("\ud800", ArgumentError),
    ("[::1", ArgumentError),
    ("[::1]4730", ArgumentError),
    ("[]:1", ArgumentError),
    ([("h", 0)], ArgumentError),
    ([("", 1)], ArgumentError),
    ([""], ArgumentError),
    ([("h", "1")], TypeError),
    ([("h", True)], TypeError),
    ([("h", 1.0)], TypeError),
    ([(b"h", 1)], TypeError),
    ([("h",)], TypeError),
    ([("h", 1, 2)], TypeError),
    (("h", 1), TypeError),
    ([None], TypeError),
    (b"h:1", TypeError),
    (4730, TypeError),
]


@pytest.mark.parametrize(("servers", "error"), BAD_SERVERS)
def test_bad_servers(servers: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Client(servers)
    with Client("h:1") as client:
        with pytest.raises(error):
            client.add_servers(servers)
        assert client.servers == (("h", 1),)


def test_add_server() -> None:
    with Client("h:1") as client:
        client.add_server()
        client.add_server("h2")
        client.add_server("::1", 5)
        client.add_server(host="h", port=1)
        expected = (("h", 1), ("localhost", 4730), ("h2", 4730), ("::1", 5))
        assert client.servers == expected
        for host, port, error in [
            ("", 1, ArgumentError),
            ("h", 0, ArgumentError),
            ("h", 65536, ArgumentError),
            ("h", -(10**30), ArgumentError),
            ("a b", 1, ArgumentError),
            ("h", "1", TypeError),
            ("h", None, TypeError),
            (b"h", 1, TypeError),
            (None, 1, TypeError),
        ]:
            with pytest.raises(error):
                client.add_server(host, port)
        assert client.servers == expected


def test_default_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        if value is None:
            monkeypatch.delenv("GEARMAN_SERVERS", raising=False)
        else:
            monkeypatch.setenv("GEARMAN_SERVERS", value)
        with Client() as client:
            assert client.servers == (("localhost", 4730),)


def test_bad_default_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEARMAN_SERVERS", "h:port")
    with pytest.raises(ArgumentError, match="h:port"):
        Client()


def test_servers_from_the_environment(gearmand: Gearmand, run_script: RunScript) -> None:
    """They are used, once each, and the variable is left as it was."""
    value = f"{gearmand.address},{gearmand.address},localhost:1"
    output = run_script(
        """
import ctypes, os
from gearman_c import Client
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
print(getenv(b"GEARMAN_SERVERS").decode(), os.environ["GEARMAN_SERVERS"])
with Client() as client:
    client.add_task_background("f", "from the environment")
    client.run_tasks()
    print(client.servers)
""",
        environment={"GEARMAN_SERVERS": value},
    )
    servers = ((gearmand.host, gearmand.port), ("localhost", 1))
    assert output.splitlines() == [f"{value} {value}", str(servers)]
    assert [job.workload for job in drain(gearmand.address, "f")] == [b"from the environment"]


@pytest.mark.parametrize("when", ["before the import", "after the import"])
def test_libgearman_does_not_use_the_environment(
    gearmand: Gearmand, proxy: Proxy, run_script: RunScript, when: str
) -> None:
    """The C library would add, and look up, what the variable names to each of its clients."""
    code = """
import os, sys
from gearman_c import Client
os.environ["GEARMAN_SERVERS"] = sys.argv[2]
with Client(sys.argv[1]) as client:
    for number in range(3000):
        client.add_task_background("f", str(number))
    client.run_tasks()
    print(client.servers)
"""
    named = f"no-such-name.invalid,{proxy.address}"
    environment = {"GEARMAN_SERVERS": named} if when == "before the import" else {}
    output = run_script(code, gearmand.address, named, environment=environment)
    assert output == f"{((gearmand.host, gearmand.port),)}\n"
    assert proxy.connections == 0
    assert gearmand.status()["f"].total == 3000


def test_a_name_is_looked_up(gearmand: Gearmand) -> None:
    """Whichever address of localhost the server does not listen on is passed over."""
    with Client(f"localhost:{gearmand.port}") as client:
        task = client.add_task_background("f", "x")
        client.run_tasks()
    assert [job.handle for job in drain(gearmand.address, "f")] == [task.job_handle]


def test_change_of_servers(gearmand_factory: Callable[[], Gearmand]) -> None:
    first, second = gearmand_factory(), gearmand_factory()
    with Client(first.address) as client:
        client.add_task_background("f", "one")
        client.run_tasks()
        client.remove_servers()
        assert client.servers == ()
        client.add_task_background("f", "two")
        with pytest.raises(ConnectionFailedError, match="no servers") as caught:
            client.run_tasks()
        assert caught.value.code is ReturnCode.NO_SERVERS
        assert client.pending == 1
        client.add_servers(second.address)
        client.run_tasks()
        assert client.pending == 0
    assert [job.workload for job in drain(first.address, "f")] == [b"one"]
    assert [job.workload for job in drain(second.address, "f")] == [b"two"]


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


# Nothing too early


def test_nothing_is_sent_before_run_tasks(gearmand: Gearmand, proxy: Proxy) -> None:
    with Client(proxy.address) as client:
        for number in range(5000):
            client.add_task_background("f", str(number))
        client.add_task_high_background("f")
        client.add_task_low_background("f")
        submission = client.submit("f", ["a", "b"])
        # Had a connection been made before, the proxy would have counted it before this one.
        assert len(drain(proxy.address, "f")) == 0
        assert proxy.connections == 1
        assert client.pending == 5002
        client.run_tasks()
        assert client.pending == 0
        assert gearmand.status()["f"].total == 5002
        assert len(list(submission)) == 2
    assert gearmand.status()["f"].total == 5004
    assert proxy.connections == 2


def test_running_without_tasks_does_not_connect(proxy: Proxy) -> None:
    with Client(proxy.address) as client:
        client.run_tasks()
        client.run_tasks(timeout=0)
        assert list(client.submit("f", [])) == []
    assert drain(proxy.address, "f") == []
    assert proxy.connections == 1


def test_one_connection_for_all_runs(gearmand: Gearmand, proxy: Proxy) -> None:
    with Client(proxy.address) as client:
        for number in range(50):
            client.add_task_background("f", str(number))
            client.run_tasks()
        assert proxy.connections == 1
    assert gearmand.status()["f"].total == 50


def test_connection_that_broke_while_nobody_looked(gearmand: Gearmand, proxy: Proxy) -> None:
    with Client(proxy.address) as client:
        client.add_task_background("f", "one")
        client.run_tasks()
        proxy.cut()
        client.add_task_background("f", "two")
        client.run_tasks()
        assert proxy.connections == 2
    assert [job.workload for job in drain(gearmand.address, "f")] == [b"one", b"two"]


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


# Echo


@pytest.mark.parametrize(
    "workload",
    ["text", "text in Grüßen", b"bytes", bytearray(b"x" * 100_000), array.array("d", [1.5]), b"\0"],
)
def test_echo(proxy: Proxy, workload: Any) -> None:
    raw = workload.encode() if isinstance(workload, str) else bytes(workload)
    with Client(proxy.address) as client:
        assert client.echo(workload) is None
    proxy.wait_until(lambda: proxy.open_connections == 0)
    assert proxy.bytes_to_server >= len(raw)
    assert proxy.bytes_to_client >= len(raw)


def test_echo_leaves_the_queue_alone(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.add_task_background("f", "one")
        client.echo("x")
        assert client.pending == 1
        assert "f" not in gearmand.status()
        client.run_tasks()
        client.add_task_background("f", "two")
        client.echo("x", timeout=30)
        assert client.pending == 1
        client.run_tasks()
    assert [job.workload for job in drain(gearmand.address, "f")] == [b"one", b"two"]


def test_echo_asks_every_server(gearmand: Gearmand, proxy: Proxy) -> None:
    with Client([gearmand.address, proxy.address]) as client:
        client.echo("x")
        assert proxy.connections >= 1
        port = unused_port()
        client.add_server("127.0.0.1", port)
        with pytest.raises(ConnectionFailedError, match=f"127.0.0.1:{port}"):
            client.echo("x")
        client.remove_servers()
        with pytest.raises(ConnectionFailedError, match="no servers"):
            client.echo("x")


@pytest.mark.parametrize(
    ("workload", "error"),
    [
        ("", ArgumentError),
        (b"", ArgumentError),
        (bytearray(), ArgumentError),
        ("\ud800", ArgumentError),
        (None, TypeError),
        (5, TypeError),
        ([], TypeError),
    ],
)
def test_bad_echo(gearmand: Gearmand, workload: Any, error: type[Exception]) -> None:
    with Client(gearmand.address) as client:
        with pytest.raises(error):
            client.echo(workload)
        client.echo("x")


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


def test_foreground_submission_is_refused() -> None:
    with Client(NOWHERE) as client, pytest.raises(NotSupportedError):
        client.submit("f", ["a"], background=False)
