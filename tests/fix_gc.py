"""What stays behind: objects that the collector sees, and resident memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def collect() -> None:
    """Collect until nothing more is found: finalizers may free what was reachable before."""
    while gc.collect():
        pass


def tracked() -> Counter[str]:
    """Count the objects that the cycle collector sees, by their type."""
    collect()
    return Counter(f"{type(each).__module__}.{type(each).__name__}" for each in gc.get_objects())


@contextmanager
def flat_objects(allowance: int = 20) -> Iterator[None]:
    """Assert that no type has more objects after the block than before, but for a few.

    allowance: how many, of each type: Python itself fills caches at any time. So let the block
    make many more of what it tests.
    """
    tracked()  # the first count makes objects of its own
    before = tracked()
    yield
    grown = {name: count for name, count in (tracked() - before).items() if count > allowance}
    assert not grown, f"objects left: {grown}"


@pytest.fixture(name="flat_objects")
def flat_objects_fixture() -> Callable[..., object]:
    """`with flat_objects(): ...` asserts that the block leaves no objects behind."""
    return flat_objects


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    answer = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return int(answer.stdout) * 1024
