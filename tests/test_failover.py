"""Servers that are down, deaf, or no Gearman servers at all: an exception, or the next server."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator

import pytest
from fix_impostor import Impostor, answer_status, read_packet, reply
from fix_script import Script, within
from fix_tasks import add_tasks, at, check_all_there, check_pending, held

from gearman_c import Client, ConnectionFailedError, GearmanError, TaskState, WaitTimeoutError
from gearman_c.testing import Gearmand, unused_port

FUNCTIONS = ("f", "g")


def check_nothing_sent(client: Client, tasks: list) -> None:
    assert client.pending == len(tasks)
    assert {(task.state, task.error) for task in tasks} == {(TaskState.PENDING, None)}


def check_runs(client: Client, server: Gearmand) -> None:
    tasks = add_tasks(client, 300, FUNCTIONS)
    client.run_tasks()
    assert client.pending == 0
    check_all_there(server, tasks, FUNCTIONS)


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address whose queue of connections is full: who connects hears nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        for _ in range(8):
            end = socket.socket()
            end.setblocking(False)
            end.connect_ex(address)
            waiting.append(end)
        yield f"127.0.0.1:{address[1]}"
        for end in waiting:
            end.close()


def test_one_down(gearmand: Gearmand) -> None:
    dead = f"127.0.0.1:{unused_port()}"
    for servers in (
        [dead, gearmand.address],
        [gearmand.address, dead],
        [dead] * 3 + ["no-such-host.invalid", f"127.0.0.1:{unused_port()}", gearmand.address],
    ):
        with Client(servers) as client:
            for _ in range(3):
                check_runs(client, gearmand)


def test_one_goes_down_between_runs(gearmand_factory: Callable[..., Gearmand]) -> None:
    first, second = gearmand_factory(), gearmand_factory()
    with Client([first.address, second.address]) as client:
        check_runs(client, first)
        first.kill()
        check_runs(client, second)
        first.start()
        second.kill()
        check_runs(client, first)


def test_one_goes_down_in_mid_run(gearmand_factory: Callable[..., Gearmand]) -> None:
    first, second = gearmand_factory(), gearmand_factory()
    client = Client([first.address, second.address])
    tasks = add_tasks(client, 3000, FUNCTIONS)
    at(client, 100, first.kill)
    with pytest.raises(ConnectionFailedError):
        client.run_tasks()
    check_pending(client, tasks)
    left = [task for task in tasks if not task.is_known]
    client.run_tasks()
    assert client.pending == 0
    check_all_there(second, left, FUNCTIONS)


@pytest.mark.slow
def test_one_stopped(gearmand_factory: Callable[..., Gearmand]) -> None:
    """It takes the connection (its kernel does) and does not answer."""
    first, second = gearmand_factory(), gearmand_factory()
    first.pause()
    with Client([first.address, second.address]) as client:
        check_runs(client, second)
        first.resume()
        assert held(first) == 0
        check_runs(client, second)


@pytest.mark.slow
def test_one_deaf(gearmand: Gearmand, deaf: str) -> None:
    with Client([deaf, gearmand.address]) as client:
        check_runs(client, gearmand)


def test_deaf_alone(deaf: str) -> None:
    client = Client(deaf)
    tasks = add_tasks(client, 10)

    def run() -> None:
        with pytest.raises(WaitTimeoutError, match=deaf):
            client.run_tasks(timeout=0.5)

    within(0.4, 1.0, run)
    check_nothing_sent(client, tasks)
    client.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1", "localhost"])
def test_nobody_there(gearmand: Gearmand, host: str) -> None:
    port = unused_port()
    client = Client([(host, port)])
    tasks = add_tasks(client, 10)

    def run() -> None:
        with pytest.raises(ConnectionFailedError) as caught:
            client.run_tasks()
        assert isinstance(caught.value, ConnectionError)
        assert host in str(caught.value)
        assert str(port) in str(caught.value)
        assert caught.value.unconfirmed == ()

    within(0, 1.0, run)
    check_nothing_sent(client, tasks)
    client.add_servers(gearmand.address)
    client.run_tasks()
    assert client.pending == 0
    assert held(gearmand) == 10


def test_all_are_named() -> None:
    ports = [unused_port() for _ in range(3)]
    client = Client([("127.0.0.1", port) for port in ports])
    tasks = add_tasks(client, 1)
    with pytest.raises(ConnectionFailedError) as caught:
        client.run_tasks()
    assert all(f"127.0.0.1:{port}" in str(caught.value) for port in ports)
    check_nothing_sent(client, tasks)
    client.close()


def test_no_servers(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    client.remove_servers()
    tasks = add_tasks(client, 10)
    with pytest.raises(ConnectionFailedError):
        client.run_tasks()
    check_nothing_sent(client, tasks)
    client.add_server("127.0.0.1", gearmand.port)
    client.run_tasks()
    check_all_there(gearmand, tasks)


def speak_http(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>")
    connection.close()


def speak_smtp(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example.org ESMTP\r\n")
    while connection.recv(1000):
        connection.sendall(b"500 what?\r\n")


def send_garbage(connection: socket.socket) -> None:
    connection.sendall(random.Random(3).randbytes(100_000))
    while connection.recv(1000):
        pass


def hang_up(connection: socket.socket) -> None:
    connection.close()


def read_and_hang_up(connection: socket.socket) -> None:
    connection.recv(10)
    connection.shutdown(socket.SHUT_RDWR)


def send_a_request(connection: socket.socket) -> None:
    connection.sendall(reply(8, b"H:x:1").replace(b"RES", b"REQ"))
    connection.recv(1000)


def send_created(connection: socket.socket) -> None:
    """Acknowledge what nobody submitted."""
    connection.sendall(reply(8, b"H:x:1"))
    connection.recv(1000)


def send_absurd_command(connection: socket.socket) -> None:
    """It is the index of a table to libgearman, which dies of it."""
    for byte in b"\0RES\x80\0\0\x08\0\0\0\0":
        connection.sendall(bytes([byte]))
    connection.recv(1000)


def send_unknown_command(connection: socket.socket) -> None:
    connection.sendall(reply(4000, b"abc"))
    connection.recv(1000)
    connection.close()


def send_error(connection: socket.socket) -> None:
    connection.sendall(reply(19, b"go_away\0I am not in the mood"))
    connection.recv(1000)
    connection.close()


def send_many_errors(connection: socket.socket) -> None:
    connection.sendall(reply(19, b"go_away\0I am not in the mood") * 1000)
    connection.recv(1000)
    connection.close()


def send_lines(connection: socket.socket) -> None:
    connection.sendall(b"hello\nworld\n")
    connection.recv(1000)


def send_empty_lines(connection: socket.socket) -> None:
    connection.sendall(b"\n\r\n\n")
    connection.recv(1000)


@pytest.mark.parametrize(
    "behave",
    [
        speak_http,
        speak_smtp,
        send_lines,
        send_empty_lines,
        send_garbage,
        hang_up,
        read_and_hang_up,
        send_a_request,
        send_created,
        send_unknown_command,
        send_absurd_command,
        send_error,
        send_many_errors,
    ],
)
def test_no_gearman_server(gearmand: Gearmand, behave: Callable[[socket.socket], None]) -> None:
    """In a process of its own: libgearman 1.1.20 crashes on a line of text without a space."""
    with (
        Impostor(behave) as impostor,
        Script(NO_GEARMAN_SERVER, impostor.address, gearmand.address) as script,
    ):
        assert [script.read() for _ in range(3)] == ["ConnectionFailedError True 20 0"] * 3
        assert script.read() == "finished 0"
    assert held(gearmand) == 20


NO_GEARMAN_SERVER = """
import sys
from gearman_c import Client, GearmanError, TaskState
client = Client(sys.argv[1])
tasks = [client.add_task_background("f") for _ in range(20)]
for _ in range(3):
    try:
        client.run_tasks(timeout=10)
    except GearmanError as error:
        sent = sum(task.state is not TaskState.PENDING for task in tasks)
        print(type(error).__name__, sys.argv[1] in str(error), client.pending, sent)
