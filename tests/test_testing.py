"""The private server and its helpers: it starts, ends, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from gearman_c.testing import (
    DrainedJob,
    FunctionStatus,
    Gearmand,
    ServerReplyError,
    drain,
    submit,
    unused_port,
)

if TYPE_CHECKING:
    from collections.abc import Callable

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def is_refused(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=30).close()
    except ConnectionRefusedError:
        return True
    return False


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody has reaped yet has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def children() -> set[int]:
    """The process ids of our children."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def test_start_and_stop() -> None:
    server = Gearmand()
    assert not server.running
    with pytest.raises(RuntimeError, match="no port"):
        _ = server.port
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid
    with server:
        assert server.command("getpid") == [f"OK {server.pid}"]
        assert server.address == f"127.0.0.1:{server.port}"
        pid, port = server.pid, server.port
        server.start()  # does nothing
        assert server.pid == pid
    assert not server.running
    assert is_gone(pid)
    assert is_refused(port)
    server.stop()  # does nothing


@linux_only
def test_listens_on_loopback_only(gearmand: Gearmand) -> None:
    assert is_refused(gearmand.port, "127.0.0.2")


@linux_only
def test_reaps_all_its_processes() -> None:
    before = children()
    with Gearmand() as server:
        assert server.pid in children() - before
    assert children() == before
    with Gearmand() as server:
        server.kill()
        assert children() == before
    with Gearmand() as server:
        os.kill(server.pid, signal.SIGKILL)  # behind its back
    assert children() == before


@linux_only
def test_inherits_no_descriptors() -> None:
    with socket.socket() as held:
        os.set_inheritable(held.fileno(), True)
        ours = f"/proc/self/fd/{held.fileno()}"
        with Gearmand() as server:
            theirs = f"/proc/{server.pid}/fd/{held.fileno()}"
            # An inherited descriptor keeps its number.
            with suppress(FileNotFoundError):
                assert os.readlink(theirs) != os.readlink(ours)


def test_kill_and_start_again(gearmand: Gearmand) -> None:
    pid, port = gearmand.pid, gearmand.port
    gearmand.kill()
    assert is_gone(pid)
    assert is_refused(port)
    gearmand.start()
    assert gearmand.port == port
    assert gearmand.pid != pid


def test_restart_keeps_port_and_arguments() -> None:
    with Gearmand(arguments=["--verbose", "INFO"]) as server:
        port, log = server.port, server.log
        # The port must come free although a client still holds a connection.
        with socket.create_connection((server.host, port)):
            server.restart()
        assert server.port == port
        assert server.command("verbose") == ["OK INFO"]
        assert server.log.startswith(log)
    assert "INFO" in server.log


def test_start_after_it_died(gearmand: Gearmand) -> None:
    pid = gearmand.pid
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not gearmand.running
    gearmand.start()
    assert gearmand.command("getpid") == [f"OK {gearmand.pid}"]


def test_pause_and_resume(gearmand: Gearmand) -> None:
    gearmand.pause()
    assert gearmand.running
    with pytest.raises(TimeoutError):
        gearmand.command("version", timeout=0.05)
    gearmand.resume()
    assert gearmand.command("getpid") == [f"OK {gearmand.pid}"]


@pytest.mark.parametrize("method", ["stop", "kill", "restart"])
def test_end_while_paused(gearmand: Gearmand, method: str) -> None:
    pid = gearmand.pid
    gearmand.pause()
    getattr(gearmand, method)()
    assert is_gone(pid)


def test_port_taken() -> None:
    with Gearmand() as first:
        with pytest.raises(OSError, match=str(first.port)) as caught:
            Gearmand(port=first.port).start()
        assert caught.value.errno == errno.EADDRINUSE
        assert first.command("getpid") == [f"OK {first.pid}"]


