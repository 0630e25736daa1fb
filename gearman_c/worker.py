"""``Worker``: the worker of the extension, and what it takes to run one as a program."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

from . import _gearman
from .errors import ArgumentError, UsageError
from .supervisor import supervise

__all__ = ["Worker"]

_SLICE = 0.1  # seconds


class Worker(_gearman.Worker):
    """Does the jobs of Gearman servers.

    It is registered at all of its servers and takes jobs from each in turn, one at a time. A server
    that is away is tried again until it is back, in pauses that grow to 1.5 s, or to 30 s where
    nothing answers at all or the name does not resolve; the logger ``gearman_c.worker`` tells when
    that begins and ends. A connection on which an answer does not come for 15 s is made anew.

    It may be shared between threads: ``stop()`` and ``add_function()`` take effect at any time,
    and each thread of ``run(threads=...)`` has connections of its own. It is a context manager:
    leaving it closes the worker.

    Args:
        servers: as for ``Client``. All of them are served.
        timeout: seconds that ``grab_job()`` and ``work()`` wait, if they are not told; None: for
            ever.
        namespace, identifier: see the attributes.
        tls: the files of an encrypted connection, a ``TLS``; None for one in the clear.
        exceptions: how a client is told what a callable raised. False: by a warning before the
            failure. True: by an exception, ``JobFailedError.data``, which only a client gets that
            has asked for it; for all others gearmand 1.1.20 makes a failure of it that libgearman
            does not understand, and they wait for ever. So only where all clients ask, as those of
            gearman_c do.

    Wraps ``gearman_worker_st`` and ``gearman_worker_create()``.
    """

    def run(self, *, threads: int = 1, processes: int = 1, handle_signals: bool = False) -> None:
        """Do jobs until ``stop()`` is called.

        Args:
            threads: how many jobs are done at the same time, each in a thread with connections of
                its own. With one it is the caller's thread.
            processes: how many processes do that; one that dies is started again, and its jobs go
                back into the queues. With one it is the caller's process.
            handle_signals: whether SIGTERM and SIGINT stop the worker; main thread only. The
                second one does what it did before.

        Raises:
            UsageError: there are no functions, or one has no callable; or the worker is closed.
            ConnectionFailedError: there are no servers.
            BaseException: what is no ``Exception``, for instance KeyboardInterrupt; also of a
                callable, whose job goes back into the queue.
        """
        for name, count in (("threads", threads), ("processes", processes)):
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"{name} must be int, not {type(count).__name__}")
            if not 1 <= count <= 10_000:
                raise ArgumentError(f"{name} is {count}; it must be 1 to 10000")
        self._begin()
        with _stopped_by_signals(self) if handle_signals else nullcontext():
            try:
                if processes > 1:
                    supervise(self, processes, threads)
                elif threads > 1:
                    self._serve_in_threads(threads)
                else:
                    self._serve()
            finally:
                self._resume()

    def _serve_in_threads(self, count: int) -> None:
        failures: list[BaseException] = []

        def serve() -> None:
            try:
                self._serve()
            except BaseException as failure:  # it is raised again below
                failures.append(failure)
                self.stop()

        threads = [
            threading.Thread(target=serve, name=f"gearman_c-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            _join(threads)
        except BaseException:
            self.stop()
            _join(threads)
            raise
        if failures:
            raise failures[0]


def _join(threads: list[threading.Thread]) -> None:
    """Wait until all have ended.

    In slices: a signal that comes just before Python waits, or to another thread, does not end the
    wait. So a worker did not hear of its SIGTERM, once in 250 to 1,000 that came in its first 2 ms.
    """
    for thread in threads:
        while thread.is_alive():
            thread.join(_SLICE)


@contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop a worker, once."""
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("signals can be handled in the main thread only")
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        worker.stop()
        restore()

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
