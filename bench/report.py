"""From single measurements to rates, ratios of pairs and Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness import Measurement
from workloads import (
    ADDING_NANOSECONDS,
    BACKGROUND,
    FOREGROUND,
    GROWTH,
    PENDING_BYTES,
    TARGETS,
    WORKER,
    Workload,
)

Runs = dict[int, Measurement]  # by round


class Spread(NamedTuple):
    """A set of figures in five numbers, and how many there were."""

    median: float
    lower: float
    upper: float
    least: float
    most: float
    number: int


def spread(values: Sequence[float]) -> Spread:
    """Return median, quartiles, least and most."""
    lower, median, upper = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    )
    return Spread(median, lower, upper, min(values), max(values), len(values))


class Report:
    """All measurements of one run of the benchmark."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._runs: dict[tuple[str, str], Runs] = {}
        for run in measurements:
            key = (str(run["workload"]), str(run["participant"]))
            self._runs.setdefault(key, {})[int(run["round"])] = run

    def runs(self, workload: str, participant: str) -> Runs:
        """Return the measurements of one participant by round; empty if it took no part."""
        return self._runs.get((workload, participant), {})

    def rates(self, workload: str, participant: str) -> list[float]:
        """Return acknowledged tasks per second, one figure a run."""
        return [rate(run) for run in self.runs(workload, participant).values()]

    def ratios(self, workload: str, participant: str, baseline: str) -> list[float]:
        """Return how many times as fast as the baseline, one figure for each pair of runs."""
        other = self.runs(workload, baseline)
        mine = self.runs(workload, participant)
        return [rate(run) / rate(other[number]) for number, run in mine.items() if number in other]

    def growth(self, participant: str) -> list[float]:
        """Return processor time per task at the large size, divided by that at the small one."""
        small, large = (self.runs(workload, participant) for workload in GROWTH)
        return [cpu(run) / cpu(small[number]) for number, run in large.items() if number in small]

    def participants(self, workloads: Sequence[Workload]) -> list[str]:
        """Return who took part in these, in order of appearance."""
        names = {workload.name for workload in workloads}
        return list(dict.fromkeys(name for workload, name in self._runs if workload in names))


def rate(run: Measurement) -> float:
    """Tasks per second of one run."""
    return float(run["count"]) / float(run["seconds"])


def cpu(run: Measurement) -> float:
    """Processor seconds per task of one run."""
    return float(run["cpu_seconds"]) / float(run["count"])


def memory(run: Measurement) -> float:
    """Bytes per pending task of one run."""
    return float(run["memory_bytes"]) / float(run["count"])


def markdown(report: Report) -> str:
    """Return all tables that have rows."""
    background = [name for name in report.participants(BACKGROUND) if name != "gearman_c-add"]
    foreground = report.participants(FOREGROUND)
    worker = report.participants(WORKER)
    spread_columns = ("median", "quartiles", "range", "pairs")
    tables = (
        (("median rate", *background), _rates(report, BACKGROUND, background)),
        (("median rate of results", *foreground), _rates(report, FOREGROUND, foreground)),
        (("median rate of jobs", *worker), _rates(report, WORKER, worker)),
        (("workload", "participant", "as fast as", *spread_columns, "at least"), _ratios(report)),
        (("cost", *spread_columns[:-1], "runs", "at most"), _costs(report)),
    )
    return "\n\n".join(_table(columns, rows) for columns, rows in tables if rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _rates(
    report: Report, workloads: Sequence[Workload], participants: Sequence[str]
) -> list[list[str]]:
    rows = []
    for workload in workloads:
        cells = []
        for participant in participants:
            rates = report.rates(workload.name, participant)
            cells.append(_rate(statistics.median(rates), workload.size) if rates else "")
        if any(cells):
            rows.append([workload.name, *cells])
    return rows


def _rate(tasks: float, size: int) -> str:
    return f"{tasks:,.0f}/s" if size < 10_000 else f"{tasks * size / 1e6:,.4g} MB/s"


def _ratios(report: Report) -> list[list[str]]:
    rows = []
    for workload, participant, baseline, least in TARGETS:
        values = report.ratios(workload, participant, baseline)
        if values:
            goal = _goal(least, least is None or statistics.median(values) >= least)
            rows.append([workload, participant, baseline, *_figures(values), goal])
    return rows


def _costs(report: Report) -> list[list[str]]:
    added = report.runs("adding", "gearman_c-add").values()
    grown = {name: report.growth(name) for name in ("c-window", "gearman_c", "gearman_c-submit")}
    allowed = statistics.median(grown["c-window"]) if grown["c-window"] else None
    title = f"processor time per task, {GROWTH[1]} against {GROWTH[0]}"
    costs: list[tuple[str, list[float], float | None]] = [
        ("adding a task, ns", [1e9 / rate(run) for run in added], ADDING_NANOSECONDS),
        ("a pending task, bytes", [memory(run) for run in added], PENDING_BYTES),
        *((f"{title}: {name}", values, allowed) for name, values in grown.items()),
    ]
    return [
        [name, *_figures(values), _goal(limit, limit is None or statistics.median(values) <= limit)]
        for name, values, limit in costs
        if values
    ]


def _figures(values: Sequence[float]) -> list[str]:
    median, lower, upper, least, most, number = spread(values)
    return [
        _figure(median),
        f"{_figure(lower)}-{_figure(upper)}",
        f"{_figure(least)}-{_figure(most)}",
        str(number),
    ]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _goal(limit: float | None, met: bool) -> str:
    return "" if limit is None else f"{_figure(limit)} ({'met' if met else 'not met'})"
