"""run(processes=...): processes that die are replaced, and no job is lost."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

from fix_script import Script
from fix_tasks import wait_for

from gearman_c import Client
from gearman_c.testing import Gearmand

SCRIPT = """
import os, sys, time
from gearman_c import Worker

def work(job):
    with open(sys.argv[2], "a") as file:
        file.write(f"{os.getpid()} {job.workload.decode()}\\n")
    time.sleep(0.001)
    if job.workload == b"die":
        os.abort()

worker = Worker(sys.argv[1])
worker.add_function("f", work)
print("ready", flush=True)
worker.run(processes=2, handle_signals=True)
print("stopped", flush=True)
"""


def read(path: Path) -> list[tuple[int, str]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), workload) for pid, workload in (line.split() for line in lines)]


def test_killed_in_the_middle(gearmand: Gearmand, tmp_path: Path) -> None:
    """Each of 1,000 jobs is done; twice only those that a killed process had in hand."""
    path = tmp_path / "done"
    with Client(gearmand.address) as client:
        for number in range(1000):
            client.add_task_background("f", str(number))
        client.run_tasks()
    with Script(SCRIPT, gearmand.address, path) as script:
        assert script.read() == "ready"
        victims = []
        for count in (100, 300, 500):
            wait_for(lambda: len(read(path)) >= count)  # noqa: B023
            victims.append(read(path)[-1][0])
            os.kill(victims[-1], signal.SIGKILL)
            wait_for(lambda: read(path)[-1][0] not in victims)
        wait_for(lambda: gearmand.status()["f"].total == 0)
        script.send_signal(signal.SIGTERM)
        assert script.read() == "stopped"
    done = Counter(workload for _, workload in read(path))
    assert set(done) == {str(number) for number in range(1000)}
    assert sum(done.values()) <= 1000 + len(victims)


def test_replaced(gearmand: Gearmand, tmp_path: Path) -> None:
    path = tmp_path / "done"
    with Client(gearmand.address) as client, Script(SCRIPT, gearmand.address, path) as script:
        assert script.read() == "ready"
        client.do_background("f", "1")
        wait_for(lambda: read(path))
        for pid in {read(path)[0][0]}:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: gearmand.status()["f"].available_workers == 2)
        script.send_signal(signal.SIGINT)
        assert script.read() == "stopped"
    wait_for(lambda: gearmand.status()["f"].available_workers == 0)


def test_interrupted_by_a_terminal(gearmand: Gearmand, tmp_path: Path) -> None:
    """Ctrl-C comes to all processes at once; the jobs in hand are done all the same."""
    path = tmp_path / "done"
    code = "import os; os.setpgid(0, 0)" + SCRIPT.replace("time.sleep(0.001)", "time.sleep(0.5)")
    code = code.replace(
        "if job.workload", 'open(sys.argv[2] + ".end", "a").write("x")\n    if job.workload'
    )
    with Client(gearmand.address) as client, Script(code, gearmand.address, path) as script:
        assert script.read() == "ready"
        client.do_background("f", "1")
        client.do_background("f", "2")
        wait_for(lambda: len(read(path)) == 2)
        os.killpg(script.process.pid, signal.SIGINT)
        assert script.read() == "stopped"
    assert (tmp_path / "done.end").read_text() == "xx"
    wait_for(lambda: gearmand.status()["f"].total == 0)


def test_without_their_parent(gearmand: Gearmand, tmp_path: Path) -> None:
    """The processes stop when the one that looks after them was killed."""
    with Script(SCRIPT, gearmand.address, tmp_path / "done") as script:
        assert script.read() == "ready"
        wait_for(lambda: gearmand.status().get("f") and gearmand.status()["f"].available_workers)
        script.kill()
    wait_for(lambda: gearmand.status()["f"].available_workers == 0)
