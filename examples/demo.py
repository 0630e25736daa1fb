"""100,000 background tasks in three priorities, to a private gearmand. Run by `make demo`."""

import sys
import time

from tqdm import tqdm

from gearman_c import Client, GearmanError
from gearman_c.testing import Gearmand

# Function, priority, and how many. Workers are given all of high priority before any of normal.
TASKS = [
    ("send_password_mail", "high", 10_000),
    ("make_thumbnail", "normal", 60_000),
    ("update_statistics", "low", 30_000),
]
TOTAL = sum(count for _, _, count in TASKS)


def main() -> int:
    # With as many buckets as tasks the server finds each of them at once.
    with Gearmand(arguments=["--hashtable-buckets", "100003"]) as server:
        print(f"A private gearmand runs on {server.address} (process {server.pid}).")

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
    print("The server is stopped." if agree else "The counts disagree!")
    return 0 if agree else 1


def submit_all(address: str) -> int:
    """Submit all tasks, and return how many the server acknowledged."""
    acknowledged = 0
    bar = tqdm(total=TOTAL, unit=" tasks", unit_scale=True, disable=None)  # None: not in a pipe
    with bar, Client(address) as client:
        for function, priority, count in TASKS:
            workloads = (f"{function} {number}".encode() for number in range(count))
            # Sends the workloads while it takes them; gives back each task once it is known.
            for task in client.submit(function, workloads, priority=priority):
                acknowledged += task.is_known
                bar.update()
    return acknowledged


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the server is stopped already: "with" has seen to that
        sys.exit("\nInterrupted; nothing is left running.")
    except (GearmanError, OSError, RuntimeError) as error:
        sys.exit(f"The demo failed: {error}")
