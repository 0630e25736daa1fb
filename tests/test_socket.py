"""libgearman's socket is set up for speed, whoever opens descriptors meanwhile, and no other."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from fix_script import until_quick, within
from fix_socket import LIBGEARMAN_BUFFER, connections_to, is_tuned, read_options
from fix_tasks import add_tasks, check_all_there, held

from gearman_c import Client, Task, WaitTimeoutError
from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy


def check_tuned(port: int, count: int = 1) -> None:
    """Check that so many connections lead to a port, and that all of them are tuned."""
    found = connections_to(port)
    assert len(found) == count
    assert all(is_tuned(options) for options in found.values()), found


def add_large(client: Client, count: int, size: int) -> list[Task]:
    dice = random.Random(size)
    return [client.add_task_background("f", dice.randbytes(size)) for _ in range(count)]


@pytest.mark.parametrize(("count", "size"), [(100, 1_000_000), (10, 20_000_000)])
@pytest.mark.smoke
def test_large_payloads(gearmand: Gearmand, count: int, size: int) -> None:
    client = Client(gearmand.address)
    tasks = add_large(client, count, size)
    client.run_tasks()
    check_tuned(gearmand.port)
    [options] = connections_to(gearmand.port).values()
    assert options.send_buffer > LIBGEARMAN_BUFFER
    check_all_there(gearmand, tasks)


@pytest.mark.smoke
def test_again_after_a_reconnect(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    for _ in range(5):
        tasks = add_large(client, 10, 1_000_000)
        client.run_tasks()
        check_tuned(proxy.port)
        check_all_there(gearmand, tasks)
        proxy.cut()
    assert proxy.connections == 5


@pytest.mark.smoke
def test_tuned_before_the_first_payload(gearmand: Gearmand) -> None:
    client = Client(gearmand.address)
    seen: list[dict] = []
    client.on_created = lambda task: seen.append(connections_to(gearmand.port))
    client.add_task_background("f")
    client.run_tasks()
    [found] = seen
    assert [is_tuned(options) for options in found.values()] == [True]


@contextmanager
def churn(port: int, linger: int) -> Iterator[list[str]]:
    """Threads that open and close files and sockets as fast as they can.

    Each socket has that many seconds of linger, and some are connected to the port. What was
    done to them by others is in the list that this gives.
    """
    through = threading.Event()
    changed: list[str] = []

    def files() -> None:
        while not through.is_set():
            descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(random.randrange(8))]
            descriptors += os.pipe()
            for descriptor in descriptors:
                os.close(descriptor)

    def sockets() -> None:
        while not through.is_set():
            with socket.socket() as end:
                set_linger(end, linger)
                if random.random() < 0.1:
                    end.connect(("127.0.0.1", port))
                    set_linger(end, 10)
                before = read_options(end)
                time.sleep(0)
                after = read_options(end)
                if after.linger != before.linger or after.locked != before.locked:
                    changed.append(f"{before} became {after}")

    threads = [threading.Thread(target=target) for target in (files, files, sockets, sockets)]
    for thread in threads:
        thread.start()
    try:
        yield changed
    finally:
        through.set()
        for thread in threads:
            thread.join()


def set_linger(end: socket.socket, seconds: int) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """A port that takes connections and does nothing with them."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        listener.settimeout(0.1)
        through = threading.Event()

        def accept() -> None:
            while not through.is_set():
                with suppress(TimeoutError):
                    listener.accept()[0].close()

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        through.set()
        thread.join()


@pytest.mark.parametrize("linger", [3, 10])
def test_while_others_open_descriptors(gearmand: Gearmand, elsewhere: int, linger: int) -> None:
    """Also when their sockets linger for 10 s, as libgearman's do."""
    with churn(elsewhere, linger) as changed:
        for _ in range(30):
            with Client(gearmand.address) as client:
                tasks = add_large(client, 3, 1_000_000)
                client.run_tasks()
                check_tuned(gearmand.port)
                check_all_there(gearmand, tasks)
    assert changed == []


@pytest.mark.parametrize("linger", [3, 10])
def test_others_sockets_are_left_alone(gearmand: Gearmand, elsewhere: int, linger: int) -> None:
    with churn(elsewhere, linger) as changed:
        for _ in range(300):
            with Client(gearmand.address) as client:
                client.add_task_background("f")
                client.run_tasks()
    assert changed == []


