"""Has threads share a client and a worker, under the thread sanitizer; a report is a failure.

Usage: race.py PYTHON [ROUNDS]; for that Python gearman_c was built with GEARMAN_C_DEBUG=thread. The
sanitizer sees what the extension does, and the locks of Python and libgearman; not what these two
do beside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from gearman_c import Client, Job, Worker
from gearman_c.testing import Gearmand

THREADS = 4
# The kernel gives a descriptor to one socket at a time, which the sanitizer cannot know.
SUPPRESSIONS = "race:make_socket\n"


def hammer(client: Client, rounds: int) -> None:
    """Use all that may be used by several threads at a time."""
    for number in range(rounds):
        client.add_task_background("keep", str(number))
        task = client.add_task("reverse", str(number))
        if number % 3 == 0:
            client.run_tasks(timeout=60)
            assert task.result() == str(number).encode()[::-1]
        if number % 5 == 0:
            assert client.do("reverse", "ab", timeout=60) == b"ba"
        if number % 7 == 0:
            client.echo("hello")
            client.timeout = 60.0 + number
        if number % 11 == 0:
            client.unique_status("none")
            client.add_task_background("keep").cancel()


def reverse(job: Job) -> bytes:
    job.send_status(1, 2)
    job.send_data(b"")
    return job.workload[::-1]


def share(address: str, rounds: int) -> None:
    """Run the threads; raises what one of them raised."""
    failures: list[BaseException] = []
    worker = Worker(address)
    worker.add_function("reverse", reverse)

    def guarded(call: object, *arguments: object, **options: object) -> None:
        try:
            call(*arguments, **options)  # type: ignore[operator]
        except BaseException as failure:
            failures.append(failure)

    with Client(address, max_in_flight=50) as client:
        working = threading.Thread(target=guarded, args=(worker.run,), kwargs={"threads": 3})
        hammering = [
            threading.Thread(target=guarded, args=(hammer, client, rounds)) for _ in range(THREADS)
        ]
        for thread in (working, *hammering):
            thread.start()
        for thread in hammering:
            thread.join()
        client.run_tasks(timeout=60)
        worker.stop()
        working.join()
        worker.close()
    if failures:
        raise failures[0]


def main() -> int:
    if sys.argv[1] == "share":
        share(sys.argv[2], int(sys.argv[3]))
        return 0
    rounds = sys.argv[2] if len(sys.argv) > 2 else "200"
    library = subprocess.check_output(["gcc", "-print-file-name=libtsan.so"], text=True).strip()
    with tempfile.TemporaryDirectory() as place, Gearmand() as server:
        folder = Path(place)
        (folder / "suppressions").write_text(SUPPRESSIONS)
        options = f"suppressions={folder}/suppressions log_path={folder}/report history_size=4"
        environment = {**os.environ, "LD_PRELOAD": library, "TSAN_OPTIONS": options}
        # setarch: the sanitizer knows no address space that is laid out at random.
        command = ["setarch", "--addr-no-randomize", sys.argv[1], __file__, "share"]
        status = subprocess.call([*command, server.address, rounds], env=environment)
        reports = [path.read_text() for path in folder.glob("report*")]
    print("".join(reports) or "No races.")
    return 1 if status or reports else 0


if __name__ == "__main__":
    sys.exit(main())
