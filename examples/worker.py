"""A worker with two functions. Ctrl-C, or SIGTERM, stops it when the job in hand is done.

    python examples/worker.py [host:port,...]

The servers may also be given in $GEARMAN_SERVERS. Try it with results.py, or with background.py.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

from gearman_c import Job, JobFailed, Worker

worker = Worker(sys.argv[1] if len(sys.argv) > 1 else None, identifier="example")


@worker.add_function("reverse")
def reverse(job: Job) -> bytes:
    if not job.workload:
        raise JobFailed("there is nothing to reverse")
    return job.workload[::-1]


@worker.add_function("lines")
def lines(job: Job) -> Iterator[bytes]:
    parts = job.workload.splitlines(keepends=True)
    for number, line in enumerate(parts, 1):
        job.send_status(number, len(parts))
        yield line.upper()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with worker:
        print("ready", flush=True)
        worker.run(handle_signals=True)
