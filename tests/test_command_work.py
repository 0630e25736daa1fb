"""`gearman-c work`: jobs done by a command or a callable, in processes as users start them."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fix_cli import CLI, Start, cli, complaint, has_worker
from fix_command import Process, end, environment
from fix_tasks import wait_for

from gearman_c import Client, JobFailedError
from gearman_c.testing import Gearmand

MODULE = """\
import os, signal, time

def double(job):
    return job.workload * 2

def fail(job):
    raise ValueError("no such thing")

def wait(job):
    path = job.workload.decode()
    open(path + ".begun", "w").close()
    while not os.path.exists(path):
        time.sleep(0.01)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            open(path + ".told", "w").close()
    return b"done"

class Shop:
    @staticmethod
    def greet(job):
        return b"hello " + job.workload

number = 5
"""
# Tells that it has begun, and ends when the file named by its input is there.
WAIT = 'read -r path; : > "$path.begun"; while [ ! -e "$path" ]; do sleep 0.01; done; echo done'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("\n1 / 0\n")
    return tmp_path


def work(
    start: Start, server: Gearmand, *arguments: str, name: str = "f", **options: Any
) -> Process:
    """Start a worker, and wait until the server knows of it."""
    begun = start("work", "--server", server.address, *arguments, command=CLI, **options)
    has_worker(server, name)
    return begun


def stop(process: Process, number: int = signal.SIGTERM) -> str:
    """Let a signal end a worker, which it does with success; return what it said on stderr."""
    process.send_signal(number)
    status, output, messages = end(process)
    assert (status, output) == (0, b"")
    return messages


# Commands


def test_command(gearmand: Gearmand, client: Client, start: Start) -> None:
    process = work(start, gearmand, "f", "--", "tr", "a-z", "A-Z")
    for workload in (b"hello\n", b"", b"\0\xff\n\n"):
        assert client.do("f", workload) == workload.upper()
    assert stop(process) == ""


def test_options_of_the_command_are_its_own(
    gearmand: Gearmand, client: Client, start: Start
) -> None:
    work(start, gearmand, "f", "--", "printf", "%s|", "--threads", "--", "{}")
    assert client.do("f") == b"--threads|--|{}|"


def test_command_is_told_of_its_job(gearmand: Gearmand, client: Client, start: Start) -> None:
    words = 'printf "%s " "$GEARMAN_FUNCTION" "$GEARMAN_HANDLE" "$GEARMAN_UNIQUE"'
    work(start, gearmand, "f", "--", "sh", "-c", words)
    task = client.execute("f", unique="key 1")
    assert task.result().decode() == f"f {task.job_handle} key 1 "


@pytest.mark.parametrize(
    ("words", "reason"),
    [("exit 3", b"sh ended with exit status 3"), ("kill -9 $$", b"sh ended with signal 9")],
)
def test_command_that_fails(
    gearmand: Gearmand, client: Client, start: Start, words: str, reason: bytes
) -> None:
    process = work(start, gearmand, "f", "--", "sh", "-c", f'[ "$(cat)" = good ] || {words}')
    task = client.execute("f", b"bad")
    with pytest.raises(JobFailedError):
        task.result()
    assert reason in b"".join([*task.warnings, task.data or b""])
    assert client.do("f", b"good") == b""  # it goes on
    assert stop(process) == ""


def test_stderr_of_the_command_goes_to_ours(
    gearmand: Gearmand, client: Client, start: Start
) -> None:
    process = work(start, gearmand, "f", "--", "sh", "-c", "echo result; echo aside >&2")
    assert client.do("f") == b"result\n"
    assert stop(process) == "aside\n"


def test_much_in_and_out(gearmand: Gearmand, client: Client, start: Start) -> None:
    work(start, gearmand, "f", "--", "cat")
    workload = os.urandom(5_000_000)
    assert client.do("f", workload) == workload


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_command_that_does_not_read(
    gearmand: Gearmand, client: Client, start: Start, size: int
) -> None:
    process = work(start, gearmand, "f", "--", "echo", "result")
    assert client.do("f", b"x" * size) == b"result\n"
    assert stop(process) == ""


def test_command_that_is_not_found(gearmand: Gearmand) -> None:
    message = complaint("work", "f", "--server", gearmand.address, "--", "no-such-command", "x")
    assert message == "gearman-c: no-such-command: there is no such command"
    assert gearmand.status() == {}


def test_command_that_is_lost_later(
    gearmand: Gearmand, client: Client, start: Start, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\ncat\n")
    program.chmod(0o755)
    work(start, gearmand, "f", "--", str(program))
    assert client.do("f", b"x") == b"x"
    program.unlink()
    task = client.execute("f", b"x")
    with pytest.raises(JobFailedError):
        task.result()
    assert b"No such file or directory" in b"".join(task.warnings)


# Threads, processes and the end


@pytest.mark.parametrize("option", ["--threads", "--processes"])
def test_jobs_at_the_same_time(
    gearmand: Gearmand, client: Client, start: Start, tmp_path: Path, option: str
) -> None:
    begun = start(
        *("work", "--server", gearmand.address, option, "3", "f", "--", "sh", "-c", WAIT),
        command=CLI,
    )
    has_worker(gearmand, "f", 3)
    for number in range(4):
        client.do_background("f", f"{tmp_path}/{number}\n")
    wait_for(lambda: len(list(tmp_path.glob("*.begun"))) == 3)
    assert (gearmand.status()["f"].running, gearmand.status()["f"].total) == (3, 4)
    for number in range(4):
        (tmp_path / str(number)).touch()
    wait_for(lambda: gearmand.status()["f"].total == 0)
    assert stop(begun) == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["command", "callable"])
def test_signal_lets_the_job_in_hand_end(
    gearmand: Gearmand, start: Start, folder: Path, kind: str, number: int
) -> None:
    how = ["f", "--", "sh", "-c", WAIT] if kind == "command" else ["jobs:wait", "--function", "f"]
    process = work(start, gearmand, *how, cwd=str(folder))
    flag = folder / "flag"

    def do() -> bytes:
        with Client(gearmand.address, timeout=60) as client:
            return client.do("f", str(flag) + "\n" * (kind == "command"))

    with ThreadPoolExecutor() as executor:
        result = executor.submit(do)
        wait_for((folder / "flag.begun").exists)
        process.send_signal(number)
        # It takes no other job now, and does not leave this one.
        with Client(gearmand.address) as client:
            client.do_background("f", b"another")
        assert process.poll() is None
        flag.touch()
        assert result.result(60).strip() == b"done"
    assert end(process) == (0, b"", "")
    assert gearmand.status()["f"].total == 1


def test_ctrl_c_twice_leaves_the_job(
    gearmand: Gearmand, client: Client, start: Start, folder: Path
) -> None:
    process = work(start, gearmand, "jobs:wait", "--function", "f", cwd=str(folder))
    client.do_background("f", f"{folder}/never")
    wait_for((folder / "never.begun").exists)
    process.send_signal(signal.SIGINT)
    wait_for((folder / "never.told").exists)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    status, _, messages = end(process)
    assert (status, messages) == (130, "gearman-c: interrupted\n")
    wait_for(lambda: gearmand.status()["f"].running == 0)
    assert gearmand.status()["f"].total == 1  # back in its queue


def test_idle_worker_ends(gearmand: Gearmand, start: Start) -> None:
    assert stop(work(start, gearmand, "f", "--", "cat"), signal.SIGINT) == ""


def test_server_that_comes_later(gearmand: Gearmand, start: Start) -> None:
    process = work(start, gearmand, "-v", "f", "--", "cat")
    gearmand.restart()
    has_worker(gearmand, "f")
    with Client(gearmand.address, timeout=60) as client:
        assert client.do("f", b"x") == b"x"
    lines = stop(process).splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("gearman-c: ") and gearmand.address in line for line in lines)


# Callables


def test_callable(gearmand: Gearmand, client: Client, start: Start, folder: Path) -> None:
    process = work(start, gearmand, "jobs:double", name="double", cwd=str(folder))
    assert client.do("double", b"ab") == b"abab"
    assert stop(process) == ""


def test_callable_in_a_class_under_another_name(
    gearmand: Gearmand, client: Client, start: Start, folder: Path
) -> None:
    work(start, gearmand, "jobs:Shop.greet", "--function", "f", cwd=str(folder))
    assert client.do("f", b"you") == b"hello you"


def test_callable_of_an_installed_module(
    gearmand: Gearmand, client: Client, start: Start, folder: Path, tmp_path: Path
) -> None:
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    work(
        start,
        gearmand,
        "jobs:double",
        name="double",
        cwd="/",
        env=environment(PYTHONPATH=path),
    )
    assert client.do("double", b"x") == b"xx"


def test_callable_that_raises(
    gearmand: Gearmand, client: Client, start: Start, folder: Path
) -> None:
    process = work(start, gearmand, "jobs:fail", name="fail", cwd=str(folder))
    task = client.execute("fail")
    with pytest.raises(JobFailedError):
        task.result()
    assert b"no such thing" in b"".join(task.warnings)
    messages = stop(process)
    assert "ValueError: no such thing" in messages


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("jobs:nothing", "has no attribute 'nothing'"),
        ("jobs:number", "jobs:number is no callable, but of type int"),
        ("broken:f", "ZeroDivisionError: division by zero ("),
    ],
)
def test_callable_that_is_not_found(start: Start, folder: Path, target: str, expected: str) -> None:
    process = start("work", target, command=CLI, cwd=str(folder))
    status, output, message = end(process)
    assert (status, output) == (1, b"")
    assert message.startswith("gearman-c: ")
    assert expected in message
    assert message.count("\n") == 1


# Usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: FUNCTION"),
        (["f"], "neither MODULE:CALLABLE nor a command: f -- COMMAND..."),
        (["f", "--"], "there is no COMMAND behind --"),
        (["f", "--threads", "0", "--", "cat"], "'0' is not a number from 1 to 10000"),
        (["f", "--threads", "many", "--", "cat"], "'many' is not a number"),
        (["f", "--function", "g", "--", "cat"], "--function is for a MODULE:CALLABLE"),
        (["", "--", "cat"], "the function name is empty"),
        (["f", "--server", "host:0", "--", "cat"], "argument --server"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    result = cli("work", *arguments)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.startswith(b"usage: gearman-c work")
    assert message in result.stderr.decode()


def test_do_gets_what_work_gives(gearmand: Gearmand, start: Start) -> None:
    work(start, gearmand, "f", "--", sys.executable, "-c", "print(input()[::-1])")
    result = cli("do", "f", "--server", gearmand.address, data=b"stressed\n")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"desserts\n", b"")
