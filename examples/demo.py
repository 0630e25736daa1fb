"""Background tasks, full circle: submitted, done by a worker, and not lost with a dying server.

Run by `make demo`. Nothing of it is left running or on the disk.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from gearman_c import Client, ConnectionFailedError, GearmanError, Job, Task, Worker
from gearman_c.testing import Gearmand

# Function, priority, and how many. Workers are given all of high priority before any of normal.
TASKS = [
    ("send_password_mail", "high", 10_000),
    ("make_thumbnail", "normal", 60_000),
    ("update_statistics", "low", 30_000),
]
TOTAL = sum(count for _, _, count in TASKS)
DURABLE_TASKS = 2_000  # each is a transaction of the server's database


def main() -> int:
    # With as many buckets as tasks the server finds each of them at once.
    with Gearmand(arguments=["--hashtable-buckets", "100003"]) as server:
        print(f"A private gearmand runs on {server.address} (process {server.pid}).")
        agree = show_submitting(server) and show_working(server)
    agree = agree and show_outage()
    print("The servers are stopped." if agree else "The counts disagree!")
    return 0 if agree else 1


def show_submitting(server: Gearmand) -> bool:
    started = time.perf_counter()
    acknowledged = submit_all(server.address)
    seconds = time.perf_counter() - started

    print(f"\n{'function':20}{'priority':>10}{'submitted':>12}{'on the server':>16}")
    status = server.status()  # the server's own count
    agree = acknowledged == TOTAL
    for function, priority, count in TASKS:
        held = status[function].total if function in status else 0
        print(f"{function:20}{priority:>10}{count:12,}{held:16,}")
        agree = agree and held == count

    print(f"\n{acknowledged:,} of {TOTAL:,} tasks were acknowledged by the server", end=" ")
    print(f"in {seconds:.2f} s: {acknowledged / seconds:,.0f} tasks per second.")
    return agree


def submit_all(address: str) -> int:
    """Submit all tasks, and return how many the server acknowledged."""
    acknowledged = 0
    with make_bar("submitted", TOTAL) as bar, Client(address) as client:
        for function, priority, count in TASKS:
            workloads = (str(number) for number in range(count))
            # Sends the workloads while it takes them; gives back each task once it is known.
            for task in client.submit(function, workloads, priority=priority):
                acknowledged += task.is_known
                bar.update()
    return acknowledged


def show_working(server: Gearmand) -> bool:
    """Have one worker do all the jobs, and compare the sums of the numbers in them."""
    sums: Counter[str] = Counter()
    left = TOTAL
    started = time.perf_counter()
    with make_bar("done", TOTAL) as bar, Worker(server.address) as worker:

        def work(job: Job) -> None:
            nonlocal left
            sums[job.function_name] += int(job.workload)
            left -= 1
            bar.update()
            if not left:
                worker.stop()

        for function, _, _ in TASKS:
            worker.add_function(function, work)
        worker.run()
    seconds = time.perf_counter() - started
    rate = TOTAL / seconds
    expected = {function: sum(range(count)) for function, _, count in TASKS}
    print(f"One worker did them in {seconds:.2f} s: {rate:,.0f} jobs per second.", end=" ")
    print(f"Its sums are{'' if sums == expected else ' not'} those of the tasks.")
    return sums == expected


def show_outage() -> bool:
    """Kill a server that has half of the tasks, and have all of them done all the same."""
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "queue.sqlite")
        with Gearmand(arguments=["-q", "libsqlite3", "--libsqlite3-db", database]) as server:
            print(f"\nAnother one, with its queue on the disk, runs on {server.address}.")
            acknowledged, unconfirmed = submit_through_outage(server)
            done = drain(server.address, "archive")
    doubled = sum(count - 1 for count in done.values())
    print(f"It was killed after half of {DURABLE_TASKS:,} tasks, and came back.", end=" ")
    print(f"{unconfirmed:,} were unconfirmed then, and sent again.")
    print(f"{acknowledged:,} were acknowledged, {len(done):,} done, {doubled:,} of them twice.")
    return acknowledged == len(done) == DURABLE_TASKS


def submit_through_outage(server: Gearmand) -> tuple[int, int]:
    """Return how many tasks were acknowledged, and how many were unconfirmed at the outage."""
    acknowledged = unconfirmed = 0
    with make_bar("submitted", DURABLE_TASKS) as bar, Client(server.address) as client:

        def on_created(task: Task) -> None:
            nonlocal acknowledged
            acknowledged += 1
            bar.update()
            if acknowledged == DURABLE_TASKS // 2:
                server.kill()  # SIGKILL: it has no time to say or save anything

        client.on_created = on_created
        for number in range(DURABLE_TASKS):
            client.add_task_background("archive", str(number))
        while client.pending:
            try:
                client.run_tasks()
            except ConnectionFailedError as error:
                unconfirmed += len(error.unconfirmed)
                server.start()
    return acknowledged, unconfirmed


def drain(address: str, function: str) -> Counter[int]:
    """Do all the jobs of a function; return how often each number came."""
    done: Counter[int] = Counter()
    with make_bar("done", DURABLE_TASKS) as bar, Worker(address) as worker:

        def work(job: Job) -> None:
            done[int(job.workload)] += 1
            bar.update()

        worker.add_function(function, work)
        while worker.work(timeout=1):  # until there is no job for a second
            pass
    return done


def make_bar(what: str, total: int) -> "tqdm[int]":
    """Make a progress bar for a terminal: there is none in a pipe."""
    return tqdm(total=total, desc=what, unit=" tasks", unit_scale=True, disable=None)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the server is stopped already: "with" has seen to that
        sys.exit("\nInterrupted; nothing is left running.")
    except (GearmanError, OSError, RuntimeError) as error:
        sys.exit(f"The demo failed: {error}")
