"""``gearman-c status``: what the servers have, as a table."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from ..admin import Admin
from ..errors import GearmanError
from ..settings import FunctionStatus
from .common import (
    EXTRA,
    Command,
    InputError,
    add_servers,
    add_timeout,
    address,
    advise,
    complain,
    emit,
    find_servers,
    is_terminal,
    output,
    seconds,
    visible,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

_DESCRIPTION: Final = """\
Show the functions that servers know: how many jobs each has, how many of those are running, and
how many workers offer it.
"""

_EPILOG: Final = """\
exit status: 0; 1 a server did not answer, a line on stderr for each says why; 2 wrong usage;
130 Ctrl-C. For output that scripts can read: --json, or gearman-c admin status."""

_HEADINGS: Final = ("Server", "Function", "Jobs", "Running", "Workers")
_PAUSE: Final = 2.0  # seconds between two looks


class _Look(NamedTuple):
    """What the servers said, and what is wrong with those that did not."""

    rows: list[tuple[str, FunctionStatus]]
    complaints: list[str]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        type=seconds,
        nargs="?",
        const=_PAUSE,
        help=f"show it again and again, in such pauses ({_PAUSE:g}), until Ctrl-C",
    )
    parser.add_argument("--json", action="store_true", help="a line: a list with an object of each")
    add_servers(parser, "all are asked")
    add_timeout(parser, "give up a server that has not answered by then", 10.0)


def _run(options: Namespace, parser: ArgumentParser) -> int:
    with ExitStack() as stack:
        admins = {
            address(host, port): stack.enter_context(Admin(host, port, timeout=options.timeout))
            for host, port in find_servers(options, parser)
        }
        if options.watch is not None and is_terminal(sys.stdout) and not options.json:
            _watch(admins, options.watch)
        while True:
            look = _look(admins)
            _print(look, options.json)
            if options.watch is None:
                return 1 if look.complaints else 0
            output().flush()
            time.sleep(options.watch)


def _look(admins: dict[str, Admin]) -> _Look:
    look = _Look([], [])
    for server, admin in admins.items():
        try:
            look.rows.extend((server, row) for row in admin.status())
        except GearmanError as error:
            look.complaints.append(f"{error}{advise(error)}")
    look.rows.sort(key=lambda row: (row[1].function_name, row[0]))
    return look


def _print(look: _Look, as_json: bool) -> None:
    if as_json:
        emit(json.dumps([{"server": server, **asdict(row)} for server, row in look.rows]))
    else:
        for line in _lines(look):
            emit(line)
    for complaint in look.complaints:
        complain(complaint)


def _lines(look: _Look) -> list[str]:
    """Return a table of text, for which nothing needs to be installed."""
    cells = [_HEADINGS, *map(_cells, look.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(_pad(row, widths)).rstrip() for row in cells]


def _pad(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    names = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    return names + [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]


def _cells(row: tuple[str, FunctionStatus]) -> tuple[str, ...]:
    server, status = row
    numbers = (status.total, status.running, status.available_workers)
    return (server, visible(status.function_name), *map(str, numbers))


def _watch(admins: dict[str, Admin], pause: float) -> NoReturn:
    """Draw the table on the terminal until Ctrl-C."""
    try:
        from rich.live import Live
    except ImportError:
        raise InputError(f"--watch on a terminal needs rich: {EXTRA}") from None
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(_draw(_look(admins)), refresh=True)
            time.sleep(pause)


def _draw(look: _Look) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=time.strftime("%X"), caption_justify="left")
    for number, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="left" if number < 2 else "right", overflow="fold")
    for row in look.rows:
        table.add_row(*map(Text, _cells(row)))  # Text: a name in brackets is no markup
    return Group(table, *(Text(visible(each), style="red") for each in look.complaints))


COMMAND: Final = Command(
    name="status",
    help="show the functions of servers, with their jobs and workers",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add_arguments=_add_arguments,
    run=_run,
)
