"""Draws the figure of the README from the measurements."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from report import Report, spread
from workloads import BACKGROUND, Workload

SMALL = [workload for workload in BACKGROUND if workload.size == 100 and workload.name != "adding"]
LARGE = [workload for workload in BACKGROUND if workload.size > 100]
BAR = 0.26  # width, of three side by side


class Look(NamedTuple):
    """How a participant is shown; colours that the colour-blind can tell apart."""

    label: str
    colour: str
    marker: str
    width: float = 1.3


LOOKS = {
    "raw": Look("raw socket, no libgearman", "#999999", "x"),
    "gearman_c-submit": Look("gearman_c: submit", "#d55e00", "s", 2.2),
    "gearman_c": Look("gearman_c: add_task_background, run_tasks", "#e69f00", "o", 2.2),
    "c-window": Look("C: sliding window", "#0072b2", "^"),
    "c-chunks": Look("C: 1,000 a run_tasks", "#56b4e9", "v"),
    "c-manual": Look("C: as the manual page suggests", "#000000", "D"),
    "pygearman-bulks": Look("pygearman: 1,000 a call", "#009e73", "<"),
    "pygearman": Look("pygearman: one call", "#cc79a7", ">"),
}


def draw(report: Report, path: Path) -> None:
    """Write both panels to `path`; its suffix says which format."""
    # The same measurements give the same file: no random ids and no date in it.
    mpl.rcParams.update(
        {
            "svg.hashsalt": "gearman_c",
            "font.size": 9,
            "legend.fontsize": 8,
            "legend.frameon": False,
            "axes.axisbelow": True,
        }
    )
    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_small(left, report)
    _draw_large(right, report)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    # Below both panels: whoever is in the right one is in the left one too, in the same colour.
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


def _draw_small(axes: Axes, report: Report) -> None:
    """Tasks per second against the number of tasks; the band is from quartile to quartile."""
    for name, look in LOOKS.items():
        spreads = [
            (workload.count, spread(rates))
            for workload in SMALL
            if (rates := report.rates(workload.name, name))
        ]
        if not spreads:
            continue
        counts = [count for count, _ in spreads]
        axes.plot(
            counts,
            [values.median for _, values in spreads],
            label=look.label,
            color=look.colour,
            marker=look.marker,
            linewidth=look.width,
            markersize=4,
        )
        lower, upper = ([values[index] for _, values in spreads] for index in (1, 2))
        axes.fill_between(counts, lower, upper, color=look.colour, alpha=0.15, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="background tasks of 100 bytes", ylabel="tasks/s")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_title("Small tasks: rate against number", loc="left")


def _draw_large(axes: Axes, report: Report) -> None:
    """Payload per second; the lines on the bars are from quartile to quartile."""
    names = [name for name in LOOKS if any(report.rates(work.name, name) for work in LARGE)]
    for index, name in enumerate(names):
        for place, workload in enumerate(LARGE):
            rates = report.rates(workload.name, name)
            if rates:
                position = place + (index - (len(names) - 1) / 2) * BAR
                _draw_bar(axes, position, rates, workload, LOOKS[name])
    axes.set(yscale="log", ylabel="MB/s", xlabel="size of one payload")
    axes.set_xticks(range(len(LARGE)), [workload.name for workload in LARGE])
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_ylim(bottom=1)
    axes.set_title("Large payloads: throughput", loc="left")


def _draw_bar(
    axes: Axes, position: float, rates: list[float], workload: Workload, look: Look
) -> None:
    values = spread([tasks * workload.size / 1e6 for tasks in rates])
    axes.bar(
        position,
        values.median,
        BAR,
        color=look.colour,
        yerr=[[values.median - values.lower], [values.upper - values.median]],
        ecolor="#444444",
    )
    axes.annotate(
        f"{values.median:,.0f}",
        (position, values.upper),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        fontsize=7,
    )
