"""The command line: ``gearman-c``, or ``python -m gearman_c``."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import IO, Final

from . import Client, Priority, __version__, libgearman_version
from ._cli import Bar, InputError, Lines, Submitter, complain, hash_key, reason
from .errors import (
    ArgumentError,
    ConnectionFailedError,
    GearmanError,
    QueueFullError,
    WaitTimeoutError,
)

_INTERRUPTED: Final = 130  # as a shell says it: 128 and the number of SIGINT

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser, submit_parser = _make_parsers()
    if words[:1] != ["submit"]:
        parser.parse_args(words)  # prints a help text, or what is wrong, and exits
    # Not by way of the main parser, which takes no options between FUNCTION and FILE.
    options = submit_parser.parse_intermixed_args(words[1:])
    try:
        return _submit(options, submit_parser)
    except InputError as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        complain("interrupted; nothing was sent")
        return _INTERRUPTED


def _make_parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(prog="gearman-c", description="Work with Gearman servers.")
    parser.add_argument(
        "--version",
        action="version",
        version=f"gearman_c {__version__}, libgearman {libgearman_version()}",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    submit = commands.add_parser(
        "submit",
        help="submit each line of the input as a background task",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = submit.add_argument
    add("function", metavar="FUNCTION", help="name of the function that workers offer")
    add("files", metavar="FILE", nargs="*", default=["-"], help="- or no FILE: standard input")
    add("-0", "--null", action="store_true", help="a NUL byte ends a line, not a newline")
    priorities = [priority.name.lower() for priority in Priority]
    add("--priority", choices=priorities, default="normal", help="default: normal")
    add("--unique", choices=["auto", "hash", "line"], default="auto", help=_UNIQUE)
    add(
        "--server",
        metavar="HOST[:PORT]",
        action="append",
        help="may be given several times: the first that answers is used "
        "(default: $GEARMAN_SERVERS, or localhost:4730)",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        help="give up a server that makes no progress for so long (default: as --retry, else none)",
    )
    add(
        "--retry",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="go on after refused and lost connections, timeouts and full queues, until there was "
        "no progress for so long; inf: for ever (default: stop at the first)",
    )
    add(
        "--handles", action="store_true", help="print the handle of each task, in the input's order"
    )
    add("-v", "--verbose", action="store_true", help="say at the end how many were acknowledged")
    return parser, submit


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _submit(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    on_terminal = _is_terminal(sys.stderr)
    if options.handles and sys.stdout is None:
        raise InputError("standard output is closed; --handles needs it")
    handles = sys.stdout if options.handles else None
    lines = Lines(
        options.files, b"\0" if options.null else b"\n", are_keys=options.unique == "line"
    )
    client = _make_client(options, parser)
    unique = {"auto": None, "hash": hash_key, "line": bytes}[options.unique]
    function = os.fsencode(options.function)  # the bytes that the shell gave us
    try:
        client.submit(function, ())
    except ArgumentError as error:
        parser.error(str(error))
    # Only one of us may write to the terminal.
    bar = Bar(wanted=on_terminal and not _is_terminal(handles) and not _is_terminal(sys.stdin))
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
        failure, status = "interrupted", _INTERRUPTED
    except GearmanError as error:
        failure, advice = reason(error), _advise(error, options)
    except InputError as error:
        failure = str(error)
    except OSError as error:
        failure = f"standard output does not take the handles ({error.strerror})"
        _drop_output()
    elapsed = time.monotonic() - started
    account = submitter.finish()
    if failure:
        complain(f"{failure}; {account}{advice}")
    elif options.verbose or on_terminal:
        complain(f"{account} in {elapsed:.2f} s, {account.acknowledged / elapsed:,.0f} per second")
    return status


def _make_client(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Client:
    servers = ",".join(options.server) if options.server else None
    timeout = options.timeout or options.retry
    try:
        return Client(servers, timeout=timeout if 0 < timeout < math.inf else None)
    except ArgumentError as error:
        if servers is not None:
            parser.error(f"argument --server: {error}")
        raise InputError(f"$GEARMAN_SERVERS: {error}") from None


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and stream.isatty()


def _advise(error: GearmanError, options: argparse.Namespace) -> str:
    """Return what the user can do, to be put behind the account."""
    if options.retry:
        return f"; gave up after {options.retry:g} s without progress"
    if isinstance(error, QueueFullError):
        return "; --retry SECONDS waits for the workers"
    if isinstance(error, WaitTimeoutError):
        return "; see what stops the server, or allow more with --timeout or --retry"
    if isinstance(error, ConnectionFailedError):
        if error.operation == "connect":
            return "; start gearmand there, or name another with --server"
        return "; --retry SECONDS goes on by itself"
    return ""


def _drop_output() -> None:
    """Keep Python from complaining at its end that it cannot flush standard output."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


if __name__ == "__main__":
    sys.exit(main())
