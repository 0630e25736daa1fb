"""The Python participants that are workers: they do jobs that lie in the queue already."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from participant import Work

WAIT = 0.001  # seconds that a job of the waiting ones waits, for a disk or a database say


def drain(work: Work) -> int:
    """gearman_c: a callable, and run(); return how many jobs were done."""
    import gearman_c

    done, size, number = 0, len(work.payload), work.number

    def take(job: gearman_c.Job) -> None:
        nonlocal done
        done += len(job.workload) == size
        if done == number:
            worker.stop()

    with gearman_c.Worker(work.address) as worker:
        worker.add_function(work.function, take)
        worker.run()
    return done


def drain_waiting(work: Work, *, threads: int = 1) -> int:
    """The same with jobs that wait, in threads."""
    import gearman_c

    done = 0
    lock = threading.Lock()

    def take(job: gearman_c.Job) -> None:
        nonlocal done
        time.sleep(WAIT)
        with lock:
            done += len(job.workload) == len(work.payload)
            if done == work.number:
                worker.stop()

    with gearman_c.Worker(work.address) as worker:
        worker.add_function(work.function, take)
        worker.run(threads=threads)
    return done


def drain_waiting_twice(work: Work) -> int:
    """The same with two threads."""
    return drain_waiting(work, threads=2)


def drain_pygearman(work: Work) -> int:
    """pygearman: a registered task, and work()."""
    import gearman  # type: ignore[import-untyped]

    done = 0

    class Worker(gearman.GearmanWorker):  # type: ignore[misc]
        def after_poll(self, any_activity: bool) -> bool:
            return done < work.number

    def take(worker: Any, job: Any) -> bytes:
        nonlocal done
        done += len(job.data) == len(work.payload)
        return b""

    worker = Worker([work.address])
    worker.register_task(work.function.encode(), take)  # with str it fails
    worker.work()
    worker.shutdown()
    return done
