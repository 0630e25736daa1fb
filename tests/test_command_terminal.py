"""`gearman-c submit`: the progress bar, and the line at the end, on a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fix_command import COMMAND, environment, holds, joined, numbered, run

from gearman_c.testing import Gearmand


def on_terminal(command: Sequence[str], server: Gearmand, *arguments: str) -> str:
    """Run a command with stderr on a terminal; return what it showed there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 80))
    process = subprocess.Popen(
        [*command, "f", *arguments, "--server", server.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(TERM="xterm"),
    )
    os.close(theirs)
    output, _ = process.communicate(joined(numbered(2000)), timeout=60)
    shown = b""
    with suppress(OSError):  # Linux: EIO is the end
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert (process.returncode, output) == (0, b"")
    return shown.decode()


def test_bar_on_a_terminal(gearmand: Gearmand) -> None:
    shown = on_terminal(COMMAND, gearmand)
    assert " tasks/s" in shown
    assert "gearman-c: 2000 tasks acknowledged in " in shown.splitlines()[-1]
    assert holds(gearmand, 2000)


def test_bar_knows_how_much_of_a_file_is_left(gearmand: Gearmand, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(joined(numbered(2000)))
    shown = on_terminal(COMMAND, gearmand, str(tmp_path / "lines"))
    assert "100%|" in shown
    assert "2.00k/2.00k" in shown


def test_without_tqdm(gearmand: Gearmand) -> None:
    hidden = "import sys; sys.modules['tqdm'] = None; import gearman_c.__main__ as cli; "
    hidden += "sys.exit(cli.main(sys.argv[1:]))"
    shown = on_terminal([sys.executable, "-c", hidden, "submit"], gearmand)
    assert shown.startswith("gearman-c: 2000 tasks acknowledged in ")
    assert shown.count("\n") == 1


def test_no_bar_in_a_pipe(gearmand: Gearmand) -> None:
    result = run("f", "--verbose", "--server", gearmand.address, data=joined(numbered(2000)))
    assert result.stderr.startswith(b"gearman-c: 2000 tasks acknowledged in ")
    assert result.stderr.endswith(b" per second\n")
    assert result.stderr.count(b"\n") == 1
    assert b"\r" not in result.stderr


def test_tqdm_is_imported_for_a_bar_only() -> None:
    code = "import sys, gearman_c, gearman_c.__main__; sys.exit('tqdm' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
