"""Fixtures of servers beyond the plugin's `gearmand`, and a client of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gearman_c import Client
from gearman_c.testing import Gearmand


@pytest.fixture
def durable_gearmand(gearmand_factory: Callable[..., Gearmand], tmp_path: Path) -> Gearmand:
    """A server that keeps its queue in a file: jobs survive `kill()` and `start()`."""
    database = tmp_path / "queue.sqlite"
    return gearmand_factory(arguments=["-q", "libsqlite3", "--libsqlite3-db", str(database)])


@pytest.fixture(scope="module")
def shared_gearmand() -> Iterator[Gearmand]:
    """One server for all the tests of a file, which leave jobs behind."""
    with Gearmand() as server:
        yield server


@pytest.fixture
def client(gearmand: Gearmand) -> Iterator[Client]:
    with Client(gearmand.address, timeout=60) as opened:
        yield opened
