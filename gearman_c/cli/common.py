"""What the commands have in common: the servers, the words of errors, and standard output."""

from __future__ import annotations

import math
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, BinaryIO, Final

from .._gearman import Client
from ..errors import ArgumentError, ConnectionFailedError, GearmanError, WaitTimeoutError

INTERRUPTED: Final = 130  # as a shell says it: 128 and the number of SIGINT
EXTRA: Final = "pip install 'gearman_c[cli]'"


class InputError(Exception):
    """Something of the user's that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Command:
    """A command of ``gearman-c``.

    Attributes:
        name: its first word.
        help: a line for the list of commands.
        description, epilog: what stands above and below its options, as it is.
        add_arguments: gives them to its parser.
        run: does it, and returns the exit status.
        has_program: whether the words behind ``--`` are a command of the user's, for
            ``options.program``.
    """

    name: str
    help: str
    description: str
    epilog: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, ArgumentParser], int]
    has_program: bool = False


def add_servers(parser: ArgumentParser, what: str) -> None:
    """Add the option ``--server``; `what` says which of them are used."""
    parser.add_argument(
        "--server",
        metavar="HOST[:PORT]",
        action="append",
        help=f"may be given several times: {what} (default: $GEARMAN_SERVERS, or localhost:4730)",
    )


def add_timeout(parser: ArgumentParser, what: str, default: float | None) -> None:
    """Add the option ``--timeout``; `what` says what is given up after it."""
    shown = "none" if default is None else f"{default:g}"
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=default,
        help=f"{what} (default: {shown})",
    )


def seconds(text: str) -> float:
    """Return a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number > 0:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def count(text: str) -> int:
    """Return a number of threads or processes."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 10_000:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 10000")
    return number


def make_client(options: Namespace, parser: ArgumentParser, timeout: float | None = None) -> Client:
    """Return a client of the servers that the options or the environment name."""
    servers = ",".join(options.server) if options.server else None
    try:
        return Client(servers, timeout=timeout)
    except ArgumentError as error:
        if servers is not None:
            parser.error(f"argument --server: {error}")
        raise InputError(f"$GEARMAN_SERVERS: {error}") from None


def find_servers(options: Namespace, parser: ArgumentParser) -> tuple[tuple[str, int], ...]:
    """Return host and port of each server that the options or the environment name."""
    with make_client(options, parser) as client:
        return client.servers


def address(host: str, port: int) -> str:
    """Return host and port as ``--server`` takes them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def complain(message: str) -> None:
    """Write one line to stderr, if there is one."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"gearman-c: {message}", file=sys.stderr, flush=True)


def reason(error: GearmanError) -> str:
    """Return what happened, in the words of the command line."""
    if isinstance(error, ConnectionFailedError) and error.operation != "connect":
        return f"the connection broke ({error.detail})"
    # What follows a semicolon in a run is about methods of a client.
    return str(error) if error.operation == "connect" else str(error).partition(";")[0]


def advise(error: GearmanError) -> str:
    """Return what the user can do about an error, to be put behind what happened."""
    if isinstance(error, WaitTimeoutError):
        return "; see what stops the server, or allow more with --timeout"
    if isinstance(error, ConnectionFailedError) and error.operation == "connect":
        return "; start gearmand there, or name another with --server"
    return ""


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether somebody looks at a stream."""
    return stream is not None and stream.isatty()


def output() -> BinaryIO:
    """Return standard output, for bytes."""
    if sys.stdout is None:
        raise InputError("standard output is closed")
    return sys.stdout.buffer


def emit(line: str) -> None:
    """Write a line of names to standard output, as the bytes that they are on the server."""
    output().write(line.encode("utf-8", "surrogateescape") + b"\n")


def visible(text: str) -> str:
    """Return a name as a terminal may have it: a name can hold what would give it orders."""
    return "".join(
        each if each.isprintable() else ascii(each)[1:-1].replace("\\udc", "\\x") for each in text
    )


def drop_output() -> None:
    """Keep Python from complaining at its end that it cannot flush standard output."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
