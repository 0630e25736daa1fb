"""One call of Admin: its deadline, and its errors."""

from __future__ import annotations

import time
from typing import Final

from .errors import ConnectionFailedError, ProtocolError, ServerError, WaitTimeoutError

SHOWN: Final = 200  # bytes of a line that an error shows
LONGEST_WAIT: Final = 2_000_000.0  # seconds; poll() takes milliseconds as an int


def is_refusal(line: bytes) -> bool:
    """Whether a line is no row of a list: a function may be called "ERR x", but has columns."""
    return line.startswith(b"ERR ") and b"\t" not in line


class Call:
    """One call: its deadline, and its errors."""

    def __init__(self, server: str, operation: str, timeout: float | None) -> None:
        self._server = server
        self._operation = operation
        self._deadline = None if timeout is None else time.monotonic() + min(timeout, LONGEST_WAIT)

    def remaining(self) -> float | None:
        """Return the seconds that are left, None for no limit; raise when there are none."""
        if self._deadline is None:
            return None
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def late(self, what: str) -> WaitTimeoutError:
        message = f"{self._server}: {what} in the time allowed"
        return WaitTimeoutError(message, operation=self._operation)

    def broken(self, why: str, operation: str | None = None) -> ConnectionFailedError:
        return ConnectionFailedError(
            f"{self._server}: {why}", operation=operation or self._operation, detail=why
        )

    def not_understood(self, lines: list[bytes]) -> ServerError | ProtocolError:
        """Return the error for lines, of which the first one has no place in a good reply."""
        line = lines[0] if lines else b""
        if not is_refusal(line):
            return self.malformed(f"{line[:SHOWN]!r} is not what {self._operation} brings")
        answer = line.decode("utf-8", "backslashreplace").rstrip("\r")
        message = f"{self._server}: gearmand answered {self._operation} with {answer[:SHOWN]!r}"
        return ServerError(message, operation=self._operation, detail=answer)

    def malformed(self, why: str) -> ProtocolError:
        return ProtocolError(
            f"{self._server}: not a reply of gearmand: {why}",
            operation=self._operation,
            detail=why,
        )
