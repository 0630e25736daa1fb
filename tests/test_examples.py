"""The examples do what they say, with a server and without one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fix_worker import RawWorker

from gearman_c import Client, JobFailedError
from gearman_c.testing import Gearmand, drain, unused_port

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.smoke
def test_background(gearmand: Gearmand) -> None:
    result = run("background.py", gearmand.address)
    assert (result.returncode, result.stderr) == (0, "")
    jobs = drain(gearmand.address, "resize")
    assert [job.workload for job in jobs] == [b"first.png", b"second.png", b"third.png"]
    assert jobs[1].unique == "second"
    assert result.stdout.splitlines() == [
        f"{job.workload.decode()} is job {job.handle}" for job in jobs
    ]


def test_background_without_a_server() -> None:
    address = f"127.0.0.1:{unused_port()}"
    result = run("background.py", address)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("3 of 3 tasks are not acknowledged: no server takes a ")
    assert address in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.smoke
def test_results(gearmand: Gearmand, worker: RawWorker) -> None:
    result = run("results.py", gearmand.address)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "one: reward",
        "some: desserts evil stop",
        "a thousand as a stream: 0 failed",
    ]


def test_results_without_a_server() -> None:
    address = f"127.0.0.1:{unused_port()}"
    result = run("results.py", address)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("ConnectionFailedError: no server takes a connection")


@pytest.mark.smoke
def test_worker(gearmand: Gearmand) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "worker.py"), gearmand.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with Client(gearmand.address) as client:
                assert client.do("reverse", b"abc", timeout=30) == b"cba"
                assert client.do("lines", b"a\nb\n", timeout=30) == b"A\nB\n"
                with pytest.raises(JobFailedError):
                    client.do("reverse", timeout=30)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_word_count(gearmand: Gearmand, tmp_path: Path) -> None:
    """Two processes count the files of a folder; one of these is no text."""
    texts = {"a": "one two two", "b": "Two, three!\n", "deep/c": "", "deep/d": "two über " * 50_000}
    for name, text in texts.items():
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "e.txt").write_bytes(b"\xff\xfe")
    script = str(EXAMPLES / "word_count.py")
    command = [sys.executable, "-W", "error", script, "work", "--server", gearmand.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            result = run("word_count.py", "count", str(tmp_path), "--server", gearmand.address)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert result.returncode == 1
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["50,003", "two"],
        ["50,000", "über"],
        ["1", "one"],
        ["1", "three"],
    ]
    assert result.stderr.startswith(f"{tmp_path / 'e.txt'}: it is no UTF-8: ")
    assert result.stderr.count("\n") == 1


def test_word_count_without_a_server(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    address = f"127.0.0.1:{unused_port()}"
    result = run("word_count.py", "count", str(tmp_path), "--server", address)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("ConnectionFailedError: no server takes a connection")
