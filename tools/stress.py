"""Submits and does very many background tasks while their server is killed every few seconds.

Usage: stress.py [TASKS [SECONDS BETWEEN TWO KILLS]]; 10,000,000 and 5 if not given. Three producers
and four workers, each a process. The server's queue lies in a database in memory that outlives it.

In the end each task was done exactly once, unless it was in doubt when a server was killed: it was
unconfirmed then (the client was told so, and sent it again), or in the hands of a worker, whose
completion the dead server may not have recorded. Anything else ends with exit status 1, as does a
process whose memory grows.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from tqdm import tqdm

from gearman_c import Client, ConnectionFailedError, Job, QueueFullError, Worker
from gearman_c.testing import Gearmand

PRODUCERS = 3
WORKERS = 4
FUNCTION = "stress"
QUEUED = 20_000  # the server refuses more: what it reads again after each kill stays small
BUCKETS = ("--hashtable-buckets", "100003")  # gearmand's own 991 are few for so many jobs
GROWTH = 4 << 20  # bytes that a process may grow after its first tenth of the tasks
MARKS = ("acknowledged", "unconfirmed", "done", "in_hand")


class Marks(NamedTuple):
    """A byte for each task, in files that all processes share."""

    acknowledged: Any  # how often
    unconfirmed: Any  # 1: it was so at least once
    done: Any  # how often
    in_hand: Any  # 1: a worker had it when a server was killed


class Stage(NamedTuple):
    """What the processes share."""

    address: str
    folder: Path
    tasks: int
    up: Event  # a server runs
    kills: Any  # shared integer: odd from before a kill until after it

    def marks(self) -> Marks:
        files = (str(self.folder / name) for name in MARKS)
        return Marks(*(numpy.memmap(file, numpy.uint8, "r+", shape=self.tasks) for file in files))


def produce(stage: Stage, numbers: range) -> None:
    marks = stage.marks()
    waiting = iter(numbers)  # those whose task has not been given out yet
    memory = Memory(f"producer of {numbers}", len(numbers))
    with Client(stage.address) as client:
        submission = client.submit(FUNCTION, (str(number) for number in numbers))
        while True:
            try:
                for task in submission:
                    number = next(waiting)
                    if not task.is_known:
                        raise SystemExit(f"task {number}: {task.error}")
                    marks.acknowledged[number] += 1
                    memory.look()
                return
            except QueueFullError:
                time.sleep(0.01)  # the workers are behind
            except ConnectionFailedError as error:
                for task in error.unconfirmed:
                    marks.unconfirmed[int(task.workload or b"")] = 1
                stage.up.wait()


def work(stage: Stage) -> None:
    logging.getLogger("gearman_c").setLevel(logging.ERROR)  # it tells every outage
    marks = stage.marks()
    memory = Memory("worker", stage.tasks // WORKERS)
    last, kills_before = None, 0

    def callable_(job: Job) -> None:
        nonlocal last, kills_before
        number, kills = int(job.workload), stage.kills.value
        if kills != kills_before or kills % 2:
            # The server that was killed may know nothing of the end of these.
            marks.in_hand[number] = 1
            if last is not None:
                marks.in_hand[last] = 1
        last, kills_before = number, kills
        marks.done[number] += 1
        memory.look()

    with Worker(stage.address) as worker:
        worker.add_function(FUNCTION, callable_)
        worker.run(handle_signals=True)
    if last is not None and stage.kills.value != kills_before:
        marks.in_hand[last] = 1


class Memory:
    """Ends the process when it has grown since its first tenth."""

    def __init__(self, who: str, total: int) -> None:
        self._who = who
        self._step = max(total // 10, 1)
        self._seen = 0
        self._first = 0

    def look(self) -> None:
        self._seen += 1
        if self._seen % self._step == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack
            size = pages * os.sysconf("SC_PAGE_SIZE")
            self._first = self._first or size
            if size > self._first + GROWTH:
                raise SystemExit(f"{self._who} grew from {self._first:,} to {size:,} bytes")


@contextmanager
def processes(jobs: list[tuple[Callable[..., None], tuple[Any, ...]]]) -> Iterator[list[Any]]:
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=function, args=arguments) for function, arguments in jobs]
    for process in started:
        process.start()
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
            process.join()


def run(server: Gearmand, stage: Stage, pause: float) -> int:
    """Run until all is done; return how often the server was killed."""
    marks = stage.marks()
    step = -(-stage.tasks // PRODUCERS)
    starts = range(0, stage.tasks, step)
    producing = [
        (produce, (stage, range(start, min(start + step, stage.tasks)))) for start in starts
    ]
    with (
        processes(producing) as producers,
        processes([(work, (stage,))] * WORKERS) as workers,
        tqdm(total=stage.tasks, unit=" tasks", unit_scale=True, disable=None) as bar,
    ):
        kill_at = time.monotonic() + pause
        while not is_finished(server, producers):
            if any(process.exitcode for process in (*producers, *workers)):
                raise SystemExit("One of the processes ended, see above.")
            bar.update(int(numpy.count_nonzero(marks.done)) - bar.n)
            time.sleep(min(pause, 0.5))
            if time.monotonic() > kill_at:
                stage.up.clear()
                stage.kills.value += 1
                server.kill()
                stage.kills.value += 1
                start(server)
                stage.up.set()
                kill_at = time.monotonic() + pause
    for worker in workers:
        if worker.exitcode:
            raise SystemExit(f"A worker ended with {worker.exitcode}.")
    return int(stage.kills.value) // 2


def start(server: Gearmand) -> None:
    server.start()
    server.command(f"maxqueue {FUNCTION} {QUEUED}")


def is_finished(server: Gearmand, producers: list[Any]) -> bool:
    if any(process.exitcode is None for process in producers):
        return False
    status = server.status()
    return FUNCTION not in status or status[FUNCTION].total == 0


def report(marks: Marks, tasks: int, kills: int, seconds: float) -> bool:
    """Print the sums; return whether they are right."""
    doubt = (marks.unconfirmed | marks.in_hand) > 0
    doubled = marks.done > 1
    lost = int(numpy.count_nonzero(marks.done == 0))
    unexplained = int(numpy.count_nonzero(doubled & ~doubt))
    acknowledged = int(numpy.count_nonzero(marks.acknowledged == 1))
    print(f"{tasks:,} tasks in {seconds:,.0f} s; their server was killed {kills} times.")
    print(f"{acknowledged:12,} acknowledged exactly once")
    print(f"{int(marks.unconfirmed.sum()):12,} unconfirmed when a server died, and sent again")
    print(f"{int(marks.in_hand.sum()):12,} in the hands of a worker when a server died")
    print(f"{int(numpy.count_nonzero(marks.done == 1)):12,} done exactly once")
    print(f"{int(numpy.count_nonzero(doubled)):12,} done more than once, of which")
    print(f"{unexplained:12,} were not in doubt")
    print(f"{lost:12,} lost")
    return lost == unexplained == 0 and acknowledged == tasks


def prepare(database: Path) -> None:
    """Have sqlite write ahead: a server alone would make and delete a journal for each job."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # with all its processes
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    pause = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as place:
        folder = Path(place)
        for name in MARKS:
            with (folder / name).open("wb") as file:
                file.truncate(tasks)
        prepare(folder / "queue")
        arguments = ["-q", "libsqlite3", "--libsqlite3-db", str(folder / "queue"), *BUCKETS]
        context = multiprocessing.get_context("spawn")
        with Gearmand(arguments=arguments) as server:
            start(server)
            stage = Stage(server.address, folder, tasks, context.Event(), context.Value("q", 0))
            stage.up.set()
            started = time.monotonic()
            kills = run(server, stage, pause)
            seconds = time.monotonic() - started
        return 0 if report(stage.marks(), tasks, kills, seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
