"""What a worker is told once, and its clones."""

from __future__ import annotations

import logging

import pytest
from fix_running import reverse, running

from gearman_c import Client, Worker, WorkerOption
from gearman_c.testing import Gearmand


def test_namespace_and_identifier(gearmand: Gearmand) -> None:
    names = []
    worker = Worker(gearmand.address, namespace="ns.", identifier="me")
    worker.add_function("f", lambda job: names.append(job.function_name))
    with running(worker), Client(gearmand.address, namespace="ns.") as client:
        client.do("f", timeout=30)
        assert names == ["f"]
        assert any(" me : ns.f" in line for line in gearmand.command("workers"))
        worker.namespace = None
        worker.identifier = "other"
        client.namespace = None
        client.do("f", timeout=30)
        assert any(" other : f" in line for line in gearmand.command("workers"))


def test_options() -> None:
    worker = Worker("a", identifier="me")
    needed = WorkerOption.NON_BLOCKING | WorkerOption.GRAB_UNIQ | WorkerOption.IDENTIFIER
    assert worker.options & needed == needed
    with pytest.raises(AttributeError):
        worker.options = needed  # type: ignore[misc]


def test_clone(gearmand: Gearmand) -> None:
    worker = Worker(gearmand.address, timeout=5, namespace="n", identifier="me", exceptions=True)
    worker.add_function("f", reverse)
    copy = worker.clone()
    assert type(copy) is Worker
    assert (copy.servers, copy.timeout, copy.namespace) == (worker.servers, 5, "n")
    assert (copy.identifier, copy.exceptions, copy.function_exist("f")) == ("me", True, True)
    worker.unregister("f")
    assert copy.function_exist("f")


def test_echo(gearmand: Gearmand) -> None:
    with Worker(gearmand.address) as worker:
        worker.echo(b"hello", timeout=30)


def test_log(gearmand: Gearmand) -> None:
    lines: list[str] = []
    with Worker(gearmand.address) as worker:
        worker.add_function("f", reverse)
        worker.set_log(lambda _, line: lines.append(line), logging.DEBUG)
        worker.work(0.1)
        gearmand.kill()
        worker.work(0.3)
    assert any("lost connection" in line for line in lines)
