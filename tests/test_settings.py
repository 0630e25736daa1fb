"""What a client is told once: namespace, identifier, options, log, TLS; and its clones."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_tasks import wait_for
from fix_worker import RawWorker, reverse

import gearman_c
from gearman_c import (
    TLS,
    ArgumentError,
    Client,
    ClientOption,
    ConnectionFailedError,
    JobFailedError,
    NotSupportedError,
    ReturnCode,
    ServerError,
    Task,
    UsageError,
    WaitTimeoutError,
)
from gearman_c.testing import Gearmand, drain, unused_port

OWN = ClientOption.NON_BLOCKING | ClientOption.FREE_TASKS | ClientOption.GENERATE_UNIQUE


def test_namespace(gearmand: Gearmand) -> None:
    with Client(gearmand.address, namespace="ns.") as client:
        assert client.namespace == "ns."
        task = client.add_task_background("f", b"1")
        client.run_tasks()
        assert task.function_name == "f"
        client.namespace = None
        client.do_background("f", b"2")
        client.namespace = b"other."
        with RawWorker(gearmand.address, {"other.reverse": reverse}):
            assert client.do("reverse", b"ab") == b"ba"
        client.do_background("later", at=1e10)
    assert [job.workload for job in drain(gearmand.address, "ns.f")] == [b"1"]
    assert [job.workload for job in drain(gearmand.address, "f")] == [b"2"]
    assert gearmand.status()["other.later"].total == 1


@pytest.mark.parametrize("bad", ["", "a\0b", "x" * 129, "\ud800"])
def test_bad_namespace(bad: str) -> None:
    with pytest.raises(ArgumentError, match="the namespace"):
        Client("a", namespace=bad)
    with Client("a", namespace="good") as client:
        with pytest.raises(ArgumentError, match="the namespace"):
            client.namespace = bad
        assert client.namespace == "good"


def test_namespace_and_name_fit_together(gearmand: Gearmand) -> None:
    """Libgearman aborts the process on a longer one (1.1.20)."""
    with Client(gearmand.address, namespace="n" * 100) as client:
        client.add_task_background("f" * 412)
        for add in (client.add_task_background, client.add_task, client.do, client.do_background):
            with pytest.raises(ArgumentError, match="413 bytes, 412 are allowed"):
                add("f" * 413)
        client.run_tasks()
        client.namespace = None
        client.add_task_background("f" * 413)
        client.run_tasks()
    assert set(gearmand.status()) == {"n" * 100 + "f" * 412, "f" * 413}


def test_namespace_that_grows_over_queued_names(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.add_task_background("f" * 512)
        with pytest.raises(UsageError, match="with tasks queued"):
            client.namespace = "ns"
        client.run_tasks()
        client.namespace = "ns"


def test_identifier(gearmand: Gearmand) -> None:
    with Client(gearmand.address, identifier="archive-1") as client:
        assert client.identifier == "archive-1"
        client.do_background("f")
        assert any(" archive-1 :" in line for line in gearmand.command("workers"))
        client.identifier = "archive-2"
        client.do_background("f")
        assert any(" archive-2 :" in line for line in gearmand.command("workers"))
        gearmand.restart()
        client.do_background("f")
        assert any(" archive-2 :" in line for line in gearmand.command("workers"))
        client.identifier = None
        client.do_background("f")
        wait_for(lambda: not any("archive" in line for line in gearmand.command("workers")))


@pytest.mark.parametrize("bad", ["", "a b", "a\0b", "å", "x" * 65, "a\n"])
def test_bad_identifier(bad: str) -> None:
    with pytest.raises(ArgumentError, match="the identifier"):
        Client("a", identifier=bad)


def test_options(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        assert client.options & OWN == OWN
        assert ClientOption.EXCEPTION not in client.options
        client.options = client.options
        for change in (ClientOption.NON_BLOCKING, ClientOption.UNBUFFERED_RESULT, ClientOption.SSL):
            with pytest.raises(UsageError, match="cannot be changed"):
                client.options ^= change
        client.options |= ClientOption.EXCEPTION
        assert ClientOption.EXCEPTION in client.options
        with pytest.raises(JobFailedError) as caught:
            client.do("throw", b"it")
        assert caught.value.code is ReturnCode.WORK_EXCEPTION


def test_exceptions_are_asked_for(gearmand: Gearmand, worker: RawWorker) -> None:
    """On a connection that was made without, and again after a restart of the server."""
    with Client(gearmand.address) as client:
        client.do_background("later")
        assert ClientOption.EXCEPTION not in client.options
        with pytest.raises(JobFailedError, match="raised: cannot: a"):
            client.do("throw", b"a")
        assert ClientOption.EXCEPTION in client.options
        gearmand.restart()
        with RawWorker(gearmand.address), pytest.raises(JobFailedError, match="raised: cannot: b"):
            client.do("throw", b"b")


def test_set_server_option(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.set_server_option("exceptions")
        client.set_server_option(b"exceptions")
        assert ClientOption.EXCEPTION in client.options
        with pytest.raises(ServerError, match="'exceptions' only") as caught:
            client.set_server_option("speed")
        assert caught.value.code is ReturnCode.INVALID_SERVER_OPTION
        client.do_background("f")


def test_not_while_tasks_are_in_flight(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        client.add_task("keep")
        with pytest.raises(WaitTimeoutError):
            client.run_tasks(timeout=0.2)
        changes: list[Callable[[], object]] = [
            lambda: setattr(client, "namespace", "ns"),
            lambda: setattr(client, "identifier", "me"),
            lambda: client.set_log(print),
        ]
        for change in changes:
            with pytest.raises(UsageError, match="in flight"):
                change()
        assert (client.namespace, client.identifier) == (None, None)


def test_not_in_a_callback(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:

        def on_created(task: Task) -> None:
            with pytest.raises(UsageError):
                client.namespace = "ns"

        client.on_created = on_created
        client.do_background("f")


def test_log() -> None:
    lines: list[tuple[int, str]] = []
    with Client(f"127.0.0.1:{unused_port()}") as client:
        client.set_log(lambda level, line: lines.append((level, line)))
        with pytest.raises(ConnectionFailedError):
            client.do_background("f")
        assert lines
        assert {level for level, _ in lines} == {logging.ERROR}
        assert any("COULD_NOT_CONNECT" in line for _, line in lines)
        lines.clear()
        client.set_log(None)
        with pytest.raises(ConnectionFailedError):
            client.do_background("f")
        assert lines == []


def test_log_to_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    with Client(f"127.0.0.1:{unused_port()}") as client:
        client.set_log(logging.getLogger("gearman"))
        with pytest.raises(ConnectionFailedError):
            client.do_background("f")
    assert {record.name for record in caplog.records} == {"gearman"}
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_log_level() -> None:
    lines: list[str] = []
    with Client(f"127.0.0.1:{unused_port()}") as client:
        client.set_log(lambda level, line: lines.append(line), logging.CRITICAL)
        with pytest.raises(ConnectionFailedError):
            client.do_background("f")
    assert lines == []


def test_log_that_raises(gearmand: Gearmand) -> None:
    with Client(f"127.0.0.1:{unused_port()},{gearmand.address}") as client:

        def log(level: int, line: str) -> None:
            raise KeyError("mine")

        client.set_log(log)
        task = client.add_task_background("f")
        with pytest.raises(KeyError, match="mine"):
            client.run_tasks()
        client.set_log(None)
        client.run_tasks()
        assert task.is_known
    assert len(drain(gearmand.address, "f")) == 1


def test_bad_log() -> None:
    with Client("a") as client:
        with pytest.raises(TypeError, match="a log is a callable"):
            client.set_log(3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="level must be"):
            client.set_log(print, "INFO")  # type: ignore[arg-type]


def test_clone(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(
        gearmand.address, timeout=9, namespace="ns.", identifier="me", max_in_flight=7, resend=False
    ) as client:
        told: list[Task] = []
        client.on_created = told.append
        client.add_task_background("f")
        client.set_server_option("exceptions")
        with client.clone() as copy:
            for name in (
                "servers",
                "timeout",
                "namespace",
                "identifier",
                "max_in_flight",
                "resend",
            ):
                assert getattr(copy, name) == getattr(client, name)
            assert (copy.options, copy.on_created) == (client.options, client.on_created)
            assert (client.pending, copy.pending) == (1, 0)
            copy.do_background("f")
            assert client.pending == 1
            copy.namespace = None
        client.run_tasks()
    assert len(told) == 2
    assert gearmand.status()["ns.f"].total == 2
    with pytest.raises(UsageError):
        client.clone()


def test_tls_is_not_in_this_libgearman(tmp_path: Path) -> None:
    """Without TLS libgearman would talk in the clear, and say nothing."""
    files = [tmp_path / name for name in ("ca", "certificate", "key")]
    for file in files:
        file.write_text("-----BEGIN CERTIFICATE-----\n")
    tls = TLS(*files)
    if gearman_c.libgearman_version() == "1.1.20":
        with pytest.raises(NotSupportedError, match="built without TLS"):
            Client("a", tls=tls)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_tls_files_are_read_first(tmp_path: Path, missing: int) -> None:
    files = [tmp_path / name for name in ("ca", "certificate", "key")]
    for number, file in enumerate(files):
        if number != missing:
            file.write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(ArgumentError, match=r"cannot be read \(No such file"):
        Client("a", tls=TLS(*files))
    files[missing].write_text("nothing")
    with pytest.raises(ArgumentError, match="holds nothing in PEM format"):
        Client("a", tls=TLS(*files))
    files[missing].unlink()
    files[missing].mkdir()
    with pytest.raises(ArgumentError, match="cannot be read"):
        Client("a", tls=TLS(*files))


def test_tls_needs_all_files() -> None:
    with pytest.raises(ArgumentError, match="libgearman needs all three files"):
        Client("a", tls=TLS(ca="ca.pem"))
    with pytest.raises(TypeError, match=r"must be a gearman_c\.TLS"):
        Client("a", tls="ca.pem")  # type: ignore[arg-type]
