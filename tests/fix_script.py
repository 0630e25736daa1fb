"""Python scripts in processes of their own, for signals, forks and limits; and a stop watch."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

ATTEMPTS: Final = 10  # how often a noisy machine may spoil a measurement
_SILENCE: Final = 60  # seconds after which a script counts as hung


class Script:
    """Runs Python source; its output is read line by line. Use it as a context manager.

    Leaving it waits for the end of the script, which must be with the exit status 0, or with
    the signal that `kill` sent.
    """

    def __init__(self, source: str, *arguments: object) -> None:
        self._killed = False
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-u", "-c", source, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._output = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.process.stdin.close()
                status = self.process.wait(_SILENCE)
                expected = -signal.SIGKILL if self._killed else 0
                assert status == expected, f"the script ended with {status}"
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()

    def read(self) -> str:
        """Return the next line; it must come in a minute."""
        while b"\n" not in self._output:
            ready, _, _ = select.select([self.process.stdout], [], [], _SILENCE)
            assert ready, f"the script hangs; its last words: {self._output!r}"
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, f"the script ended too early; its last words: {self._output!r}"
            self._output += piece
        line, _, self._output = self._output.partition(b"\n")
        return line.decode()

    def write(self, line: str = "") -> None:
        """Send a line."""
        self.process.stdin.write(line.encode() + b"\n")

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._killed = True
        self.process.kill()


def until_quick(attempt: Callable[[], float], limit: float, least: float = 0) -> None:
    """Repeat an attempt, which returns seconds, until one is within the limits."""
    took = []
    for _ in range(ATTEMPTS):
        took.append(attempt())
        if least <= took[-1] <= limit:
            return
    raise AssertionError(f"took {took} s; {least} to {limit} s are allowed")


def within(least: float, most: float, action: Callable[[], object]) -> None:
    """Check that an action takes so many seconds, in one of some attempts: the rest is noise."""

    def attempt() -> float:
        start = time.monotonic()
        action()
        return time.monotonic() - start

    until_quick(attempt, most, least)
