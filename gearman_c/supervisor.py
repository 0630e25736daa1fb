"""Processes that work, and the one that looks after them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from logging import getLogger
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .worker import Worker

_FIRST_PAUSE = 0.1  # seconds before a process that died at once is started again
_LONGEST_PAUSE = 5.0
_STABLE = 2.0  # seconds after which a death is no reason to wait
_LOOK = 0.05  # seconds between two looks at the processes
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = getLogger("gearman_c.worker")


class _Place:
    """Where a process works."""

    def __init__(self) -> None:
        self.pid = 0
        self.started = 0.0
        self.due = 0.0
        self.pause = _FIRST_PAUSE

    def vacate(self, status: int) -> None:
        """Note that the process died."""
        moment = time.monotonic()
        if moment - self.started >= _STABLE:
            self.pause = _FIRST_PAUSE
        logger.warning(
            "process %d died of %s; another one is started in %.1f s",
            self.pid,
            _cause(status),
            self.pause,
        )
        self.pid = 0
        self.due = moment + self.pause
        self.pause = min(2 * self.pause, _LONGEST_PAUSE)


def supervise(worker: Worker, processes: int, threads: int) -> None:
    """Keep processes working until the worker is stopped, and wait for their end.

    Whatever else ends this kills them; their jobs go back into the queues.
    """
    places = [_Place() for _ in range(processes)]
    reading, writing = os.pipe()  # its end tells the processes that this one has gone
    is_told = False
    try:
        while not worker._stopping or any(place.pid for place in places):
            if worker._stopping and not is_told:
                is_told = True
                _send(places, signal.SIGTERM)
            for place in places:
                if place.pid:
                    pid, status = os.waitpid(place.pid, os.WNOHANG)
                    if pid and worker._stopping:
                        place.pid = 0
                    elif pid:
                        place.vacate(status)
                if not place.pid and not worker._stopping and time.monotonic() >= place.due:
                    place.started = time.monotonic()
                    # A signal between the fork and what is noted about it would be lost.
                    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
                    place.pid = os.fork() or _work(worker, threads, reading, writing)
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
            time.sleep(_LOOK)
    finally:
        _send(places, signal.SIGKILL)
        for place in places:
            if place.pid:
                os.waitpid(place.pid, 0)
        os.close(reading)
        os.close(writing)


def _send(places: list[_Place], number: int) -> None:
    for place in places:
        if place.pid:
            os.kill(place.pid, number)


def _cause(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit status {code}"


def _work(worker: Worker, threads: int, reading: int, writing: int) -> int:
    """Be one of the processes; does not return."""
    status = 1
    try:
        # Ctrl-C comes to all processes of a terminal; the one that looks after them decides.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        worker._begin()  # from here on it is this process's, and can be stopped
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(writing)
        threading.Thread(target=_watch, args=(worker, reading), daemon=True).start()
        worker.run(threads=threads)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status)


def _watch(worker: Worker, reading: int) -> None:
    """Stop when the process that started this one has gone."""
    os.read(reading, 1)
    worker.stop()
