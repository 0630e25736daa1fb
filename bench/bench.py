"""Measures gearman_c beside C programs, raw sockets and pygearman. See README.md beside it.

python bench/bench.py run [--quick] [--only NAME ...]    measures, writes the JSON file
python bench/bench.py plot                               draws the figure of the README
python bench/bench.py table                              prints the ratios in Markdown
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness import HERE, Measurement, build_programs, extension_digest, facts, run_rounds
from report import Report, markdown
from workloads import WORKLOADS, Workload

RESULTS = HERE / "results" / "latest.json"
PARTIAL_RESULTS = RESULTS.with_name("partial.json")  # never in place of a whole run
FIGURE = HERE.parent / "docs" / "throughput.svg"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; `command` is the function to call."""
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="measure (some 15 minutes)")
    run.add_argument(
        "--quick", action="store_true", help="a minute: 50,000 tasks at most, 3 rounds"
    )
    run.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        default=[],
        help='participants and workloads to take, e.g. --only c-window gearman_c "50,000 tasks"',
    )
    run.add_argument("--rounds", type=int, help="of every participant; default: see workloads.py")
    run.add_argument(
        "--results", type=Path, help=f"default: {RESULTS}; {PARTIAL_RESULTS.name} when not whole"
    )
    run.set_defaults(command=run_command)
    plot = commands.add_parser("plot", help="draw the figure of the README")
    plot.add_argument("--results", type=Path, default=RESULTS)
    plot.add_argument("--output", type=Path, default=FIGURE, help="an .svg or .png file")
    plot.set_defaults(command=plot_command)
    table = commands.add_parser("table", help="print rates, ratios and costs in Markdown")
    table.add_argument("--results", type=Path, default=RESULTS)
    table.set_defaults(command=table_command)
    return parser.parse_args(arguments)


def run_command(options: argparse.Namespace) -> None:
    """Measure everything asked for; what is measured is kept also when something fails."""
    workloads = list(select(options.quick, options.only, options.rounds))
    if not workloads:
        raise SystemExit("bench.py: nothing to run: no such participant or workload")
    whole = not (options.quick or options.only or options.rounds)
    path = options.results or (RESULTS if whole else PARTIAL_RESULTS)
    programs = build_programs()
    digest = extension_digest()
    measurements: list[Measurement] = []
    document = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": facts(),
        "measurements": measurements,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    for workload in workloads:
        begin = time.perf_counter()
        for measurement in run_rounds(workload, programs):
            measurements.append(measurement)
            progress(measurement)
        if extension_digest() != digest:
            raise SystemExit(
                f"bench.py: gearman_c was rebuilt while '{workload.name}' was measured"
            )
        print(f"{workload.name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        path.write_text(json.dumps(document, indent=1) + "\n")
    print(markdown(Report(measurements)))


def select(quick: bool, only: Sequence[str], rounds: int | None) -> list[Workload]:
    """Return the workloads to run, with the participants to run them."""
    selected = [workload.quick() if quick else workload for workload in WORKLOADS]
    everybody = {name for workload in WORKLOADS for name in workload.rounds}
    names = {workload.name for workload in WORKLOADS}
    if unknown := set(only) - everybody - names:
        raise SystemExit(
            f"bench.py: unknown: {', '.join(sorted(unknown))}; "
            f"participants: {', '.join(sorted(everybody))}; workloads: {'; '.join(sorted(names))}"
        )
    if workload_names := names.intersection(only):
        selected = [workload for workload in selected if workload.name in workload_names]
    if participants := everybody.intersection(only):
        selected = [
            replace(
                workload,
                rounds={name: n for name, n in workload.rounds.items() if name in participants},
            )
            for workload in selected
        ]
    if rounds:
        selected = [
            replace(workload, rounds=dict.fromkeys(workload.rounds, rounds))
            for workload in selected
        ]
    return [workload for workload in selected if workload.rounds]


def progress(measurement: Measurement) -> None:
    """Say on stderr what was measured."""
    count, seconds = int(measurement["count"]), float(measurement["seconds"])
    print(
        f"{measurement['workload']:>20} {measurement['participant']:<27} {seconds:9.4f} s "
        f"{count / seconds:10,.0f}/s",
        file=sys.stderr,
        flush=True,
    )


def read(path: Path) -> Report:
    """Return the measurements of an earlier run."""
    try:
        return Report(json.loads(path.read_text())["measurements"])
    except FileNotFoundError:
        raise SystemExit(f"bench.py: {path} is missing: first run 'bench.py run'") from None


def plot_command(options: argparse.Namespace) -> None:
    """Draw the figure."""
    from plot import draw  # matplotlib is needed here only

    draw(read(options.results), options.output)


def table_command(options: argparse.Namespace) -> None:
    """Print the tables."""
    print(markdown(read(options.results)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = parse(arguments)
    options.command(options)


if __name__ == "__main__":
    main()
