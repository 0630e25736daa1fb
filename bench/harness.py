"""Runs one participant in a fresh process against a fresh server, and rounds of them in turn."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat
from pathlib import Path

from workloads import C_PROGRAMS, Workload

from gearman_c import Client
from gearman_c.testing import Gearmand

HERE = Path(__file__).parent
FUNCTION = "bench"
SERVER_ARGUMENTS = (
    "--hashtable-buckets",
    "100003",
)  # the default of 991 makes the server the limit
LIMIT = 600  # seconds for one run
REGISTRATION = 10  # seconds until a worker that the server does not know is given up

Measurement = dict[str, str | int | float]


def build_programs() -> Path:
    """Compile the C programs whose sources are newer, and return their directory."""
    programs = HERE.parent / "build" / "bench"
    subprocess.run(
        ["make", "--silent", "--directory", HERE, f"OUTPUT={programs}"],
        check=True,
        env=_environment(),
    )
    return programs


def run_rounds(workload: Workload, programs: Path) -> Iterator[Measurement]:
    """Run all participants once a round, in alternating order, and yield each measurement."""
    for number in range(max(workload.rounds.values(), default=0)):
        order = [name for name, rounds in workload.rounds.items() if number < rounds]
        # There and back: whoever ran second runs first next time, and drift cancels out.
        for participant in order if number % 2 == 0 else reversed(order):
            measured = run_once(participant, workload, programs)
            yield {"workload": workload.name, "round": number, **measured}


def run_once(participant: str, workload: Workload, programs: Path) -> Measurement:
    """Run a participant; raises RuntimeError unless it and the server agree that all arrived."""
    program: list[str | Path] = [sys.executable, HERE / "participant.py"]
    if participant in C_PROGRAMS:
        program = [programs / C_PROGRAMS[participant]]
    count = workload.count_of(participant)
    kind = workload.worker_of(participant)
    own, others = share_processors(workload.apart)
    with ExitStack() as stack:
        with on_processors(others):
            server = stack.enter_context(Gearmand(arguments=SERVER_ARGUMENTS))
            if workload.queued:
                fill_queue(server, count, workload.size)
            if kind:
                stack.enter_context(run_worker(kind, server, workload.size, programs))
        numbers = (server.port, FUNCTION, count, workload.size)
        with on_processors(own):
            process = subprocess.run(
                [*program, participant, server.host, *map(str, numbers)],
                capture_output=True,
                text=True,
                timeout=LIMIT,
                env=_environment(),
                check=False,
            )
        if process.returncode != 0:
            raise RuntimeError(f"{participant}, {workload.name}: {process.stderr.strip()}")
        measured: Measurement = json.loads(process.stdout)
        held = server.status()[FUNCTION].total if measured["acknowledged"] else 0
        server.kill()  # a polite end would free a million jobs one by one
    if held != (0 if kind or workload.queued else measured["acknowledged"]):
        raise RuntimeError(f"{participant}, {workload.name}: the server holds {held} of {count}")
    return measured


def share_processors(apart: bool) -> tuple[set[int], set[int]]:
    """Return the processors of a participant, and those of server and worker; empty: wherever."""
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if not apart or len(available) < 2:
        return set(), set()
    own = {max(available)}
    return own, available - own


@contextmanager
def on_processors(numbers: set[int]) -> Iterator[None]:
    """Have what is started here run on these processors (Linux)."""
    if not numbers:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def fill_queue(server: Gearmand, count: int, size: int) -> None:
    """Submit the jobs that participants are to do."""
    with Client(server.address) as client:
        for _ in client.submit(FUNCTION, repeat(b"x" * size, count)):
            pass


@contextmanager
def run_worker(kind: str, server: Gearmand, size: int, programs: Path) -> Iterator[None]:
    """Have a worker that gives each payload back. Raises RuntimeError when it cannot start."""
    program = [programs / "worker", kind, server.host, str(server.port), FUNCTION, str(size)]
    if kind == "gearman_c":
        program = [sys.executable, HERE / "worker.py", server.host, str(server.port), FUNCTION]
    with subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    ) as worker:
        try:
            assert worker.stdout is not None
            if worker.stdout.readline() != "ready\n":
                raise RuntimeError(f"the {kind} worker did not start")
            wait_for_worker(kind, server)
            yield
        finally:
            worker.kill()


def wait_for_worker(kind: str, server: Gearmand) -> None:
    """Wait until the server knows the worker."""
    end = time.monotonic() + REGISTRATION
    while (status := server.status().get(FUNCTION)) is None or status.available_workers != 1:
        if time.monotonic() > end:
            raise RuntimeError(f"the server does not know the {kind} worker")
        time.sleep(0.01)


def facts() -> dict[str, object]:
    """Return what the figures depend on: machine, programs and libraries."""
    import gearman_c

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_before": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "gearman_c": gearman_c.__version__,
        "extension_sha256": extension_digest(),
        "libgearman": gearman_c.libgearman_version(),
        "gearmand": _first_line(Gearmand().executable, "--version"),
        "pygearman": _version("pygearman"),
        "compiler": _first_line("cc", "--version"),
        "server_arguments": SERVER_ARGUMENTS,
    }


def extension_digest() -> str:
    """Tell one build of the extension from another; a rebuild within a run spoils it."""
    from gearman_c import _gearman

    return hashlib.sha256(Path(_gearman.__file__).read_bytes()).hexdigest()[:16]


def _environment() -> dict[str, str]:
    # libgearman and gearman_c take servers from here, and would use them beside ours.
    return {key: value for key, value in os.environ.items() if key != "GEARMAN_SERVERS"}


def _first_line(*command: str | os.PathLike[str]) -> str:
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return process.stdout.strip().partition("\n")[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
