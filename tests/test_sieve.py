"""What is no packet of a Gearman server never gets to libgearman, which crashes on much of it."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import pytest
from fix_impostor import Impostor, answer_status, read_packet, reply
from fix_running import reverse
from fix_tasks import wait_for

import gearman_c
from gearman_c import Client, GearmanError, ProtocolError, Worker

NO_PACKETS = {
    "a line of text": b"ERR something\n",
    "text without a blank": b"hello\n",
    "a web page": b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    "a command of 32 bits": struct.pack(">4sII", b"\0RES", 0x80000008, 0),
    "no command": reply(0),
    "an unknown command": reply(43),
    "a request": struct.pack(">4sII", b"\0REQ", 8, 0),
    "other magic": b"\0RED" + bytes(8),
    "an acknowledgement without its NUL bytes": reply(13, b"H:x:1"),
    "a status without numbers": reply(20, b"H:x:1\0001"),
    "a result without a handle": reply(13),
}


@pytest.mark.smoke
def test_it_is_there() -> None:
    assert gearman_c._gearman._guarded


def slowly(connection: socket.socket, data: bytes) -> None:
    """Send in pieces that are received one by one."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in data:
        connection.sendall(bytes([byte]))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("what", NO_PACKETS)
def test_client(what: str, *, whole: bool) -> None:
    """What came before it counts, also in the same piece."""

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        read_packet(connection)
        data = reply(8, b"H:x:1") + NO_PACKETS[what]
        connection.sendall(data) if whole else slowly(connection, data)
        connection.recv(1)

    with Impostor(behave) as impostor, Client(impostor.address) as client:
        tasks = [client.add_task_background("f") for _ in range(3)]
        with pytest.raises(ProtocolError) as caught:
            client.run_tasks(timeout=30)
    assert [task.job_handle for task in tasks] == ["H:x:1", None, None]
    assert caught.value.unconfirmed == tuple(tasks[1:])


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("what", NO_PACKETS)
def test_worker(what: str, *, first: bool) -> None:
    told = []

    def behave(connection: socket.socket) -> None:
        for answer in ([] if first else [reply(31, b"H:x:1\0f\0u\0load")]) + [NO_PACKETS[what]]:
            while read_packet(connection)[0] != 30:
                pass
            connection.sendall(answer)
        connection.recv(1)
        told.append(True)

    with Impostor(behave) as impostor, Worker(impostor.address) as worker:
        worker.add_function("f", reverse)
        if not first:
            wait_for(lambda: worker.work(0.05))
        wait_for(lambda: not worker.work(0.05) and bool(told))


@pytest.mark.parametrize("what", NO_PACKETS)
def test_question(what: str) -> None:
    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        read_packet(connection)
        connection.sendall(NO_PACKETS[what])
        connection.recv(1)

    with Impostor(behave) as impostor, Client(impostor.address) as client:
        for call in (client.echo, client.job_status, client.unique_status):
            with pytest.raises(GearmanError):
                call("H:x:1", timeout=30)


def test_a_number_that_is_used_again(gearmand: gearman_c.testing.Gearmand) -> None:
    """The next socket of the same descriptor is looked at from its beginning."""

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        read_packet(connection)
        connection.sendall(reply(8, b"H:x:1")[:-2])
        connection.close()

    for _ in range(5):
        with Impostor(behave) as impostor, Client(impostor.address) as client:
            client.add_task_background("f")
            with suppress(GearmanError):
                client.run_tasks(timeout=30)
        with Client(gearmand.address) as client:
            client.echo(b"hello")
