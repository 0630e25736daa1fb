"""`examples/demo.py`, the first thing that a newcomer runs: it shows the truth and tidies up."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

DEMO = str(Path(__file__).parent.parent / "examples" / "demo.py")


def place(output: str) -> tuple[str, int, int]:
    """Return the host, the port and the process id of the server that the demo started."""
    match = re.search(r"runs on ([\d.]+):(\d+) \(process (\d+)\)", output)
    assert match, output
    return match[1], int(match[2]), int(match[3])


def assert_nobody_listens(output: str) -> None:
    host, port, _ = place(output)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port))


def rows(output: str) -> dict[str, list[str]]:
    """Return the rows of the table by function."""
    cells = [line.split() for line in output.splitlines()]
    return {row[0]: row[1:] for row in cells if len(row) == 4 and row[-1][-1].isdigit()}


@contextmanager
def started() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo whose server runs, and the line that says so."""
    # A pytest in the background of a shell ignores SIGINT, and its children would inherit that.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-u", DEMO]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None
            yield process, process.stdout.readline()
            process.kill()
    finally:
        signal.signal(signal.SIGINT, handler)


def test_demo() -> None:
    result = subprocess.run([sys.executable, DEMO], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert rows(result.stdout) == {
        "send_password_mail": ["high", "10,000", "10,000"],
        "make_thumbnail": ["normal", "60,000", "60,000"],
        "update_statistics": ["low", "30,000", "30,000"],
    }
    assert "\n100,000 of 100,000 tasks were acknowledged by the server in " in result.stdout
    assert " tasks per second.\nOne worker did them in " in result.stdout
    assert " Its sums are those of the tasks.\n" in result.stdout
    assert "\n2,000 were acknowledged, 2,000 done, 0 of them twice.\n" in result.stdout
    assert result.stdout.endswith("The servers are stopped.\n")
    assert_nobody_listens(result.stdout)


def test_bar_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 80))
    with subprocess.Popen([sys.executable, DEMO], stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # Linux: EIO is the end
            while data := os.read(ours, 4096):
                shown += data
        os.close(ours)
    assert process.returncode == 0
    assert b"100%|" in shown
    assert b" tasks/s]" in shown
    assert_nobody_listens(shown.decode())


def test_counts_that_disagree() -> None:
    code = """if True:
        import runpy, sys
        from gearman_c.testing import Gearmand
        status = Gearmand.status
        def less(self):
            held = status(self)
            held["make_thumbnail"] = held["make_thumbnail"]._replace(total=59_999)
            return held
        Gearmand.status = less
        runpy.run_path(sys.argv[1], run_name="__main__")
    """
    command = [sys.executable, "-c", code, DEMO]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "")
    assert rows(result.stdout)["make_thumbnail"] == ["normal", "60,000", "59,999"]
    assert "The counts disagree!" in result.stdout
    assert_nobody_listens(result.stdout)


def test_interrupted() -> None:
    with started() as (process, line):
        os.kill(place(line)[2], signal.SIGSTOP)  # or it might be done before
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert process.returncode == 1
    assert message.strip() == "Interrupted; nothing is left running."
    assert_nobody_listens(line)


def test_server_that_dies() -> None:
    with started() as (process, line):
        os.kill(place(line)[2], signal.SIGKILL)
        _, message = process.communicate(timeout=60)
    assert process.returncode == 1
    assert message.startswith("The demo failed: ")
    assert message.count("\n") == 1
    assert_nobody_listens(line)


def test_killed() -> None:
    with started() as (process, line):
        host, port, _ = place(line)
        process.kill()
        process.communicate(timeout=60)
    # Nobody is left to tell us when its server is gone: it closes the connection then.
    with suppress(ConnectionError), socket.create_connection((host, port)) as connection:
        assert connection.recv(1) == b""
