"""Client: its servers, from arguments and from the environment, and their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from gearman_c import ArgumentError, Client, ConnectionFailedError, ReturnCode
from gearman_c.testing import Gearmand, drain

if TYPE_CHECKING:
    from fix_proxy import Proxy

RunScript = Callable[..., str]


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
