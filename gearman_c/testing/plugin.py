"""pytest plugin: the fixtures `gearmand` and `gearmand_factory`.

Registered as the entry point `gearman_c` of group `pytest11`; every pytest run of the
environment loads it, so everything but pytest is imported when a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import Gearmand


@pytest.fixture
def gearmand_factory() -> Iterator[Callable[..., Gearmand]]:
    """Start servers: takes the arguments of `Gearmand`, returns it started.

    All are stopped after the test. What a server logged is shown when the test failed.
    """
    from . import Gearmand

    servers: list[Gearmand] = []

    with ExitStack() as stack:

        def start(**arguments: object) -> Gearmand:
            server = Gearmand(**arguments)  # type: ignore[arg-type]
            stack.enter_context(server)
            servers.append(server)
            return server

        yield start
    for server in servers:
        if server.log:
            print(f"log of {server!r}:\n{server.log}")


@pytest.fixture
def gearmand(gearmand_factory: Callable[..., Gearmand]) -> Gearmand:
    """A fresh gearmand server for one test (starting it takes some 20 ms)."""
    return gearmand_factory()
