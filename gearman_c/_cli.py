"""The work behind ``gearman-c submit``: lines come in, background tasks go out."""

from __future__ import annotations

import hashlib
import os
import select
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from io import FileIO
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from .errors import (
    ConnectionFailedError,
    GearmanError,
    QueueFullError,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from ._gearman import Client, Submission, Task

_BLOCK: Final = 64 * 1024  # bytes; as much as a pipe holds
_KEY_LIMIT: Final = 63  # bytes; libgearman would cut what is longer
_FIRST_PAUSE: Final = 0.05  # seconds between two attempts; doubles up to
_LAST_PAUSE: Final = 1.0


class InputError(Exception):
    """Input that cannot be read or submitted; the message says what to do."""


def hash_key(workload: bytes) -> str:
    """Return the unique key of ``--unique hash``: equal for equal payloads, and for no others.

    It is what ``sha256sum`` prints, less the last digit. Not the ``"#"`` of libgearman: that has
    32 bits, so that among 100,000 payloads two are likely to share one and a job is lost. Nor the
    ``"-"`` of gearmand: a queue kept in SQLite stores one job under it and loses all others.
    """
    return hashlib.sha256(workload).hexdigest()[:_KEY_LIMIT]


class Lines:
    """The lines of files, in bursts: what can be read without waiting.

    A burst ends when the input has no more for the moment, so that all that came is at the server
    before anybody waits for the rest. While there is more it goes on without a break.

    Args:
        paths: the files; ``-`` is standard input.
        separator: what ends a line.
        are_keys: whether each line must be fit to be a unique key.

    Raises:
        InputError: a file cannot be read. When that shows later, it is kept in ``error``, for
            what was read before is submitted first.
    """

    def __init__(self, paths: Sequence[str], separator: bytes, *, are_keys: bool) -> None:
        self.error: InputError | None = None
        self._paths = deque(paths)
        self._separator = separator
        self._are_keys = are_keys
        self._path = ""
        self._file: FileIO | None = None
        self._number = 0  # lines of this file, counted where they are keys
        self._start: list[bytes] = []  # pieces of the line whose end has not come yet
        self._bytes_read = 0
        self._bytes_expected: int | None = 0  # None: unknown, there is a pipe among the files
        for path in paths:
            self._examine(path)

    @property
    def part_read(self) -> float | None:
        """Which part of the input has been read, 0 to 1; None if its size is unknown."""
        return self._bytes_read / self._bytes_expected if self._bytes_expected else None

    def wait(self) -> bool:
        """Wait for input; return False when there is none to come."""
        return self._open() and self._is_ready(None)

    def burst(self) -> Iterator[list[bytes]]:
        """Give out the lines of each read, until the input has no more for the moment."""
        while self._open() and self._is_ready(0):
            try:
                lines = self._read()
            except OSError as error:
                self.error = _unreadable(self._path, error)
                return
            yield self._fit(lines) if self._are_keys else lines

    def stop(self, message: str) -> None:
        """Read no more, because of an error; the first one counts."""
        if self.error is None:
            self.error = InputError(message)

    def close(self) -> None:
        """Close the file that is being read, when it was not read to its end."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _examine(self, path: str) -> None:
        """Find out what can be known about a file without reading it."""
        if path == "-" and sys.stdin is None:
            raise InputError("standard input is closed; name a FILE")
        try:
            status = os.fstat(0) if path == "-" else os.stat(path)
            # Not opened: that would wait for the writer of a named pipe, and then drop it.
            if path != "-" and not os.access(path, os.R_OK):
                raise PermissionError(0, "no permission to read it")
        except OSError as error:
            raise _unreadable(path, error) from None
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: is a directory; name the files in it")
        if not stat.S_ISREG(status.st_mode):
            self._bytes_expected = None
        elif self._bytes_expected is not None:
            self._bytes_expected += status.st_size

    def _open(self) -> bool:
        """Open the next file when none is open; return False behind the last one."""
        if self.error is None and self._file is None and self._paths:
            self._path, self._number = self._paths.popleft(), 0
            try:
                if self._path == "-":
                    self._file = FileIO(0, closefd=False)
                else:
                    self._file = FileIO(self._path)
            except OSError as error:
                self.error = _unreadable(self._path, error)
        return self.error is None and self._file is not None

    def _is_ready(self, timeout: float | None) -> bool:
        assert self._file is not None
        return bool(select.select([self._file], [], [], timeout)[0])

    def _read(self) -> list[bytes]:
        """Read once; return the lines that are complete now."""
        assert self._file is not None
        block = self._file.read(_BLOCK)
        if block is None:  # a non-blocking pipe that another reader has emptied
            return []
        self._bytes_read += len(block)
        if not block:
            self._file.close()
            self._file = None
            last = self._take_start()
            return [last] if last else []
        if self._separator not in block:
            self._start.append(block)
            return []
        lines = block.split(self._separator)
        lines[0] = self._take_start() + lines[0]
        self._start.append(lines.pop())
        return lines

    def _take_start(self) -> bytes:
        start = b"".join(self._start)
        self._start.clear()
        return start

    def _fit(self, lines: list[bytes]) -> list[bytes]:
        """Return the lines before the first one that cannot be a unique key."""
        for index, line in enumerate(lines):
            flaw = _flaw(line)
            if flaw is not None:
                self.error = InputError(
                    f"{_name(self._path)}, line {self._number + index + 1}: {flaw}, so it cannot "
                    "be a unique key; correct it or use --unique hash"
                )
                return lines[:index]
        self._number += len(lines)
        return lines


def _flaw(line: bytes) -> str | None:
    """Return what keeps a line from being a unique key."""
    if not line:
        return "it is empty"
    if len(line) > _KEY_LIMIT:
        return f"it has {len(line)} bytes, {_KEY_LIMIT} are allowed"
    if b"\0" in line:
        return "it has a NUL byte"
    if line in (b"#", b"-"):
        return f"{line.decode()} stands for a hash"
    return None


def _name(path: str) -> str:
    return "standard input" if path == "-" else path


def _unreadable(path: str, error: OSError) -> InputError:
    return InputError(f"{_name(path)}: {error.strerror or error}")


def complain(message: str) -> None:
    """Write one line to stderr, if there is one."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"gearman-c: {message}", file=sys.stderr, flush=True)


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
        unsent = self._refused + len(rest) - known - unconfirmed
        self._bar.show(self._done + known, self._lines.part_read)
        self._bar.close()
        return Account(self._done + known, unconfirmed, unsent)

    def _workloads(self) -> Iterator[bytes]:
        for lines in self._lines.burst():
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


def reason(error: GearmanError) -> str:
    """Return what happened, in the words of the command line."""
    if isinstance(error, ConnectionFailedError) and error.operation != "connect":
        return f"the connection broke ({error.detail})"
    # What follows a semicolon in a run is about methods of a client.
    return str(error) if error.operation == "connect" else str(error).partition(";")[0]
