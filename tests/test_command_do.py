"""`gearman-c do`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from fix_cli import CLI, Start, cli, complaint, is_running, shown
from fix_command import end
from fix_worker import RawWorker, keep

from gearman_c.testing import Gearmand


def test_do_with_a_file_and_with_standard_input(
    gearmand: Gearmand, worker: RawWorker, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"abc\n")
    assert shown(gearmand, "do", "reverse", str(tmp_path / "file")) == "\ncba"
    assert shown(gearmand, "do", "reverse", data=b"from\nstdin") == "nidts\nmorf"
    assert shown(gearmand, "do", "reverse", "-", "--priority", "high", data=b"xy") == "yx"
    assert shown(gearmand, "do", "talk") == "one two end"


def test_do_with_much(gearmand: Gearmand, worker: RawWorker) -> None:
    data = os.urandom(5_000_000)
    result = cli("do", "reverse", "--server", gearmand.address, data=data)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == data[::-1]


def test_do_of_a_job_that_fails(gearmand: Gearmand, worker: RawWorker) -> None:
    options = ("--server", gearmand.address)
    assert complaint("do", "fail", *options) == "gearman-c: the job failed"
    message = complaint("do", "throw", *options, data=b"it\x1b")
    assert message == r"gearman-c: the job failed: cannot: it\x1b"


def test_do_with_nobody_to_do_it(gearmand: Gearmand) -> None:
    message = complaint("do", "f", "--timeout", "0.2", "--server", gearmand.address)
    assert message.startswith("gearman-c: no result in 0.2 s")


def test_do_that_is_interrupted(gearmand: Gearmand, start: Start) -> None:
    with RawWorker(gearmand.address, {"f": keep}):
        process = start(
            "do", "f", "--server", gearmand.address, command=CLI, stdin=subprocess.DEVNULL
        )
        is_running(gearmand, "f")
        process.send_signal(signal.SIGINT)
        assert end(process) == (130, b"", "gearman-c: interrupted\n")


def test_do_with_a_file_that_is_not_there(gearmand: Gearmand, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    message = complaint("do", "f", missing, "--server", gearmand.address)
    assert message == f"gearman-c: {missing}: No such file or directory"
    assert gearmand.status() == {}
