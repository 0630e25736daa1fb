"""Servers that answer a worker as no server may."""

from __future__ import annotations

import socket
import time

import pytest
from fix_impostor import Impostor, read_packet, reply
from fix_running import reverse

from gearman_c import Worker


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        reply(31, b"H:x:1\0unknown\0u\0data"),
        reply(11, b"H:x:1\0f\0data"),
        reply(31, b"H" * 65536 + b"\0f\0u\0data"),
        reply(31, b"H:x:1\0f"),
        reply(19, b"code\0text"),
        reply(8, b"H:x:1"),
        reply(10) + reply(31, b"H:x:1\0f\0u\0data"),
        reply(6) * 1000,
        b"HTTP/1.0 400 Bad Request\r\n\r\n",
        b"\0RES\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_hostile_servers(answer: bytes) -> None:
    """Whatever it answers, the worker goes on, and can be closed in the middle of it."""
    asked = []

    def behave(connection: socket.socket) -> None:
        while True:
            command, _ = read_packet(connection)
            if command == 30:
                asked.append(command)
                connection.sendall(answer)

    with Impostor(behave) as server, Worker(server.address) as worker:
        worker.add_function("f", reverse)
        end = time.monotonic() + 60
        while not asked and time.monotonic() < end:
            worker.work(0.1)
        for _ in range(5):
            worker.work(0.1)
    assert asked
