"""``gearman-c do``: one job, and its result."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from .._gearman import Task
from ..enums import Priority
from ..errors import JobFailedError, WaitTimeoutError
from .common import (
    Command,
    InputError,
    add_servers,
    add_timeout,
    make_client,
    output,
)

_DESCRIPTION: Final = """\
Let a worker do one job, with all of the input as its workload, and write its result to standard
output: the bytes as they are.
"""

_EPILOG: Final = """\
exit status: 0; 1 the job failed, or nobody knows, one line on stderr says why; 2 wrong usage;
130 Ctrl-C."""


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("function", metavar="FUNCTION", help="name of the function")
    parser.add_argument(
        "file", metavar="FILE", nargs="?", default="-", help="- or no FILE: standard input"
    )
    parser.add_argument(
        "--priority",
        choices=[priority.name.lower() for priority in Priority],
        default="normal",
        help="default: normal",
    )
    add_servers(parser, "the first that answers is used")
    add_timeout(parser, "give up when there is no result by then", None)


def _run(options: Namespace, parser: ArgumentParser) -> int:
    output()  # first of all: where it is closed, nothing is done
    function = os.fsencode(options.function)  # the bytes that the shell gave us
    with make_client(options, parser) as client:
        workload = _read(options.file)
        try:
            task = client.execute(
                function, workload, priority=options.priority, timeout=options.timeout
            )
        except WaitTimeoutError:
            raise InputError(
                f"no result in {options.timeout:g} s; a worker may do the job all the same"
            ) from None
    try:
        result = task.result()
    except JobFailedError as error:
        raise InputError(_explain(error, task)) from None
    output().writelines([*task.chunks, result])
    return 0


def _read(path: str) -> bytes:
    if path == "-" and sys.stdin is None:
        raise InputError("standard input is closed; name a FILE")
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        name = "standard input" if path == "-" else path
        raise InputError(f"{name}: {error.strerror or error}") from None


def _explain(error: JobFailedError, task: Task) -> str:
    """Return what the worker said about its failure, in one line."""
    said = [*task.warnings, error.data or b""]
    text = b"; ".join(part for part in said if part).decode("utf-8", "backslashreplace")
    # repr() keeps it a line, and a terminal as it is.
    return f"the job failed: {repr(text.strip())[1:-1]}" if text.strip() else "the job failed"


COMMAND: Final = Command(
    name="do",
    help="let a worker do one job, and print its result",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add_arguments=_add_arguments,
    run=_run,
)
