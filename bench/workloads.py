"""What is measured: the workloads, who takes part how often, and the ratios that must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

C_PROGRAMS = {
    **dict.fromkeys(("c-manual", "c-chunks", "c-window", "raw"), "client"),
    **dict.fromkeys(
        ("c-foreground", "c-do", "c-do-untuned", "raw-foreground", "raw-do"), "foreground"
    ),
    "c-worker": "drain",
}
RAW_WORKER = ("raw-foreground", "raw-do")  # without libgearman at either end

# Neighbours here are neighbours in time: those that are compared closely stand together.
_SLOW = ("c-manual", "pygearman", "pygearman-bulks")
_FAST = ("c-chunks", "raw", "gearman_c-submit", "c-window", "gearman_c")
_NEAR = ("gearman_c-submit", "c-window", "gearman_c")
_LARGE = ("raw", "gearman_c", "c-window")
_RESULTS = ("c-foreground", "gearman_c-foreground", "gearman_c-submit-foreground")
_DO = ("c-do", "gearman_c-do")
_LARGE_RESULTS = ("raw-foreground", "gearman_c-foreground", "gearman_c-do", "raw-do", "c-do")

_QUICK_ROUNDS = 3
_QUICK_SLOW_COUNT = 10_000  # tasks at most for the slow in a quick run


@dataclass(frozen=True)
class Workload:
    """Tasks of one size, submitted by several participants in turn.

    rounds: how often each participant runs; their k-th runs make a pair.
    counts: fewer tasks where all of them would take minutes; rates are compared, not times.
    in_quick: whether a quick run takes it.
    worker: which worker gives the payloads back: a kind of worker.c, or "gearman_c" (worker.py);
        None: there is none. workers: another one for some participants.
    queued: whether the jobs lie in the queue before, and the participants are workers.
    apart: whether the participant has a processor of its own, and server and worker the others.
    """

    name: str
    count: int
    size: int
    rounds: Mapping[str, int]
    counts: Mapping[str, int] = field(default_factory=dict)
    in_quick: bool = True
    worker: str | None = None
    workers: Mapping[str, str] = field(default_factory=dict)
    queued: bool = False
    apart: bool = False

    def count_of(self, participant: str) -> int:
        """Return how many tasks this participant submits."""
        return self.counts.get(participant, self.count)

    def worker_of(self, participant: str) -> str | None:
        """Return which worker serves this participant."""
        return "raw" if participant in RAW_WORKER else self.workers.get(participant, self.worker)

    def quick(self) -> Workload:
        """Return a version that takes seconds; it has no rounds if there is no sense in one."""
        rounds = {
            name: min(most, _QUICK_ROUNDS)
            for name, most in self.rounds.items()
            if self.in_quick and (self.count <= _QUICK_SLOW_COUNT or name not in _SLOW)
        }
        return replace(self, rounds=rounds)


class Target(NamedTuple):
    """`participant` must be at least `least` times as fast as `baseline`; None: for information."""

    workload: str
    participant: str
    baseline: str
    least: float | None


BACKGROUND = (
    Workload("10 tasks", 10, 100, dict.fromkeys(_SLOW + _FAST, 9)),
    Workload("100 tasks", 100, 100, dict.fromkeys(_SLOW + _FAST, 9)),
    Workload("1,000 tasks", 1_000, 100, dict.fromkeys(_SLOW + _FAST, 9)),
    Workload("10,000 tasks", 10_000, 100, dict.fromkeys(_SLOW, 3) | dict.fromkeys(_FAST, 9)),
    Workload("50,000 tasks", 50_000, 100, dict.fromkeys(_SLOW, 3) | dict.fromkeys(_FAST, 31)),
    Workload(
        "200,000 tasks",
        200_000,
        100,
        {"pygearman-bulks": 2} | dict.fromkeys(_FAST, 21),
        in_quick=False,
    ),
    Workload(
        "200,000 tasks, apart",
        200_000,
        100,
        dict.fromkeys(_NEAR, 15),
        in_quick=False,
        apart=True,
    ),
    Workload("1,000,000 tasks", 1_000_000, 100, dict.fromkeys(_FAST, 5), in_quick=False),
    # libgearman's own socket moves 2 MB/s when payloads are large: a few tasks tell its rate.
    Workload("10 KB", 20_000, 10_000, dict.fromkeys(_LARGE, 5)),
    Workload("60 KB", 2_000, 60_000, dict.fromkeys(_LARGE, 5)),
    Workload("1 MB", 100, 1_000_000, dict.fromkeys(_LARGE, 9) | {"c-window": 3}, {"c-window": 10}),
    Workload("20 MB", 10, 20_000_000, dict.fromkeys(_LARGE, 9) | {"c-window": 2}, {"c-window": 1}),
    Workload("adding", 1_000_000, 100, {"gearman_c-add": 5}),
)

FOREGROUND = (
    Workload("10,000 results", 10_000, 100, dict.fromkeys(_RESULTS, 15), worker="tuned"),
    Workload(
        "5,000 round trips, apart", 5_000, 100, dict.fromkeys(_DO, 15), worker="tuned", apart=True
    ),
    Workload("5,000 round trips", 5_000, 100, dict.fromkeys(_DO, 15), worker="tuned"),
    Workload(
        "1 MB results",
        20,
        1_000_000,
        dict.fromkeys(_LARGE_RESULTS, 15) | {"c-do-untuned": 3},
        {"c-do-untuned": 2},
        worker="tuned",
    ),
    Workload(
        "20 MB results",
        5,
        20_000_000,
        dict.fromkeys(_LARGE_RESULTS, 9),
        worker="tuned",
    ),
    # The worker's socket is beyond a client's reach: so much is left of it with any other worker.
    Workload(
        "1 MB, worker untuned",
        2,
        1_000_000,
        dict.fromkeys(("gearman_c-do", "c-do-untuned"), 3),
        worker="untuned",
    ),
)

# Both ends of gearman_c beside both ends of C.
_ENDS = {"gearman_c-do": "gearman_c", "c-do": "tuned", "c-do-untuned": "untuned"}

WORKER = (
    Workload(
        "20,000 jobs",
        20_000,
        100,
        dict.fromkeys(("c-worker", "gearman_c-worker"), 15) | {"pygearman-worker": 9},
        queued=True,
    ),
    Workload(
        "2,000 jobs that wait 1 ms",
        2_000,
        100,
        dict.fromkeys(("gearman_c-worker-waiting", "gearman_c-worker-2-threads"), 5),
        queued=True,
    ),
    Workload(
        "5,000 round trips, both ends, apart",
        5_000,
        100,
        dict.fromkeys(_DO, 15),
        workers=_ENDS,
        apart=True,
    ),
    Workload(
        "5,000 round trips, both ends",
        5_000,
        100,
        dict.fromkeys(_DO, 15),
        workers=_ENDS,
    ),
    Workload(
        "1 MB, both ends",
        20,
        1_000_000,
        {"gearman_c-do": 5, "c-do": 5, "c-do-untuned": 3},
        {"c-do-untuned": 2},
        workers=_ENDS,
    ),
)

WORKLOADS = BACKGROUND + FOREGROUND + WORKER

TARGETS = (
    Target("50,000 tasks", "gearman_c", "c-window", 0.85),
    Target("50,000 tasks", "gearman_c-submit", "c-window", 0.95),
    Target("50,000 tasks", "gearman_c", "raw", None),
    Target("50,000 tasks", "gearman_c-submit", "raw", None),
    Target("50,000 tasks", "gearman_c", "c-chunks", None),
    Target("50,000 tasks", "gearman_c", "c-manual", 200),
    Target("50,000 tasks", "gearman_c-submit", "c-manual", 200),
    Target("50,000 tasks", "gearman_c", "pygearman", 8),
    Target("50,000 tasks", "gearman_c-submit", "pygearman", 8),
    Target("50,000 tasks", "gearman_c", "pygearman-bulks", None),
    Target("200,000 tasks", "gearman_c", "c-window", 0.85),
    Target("200,000 tasks", "gearman_c-submit", "c-window", 0.95),
    Target("200,000 tasks", "gearman_c", "raw", None),
    Target("200,000 tasks, apart", "gearman_c", "c-window", 0.85),
    Target("200,000 tasks, apart", "gearman_c-submit", "c-window", 0.95),
    Target("1,000,000 tasks", "gearman_c", "c-window", None),
    Target("1,000,000 tasks", "gearman_c-submit", "c-window", None),
    Target("10 KB", "gearman_c", "c-window", 1),
    Target("60 KB", "gearman_c", "c-window", 1),
    # Against c-window no figure of its own: how far raw is ahead of it differs between machines.
    Target("1 MB", "gearman_c", "raw", 0.5),
    Target("1 MB", "gearman_c", "c-window", None),
    Target("20 MB", "gearman_c", "raw", 0.5),
    Target("20 MB", "gearman_c", "c-window", None),
    Target("10,000 results", "gearman_c-foreground", "c-foreground", 0.9),
    Target("10,000 results", "gearman_c-submit-foreground", "c-foreground", None),
    Target("5,000 round trips, apart", "gearman_c-do", "c-do", 0.9),
    Target("5,000 round trips", "gearman_c-do", "c-do", 0.9),
    Target("1 MB results", "gearman_c-foreground", "raw-foreground", 0.5),
    Target("1 MB results", "gearman_c-foreground", "raw-do", None),
    Target("1 MB results", "gearman_c-do", "raw-do", 0.5),
    Target("1 MB results", "gearman_c-do", "c-do", None),
    Target("1 MB results", "gearman_c-do", "c-do-untuned", None),
    Target("20 MB results", "gearman_c-foreground", "raw-foreground", 0.5),
    Target("20 MB results", "gearman_c-foreground", "raw-do", None),
    Target("20 MB results", "gearman_c-do", "raw-do", 0.5),
    Target("20 MB results", "gearman_c-do", "c-do", None),
    Target("1 MB, worker untuned", "gearman_c-do", "c-do-untuned", None),
    Target("20,000 jobs", "gearman_c-worker", "c-worker", 0.9),
    Target("20,000 jobs", "gearman_c-worker", "pygearman-worker", 3),
    Target(
        "2,000 jobs that wait 1 ms", "gearman_c-worker-2-threads", "gearman_c-worker-waiting", 1.5
    ),
    Target("5,000 round trips, both ends, apart", "gearman_c-do", "c-do", 0.9),
    Target("5,000 round trips, both ends", "gearman_c-do", "c-do", 0.9),
    Target("1 MB, both ends", "gearman_c-do", "c-do", None),
    Target("1 MB, both ends", "gearman_c-do", "c-do-untuned", 100),
)

GROWTH = ("10,000 tasks", "1,000,000 tasks")  # processor time per task, from the first to the last
ADDING_NANOSECONDS = 250  # at most, per task
PENDING_BYTES = 300  # at most, per task beyond its payload
