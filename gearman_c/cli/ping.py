"""``gearman-c ping``: whether each server answers, and how fast."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Final

from .._gearman import Client
from ..errors import GearmanError
from .common import (
    Command,
    add_servers,
    add_timeout,
    address,
    advise,
    complain,
    emit,
    find_servers,
    output,
    reason,
)

_DESCRIPTION: Final = """\
Connect to each server, let it send back a few bytes, and print how long that took:
HOST:PORT, a tab, milliseconds.
"""

_EPILOG: Final = """\
exit status: 0 all answered; 1 one did not, a line on stderr for each says why; 2 wrong usage;
130 Ctrl-C."""


def _add_arguments(parser: ArgumentParser) -> None:
    add_servers(parser, "each is asked")
    add_timeout(parser, "give up a server that has not answered by then", 10.0)


def _run(options: Namespace, parser: ArgumentParser) -> int:
    status = 0
    for host, port in find_servers(options, parser):
        with Client([(host, port)]) as client:
            started = time.monotonic()
            try:
                client.echo(b"gearman-c ping", options.timeout)
            except GearmanError as error:
                complain(_name(address(host, port), reason(error)) + advise(error))
                status = 1
                continue
            elapsed = time.monotonic() - started
        emit(f"{address(host, port)}\t{elapsed * 1000:.3f}")
        output().flush()  # the next server may take its time
    return status


def _name(server: str, message: str) -> str:
    """Return a message that names the server, as many do."""
    return message if server in message else f"{server}: {message}"


COMMAND: Final = Command(
    name="ping",
    help="tell whether each server answers, and how fast",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add_arguments=_add_arguments,
    run=_run,
)
