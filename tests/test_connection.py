"""Client: when it connects and sends, which is never too early; echo."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import pytest

from gearman_c import ArgumentError, Client, ConnectionFailedError
from gearman_c.testing import Gearmand, drain, unused_port

if TYPE_CHECKING:
    from fix_proxy import Proxy


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
