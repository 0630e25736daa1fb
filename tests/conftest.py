"""What every test has: the fixtures, the versions in the header, and a guard against hangs."""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gearman_c
from gearman_c.testing import Gearmand, find_gearmand

pytest_plugins = ["fix_command", "fix_gc", "fix_proxy", "fix_server", "fix_worker"]

LIMIT = 120.0  # seconds a test may take; a slow one five times as much

stderr_key = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # pytest captures descriptor 2 while a test runs; this copy stays what it is.
    config.stash[stderr_key] = os.dup(2)
    # A shell starts what is in its background deaf to Ctrl-C, and so are the programs of the tests.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The entry point has loaded it, unless pytest was told not to look for entry points.
    plugin = importlib.import_module("gearman_c.testing.plugin")
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "gearman_c")


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[stderr_key])


def pytest_report_header() -> list[str]:
    command = [find_gearmand(), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    gearmand = (answer.stdout + answer.stderr).split(" - ", 1)[0].strip()
    return [
        f"gearman_c {gearman_c.__version__} from {Path(gearman_c.__file__).parent}",
        f"libgearman {gearman_c.libgearman_version()}, {gearmand}",
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that hangs ends the run with the traceback of every thread."""
    limit = LIMIT * 5 if item.get_closest_marker("slow") else LIMIT
    faulthandler.dump_traceback_later(limit, exit=True, file=item.config.stash[stderr_key])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def large_gearmand(gearmand_factory: Callable[..., Gearmand]) -> Gearmand:
    """A server whose table of jobs is made for hundreds of thousands of them."""
    return gearmand_factory(arguments=["--hashtable-buckets", "100003"])


@pytest.fixture
def run_script() -> Callable[..., str]:
    """Run Python code in a process of its own, which must end well; return what it printed.

    The code may import what stands beside the tests. environment: added to our own. limit:
    seconds until it is taken for hanging.
    """

    def run(
        code: str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        limit: float = LIMIT / 2,
    ) -> str:
        path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.run(
            [sys.executable, "-W", "error", "-X", "faulthandler", "-c", code, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **(environment or {})},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=limit,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        assert process.stderr == ""
        return process.stdout

    return run
