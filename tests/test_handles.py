"""Handles that a server may think of: a task shows each as it was given."""

from __future__ import annotations

import socket

import pytest
from fix_impostor import Impostor, answer_status, read_packet, reply

from gearman_c import Client

JOB_CREATED = 8


def handles_shown(handles: list[bytes]) -> list[str | None]:
    """Submit a task to a server that gives out these handles, one for each; return what it got."""

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        for handle in handles:
            read_packet(connection)
            connection.sendall(reply(JOB_CREATED, handle))
        connection.recv(1)

    with Impostor(behave) as impostor, Client(impostor.address) as client:
        tasks = [client.add_task_background("f") for _ in handles]
        client.run_tasks(timeout=30)
    return [task.job_handle for task in tasks]


@pytest.mark.parametrize(
    "handle",
    [
        "H:host:1",
        "H:host:0",
        "H:host:007",
        "H:host:00",
        "H:host:18446744073709551615",
        "H:host:18446744073709551616",
        "H:host:99999999999999999999999999",
        "H:host",
        "H:host:",
        "H:host:-1",
        "H:host:1 ",
        "17",
        "0",
        "x",
        "H:" + "h" * 59 + ":1",
        "1" * 63,
        "H:höst:1",
    ],
)
def test_shown_as_given(handle: str) -> None:
    assert handles_shown([handle.encode()] * 2) == [handle] * 2


def test_more_servers_than_anybody_has() -> None:
    handles = [f"H:host-{number % 40}:{number}" for number in range(400)]
    assert handles_shown([handle.encode() for handle in handles]) == handles


def test_longer_than_libgearman_takes() -> None:
    """It keeps 63 bytes."""
    assert handles_shown([b"H:" + b"h" * 70 + b":1"]) == ["H:" + "h" * 61]


def test_not_utf_8() -> None:
    assert handles_shown([b"H:\xff:1"]) == ["H:\udcff:1"]
