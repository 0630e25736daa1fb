"""Every block of code in the README and the documents does what it says.

Blocks of Python run one after the other, as one script for each page, against a real server; so do
the commands of a shell. C is compiled, not run. PHP is there to be read: nothing here has a PHP.
The one block of ``text`` installs packages. ``make docs`` checks the links between the documents.
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

import gearman_c
import gearman_c.aio
from gearman_c import testing
from gearman_c.testing import Gearmand

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^\s*(```|~~~|:::)", re.MULTILINE)

# How many blocks there are of each kind: a block that is not found is a block that is not run.
BLOCKS = {
    "README.md": {"python": 1, "sh": 3},
    "docs/index.md": {"{toctree}": 1},
    "docs/tutorial.md": {"python": 11, "sh": 3, "text": 1},
    "docs/from-c.md": {"c": 1, "python": 1},
    "docs/from-php.md": {"php": 1, "python": 1},
    "docs/from-pygearman.md": {"python": 1},
}

# A block that raises ends the script at once: the threads of a page's workers would keep it.
FIRST = """if True:
    import os, sys, traceback
    def fail(*error):
        traceback.print_exception(*error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    sys.excepthook = fail
"""

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
        text = (ROOT / page).read_text()
        kinds = [kind for kind, _ in BLOCK.findall(text)]
        # Each has two fences: one that is indented, or has no language, would not be found.
        assert len(FENCE.findall(text)) == 2 * len(kinds), page
        if kinds:
            counted[page] = {kind: kinds.count(kind) for kind in kinds}
    assert counted == BLOCKS


@pytest.mark.parametrize("page", [page for page in BLOCKS if "python" in BLOCKS[page]])
def test_python(page: str, gearmand: Gearmand, run_script: Callable[..., str]) -> None:
    code = [FIRST, BEFORE.get(page, ""), *blocks(page, "python"), AFTER.get(page, "")]
    text = "\n".join(code).replace("localhost:4730", gearmand.address)
    run_script(text.replace('"localhost", 4730', f'"{gearmand.host}", {gearmand.port}'))


@pytest.mark.parametrize("page", [page for page in BLOCKS if "c" in BLOCKS[page]])
def test_c(page: str) -> None:
    for code in blocks(page, "c"):
        flags = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"]
        subprocess.run(["gcc", *flags], input=code, text=True, check=True)


# Commands that are not run here: another test does it, or this is it.
ELSEWHERE = {"make demo": "test_demo.py", "make test": "all the tests"}
# How many commands there are, and the functions of the workers among them.
COMMANDS = {
    "README.md": (7, {"shout", "make"}),
    "docs/tutorial.md": (5, {"shout"}),
}


def commands_of(page: str) -> list[str]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines]


def test_all_commands_are_known() -> None:
    assert COMMANDS.keys() == {page for page in BLOCKS if "sh" in BLOCKS[page]}


@pytest.mark.parametrize("page", COMMANDS)
def test_shell(page: str, gearmand: Gearmand, tmp_path: Path) -> None:
    """Commands that run until they are stopped do so beside the others."""
    count, functions = COMMANDS[page]
    commands = [command for command in commands_of(page) if command not in ELSEWHERE]
    assert len(commands) == count
    (tmp_path / "thumbnails.py").write_text("def make(job):\n    return job.workload\n")
    (tmp_path / "a.jpg").touch()
    (tmp_path / "lines.txt").write_text("a\nb\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "GEARMAN_SERVERS": gearmand.address}
    outputs = {}
    started = []
    try:
        for command in commands:
            command = command.replace("queue1:4730", gearmand.address)
            whole = f"exec {command}" if "|" not in command else command
            process = subprocess.Popen(
                ["bash", "-o", "pipefail", "-c", whole],
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
        wait_for(lambda: functions <= gearmand.status().keys())
        for process in started:
            assert process.poll() is None
    finally:  # a worker that is left would wait for its server for ever
        for process in started:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def test_links() -> None:
    """Sphinx looks after those of docs/, but not of the README."""
    # tools/test-installed.sh has no other files beside the tests.
    links = re.findall(r"\]\(((?:docs|examples)\b[^)#]*)", (ROOT / "README.md").read_text())
    assert "docs/tutorial.md" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


NAMED = {
    "client": gearman_c.Client,
    "worker": gearman_c.Worker,
    "task": gearman_c.Task,
    "job": gearman_c.Job,
    "admin": gearman_c.Admin,
    "error": gearman_c.GearmanError(),
}


@pytest.mark.parametrize("page", ["docs/from-c.md", "docs/from-php.md", "docs/from-pygearman.md"])
def test_names(page: str) -> None:
    """What the last column of a table calls by a name of ours has that name."""
    rows = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("| ")]
    cells = [row.strip("| ").rpartition(" | ")[2] for row in rows]
    pattern = rf"\b({'|'.join(NAMED)})\.(\w+)"
    names = {pair for cell in cells for pair in re.findall(pattern, cell)}
    assert len(names) >= 10
    assert {(kind, name) for kind, name in names if not hasattr(NAMED[kind], name)} == set()


def test_reference() -> None:
    """The reference has all public names; and all their attributes, also those without a text."""
    text = (ROOT / "docs/api.rst").read_text()
    modules = set(re.findall(r"automodule:: ([\w.]+)", text))
    listed = set(re.findall(r":: (gearman_c\.[\w.]+)", text))
    written_out = set(re.findall(r"attribute:: (\w+)", text))
    for package in (gearman_c, gearman_c.aio, testing):
        for name in package.__all__:
            value = getattr(package, name)
            homes = {package.__name__, getattr(value, "__module__", None)}
            assert homes & modules or f"{package.__name__}.{name}" in listed, name
    for kind in (
        gearman_c.Client,
        gearman_c.Task,
        gearman_c.Submission,
        gearman_c.Worker.__base__,
        gearman_c.Job,
    ):
        for name in dir(kind):
            if not name.startswith("_"):
                assert getattr(kind, name).__doc__ or name in written_out, f"{kind}.{name}"