client.add_servers(sys.argv[2])
client.run_tasks()
print("finished", client.pending)
"""


def send_huge_length(connection: socket.socket) -> None:
    connection.sendall(reply(20)[:8] + b"\xff\xff\xff\xff" + bytes(100))
    connection.recv(1000)
    connection.recv(1000)


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def send_other_answers(connection: socket.socket) -> None:
    """As a server would that takes this connection for another one."""
    while True:
        connection.sendall(reply(6) + reply(17, b"echo") + reply(10))
        connection.recv(1000)


@pytest.mark.parametrize("behave", [send_huge_length, say_nothing, send_other_answers])
def test_server_that_leaves_us_waiting(behave: Callable[[socket.socket], None]) -> None:
    with Impostor(behave) as impostor, Client(impostor.address) as client:
        tasks = add_tasks(client, 20)
        with pytest.raises((WaitTimeoutError, ConnectionFailedError)):
            client.run_tasks(timeout=0.5)
        check_nothing_sent(client, tasks)


def then(data: bytes, *, close: bool = True) -> Callable[[socket.socket], None]:
    """Begin like a server, and answer the first task with this."""

    def behave(connection: socket.socket) -> None:
        answer_status(connection)
        read_packet(connection)
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(100_000):
            pass

    return behave


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        reply(8, b"H:x:1")[:-1],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes(1000),
        reply(8)[:8] + b"\xff\xff\xff\xff",
        reply(4000),
        reply(19)[:8] + b"\xff\xff\xff\xff",
        b"\0" + random.Random(4).randbytes(5000),
        reply(11, b"H:x:1\0f\0load"),
        reply(13, b"H:x:1\0result"),
        reply(12, b"H:x:1\x001\x002"),
    ],
)
def test_server_goes_mad(gearmand: Gearmand, data: bytes) -> None:
    """Nothing was acknowledged, so a sound server gets everything."""
    with (
        Impostor(then(data)) as impostor,
        Script(GOES_MAD, impostor.address, gearmand.address) as script,
    ):
        kind = script.read()
        assert kind.endswith("Error 20 True")
        assert "WaitTimeout" not in kind
        assert script.read() == "finished 0"
    assert held(gearmand) == 20


GOES_MAD = """
import sys
from gearman_c import Client, GearmanError
client = Client(sys.argv[1])
tasks = [client.add_task_background("f") for _ in range(20)]
try:
    client.run_tasks(timeout=10)
except GearmanError as error:
    print(type(error).__name__, client.pending, not any(task.is_known for task in tasks))
client.remove_servers()
client.add_servers(sys.argv[2])
client.run_tasks()
print("finished", client.pending)
"""


def test_long_handle(gearmand: Gearmand) -> None:
    """One that does not fit is cut or refused; nothing is written over."""
    with Impostor(then(reply(8, b"H" * 5000))) as impostor, Client(impostor.address) as client:
        tasks = add_tasks(client, 20)
        with pytest.raises(GearmanError):
            client.run_tasks(timeout=10)
        check_pending(client, tasks)
        assert client.pending >= 19
