"""``gearman-c work``: a worker whose jobs are done by a command, or by a callable."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import subprocess
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from .._gearman import Job
from ..errors import JobFailed
from ..worker import Worker
from .common import Command, InputError, add_servers, count, find_servers

_DESCRIPTION: Final = """\
Do the jobs of a function, until Ctrl-C or SIGTERM: then the jobs in hand are ended first.

  gearman-c work FUNCTION -- COMMAND...   runs the command for each job: it reads the workload from
                                          its standard input, and what it writes is the result;
                                          an exit status that is not 0 lets the job fail
  gearman-c work MODULE:CALLABLE          calls it with each gearman_c.Job: it returns the result;
                                          what it raises lets the job fail
"""

_EPILOG: Final = """\
The command is told of the job in $GEARMAN_FUNCTION, $GEARMAN_HANDLE and $GEARMAN_UNIQUE.
MODULE is looked for in the current folder, too.

exit status: 0 it was stopped; 1 failed, one line on stderr says why; 2 wrong usage; 130 Ctrl-C
again, while a job was in hand. Servers that are away, and callables that raise, are told on
stderr, and it goes on."""

_Work = Callable[[Job], Any]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.usage = (
        "gearman-c work [OPTION...] FUNCTION -- COMMAND...\n"
        "       gearman-c work [OPTION...] MODULE:CALLABLE"
    )
    parser.add_argument(
        "target", metavar="FUNCTION | MODULE:CALLABLE", help="what to do, see above"
    )
    parser.add_argument(
        "--function",
        metavar="NAME",
        help="name of the function of a MODULE:CALLABLE (default: the callable's own)",
    )
    parser.add_argument(
        "--threads", metavar="N", type=count, default=1, help="jobs at the same time (default: 1)"
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=count,
        default=1,
        help="processes with so many threads each; one that dies is started again (default: 1)",
    )
    add_servers(parser, "all are served")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell when a server is back")


def _run(options: Namespace, parser: ArgumentParser) -> int:
    if options.program is not None:
        if not options.program:
            parser.error("there is no COMMAND behind --")
        if options.function is not None:
            parser.error("--function is for a MODULE:CALLABLE; the first word names the function")
        work, name = _use_program(options.program), options.target
    elif ":" in options.target:
        work, name = _find_callable(options.target, options.function)
    else:
        parser.error(f"neither MODULE:CALLABLE nor a command: {options.target} -- COMMAND...")
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="gearman-c: %(message)s",
    )
    with Worker(find_servers(options, parser)) as worker:
        worker.add_function(os.fsencode(name), work)
        worker.run(threads=options.threads, processes=options.processes, handle_signals=True)
    return 0


def _use_program(program: list[str]) -> _Work:
    """Return what does a job by running a command."""
    if shutil.which(program[0]) is None:
        raise InputError(f"{program[0]}: there is no such command")

    def work(job: Job) -> bytes:
        variables = {
            "GEARMAN_FUNCTION": job.function_name,
            "GEARMAN_HANDLE": job.handle,
            "GEARMAN_UNIQUE": job.unique,
        }
        try:
            done = subprocess.run(
                program,
                input=job.workload,
                stdout=subprocess.PIPE,
                env=os.environ | variables,
                process_group=0,  # Ctrl-C of the terminal is for us: the job in hand is ended first
                check=False,
            )
        except OSError as error:
            raise JobFailed(f"{program[0]}: {error.strerror or error}") from None
        if done.returncode:
            raise JobFailed(f"{program[0]} ended with {_cause(done.returncode)}")
        return done.stdout

    return work


def _cause(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _find_callable(target: str, function: str | None) -> tuple[_Work, str]:
    """Return what MODULE:CALLABLE means, and the name of its function."""
    module_name, _, path = target.partition(":")
    sys.path.insert(0, os.getcwd())  # as ``python -m`` does; the script has its own folder there
    try:
        found = attrgetter(path)(importlib.import_module(module_name))
    except Exception as error:
        raise InputError(f"{target}: {_describe(error)}") from None
    if not callable(found):
        raise InputError(f"{target} is no callable, but of type {type(found).__name__}")
    return found, function or str(getattr(found, "__name__", path.rpartition(".")[2]))


def _describe(error: Exception) -> str:
    """Return an error of somebody's module in one line, with the place where it came from."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    place = traceback.extract_tb(error.__traceback__)[-1]
    is_ours = place.filename in (__file__, importlib.__file__) or place.filename.startswith("<")
    return text if is_ours else f"{text} ({place.filename}, line {place.lineno})"


COMMAND: Final = Command(
    name="work",
    help="do the jobs of a function, by a command or a callable",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    add_arguments=_add_arguments,
    run=_run,
    has_program=True,
)
