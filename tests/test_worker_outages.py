"""Servers that go, come back, move, or say nothing any more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest
from fix_impostor import Impostor
from fix_proxy import Proxy
from fix_running import reverse, running
from fix_tasks import wait_for

from gearman_c import Client, Job, Worker
from gearman_c.testing import Gearmand, unused_port

LIMIT = 30  # seconds in which a job must be done; the promise is 2


def do(server: Gearmand, function: str = "f") -> bytes:
    with Client(server.address) as client:
        return client.do(function, b"ab", timeout=LIMIT)


def messages(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    texts = [record.getMessage() for record in caplog.records if record.name == "gearman_c.worker"]
    return [text for text in texts if word in text]


def test_restarted(gearmand: Gearmand, caplog: pytest.LogCaptureFixture) -> None:
    """It registers again, under its name; each outage is logged once."""
    caplog.set_level(logging.INFO)
    worker = Worker(gearmand.address, identifier="me")
    worker.add_function("f", reverse)
    with running(worker):
        assert do(gearmand) == b"ba"
        for outage in range(1, 4):
            gearmand.kill()
            wait_for(lambda: len(messages(caplog, "is away")) == outage)  # noqa: B023
            gearmand.start()
            assert do(gearmand) == b"ba"
            assert any(" me : f" in line for line in gearmand.command("workers"))
            wait_for(lambda: len(messages(caplog, "is back after")) == outage)  # noqa: B023
    assert len(messages(caplog, "is away")) == 3


def test_not_there_yet(caplog: pytest.LogCaptureFixture) -> None:
    port = unused_port()
    worker = Worker([("127.0.0.1", port)])
    worker.add_function("f", reverse)
    with running(worker):
        wait_for(lambda: messages(caplog, "nothing listens"))
        with Gearmand(port=port) as server:
            assert do(server) == b"ba"


def test_moved(gearmand: Gearmand, gearmand_factory: Callable[..., Gearmand]) -> None:
    """Another server behind the same address."""
    other = gearmand_factory()
    with Proxy(gearmand.host, gearmand.port) as proxy:
        worker = Worker(proxy.address)
        worker.add_function("f", reverse)
        with running(worker):
            assert do(gearmand) == b"ba"
            proxy.server = (other.host, other.port)
            proxy.cut()
            assert do(other) == b"ba"


def test_all_are_served(gearmand_factory: Callable[..., Gearmand]) -> None:
    servers = [gearmand_factory() for _ in range(3)]
    worker = Worker([server.address for server in servers])
    worker.add_function("f", reverse)
    with running(worker):
        for server in servers * 3:
            assert do(server) == b"ba"
        servers[1].kill()
        for _ in range(3):
            assert do(servers[0]) == do(servers[2]) == b"ba"
        servers[1].start()
        assert do(servers[1]) == b"ba"


def test_turns(gearmand_factory: Callable[..., Gearmand]) -> None:
    """A full queue at one server does not keep the jobs of another one waiting."""
    servers = [gearmand_factory() for _ in range(2)]
    done: list[bytes] = []
    for server, name in zip(servers, (b"a", b"b"), strict=True):
        with Client(server.address) as client:
            for _ in range(50):
                client.add_task_background("f", name)
            client.run_tasks()
    worker = Worker([server.address for server in servers])
    worker.add_function("f", lambda job: done.append(job.workload))
    with running(worker):
        wait_for(lambda: len(done) == 100)
    assert 10 < done[:50].count(b"a") < 40


def test_a_mute_server(gearmand: Gearmand) -> None:
    """One that takes connections and does not answer holds up nobody for long."""
    mute = threading.Event()
    with Impostor(lambda connection: mute.wait(60) and None) as impostor:
        worker = Worker([impostor.address, gearmand.address])
        worker.add_function("f", reverse)
        with running(worker):
            took = []
            for _ in range(10):
                start = time.monotonic()
                assert do(gearmand) == b"ba"
                took.append(time.monotonic() - start)
            assert min(took) < 1
        mute.set()


def test_an_unknown_name(gearmand: Gearmand, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(["name.invalid", gearmand.address])
    worker.add_function("f", reverse)
    with running(worker):
        assert do(gearmand) == b"ba"
        wait_for(lambda: messages(caplog, "does not resolve"))
        assert do(gearmand) == b"ba"


@pytest.mark.slow
def test_half_dead(gearmand: Gearmand, proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing comes through any more, and nobody says so: noticed by an idle worker."""
    worker = Worker(proxy.address)
    worker.add_function("f", reverse)
    with running(worker):
        assert do(gearmand) == b"ba"
        proxy.stall()
        start = time.monotonic()
        wait_for(lambda: messages(caplog, "no answer in time"), 120)
        assert time.monotonic() - start < 40
        proxy.resume()
        proxy.cut()
        assert do(gearmand) == b"ba"


def test_cut_anywhere(gearmand: Gearmand, proxy: Proxy) -> None:
    """Wherever the connection breaks, no job is lost."""
    done: list[bytes] = []
    worker = Worker(proxy.address)
    worker.add_function("f", lambda job: done.append(job.workload))
    with running(worker):
        for size in range(1, 200, 33):
            proxy.cut_after(bytes_to_client=size)
            with Client(gearmand.address) as client:
                client.do_background("f", b"%d" % size)
            wait_for(lambda: b"%d" % size in done)  # noqa: B023
    assert set(done) == {b"%d" % size for size in range(1, 200, 33)}


def test_one_byte_at_a_time(gearmand: Gearmand, proxy: Proxy) -> None:
    proxy.one_byte_at_a_time()
    worker = Worker(proxy.address)
    worker.add_function("f", reverse)
    with running(worker):
        assert do(gearmand) == b"ba"


def test_jobs_for_later(gearmand: Gearmand) -> None:
    """Gearmand 1.1.20 wakes no sleeping worker for them; the worker asks by itself."""
    done = threading.Event()
    worker = Worker(gearmand.address)

    def work(job: Job) -> None:
        done.set()

    worker.add_function("f", work)
    with running(worker), Client(gearmand.address) as client:
        assert do_once(client)
        done.clear()
        client.do_background("f", at=time.time() + 2)
        assert done.wait(LIMIT)


def do_once(client: Client) -> bool:
    client.do("f", timeout=LIMIT)
    return True
