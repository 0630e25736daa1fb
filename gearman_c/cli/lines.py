"""The input of ``gearman-c submit``: lines of files and streams, as they come."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from io import FileIO
from typing import Final

from .common import InputError

_BLOCK: Final = 64 * 1024  # bytes; as much as a pipe holds
KEY_LIMIT: Final = 63  # bytes; libgearman would cut what is longer


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
    if len(line) > KEY_LIMIT:
        return f"it has {len(line)} bytes, {KEY_LIMIT} are allowed"
    if b"\0" in line:
        return "it has a NUL byte"
    if line in (b"#", b"-"):
        return f"{line.decode()} stands for a hash"
    return None


def _name(path: str) -> str:
    return "standard input" if path == "-" else path


def _unreadable(path: str, error: OSError) -> InputError:
    return InputError(f"{_name(path)}: {error.strerror or error}")
