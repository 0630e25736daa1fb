"""``gearman-c submit``: each line of the input becomes a background task."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from typing import Final

from ..enums import Priority
from ..errors import (
    ArgumentError,
    ConnectionFailedError,
    GearmanError,
    QueueFullError,
    WaitTimeoutError,
)
from .common import (
    INTERRUPTED,
    Command,
    InputError,
    add_servers,
    advise,
    complain,
    drop_output,
    is_terminal,
    make_client,
    reason,
    seconds,
)
from .lines import KEY_LIMIT, Lines
from .submitter import Bar, Submitter

_DESCRIPTION: Final = """\
Submit each line of the input as one background task: its bytes as they are, without the newline.
Lines are sent as they come, in their order, and all are acknowledged when the command ends with
status 0. On a terminal it shows its progress if tqdm is installed (pip install gearman_c[cli]).
"""

_UNIQUE: Final = """\
the unique key of a task; the server joins tasks of a function with the same key while the first
is queued or running. auto: each task its own, nothing is joined (default). hash: computed from
the line, so equal lines are joined; 252 bits of SHA-256, since different lines must not be, as
the 32 bits that libgearman offers would do. line: the line itself, 1 to 63 bytes
"""

_EPILOG: Final = """\
exit status: 0 all acknowledged; 1 failed, one line on stderr says why and how many were
acknowledged; 2 wrong usage; 130 Ctrl-C.

A connection that breaks leaves tasks unconfirmed: sent, but not acknowledged. --retry sends them
again under the same key, which the server joins unless the first has been worked on already."""


def _add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("function", metavar="FUNCTION", help="name of the function that workers offer")
    add("files", metavar="FILE", nargs="*", default=["-"], help="- or no FILE: standard input")
    add("-0", "--null", action="store_true", help="a NUL byte ends a line, not a newline")
    priorities = [priority.name.lower() for priority in Priority]
    add("--priority", choices=priorities, default="normal", help="default: normal")
    add("--unique", choices=["auto", "hash", "line"], default="auto", help=_UNIQUE)
    add_servers(parser, "the first that answers is used")
    add(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        help="give up a server that makes no progress for so long (default: as --retry, else none)",
    )
    add(
        "--retry",
        metavar="SECONDS",
        type=seconds,
        default=0.0,
        help="go on after refused and lost connections, timeouts and full queues, until there was "
        "no progress for so long; inf: for ever (default: stop at the first)",
    )
    add(
        "--handles", action="store_true", help="print the handle of each task, in the input's order"
    )
    add("-v", "--verbose", action="store_true", help="say at the end how many were acknowledged")


def _run(options: Namespace, parser: ArgumentParser) -> int:
    try:
        return _submit(options, parser)
    except KeyboardInterrupt:  # before or behind the submitting, which looks after it by itself
        complain("interrupted; nothing was sent")
        return INTERRUPTED


def _submit(options: Namespace, parser: ArgumentParser) -> int:
    on_terminal = is_terminal(sys.stderr)
    if options.handles and sys.stdout is None:
        raise InputError("standard output is closed; --handles needs it")
    handles = sys.stdout if options.handles else None
    lines = Lines(
        options.files, b"\0" if options.null else b"\n", are_keys=options.unique == "line"
    )
    timeout = options.timeout or options.retry
    client = make_client(options, parser, timeout if 0 < timeout < math.inf else None)
    unique = {"auto": None, "hash": hash_key, "line": bytes}[options.unique]
    function = os.fsencode(options.function)  # the bytes that the shell gave us
    try:
        client.submit(function, ())
    except ArgumentError as error:
        parser.error(str(error))
    # Only one of us may write to the terminal.
    bar = Bar(wanted=on_terminal and not is_terminal(handles) and not is_terminal(sys.stdin))
    submitter = Submitter(
        client,
        lambda workloads: client.submit(
            function, workloads, priority=options.priority, unique=unique
        ),
        lines,
        handles=handles,
        retry=options.retry,
        bar=bar,
        verbose=options.verbose or on_terminal,
    )
    failure, advice, status = "", "", 1
    started = time.monotonic()
    try:
        submitter.run()
        status = 0
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends us at once
        failure, status = "interrupted", INTERRUPTED
    except GearmanError as error:
        failure, advice = reason(error), _advise(error, options)
    except InputError as error:
        failure = str(error)
    except OSError as error:
        failure = f"standard output does not take the handles ({error.strerror})"
        drop_output()
    elapsed = time.monotonic() - started
    account = submitter.finish()
    if failure:
        complain(f"{failure}; {account}{advice}")
    elif options.verbose or on_terminal:
        complain(f"{account} in {elapsed:.2f} s, {account.acknowledged / elapsed:,.0f} per second")
    return status


def hash_key(workload: bytes) -> str:
    """Return the unique key of ``--unique hash``: equal for equal payloads, and for no others.

    It is what ``sha256sum`` prints, less the last digit. Not the ``"#"`` of libgearman: that has
    32 bits, so that among 100,000 payloads two are likely to share one and a job is lost. Nor the
    ``"-"`` of gearmand: a queue kept in SQLite stores one job under it and loses all others.
    """
    return hashlib.sha256(workload).hexdigest()[:KEY_LIMIT]


def _advise(error: GearmanError, options: Namespace) -> str:
    """Return what the user can do, to be put behind the account."""
    if options.retry:
        return f"; gave up after {options.retry:g} s without progress"
    if isinstance(error, QueueFullError):
        return "; --retry SECONDS waits for the workers"
    if isinstance(error, WaitTimeoutError):
        return f"{advise(error)} or --retry"
    if isinstance(error, ConnectionFailedError) and error.operation != "connect":
        return "; --retry SECONDS goes on by itself"
    return advise(error)


COMMAND: Final = Command(
    name="submit",
    help="submit each line of the input as a background task",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add_arguments=_add_arguments,
    run=_run,
)
