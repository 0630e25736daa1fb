"""What breaks, and when, and what becomes of the work: the tables of docs/reliability.md.

Each fault strikes while work is under way, and is lifted after the first error, or at once where
there is none. Then all is done, whatever was raised: nothing is lost, and nothing done twice but
what was unconfirmed, or in the hands of a worker.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_faults import COUNT, FAULTS, KINDS, Fault, Outcome, Scene
from fix_tasks import wait_for

PAGE = (Path(__file__).parent.parent / "docs" / "reliability.md").read_text()

# A stream is struck between two tasks that it gives out, when all that was sent may just be
# acknowledged: nobody has to be told then. All other work is struck with something under way.
ATTEMPTS = {"submit": 3}

LOST = {"ConnectionFailedError"}
LATE = {"WaitTimeoutError"}
NOTHING: set[str] = set()

# Fault: what is raised in each kind of work. In asyncio a job that may be running raises
# UnconfirmedError, and all else that waits the error of the connection.
BROKEN = {
    "background": LOST,
    "foreground": LOST,
    "do": LOST,
    "submit": LOST,
    "worker": NOTHING,
    "asynchronous": LOST | {"UnconfirmedError"},
}
SILENT = {
    "background": LATE,
    "foreground": LATE,
    "do": LATE,
    "submit": LATE,
    "worker": NOTHING,
    "asynchronous": LATE,
}
FULL = {"QueueFullError"}
MANY = {"background", "foreground", "submit", "asynchronous"}  # jobs at a time
SLOW = dict.fromkeys(BROKEN, NOTHING)
EXPECTED = {
    "server killed": BROKEN,
    "server killed and started": BROKEN,
    "server stopped": SILENT,
    "server replaced": BROKEN,
    "connections refused": BROKEN,
    "connection reset": BROKEN,
    "cut inside a packet": BROKEN,
    "acknowledgements delayed": SILENT,
    # Foreground jobs that were at work at the cut are found to be lost by the next run.
    "silence, then unknown": SILENT
    | {"foreground": LATE | LOST, "asynchronous": BROKEN["asynchronous"] | LATE},
    "1 KB/s": SLOW,
    "one byte at a time": SLOW,
    "packets lost for a while": SILENT,
    # The reset comes in answer to the next packet, for instance in the next run.
    "half-open": {kind: raised and raised | LATE for kind, raised in BROKEN.items()},
    "name lost": BROKEN,
    "queue full": {kind: FULL if kind in MANY else NOTHING for kind in BROKEN},
    "disk full": SLOW | {"background": {"ServerError"}, "submit": {"ServerError"}},
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(fault: Fault, kind: Callable[[Scene, Fault], Outcome]) -> None:
    expected = EXPECTED[fault.name][kind.__name__]
    outcome = Outcome()
    for _ in range(ATTEMPTS.get(kind.__name__, 1)):
        with fault.scene() as scene:
            scene.strike_with(fault)
            outcome = kind(scene, fault)
            assert scene.has_struck
            wait_for(lambda: len(scene.done) == COUNT)
            doubled = {number for number, count in scene.done.items() if count > 1}
            assert doubled <= outcome.unconfirmed | scene.in_hand
        if outcome.raised or not expected:
            break
    assert bool(outcome.raised) == bool(expected)
    assert outcome.raised <= expected
    if not expected:
        assert not outcome.unconfirmed


def test_the_page_says_the_same() -> None:
    rows = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 1 + len(KINDS) and cells[0] in EXPECTED:
            rows[cells[0]] = [set(re.findall(r"`(\w+)`", cell)) for cell in cells[1:]]
    assert rows == {
        name: [kinds[kind.__name__] for kind in KINDS] for name, kinds in EXPECTED.items()
    }
