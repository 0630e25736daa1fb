"""Every block of code in the README and the documents does what it says.

Blocks of Python run one after the other, as one script for each page, against a real server. C is
compiled, not run. PHP is there to be read: nothing here has a PHP. Blocks of ``text`` install
packages, or show what the tests of the command line run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_tasks import wait_for

from gearman_c.testing import Gearmand

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# How many blocks there are of each kind: a block that is not found is a block that is not run.
BLOCKS = {
    "README.md": {"python": 1, "sh": 3},
    "docs/tutorial.md": {"python": 10, "text": 2},
    "docs/from-c.md": {"c": 1, "python": 1},
    "docs/from-php.md": {"php": 1, "python": 1},
    "docs/from-pygearman.md": {"python": 1},
}

# What a page leaves to its reader: his data, and the workers of another machine. README ends with a
# worker that runs until it is told to stop.
BEFORE = {
    "docs/tutorial.md": "import logging; logging.disable()  # a job divides by zero",
    "README.md": """if True:
        import os, signal, threading, time
        import gearman_c
        from gearman_c.testing import drain
        paths = ["a.jpg", "b.jpg"]
        def endless_stream():
            yield from paths
        other = gearman_c.Worker("localhost:4730")
        other.add_function("measure", lambda job: str(len(job.workload)))
        thread = threading.Thread(target=other.run, daemon=True)
        thread.start()
        def stop():
            with gearman_c.Admin("localhost", 4730) as admin:
                while not any(
                    row.function_name == "measure" and row.available_workers >= 5
                    for row in admin.status()
                ):
                    time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=stop, daemon=True).start()
    """,
}
AFTER = {
    "README.md": """if True:
        other.stop()
        thread.join()
        jobs = drain("localhost:4730", "thumbnail")
        assert [job.workload for job in jobs] == [b"a.jpg", b"b.jpg"] * 2
        assert size == b"23", size
    """,
}


def blocks(page: str, language: str) -> list[str]:
    found = BLOCK.findall((ROOT / page).read_text())
    return [text for kind, text in found if kind == language]


def test_all_are_known() -> None:
    counted = {}
    for page in PAGES:
        kinds = [kind for kind, _ in BLOCK.findall((ROOT / page).read_text())]
        if kinds and page != "docs/index.md":
            counted[page] = {kind: kinds.count(kind) for kind in kinds}
    assert counted == BLOCKS


@pytest.mark.parametrize("page", [page for page in BLOCKS if "python" in BLOCKS[page]])
def test_python(page: str, gearmand: Gearmand, run_script: Callable[..., str]) -> None:
    code = [BEFORE.get(page, ""), *blocks(page, "python"), AFTER.get(page, "")]
    text = "\n".join(code).replace("localhost:4730", gearmand.address)
    run_script(text.replace('"localhost", 4730', f'"{gearmand.host}", {gearmand.port}'))


@pytest.mark.parametrize("page", [page for page in BLOCKS if "c" in BLOCKS[page]])
def test_c(page: str) -> None:
    for code in blocks(page, "c"):
        flags = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"]
        subprocess.run(["gcc", *flags], input=code, text=True, check=True)


def test_shell(gearmand: Gearmand, tmp_path: Path) -> None:
    """The commands of the README: those that run until they are stopped do so beside the others."""
    commands = [
        line.partition("  #")[0].strip()
        for block in blocks("README.md", "sh")
        for line in block.splitlines()
        if "gearman-c" in line
    ]
    assert len(commands) == 7
    (tmp_path / "thumbnails.py").write_text("def make(job):\n    return job.workload\n")
    (tmp_path / "a.jpg").touch()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "GEARMAN_SERVERS": gearmand.address}
    outputs = {}
    started = []
    for command in commands:
        command = command.replace("queue1:4730", gearmand.address)
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", f"exec {command}" if "|" not in command else command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        if " work " in command or "--watch" in command:
            started.append(process)
        else:
            outputs[command], errors = process.communicate(timeout=60)
            assert (process.returncode, errors) == (0, ""), command
    assert outputs["echo hello | gearman-c do shout"].strip() == "HELLO"
    wait_for(lambda: {"shout", "make"} <= gearmand.status().keys())
    for process in started:
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
