"""The proxy does to connections what it says, byte for byte."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from gearman_c.testing import Gearmand, drain, submit

if TYPE_CHECKING:
    from fix_proxy import Proxy

VERSION = b"version\r\n"


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=30)


def read_all(connection: socket.socket) -> bytes:
    """Read up to the reset."""
    data = bytearray()
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return bytes(data)
        assert piece, "the connection was closed in an orderly way"
        data += piece


def read_line(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as reader:
        return reader.readline()


def test_forwards(proxy: Proxy, gearmand: Gearmand) -> None:
    workloads = [b"x" * size for size in (0, 1, 100_000, 3_000_000)]
    handles = submit(proxy.address, "f", workloads)
    assert gearmand.status()["f"].total == len(workloads)
    jobs = drain(proxy.address, "f")
    assert [job.workload for job in jobs] == workloads
    assert [job.handle for job in jobs] == handles
    proxy.wait_until(lambda: proxy.open_connections == 0)
    assert proxy.connections == 2
    assert proxy.bytes_to_server > 3_000_000
    assert proxy.bytes_to_client > 3_000_000


def test_cut(proxy: Proxy) -> None:
    with connect(proxy) as first, connect(proxy) as second:
        for connection in (first, second):
            connection.sendall(VERSION)
            assert read_line(connection).startswith(b"OK ")
        proxy.cut()
        assert read_all(first) == read_all(second) == b""
    assert proxy.cuts == 1
    assert len(submit(proxy.address, "f", [b""])) == 1  # new connections are welcome


def test_cut_after_bytes_to_server(proxy: Proxy) -> None:
    workload = os.urandom(3_000_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.server = listener.getsockname()
        proxy.cut_after(bytes_to_server=2_000_000)
        with (
            connect(proxy) as client,
            listener.accept()[0] as server,
            ThreadPoolExecutor(1) as executor,
        ):
            received = executor.submit(read_all, server)
            with suppress(ConnectionError):  # or all of it is in the kernel's buffers already
                client.sendall(workload)
            assert received.result() == workload[:2_000_000]
    assert proxy.bytes_to_server == 2_000_000
    assert proxy.cuts == 1


@pytest.mark.parametrize("size", [0, 1, 4])
def test_cut_after_bytes_to_client(proxy: Proxy, size: int) -> None:
    with connect(proxy) as connection:
        proxy.cut_after(bytes_to_client=size)
        connection.sendall(VERSION)
        assert read_all(connection) == b"OK 1"[:size]
    assert proxy.bytes_to_client == size


def test_stall_and_resume(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        proxy.stall(to_server=False)
        connection.sendall(VERSION)
        proxy.wait_until(lambda: proxy.bytes_to_server == len(VERSION))
        assert proxy.bytes_to_client == 0
        proxy.resume()
        assert read_line(connection).startswith(b"OK ")
        proxy.stall()
        connection.sendall(VERSION)
        with connect(proxy):
            proxy.wait_until(lambda: proxy.connections == 2)
        assert proxy.bytes_to_server == len(VERSION)
        proxy.cut()
        assert read_all(connection) == b""


def test_refuse_and_accept(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        proxy.wait_until(lambda: proxy.connections == 1)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        connection.sendall(VERSION)
        assert read_line(connection).startswith(b"OK ")
    proxy.accept()
    with connect(proxy) as connection:
        connection.sendall(VERSION)
        assert read_line(connection).startswith(b"OK ")


def test_slow_forwards_everything(proxy: Proxy, gearmand: Gearmand) -> None:
    proxy.slow(1_000_000)
    workload = bytes(range(256)) * 100
    submit(proxy.address, "f", [workload])
    assert [job.workload for job in drain(gearmand.address, "f")] == [workload]


def test_one_byte_at_a_time(proxy: Proxy, gearmand: Gearmand) -> None:
    proxy.one_byte_at_a_time()
    workloads = [b"a" * size for size in range(20)]
    submit(proxy.address, "f", workloads)
    assert [job.workload for job in drain(proxy.address, "f")] == workloads


def test_server_down(proxy: Proxy, gearmand: Gearmand) -> None:
    gearmand.kill()
    with pytest.raises(ConnectionResetError), connect(proxy) as connection:
        connection.recv(1)
    gearmand.start()
    assert len(submit(proxy.address, "f", [b""])) == 1
