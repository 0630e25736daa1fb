"""Each allocation of libgearman, and of the extension, fails once: MemoryError, and all goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_worker import RawWorker

from gearman_c.testing import Gearmand

SHIM = Path(__file__).parent / "shim_allocations.c"

SCRIPT = """
import ctypes, sys
from gearman_c import Client, Worker
kind, address = sys.argv[1:]
fail_allocation = ctypes.CDLL(None).fail_allocation
fail_allocation.argtypes, fail_allocation.restype = [ctypes.c_long], ctypes.c_long

def background(number):
    with Client(address) as client:
        fail_allocation(number)
        for _ in range(20):
            client.add_task_background("f", b"w" * 100)
        client.run_tasks(timeout=30)

def foreground(number):
    with Client(address) as client:
        fail_allocation(number)
        assert client.do("reverse", "ab", timeout=30) == b"ba"

def questions(number):
    with Client(address) as client:
        fail_allocation(number)
        client.unique_status("none", timeout=30)
        client.job_status("H:x:1", timeout=30)
        client.echo("hello", timeout=30)

def work(number):
    with Client(address) as client:
        client.do_background("mine", "x")
    fail_allocation(number)
    with Worker(address) as worker:
        worker.add_function("mine", lambda job: job.workload)
        assert worker.work(30)

failed = number = 0
while True:
    try:
        globals()[kind](number)
    except MemoryError:
        failed += 1
    to_come = fail_allocation(-1)
    with Client(address) as client:
        client.echo("hello", timeout=30)
    if to_come >= 0:
        break
    number += 1
print(failed, number)
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library."""
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-o", library, SHIM], check=True)
    return library


@pytest.mark.unsanitized
@pytest.mark.parametrize("kind", ["background", "foreground", "questions", "work"])
def test_allocations(
    kind: str, shim: Path, gearmand: Gearmand, run_script: Callable[..., str]
) -> None:
    with RawWorker(gearmand.address):
        output = run_script(
            SCRIPT, kind, gearmand.address, environment={"LD_PRELOAD": str(shim)}, limit=100
        )
    failed, tried = map(int, output.split())
    # Two, at the most, libgearman does without (1.1.20).
    assert tried - 3 <= failed <= tried
    assert tried >= 8
