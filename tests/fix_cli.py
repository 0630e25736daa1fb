"""`gearman-c` and any of its commands, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from fix_command import Process, environment
from fix_tasks import wait_for

from gearman_c.testing import Gearmand

CLI = [sys.executable, "-m", "gearman_c"]
Start = Callable[..., Process]
Result = subprocess.CompletedProcess[bytes]


def cli(*arguments: str | bytes, data: bytes = b"", **options: str) -> Result:
    """Run `gearman-c` until it ends. options: variables of its environment."""
    return subprocess.run(
        [*CLI, *arguments],
        input=data,
        capture_output=True,
        env=environment(**options),
        timeout=60,
        check=False,
    )


def shown(server: Gearmand, *arguments: str, data: bytes = b"") -> str:
    """Return what it prints; it must do so without a complaint."""
    result = cli(*arguments, "--server", server.address, data=data)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


def complaint(*arguments: str, data: bytes = b"") -> str:
    """Return its only line on stderr; the exit status must be 1, and nothing be printed."""
    result = cli(*arguments, data=data)
    message = result.stderr.decode()
    assert (result.returncode, result.stdout) == (1, b""), message
    assert message.startswith("gearman-c: ")
    assert message.count("\n") == 1
    return message.strip()


def has_worker(server: Gearmand, function: str, count: int = 1) -> None:
    """Wait until as many workers offer a function."""

    def offered() -> bool:
        status = server.status()
        return function in status and status[function].available_workers == count

    wait_for(offered)


def is_running(server: Gearmand, function: str, count: int = 1) -> None:
    """Wait until as many jobs of a function are with workers."""

    def running() -> bool:
        status = server.status()
        return function in status and status[function].running == count

    wait_for(running)
