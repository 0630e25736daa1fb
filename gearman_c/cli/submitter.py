"""The work behind ``gearman-c submit``: lines come in, background tasks go out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import (
    ConnectionFailedError,
    GearmanError,
    QueueFullError,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)
from .common import complain, reason
from .lines import Lines

if TYPE_CHECKING:
    from .._gearman import Client, Submission, Task

_FIRST_PAUSE: Final = 0.05  # seconds between two attempts; doubles up to
_LAST_PAUSE: Final = 1.0


class Bar:
    """A progress bar on stderr; none if it is not wanted, or tqdm is not installed."""

    def __init__(self, *, wanted: bool) -> None:
        self._bar: Any = None
        if wanted:
            with suppress(ImportError):
                from tqdm import tqdm

                tqdm.monitor_interval = 0  # no thread
                self._bar = tqdm(unit=" tasks", unit_scale=True, dynamic_ncols=True)

    def show(self, done: int, part: float | None) -> None:
        """Show how many tasks are done, and of how many, as far as the input's size tells."""
        if self._bar is not None:
            self._bar.total = None if part is None else max(done, round(done / part))
            self._bar.update(done - self._bar.n)

    def complain(self, message: str) -> None:
        """Write a line above the bar."""
        if self._bar is not None:
            self._bar.clear()
        complain(message)

    def close(self) -> None:
        """Show it for the last time."""
        if self._bar is not None:
            self._bar.close()


class Account(NamedTuple):
    """What became of the lines that were read."""

    acknowledged: int
    unconfirmed: int
    unsent: int

    def __str__(self) -> str:
        text = f"{self.acknowledged} {'task' if self.acknowledged == 1 else 'tasks'} acknowledged"
        if self.unconfirmed:
            text += f", {self.unconfirmed} unconfirmed (the server may have them)"
        if self.unsent:
            text += f", {self.unsent} read and not submitted"
        return text


class Submitter:
    """Submits lines, through bursts and failures.

    Args:
        client: closed by ``finish()``.
        submit: makes a submission of workloads.
        lines: the input.
        handles: where the handles are written, or None.
        retry: seconds without progress for which failures that may pass are overcome.
        bar: shows the progress.
        verbose: whether retries are told.
    """

    def __init__(
        self,
        client: Client,
        submit: Callable[[Iterator[bytes]], Submission],
        lines: Lines,
        *,
        handles: IO[str] | None,
        retry: float,
        bar: Bar,
        verbose: bool,
    ) -> None:
        self._client = client
        self._submit = submit
        self._lines = lines
        self._handles = handles
        self._retry = retry
        self._bar = bar
        self._verbose = verbose
        self._submission: Submission | None = None
        self._read = 0  # how many lines came, also those that no submission has asked for yet
        self._done = 0  # how many tasks the submissions gave out with a handle
        self._refused = 0  # how many of the tasks that they gave out have no handle
        self._done_before = -1  # at the last failure
        self._failing_since = 0.0
        self._pause = _FIRST_PAUSE

    def run(self) -> None:
        """Submit all lines.

        Raises:
            GearmanError: the server does not take them. InputError: they cannot be read.
            OSError: the handles cannot be written.
        """
        while self._lines.wait():
            self._submission = self._submit(self._workloads())
            while not self._send(self._submission):
                pass
            if self._handles is not None:
                self._handles.flush()
        if self._lines.error is not None:
            raise self._lines.error

    def finish(self) -> Account:
        """Close the input and the client; say what became of the lines that were read."""
        self._lines.close()
        self._client.close()
        # That has settled every task: the submission gives out those that it still holds.
        rest: list[Task] = []
        if self._submission is not None:
            with suppress(UsageError):  # behind the last one: the client is closed
                rest.extend(self._submission)
        if self._handles is not None:
            # Handles stay level with the lines of the input: an empty line where there is none.
            text = "".join(f"{task.job_handle or ''}\n" for task in rest).rstrip("\n")
            with suppress(OSError):
                self._handles.write(f"{text}\n" if text else "")
                self._handles.flush()
        known = sum(task.is_known for task in rest)
        unconfirmed = sum(isinstance(task.error, UnconfirmedError) for task in rest)
        acknowledged = self._done + known
        self._bar.show(acknowledged, self._lines.part_read)
        self._bar.close()
        return Account(acknowledged, unconfirmed, self._read - acknowledged - unconfirmed)

    def _workloads(self) -> Iterator[bytes]:
        for lines in self._lines.burst():
            self._read += len(lines)
            yield from lines
            self._bar.show(self._done, self._lines.part_read)

    def _send(self, submission: Submission) -> bool:
        """Send a burst; return False after a failure that may pass."""
        write = None if self._handles is None else self._handles.write
        try:
            for task in submission:
                # Nothing is called before the task is counted: calls are where Ctrl-C comes in.
                if task.is_known:
                    self._done += 1
                else:
                    self._refused += 1
                    self._lines.stop(f"task {self._done + self._refused}: {task.error}")
                if write is not None:
                    write(f"{task.job_handle or ''}\n")
        except (ConnectionFailedError, WaitTimeoutError, QueueFullError) as error:
            self._wait(error)
            return False
        return True

    def _wait(self, error: GearmanError) -> None:
        """Wait before the next attempt; raise the error again when the time for that is over."""
        moment = time.monotonic()
        if self._done != self._done_before:
            self._done_before, self._failing_since = self._done, moment
            self._pause = _FIRST_PAUSE
            if self._verbose and self._retry:
                self._bar.complain(f"{reason(error)}; trying for {self._retry:g} s")
        remaining = self._failing_since + self._retry - moment
        if remaining <= 0:
            raise error
        time.sleep(min(self._pause, remaining))
        self._pause = min(2 * self._pause, _LAST_PAUSE)