def test_eight_at_the_same_moment(gearmand: Gearmand) -> None:
    for _ in range(10):
        together = threading.Barrier(8)
        clients = [Client(gearmand.address) for _ in range(8)]

        def run(client: Client, together: threading.Barrier = together) -> None:
            add_large(client, 2, 500_000)
            together.wait()
            client.run_tasks()

        threads = [threading.Thread(target=run, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(client.pending for client in clients) == 0
        check_tuned(gearmand.port, 8)
        for client in clients:
            client.close()
    assert held(gearmand) == 160


def test_strangers_are_left_alone(gearmand: Gearmand, elsewhere: int) -> None:
    """Not even those that bear libgearman's own mark, whatever their number."""
    with ExitStack() as stack:
        strangers = []
        for connected in (False, True):
            for seconds in (3, 10):
                for _ in range(3):
                    end = stack.enter_context(socket.socket())
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
                    set_linger(end, seconds)
                    if connected:
                        end.connect(("127.0.0.1", elsewhere))
                    strangers.append(end)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        set_linger(listener, 10)
        strangers.append(listener)
        before = [read_options(end) for end in strangers]
        for _ in range(5):
            with Client(gearmand.address) as client:
                tasks = add_tasks(client, 10)
                client.run_tasks()
                check_tuned(gearmand.port)
                check_all_there(gearmand, tasks)
        assert [read_options(end) for end in strangers] == before


def test_descriptor_closed_by_others(gearmand: Gearmand) -> None:
    """As a program does that closes all the descriptors it knows nothing of."""
    client = Client(gearmand.address)
    tasks = add_tasks(client, 10)
    client.run_tasks()
    [descriptor] = connections_to(gearmand.port)
    os.close(descriptor)
    tasks += add_tasks(client, 10)
    client.run_tasks()
    check_tuned(gearmand.port)
    check_all_there(gearmand, tasks)


def stuck(gearmand: Gearmand) -> Client:
    """A client whose server stands still, with the buffers full and 20 MB to send."""
    client = Client(gearmand.address)
    client.add_task_background("f")
    client.run_tasks()
    gearmand.pause()
    client.add_task_background("f", bytes(20_000_000))
    with pytest.raises(WaitTimeoutError):
        client.run_tasks(timeout=0.2)
    return client


def close(client: Client) -> None:
    client.close()


def leave(client: Client) -> None:
    with client:
        pass


@pytest.mark.parametrize("end", [close, leave])
def test_close_does_not_block(gearmand: Gearmand, end: Callable[[Client], None]) -> None:
    def attempt() -> float:
        client = stuck(gearmand)
        start = time.monotonic()
        end(client)
        took = time.monotonic() - start
        gearmand.resume()
        return took

    until_quick(attempt, 0.2)


@pytest.mark.unsanitized  # it takes its time to free megabytes
def test_drop_does_not_block(gearmand: Gearmand) -> None:
    def attempt() -> float:
        client = stuck(gearmand)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            start = time.monotonic()
            del client
            took = time.monotonic() - start
        assert connections_to(gearmand.port) == {}
        gearmand.resume()
        return took

    until_quick(attempt, 0.2)


def test_change_of_servers_does_not_block(gearmand_factory: Callable[..., Gearmand]) -> None:
    """The connection that is given up has its buffers full."""
    first, second = gearmand_factory(), gearmand_factory()
    client = stuck(first)
    client.remove_servers()
    client.add_servers(second.address)
    start = time.monotonic()
    client.run_tasks()
    assert time.monotonic() - start < 5, "it lingered"
    assert held(second) == 1
    first.resume()


@pytest.mark.slow
def test_timeout_does_not_block(gearmand: Gearmand) -> None:
    """Neither that of the run, nor that of the client, which closes the connection."""

    def run() -> None:
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.5)

    def give_up() -> float:
        client.timeout = 0.5
        start = time.monotonic()
        with pytest.raises(WaitTimeoutError):
            client.run_tasks()
        took = time.monotonic() - start
        assert client.pending == 1
        assert connections_to(gearmand.port) == {}
        replace()
        return took

    def replace() -> None:
        nonlocal client
        client.close()
        gearmand.resume()
        client = stuck(gearmand)
        run()  # until the kernel takes no more

    client = stuck(gearmand)
    within(0.4, 0.7, run)
    until_quick(give_up, 0.8, 0.4)
    client.close()
    gearmand.resume()
