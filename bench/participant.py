"""The Python participants of the benchmark, each in a process of its own.

    python participant.py PARTICIPANT HOST PORT FUNCTION COUNT SIZE

Prints the same line of JSON as client.c and foreground.c. The time measured begins before the
client object is made and ends when it is closed; imports are left out, the garbage collector
stays on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import drain

BULK = 1_000  # jobs in one call of "pygearman-bulks"


class Work(NamedTuple):
    """What to submit, and where."""

    address: str
    function: str
    number: int
    payload: bytes


Result = dict[str, str | int | float]
Run = Callable[[Work], Result]


def measure(work: Work, submit: Callable[[Work], int]) -> Result:
    """Time `submit`, which returns how many tasks were acknowledged, or results were right."""
    wall, processor = time.perf_counter(), time.process_time()
    acknowledged = submit(work)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    if acknowledged != work.number:
        raise SystemExit(f"only {acknowledged} of {work.number} tasks were acknowledged")
    return {"seconds": wall, "cpu_seconds": processor, "acknowledged": acknowledged}


def run_tasks(work: Work) -> Result:
    """gearman_c: add all, one run_tasks; the simplest way to use it."""
    import gearman_c

    def submit(work: Work) -> int:
        function, payload = work.function, work.payload  # attributes are not what is measured
        with gearman_c.Client(work.address) as client:
            for _ in range(work.number):
                client.add_task_background(function, payload)
            client.run_tasks()
            return work.number - int(client.pending)

    return measure(work, submit)


def submit_stream(work: Work) -> Result:
    """gearman_c: submit from an iterable, one acknowledged Task at a time back."""
    import gearman_c

    def submit(work: Work) -> int:
        acknowledged = 0
        with gearman_c.Client(work.address) as client:
            for _ in client.submit(work.function, repeat(work.payload, work.number)):
                acknowledged += 1
        return acknowledged

    return measure(work, submit)


def run_foreground(work: Work) -> Result:
    """gearman_c: add all, one run_tasks, then every result."""
    import gearman_c

    def submit(work: Work) -> int:
        with gearman_c.Client(work.address) as client:
            tasks = [client.add_task(work.function, work.payload) for _ in range(work.number)]
            client.run_tasks()
            return sum(task.result() == work.payload for task in tasks)

    return measure(work, submit)


def submit_foreground(work: Work) -> Result:
    """gearman_c: submit from an iterable, one finished Task at a time back."""
    import gearman_c

    def submit(work: Work) -> int:
        with gearman_c.Client(work.address) as client:
            payloads = repeat(work.payload, work.number)
            tasks = client.submit(work.function, payloads, background=False)
            return sum(task.result() == work.payload for task in tasks)

    return measure(work, submit)


def do_each(work: Work) -> Result:
    """gearman_c: one round trip after the other."""
    import gearman_c

    def submit(work: Work) -> int:
        with gearman_c.Client(work.address) as client:
            return sum(
                client.do(work.function, work.payload) == work.payload for _ in range(work.number)
            )

    return measure(work, submit)


def add_only(work: Work) -> Result:
    """gearman_c: the cost of adding and of a pending task; nothing is sent."""
    import gearman_c

    function, payload = work.function, work.payload
    client = gearman_c.Client(work.address)
    client.add_task_background(function, payload).cancel()  # first-use costs
    memory = resident_bytes()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(work.number):
        client.add_task_background(function, payload)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    loop = time.perf_counter()
    for _ in range(work.number):
        pass
    wall -= time.perf_counter() - loop
    memory = resident_bytes() - memory
    if client.pending != work.number:
        raise SystemExit(f"{client.pending} of {work.number} tasks are pending")
    client.close()
    return {"seconds": wall, "cpu_seconds": processor, "acknowledged": 0, "memory_bytes": memory}


def resident_bytes() -> int:
    """Return the memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def pygearman(work: Work) -> Result:
    """pygearman: everything in one submit_multiple_jobs."""
    return measure(work, lambda work: pygearman_bulks(work, work.number))


def pygearman_in_bulks(work: Work) -> Result:
    """pygearman: bulks of 1,000; one large call costs it quadratic time."""
    return measure(work, lambda work: pygearman_bulks(work, BULK))


def pygearman_bulks(work: Work, bulk: int) -> int:
    """Submit with pygearman, `bulk` jobs a call; return how many got their handle."""
    import gearman  # type: ignore[import-untyped]

    acknowledged = 0
    client = gearman.GearmanClient([work.address])
    for start in range(0, work.number, bulk):
        jobs = [
            {"task": work.function, "data": work.payload}
            for _ in range(min(bulk, work.number - start))
        ]
        requests = client.submit_multiple_jobs(jobs, background=True, wait_until_complete=False)
        acknowledged += sum(request.job.handle is not None for request in requests)
    client.shutdown()
    return acknowledged


PARTICIPANTS: dict[str, tuple[str, Run]] = {
    "gearman_c": ("gearman_c", run_tasks),
    "gearman_c-submit": ("gearman_c", submit_stream),
    "gearman_c-add": ("gearman_c", add_only),
    "gearman_c-foreground": ("gearman_c", run_foreground),
    "gearman_c-submit-foreground": ("gearman_c", submit_foreground),
    "gearman_c-do": ("gearman_c", do_each),
    "pygearman": ("gearman", pygearman),
    "pygearman-bulks": ("gearman", pygearman_in_bulks),
    "gearman_c-worker": ("gearman_c", partial(measure, submit=drain.drain)),
    "gearman_c-worker-waiting": ("gearman_c", partial(measure, submit=drain.drain_waiting)),
    "gearman_c-worker-2-threads": (
        "gearman_c",
        partial(measure, submit=drain.drain_waiting_twice),
    ),
    "pygearman-worker": ("gearman", partial(measure, submit=drain.drain_pygearman)),
}


def main() -> None:
    """Run the participant of the command line and print its result."""
    name, host, port, function, count, size = sys.argv[1:]
    module, run = PARTICIPANTS[name]
    __import__(module)  # before the clock starts
    work = Work(f"{host}:{port}", function, int(count), b"x" * int(size))
    result: Result = {"participant": name, "count": work.number, "size": len(work.payload)}
    print(json.dumps(result | run(work)))


if __name__ == "__main__":
    main()
