"""gearman_c's worker of the benchmark; gives each workload back, as worker.c does.

python worker.py HOST PORT FUNCTION

Prints "ready" before it connects, and works until it is killed.
"""

from __future__ import annotations

import sys

from gearman_c import Job, Worker


def main() -> None:
    """Work for ever."""
    host, port, function = sys.argv[1:]
    with Worker(f"{host}:{port}") as worker:

        @worker.add_function(function)
        def give_back(job: Job) -> bytes:
            return job.workload

        print("ready", flush=True)
        worker.run()


if __name__ == "__main__":
    main()
