"""The command line: a file for each command, and one line here."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Final

from .. import __version__, libgearman_version
from ..errors import ArgumentError, GearmanError
from . import admin, do, ping, status, submit, work
from .common import INTERRUPTED, Command, InputError, advise, complain, drop_output, reason

_COMMANDS: Final[tuple[Command, ...]] = (
    submit.COMMAND,
    do.COMMAND,
    work.COMMAND,
    status.COMMAND,
    admin.COMMAND,
    ping.COMMAND,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser, parsers = _make_parsers()
    command = next((each for each in _COMMANDS if words[:1] == [each.name]), None)
    if command is None:
        parser.parse_args(words)  # prints a help text, or what is wrong, and exits
        parser.error("the first word must be a COMMAND")
    own, program = words[1:], None
    if command.has_program and "--" in own:
        end = own.index("--")
        own, program = own[:end], own[end + 1 :]
    parser = parsers[command.name]
    # Not by way of the main parser, which takes no options between FUNCTION and FILE.
    options = parser.parse_intermixed_args(own)
    options.program = program
    return _run(command, parser, options)


def _run(command: Command, parser: ArgumentParser, options: Namespace) -> int:
    try:
        status = command.run(options, parser)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where it can be said what is wrong
        return status
    except InputError as error:
        complain(str(error))
    except ArgumentError as error:
        parser.error(str(error))
    except GearmanError as error:
        complain(reason(error) + advise(error))
    except BrokenPipeError:  # its reader has what it wanted
        drop_output()
    except OSError as error:
        complain(f"standard output: {error.strerror or error}")
        drop_output()
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    return 1


def _make_parsers() -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    parser = ArgumentParser(prog="gearman-c", description="Work with Gearman servers.")
    parser.add_argument(
        "--version",
        action="version",
        version=f"gearman_c {__version__}, libgearman {libgearman_version()}",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    parsers = {}
    for command in _COMMANDS:
        parsers[command.name] = own = commands.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            epilog=command.epilog,
            formatter_class=RawDescriptionHelpFormatter,
        )
        command.add_arguments(own)
    return parser, parsers