def test_port_taken_at_the_last_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that found the same port unused do not both believe it theirs."""
    with Gearmand() as first:
        ports = [first.port, unused_port()]
        monkeypatch.setattr("gearman_c.testing.unused_port", lambda: ports.pop(0))
        monkeypatch.setattr("gearman_c.testing.is_free", lambda port: True)
        with Gearmand() as second:
            assert second.port != first.port
            assert second.command("getpid") == [f"OK {second.pid}"]


def test_executable_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="apt install gearman-job-server") as caught:
        Gearmand(executable=tmp_path / "gearmand")
    for word in ("dnf", "pacman", "apk", "brew"):
        assert word in str(caught.value)


def test_bad_argument_reports_the_servers_words() -> None:
    server = Gearmand(arguments=["--no-such-option"])
    with pytest.raises(RuntimeError, match="no-such-option"):
        server.start()
    assert not server.running
    assert "no-such-option" in server.log


def test_command(gearmand: Gearmand) -> None:
    assert gearmand.command("status") == []
    assert gearmand.command("create function OK") == ["OK"]
    assert gearmand.command("status") == ["OK\t0\t0\t0"]
    assert gearmand.command("show jobs") == []
    assert gearmand.command("show nonsense") == ["ERR UNKNOWN_SHOW_ARGUMENTS"]
    assert gearmand.command("nonsense")[0].startswith("ERR UNKNOWN_COMMAND")


def test_status(gearmand: Gearmand) -> None:
    submit(gearmand.address, "f", [b"1", b"2"])
    submit(gearmand.address, "g", [b"3"])
    assert gearmand.status() == {"f": FunctionStatus(2, 0, 0), "g": FunctionStatus(1, 0, 0)}


def test_drain_gives_the_servers_order(gearmand: Gearmand) -> None:
    priorities: list[Literal["low", "normal", "high"]] = ["low", "normal", "high"]
    handles = {
        priority: submit(
            gearmand.address,
            "f",
            [b"%d" % number for number in range(1000)],
            uniques=[f"{priority}-{number}" for number in range(1000)],
            priority=priority,
        )
        for priority in priorities
    }
    submit(gearmand.address, "other", [b""])
    assert drain(gearmand.address, "f") == [
        DrainedJob(handles[priority][number], "f", f"{priority}-{number}", b"%d" % number)
        for priority in reversed(priorities)
        for number in range(1000)
    ]
    assert gearmand.status()["f"] == FunctionStatus(0, 0, 0)
    assert gearmand.status()["other"].total == 1


def test_drain_takes_no_more_than_asked(gearmand: Gearmand) -> None:
    submit(gearmand.address, "f", [b"%d" % number for number in range(10)])
    assert [job.workload for job in drain(gearmand.address, "f", 3)] == [b"0", b"1", b"2"]
    assert drain(gearmand.address, "f", 0) == []
    assert gearmand.status()["f"] == FunctionStatus(7, 0, 0)
    assert len(drain(gearmand.address, "f", 100)) == 7
    assert drain(gearmand.address, "unknown") == []


def test_drain_large_and_strange_jobs(gearmand: Gearmand) -> None:
    workloads = [b"", b"\0a\0", os.urandom(20_000_000), b"\0" * 70_000, b""]
    submit(gearmand.address, "f\udcff", workloads)
    jobs = drain(gearmand.address, "f\udcff")
    assert [job.workload for job in jobs] == workloads
    assert {job.function for job in jobs} == {"f\udcff"}


def test_refusal_is_an_error(gearmand: Gearmand) -> None:
    submit(gearmand.address, "f", [b""])
    assert gearmand.command("maxqueue f 1") == ["OK"]
    with pytest.raises(ServerReplyError, match="QUEUE_ERROR"):
        submit(gearmand.address, "f", [b""])


def test_durable_server_keeps_its_jobs(durable_gearmand: Gearmand) -> None:
    workloads = [b"%d" % number for number in range(20)]
    submit(durable_gearmand.address, "f", workloads, uniques=map(str, range(20)))
    durable_gearmand.kill()
    durable_gearmand.start()
    jobs = drain(durable_gearmand.address, "f")
    assert sorted(job.workload for job in jobs) == sorted(workloads)


def test_factory(gearmand_factory: Callable[..., Gearmand]) -> None:
    servers = [gearmand_factory() for _ in range(3)]
    assert len({server.port for server in servers}) == 3


def test_outlives_the_thread_that_started_it() -> None:
    server = Gearmand()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    with server:
        assert server.command("getpid") == [f"OK {server.pid}"]


@linux_only
@pytest.mark.parametrize("ending", ["SIGKILL", "exit", "os._exit", "exception", "fork"])
@pytest.mark.parametrize("state", ["running", "paused"])
def test_ends_with_python(ending: str, state: str) -> None:
    """Also when Python is killed, and a forked child of it lives on."""
    script = """
        import os, signal, sys
        from gearman_c.testing import Gearmand

        server = Gearmand()
        server.start()
        if sys.argv[2] == "paused":
            server.pause()
        if sys.argv[1] == "fork" and os.fork() == 0:
            os.close(1)
            sys.stdin.read()  # lives until the test ends
            os._exit(0)
        print(server.pid, flush=True)
        match sys.argv[1]:
            case "SIGKILL" | "fork":
                os.kill(os.getpid(), signal.SIGKILL)
            case "os._exit":
                os._exit(0)
            case "exception":
                raise SystemExit(3)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), ending, state]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as python:
        assert python.stdout is not None
        pid = int(python.stdout.readline())
        wait_for_end(pid)
        assert is_gone(pid)


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 30)[0], f"process {pid} lives on"
    finally:
        os.close(descriptor)


def test_forked_child_leaves_the_server_alone(gearmand: Gearmand) -> None:
    pid = os.fork()
    if pid == 0:
        gearmand.stop()
        gearmand.kill()
        os._exit(0 if not gearmand.running else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert gearmand.command("getpid") == [f"OK {gearmand.pid}"]
