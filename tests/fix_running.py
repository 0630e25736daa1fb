"""Workers that run in a thread while a block is executed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gearman_c import Worker


@contextmanager
def running(worker: Worker, **arguments: Any) -> Iterator[Worker]:
    """Run a worker; stop it at the end of the block, and raise what run() raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            worker.run(**arguments)
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(60)
        assert not thread.is_alive(), "the worker does not stop"
        worker.close()
    if failures:
        raise failures[0]


def reverse(job: Any) -> bytes:
    """Do what the name says; a callable for add_function()."""
    return bytes(job.workload[::-1])
