"""Servers that say what real ones said, with something wrong in it: an exception, or a result.

`make fuzz` runs 200,000 cases with the sanitizers. A case is known by its number: when one crashes,
the file gearman_c-fuzz-* in the folder for temporary files names it, and FUZZ_FIRST=number
FUZZ_CASES=1 runs it alone.
"""

from __future__ import annotations

import logging
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fix_fuzz import Replay, Turns, mutate, record, replay
from fix_running import reverse
from fix_worker import RawWorker

from gearman_c import Client, GearmanError, Task, Worker
from gearman_c.testing import Gearmand

CASES = int(os.environ.get("FUZZ_CASES", "1000"))
BLOCK = 1000  # cases for each test
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))
PATIENCE = 0.3  # seconds that a call is allowed
HANG = 60.0  # seconds that none may take: the address sanitizer is long about 4 GB of memory
GROWTH = 2 << 20  # bytes
CASE = Path(tempfile.gettempdir()) / f"gearman_c-fuzz-{os.getpid()}"  # the case at work

FUNCTIONS = ("reverse", "talk", "fail", "throw")


def check(task: Task) -> None:
    """Look at all there is to see."""
    assert isinstance(task.is_known and task.job_handle, (str, bool))
    assert task.data == b"".join(task.chunks)
    assert isinstance(task.warnings, tuple)
    if task.is_finished and not task.background:
        with suppress(GearmanError):
            assert isinstance(task.result(), bytes)


def background(address: str) -> None:
    with Client(address) as client:
        tasks = [client.add_task_background("none", b"x") for _ in range(4)]
        with suppress(GearmanError, MemoryError):
            client.run_tasks(PATIENCE)
    for task in tasks:
        check(task)


def foreground(address: str) -> None:
    with Client(address) as client:
        tasks = [client.add_task(function, b"abc") for function in FUNCTIONS]
        with suppress(GearmanError, MemoryError):
            client.run_tasks(PATIENCE)
    for task in tasks:
        check(task)


def do(address: str) -> None:
    with Client(address) as client, suppress(GearmanError, MemoryError):
        assert isinstance(client.do("talk", b"abc", timeout=PATIENCE), bytes)


def submission(address: str) -> None:
    with Client(address) as client:
        client.timeout = PATIENCE
        with suppress(GearmanError, MemoryError):
            for task in client.submit("talk", [b"a", b"b"], background=False):
                check(task)


def questions(address: str) -> None:
    with Client(address) as client, suppress(GearmanError, MemoryError):
        client.unique_status("none", PATIENCE)
        client.job_status("H:x:1", PATIENCE)


def echo(address: str) -> None:
    with Client(address) as client, suppress(GearmanError, MemoryError):
        client.echo(b"hello", PATIENCE)


def worker(address: str) -> None:
    with Worker(address) as worker:
        worker.add_function("work", reverse)
        with suppress(GearmanError, MemoryError):
            while worker.work(PATIENCE / 10):
                pass


SCENARIOS: tuple[Callable[[str], None], ...] = (
    background,
    foreground,
    do,
    submission,
    questions,
    echo,
    worker,
)


@pytest.fixture
def corpus(gearmand: Gearmand) -> list[Turns]:
    """What a real server says in each scenario."""
    with RawWorker(gearmand.address), Client(gearmand.address) as client:
        recorded = []
        for scenario in SCENARIOS:
            if scenario is worker:
                for _ in range(3):
                    client.add_task_background("work", b"abc")
                client.run_tasks()
            turns = record(gearmand, scenario)
            while scenario in SCENARIOS[:4] and len(turns) < 2:  # on a loaded machine
                turns = record(gearmand, scenario)
            recorded.append(turns)
    return recorded


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Pytest would keep all that the workers tell."""
    caplog.set_level(logging.CRITICAL, "gearman_c")


@pytest.fixture
def server() -> Iterator[Replay]:
    with replay() as started:
        yield started


def run(scenario: Callable[[str], None], server: Replay, turns: Turns, case: str) -> None:
    server.say(turns)
    start = time.monotonic()
    scenario(server.address)
    assert time.monotonic() - start < HANG, case


def run_case(case: int, corpus: list[Turns], server: Replay) -> None:
    chance = random.Random(case)
    which = chance.randrange(len(SCENARIOS))
    run(SCENARIOS[which], server, mutate(corpus[which], chance), f"case {case}")


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")


def test_as_recorded(corpus: list[Turns], server: Replay) -> None:
    for scenario, turns in zip(SCENARIOS, corpus, strict=True):
        run(scenario, server, turns, scenario.__name__)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(FIRST, FIRST + CASES, BLOCK))
def test_mutated(corpus: list[Turns], server: Replay, quiet: None, start: int) -> None:
    """No crash and no hang."""
    for case in range(start, min(start + BLOCK, FIRST + CASES)):
        CASE.write_text(f"{case}\n")
        run_case(case, corpus, server)
    CASE.unlink()


@pytest.mark.slow
@pytest.mark.unsanitized
def test_no_growth(corpus: list[Turns], server: Replay, quiet: None) -> None:
    sizes = []
    for _ in range(6):
        for case in range(200):
            run_case(case, corpus, server)
        sizes.append(memory())
    assert sizes[-1] < sizes[2] + GROWTH
