"""Sub-interpreters: they are refused in words, and the main one goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gearman_c.testing import Gearmand

# What Python calls the module differs, and so does the way to ask for a GIL of its own.
COMMON = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def create(own_gil):
    if sys.version_info >= (3, 13):
        return interpreters.create("isolated" if own_gil else "legacy")
    return interpreters.create(isolated=own_gil)

def attempt(which):
    said = interpreters.run_string(which, '''if True:
        try:
            import %s
        except ImportError as error:
            assert "interpreter" in str(error), error
            assert "_gearman" not in str(getattr(error, "__cause__", "")), error
        else:
            raise SystemExit("it was imported")
    ''' % sys.argv[3])
    assert said is None, said  # since 3.13 it returns what was raised

def work():
    import gearman_c
    with gearman_c.Client(sys.argv[1]) as client:
        client.echo("hello")
        task = client.add_task_background("f")
        client.run_tasks()
        assert task.job_handle

own_gil = sys.argv[2] == "own"
"""

GIL = ["shared", "own"]
MODULES = ["gearman_c", "gearman_c._gearman", "gearman_c.aio", "gearman_c.testing"]


@pytest.mark.parametrize("gil", GIL)
@pytest.mark.parametrize("module", MODULES)
def test_after_the_main_interpreter(
    gearmand: Gearmand, run_script: Callable[..., str], gil: str, module: str
) -> None:
    code = """
work()
for _ in range(3):
    which = create(own_gil)
    for _ in range(2):
        attempt(which)
        work()
    interpreters.destroy(which)
    work()
"""
    run_script(COMMON + code, gearmand.address, gil, module)


@pytest.mark.parametrize("gil", GIL)
@pytest.mark.parametrize("module", MODULES)
def test_before_the_main_interpreter(
    gearmand: Gearmand, run_script: Callable[..., str], gil: str, module: str
) -> None:
    """Who comes first is not the only one allowed: that would lock the main interpreter out."""
    code = """
which = create(own_gil)
attempt(which)
attempt(create(own_gil))
work()
attempt(which)
interpreters.destroy(which)
work()
"""
    run_script(COMMON + code, gearmand.address, gil, module)


@pytest.mark.parametrize("gil", GIL)
def test_while_the_main_interpreter_works(
    gearmand: Gearmand, run_script: Callable[..., str], gil: str
) -> None:
    """Libgearman calls back by the GIL of the main one, in whatever thread that is."""
    code = """
import threading
import gearman_c
ended = threading.Event()
ready = threading.Event()
told = []

def run():
    with gearman_c.Client(sys.argv[1]) as client:
        client.set_log(lambda level, line: None, 5)
        client.on_created = told.append
        while not ended.is_set():
            client.add_task_background("f")
            client.run_tasks()
            ready.set()

thread = threading.Thread(target=run)
thread.start()
ready.wait()
for _ in range(10):
    which = create(own_gil)
    attempt(which)
    interpreters.destroy(which)
ended.set()
thread.join()
assert told
work()
"""
    run_script(COMMON + code, gearmand.address, gil, "gearman_c")
