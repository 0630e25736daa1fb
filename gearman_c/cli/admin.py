"""``gearman-c admin``: the text commands of gearmand."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from ..admin import Admin
from ..errors import ArgumentError, GearmanError
from .common import (
    Command,
    add_servers,
    add_timeout,
    address,
    advise,
    complain,
    emit,
    find_servers,
    is_terminal,
    visible,
)

_DESCRIPTION: Final = """\
Ask gearmand servers something, or tell them what to do.

"""

_EPILOG: Final = """
Output: a line for each, with tabs between the columns; an order prints nothing. With several
servers, the first column is the server's address. 1 and 0 are yes and no.

exit status: 0; 1 a server refused, or did not answer, a line on stderr for each says why; 2 wrong
usage; 130 Ctrl-C."""

_Row = dict[str, Any]


class _Order(NamedTuple):
    """A command of the server.

    Attributes:
        arguments: what stands behind it.
        counts: how many of them there may be.
        help: what it does, or what the columns are.
        ask: does it; returns rows, or None.
        is_question: whether there are rows.
    """

    arguments: str
    counts: tuple[int, ...]
    help: str
    ask: Callable[..., Iterable[_Row] | None]
    is_question: bool = False


def _question(columns: str, ask: Callable[[Admin], Iterable[_Row]]) -> _Order:
    return _Order("", (0,), columns, ask, is_question=True)


def _limit(admin: Admin, function: str, *limits: str) -> None:
    if not all(limit.isdecimal() for limit in limits):
        raise ArgumentError("a limit is a number of jobs, or 0 for none")
    numbers = [int(limit) or None for limit in limits]
    high, normal, low = numbers * 3 if len(numbers) == 1 else numbers
    admin.maxqueue(function, high=high, normal=normal, low=low)


def _shut_down(admin: Admin, *how: str) -> None:
    if how not in ((), ("graceful",)):
        raise ArgumentError(f"{how[0]!r} is no way to shut down: graceful is")
    admin.shutdown(graceful=bool(how))


_ORDERS: Final = {
    "status": _question(
        "each function: name, jobs, running jobs, workers",
        lambda admin: map(asdict, admin.status()),
    ),
    "priority-status": _question(
        "each function: name, jobs that wait, of high, normal, low priority, workers",
        lambda admin: map(asdict, admin.priority_status()),
    ),
    "workers": _question(
        "each connection: number, address, identifier or -, functions with spaces between",
        lambda admin: map(asdict, admin.workers()),
    ),
    "jobs": _question(
        "each job: handle, retries, is it cancelled, is it a background job",
        lambda admin: map(asdict, admin.jobs()),
    ),
    "unique-jobs": _question(
        "the unique key of each job",
        lambda admin: [{"unique": key} for key in admin.unique_jobs()],
    ),
    "version": _question("its version", lambda admin: [{"version": admin.version()}]),
    "verbose": _question("how much it logs", lambda admin: [{"verbose": admin.verbose()}]),
    "getpid": _question("its process id", lambda admin: [{"pid": admin.getpid()}]),
    "maxqueue": _Order(
        "FUNCTION LIMIT",
        (2, 4),
        "refuse jobs beyond so many, 0: take all; LIMIT may be HIGH NORMAL LOW",
        _limit,
    ),
    "create-function": _Order("FUNCTION", (1,), "make a function known", Admin.create_function),
    "drop-function": _Order(
        "FUNCTION", (1,), "forget a function that has no workers", Admin.drop_function
    ),
    "cancel-job": _Order("HANDLE", (1,), "cancel a job that waits", Admin.cancel_job),
    "shutdown": _Order(
        "[graceful]", (0, 1), "end the server; gearmand 1.1.20 refuses this", _shut_down
    ),
}


def _add_arguments(parser: ArgumentParser) -> None:
    parser.usage = "gearman-c admin [OPTION...] COMMAND [ARGUMENT...]"
    forms = {f"{name} {order.arguments}": order.help for name, order in _ORDERS.items()}
    width = max(map(len, forms))
    parser.description = _DESCRIPTION + "\n".join(
        f"  {form:<{width}}  {what}" for form, what in forms.items()
    )
    parser.add_argument("command", metavar="COMMAND", choices=_ORDERS, help="see above")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs="*", help="likewise")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a line: a list with an object of each; not for orders",
    )
    add_servers(parser, "all are asked, or told")
    add_timeout(parser, "give up a server that has not answered by then", 10.0)


def _run(options: Namespace, parser: ArgumentParser) -> int:
    order = _ORDERS[options.command]
    if len(options.arguments) not in order.counts:
        parser.error(f"the form is: {options.command} {order.arguments}".rstrip())
    if options.json and not order.is_question:
        parser.error(f"--json: {options.command} prints nothing")
    status = 0
    found: list[_Row] = []
    servers = find_servers(options, parser)
    for host, port in servers:
        server = address(host, port)
        try:
            with Admin(host, port, timeout=options.timeout) as admin:
                rows = order.ask(admin, *options.arguments) or ()
        except ArgumentError:
            raise
        except GearmanError as error:
            complain(f"{error}{advise(error)}")
            status = 1
        else:
            found.extend({"server": server, **row} for row in rows)
    if options.json:
        emit(json.dumps(found))
    else:
        _print(found, with_server=len(servers) > 1)
    return status


def _print(rows: Iterable[_Row], *, with_server: bool) -> None:
    show = visible if is_terminal(sys.stdout) else str
    for row in rows:
        cells = [show(_cell(value)) for value in row.values()]
        emit("\t".join(cells if with_server else cells[1:]))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(int(value))
    return " ".join(value) if isinstance(value, tuple) else str(value)


COMMAND: Final = Command(
    name="admin",
    help="ask servers something, or tell them what to do",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add_arguments=_add_arguments,
    run=_run,
)
