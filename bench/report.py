"""From single measurements to rates, ratios of pairs and Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from harness import Measurement
from workloads import ADDING_NANOSECONDS, GROWTH, PENDING_BYTES, TARGETS, WORKLOADS

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

    def participants(self) -> list[str]:
        """Return who took part, in order of appearance."""
        return list(dict.fromkeys(participant for _, participant in self._runs))


def rate(run: Measurement) -> float:
    """Tasks per second of one run."""
    return float(run["count"]) / float(run["seconds"])


def cpu(run: Measurement) -> float:
    """Processor seconds per task of one run."""
    return float(run["cpu_seconds"]) / float(run["count"])


def markdown(report: Report) -> Iterator[str]:
    """Yield the lines of all tables."""
    yield from _rates(report)
    yield ""
    yield from _ratios(report)
    yield ""
    yield from _costs(report)


def _rates(report: Report) -> Iterator[str]:
    participants = [name for name in report.participants() if name != "gearman_c-add"]
    yield f"| median rate | {' | '.join(participants)} |"
    yield "|---" * (len(participants) + 1) + "|"
    for workload in WORKLOADS:
        cells = []
        for participant in participants:
            rates = report.rates(workload.name, participant)
            cells.append(_rate(statistics.median(rates), workload.size) if rates else "")
        if any(cells):
            yield f"| {workload.name} | {' | '.join(cells)} |"


def _rate(tasks: float, size: int) -> str:
    return f"{tasks:,.0f}/s" if size < 10_000 else f"{tasks * size / 1e6:,.4g} MB/s"


def _ratios(report: Report) -> Iterator[str]:
    yield "| workload | participant | times as fast as | median | quartiles | range | pairs | at least |"
    yield "|---|---|---|---|---|---|---|---|"
    for workload, participant, baseline, least in TARGETS:
        values = report.ratios(workload, participant, baseline)
        if values:
            met = None if least is None else statistics.median(values) >= least
            goal = _goal(least, met)
            yield f"| {workload} | {participant} | {baseline} | {_figures(spread(values))} | {goal} |"


def _costs(report: Report) -> Iterator[str]:
    yield "| cost | median | quartiles | range | runs | at most |"
    yield "|---|---|---|---|---|---|"
    added = report.runs("adding", "gearman_c-add").values()
    nanoseconds = spread([cpu(run) * 1e9 for run in added]) if added else None
    size = spread([float(run["memory_bytes"]) / float(run["count"]) for run in added])
    return


def _figures(values: Spread) -> str:
    median, lower, upper, least, most, number = values
    return (
        f"{_figure(median)} | {_figure(lower)}-{_figure(upper)} "
        f"| {_figure(least)}-{_figure(most)} | {number}"
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _goal(limit: float | None, met: bool | None) -> str:
    return "" if limit is None else f"{limit:g} ({'met' if met else 'not met'})"
