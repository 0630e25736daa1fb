"""`make stress`, small: its server is killed some times, and its sums are right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

STRESS = str(Path(__file__).parent.parent / "tools" / "stress.py")


@pytest.mark.slow
def test_stress() -> None:
    command = [sys.executable, STRESS, "10000", "0.5"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    sums = {
        what: int(count.replace(",", ""))
        for count, what in re.findall(r" ([\d,]+) (.*)", result.stdout)
    }
    assert sums["acknowledged exactly once"] == 10_000
    assert sums["lost"] == sums["were not in doubt"] == 0
    assert int(re.findall(r"was killed (\d+) times", result.stdout)[0]) >= 1
