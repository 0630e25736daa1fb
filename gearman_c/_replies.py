"""The lines of replies, and what they mean: for ``TextConnection.ask()``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from ._call import Call
from ._names import decode
from ._text import LISTED
from .settings import FunctionStatus, PriorityStatus, ServerJob, WorkerStatus

_Row = TypeVar("_Row")

OK: Final = re.compile(rb"OK()")
DROPPED: Final = re.compile(rb"OK\r")
OK_TEXT: Final = re.compile(rb"OK (\S.*)")
OK_NUMBER: Final = re.compile(rb"OK (\d{1,10})")

COLUMNS_3: Final = re.compile(rb"(.+)" + rb"\t(\d{1,10})" * 3, re.DOTALL)
COLUMNS_4: Final = re.compile(rb"(.+)" + rb"\t(\d{1,10})" * 4, re.DOTALL)
# The first " :" with nothing or a space behind it, for names may begin with a colon.
WORKER: Final = re.compile(rb"(\d{1,10}) (\S+) (.*?) :((?: .+)?)", re.DOTALL)


def read_functions(lines: list[bytes], call: Call) -> list[FunctionStatus]:
    return _read_rows(
        lines,
        call,
        COLUMNS_3,
        lambda name, *numbers: FunctionStatus(decode(name), *map(int, numbers)),
    )


def read_priorities(lines: list[bytes], call: Call) -> list[PriorityStatus]:
    return _read_rows(
        lines,
        call,
        COLUMNS_4,
        lambda name, *numbers: PriorityStatus(decode(name), *map(int, numbers)),
    )


def read_workers(lines: list[bytes], call: Call) -> list[WorkerStatus]:
    def make(descriptor: bytes, address: bytes, name: bytes, functions: bytes) -> WorkerStatus:
        names = tuple(map(decode, functions[1:].split(b" "))) if functions else ()
        identifier = None if name == b"-" else decode(name)
        return WorkerStatus(int(descriptor), decode(address), identifier, names)

    return _read_rows(lines, call, WORKER, make)


def read_jobs(lines: list[bytes], call: Call) -> list[ServerJob]:
    return _read_rows(
        lines,
        call,
        COLUMNS_3,
        lambda handle, retries, ignored, queued: ServerJob(
            decode(handle), int(retries), ignored != b"0", queued != b"0"
        ),
    )


def read_keys(lines: list[bytes], call: Call) -> list[str]:
    if lines[-1:] != [LISTED]:
        raise call.not_understood(lines)
    return [decode(line) for line in lines[:-1]]


def read_drops(lines: list[bytes], call: Call) -> None:
    """Read one line for each function that was dropped, or not."""
    if not lines or any(line != b"OK\r" for line in lines):
        raise call.not_understood([line for line in lines if line != b"OK\r"])


def read_ok(form: re.Pattern[bytes]) -> Callable[[list[bytes], Call], str]:
    """Return what reads the one line of a reply, of which a part may be wanted."""

    def read(lines: list[bytes], call: Call) -> str:
        match = form.fullmatch(lines[0].rstrip(b"\r"))
        if not match:
            raise call.not_understood(lines)
        return decode(match[1])

    return read


def _read_rows(
    lines: list[bytes], call: Call, form: re.Pattern[bytes], make: Callable[..., _Row]
) -> list[_Row]:
    matches = [form.fullmatch(line) for line in lines]
    if None in matches:
        raise call.not_understood(lines[matches.index(None) :])
    return [make(*match.groups()) for match in matches if match]
