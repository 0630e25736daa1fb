"""`gearman-c submit`, run as its users run it: servers, usage, files and streams that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from fix_command import (
    COMMAND,
    Process,
    Sink,
    end,
    environment,
    joined,
    numbered,
    refusal,
    run,
    type_in,
    workloads,
)

import gearman_c
from gearman_c.testing import Gearmand, unused_port

# Servers


@pytest.mark.smoke
def test_environment_names_the_server(gearmand: Gearmand) -> None:
    result = run("f", data=b"x\n", GEARMAN_SERVERS=f"127.0.0.1:{unused_port()},{gearmand.address}")
    assert (result.returncode, result.stderr) == (0, b"")
    assert workloads(gearmand) == [b"x"]


def test_option_beats_environment(gearmand: Gearmand) -> None:
    servers = ["--server", f"127.0.0.1:{unused_port()}", "--server", gearmand.address]
    result = run("f", *servers, data=b"x\n", GEARMAN_SERVERS="no.such.host.invalid")
    assert (result.returncode, result.stderr) == (0, b"")
    assert workloads(gearmand) == [b"x"]


def test_malformed_environment() -> None:
    message = refusal("f", data=b"x\n", GEARMAN_SERVERS="host:port")
    assert message.startswith("gearman-c: $GEARMAN_SERVERS: 'host:port' is not a server")


def test_refused_connection() -> None:
    address = f"127.0.0.1:{unused_port()}"
    message = refusal("f", "--server", address, data=b"1\n2\n")
    assert address in message
    assert "; 0 tasks acknowledged, 2 read and not submitted; start gearmand there" in message


def test_account_has_lines_that_no_task_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(joined(numbered(5_000)))  # read at once, and more than a client takes ahead
    message = refusal("f", str(path), "--server", f"127.0.0.1:{unused_port()}")
    assert "; 0 tasks acknowledged, 5000 read and not submitted; " in message


def test_server_without_answer(gearmand: Gearmand) -> None:
    gearmand.pause()
    message = refusal("f", "--server", gearmand.address, "--timeout", "0.3", data=b"x\n")
    assert f"{gearmand.address} did not answer in the time allowed" in message
    assert message.endswith("see what stops the server, or allow more with --timeout or --retry")


def test_task_that_the_server_refuses_for_good() -> None:
    with Sink(refused=b"line 5") as sink:
        data = joined(numbered(9))
        result = run("f", "--handles", "--server", sink.address, data=data)
    assert result.returncode == 1
    assert b"gearman-c: task 6: the server refused a task of function 'f'" in result.stderr
    assert result.stderr.endswith(b"; 8 tasks acknowledged, 1 read and not submitted\n")
    assert result.stdout == b"H:1\n" * 5 + b"\n" + b"H:1\n" * 3


# Usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["f", "--priority", "urgent"], "invalid choice: 'urgent'"),
        (["f", "--unique", "maybe"], "invalid choice: 'maybe'"),
        (["f", "--timeout", "soon"], "'soon' is not a number of seconds above 0"),
        (["f", "--timeout", "0"], "'0' is not a number of seconds above 0"),
        (["f", "--retry", "nan"], "'nan' is not a number of seconds above 0"),
        (["f", "--server", "host:99999"], "port is 99999"),
        (["f", "--server", ""], "no server is named"),
        (["f", "--no-such-option"], "unrecognized arguments: --no-such-option"),
        ([""], "the function name is empty"),
        (["f" * 513], "the function name has 513 bytes"),
        ([], "required: FUNCTION"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(b"usage: gearman-c submit")
    assert message in result.stderr.decode()


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["--no-such-option"]])
def test_wrong_command(arguments: list[str]) -> None:
    result = subprocess.run([*COMMAND[:-1], *arguments], capture_output=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith(b"usage: gearman-c")


@pytest.mark.smoke
def test_help_and_version() -> None:
    shown = [
        subprocess.run([*COMMAND[:-1], *arguments], capture_output=True, check=True).stdout.decode()
        for arguments in (["--help"], ["submit", "--help"], ["--version"])
    ]
    assert "submit" in shown[0]
    assert "--retry SECONDS" in shown[1]
    assert shown[2].split() == [
        "gearman_c",
        f"{gearman_c.__version__},",
        "libgearman",
        gearman_c.libgearman_version(),
    ]


@pytest.mark.smoke
def test_console_script(gearmand: Gearmand) -> None:
    script = Path(sys.executable).with_name("gearman-c")
    subprocess.run([script, "submit", "f", "--server", gearmand.address], input=b"x\n", check=True)
    assert workloads(gearmand) == [b"x"]


# Files and streams that fail


def test_unreadable_file_is_found_before_anything_is_sent(
    gearmand: Gearmand, tmp_path: Path
) -> None:
    (tmp_path / "good").write_bytes(b"1\n")
    good, missing = str(tmp_path / "good"), str(tmp_path / "missing")
    message = refusal("f", good, missing, "--server", gearmand.address)
    assert message == f"gearman-c: {missing}: No such file or directory"
    message = refusal("f", good, str(tmp_path), "--server", gearmand.address)
    assert message == f"gearman-c: {tmp_path}: is a directory; name the files in it"
    assert gearmand.status() == {}


def test_file_that_fails_while_it_is_read(gearmand: Gearmand, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"1\n2\n")
    # Reading one's own memory from address 0 on is an error that opening does not show.
    files = [str(tmp_path / "good"), "/proc/self/mem"]
    # Python in its development mode would tell of a file that is left open.
    message = refusal("f", *files, "--server", gearmand.address, PYTHONDEVMODE="1")
    assert message == "gearman-c: /proc/self/mem: Input/output error; 2 tasks acknowledged"
    assert workloads(gearmand) == [b"1", b"2"]


def shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments],
        input=b"1\n2\n",
        capture_output=True,
        env=environment(),
        check=False,
    )


def test_closed_streams(gearmand: Gearmand, tmp_path: Path) -> None:
    server = ["--server", gearmand.address]
    result = shell("<&-", "f", *server)
    assert (result.returncode, result.stderr) == (
        1,
        b"gearman-c: standard input is closed; name a FILE\n",
    )
    result = shell(">&-", "f", "--handles", *server)
    assert (result.returncode, result.stderr) == (
        1,
        b"gearman-c: standard output is closed; --handles needs it\n",
    )
    assert gearmand.status() == {}
    (tmp_path / "file").write_bytes(b"0\n")
    assert shell("<&- >&- 2>&-", "f", str(tmp_path / "file"), *server).returncode == 0
    assert shell("2>&-", "f", "--verbose", *server).stdout == b""
    result = shell("2>&-", "f", "--server", f"127.0.0.1:{unused_port()}")
    assert (result.returncode, result.stdout) == (1, b"")
    assert workloads(gearmand) == [b"0", b"1", b"2"]


def test_full_device_for_the_handles(gearmand: Gearmand) -> None:
    result = shell(">/dev/full", "f", "--handles", "--server", gearmand.address)
    assert result.returncode == 1
    assert result.stderr == (
        b"gearman-c: standard output does not take the handles (No space left on device); "
        b"2 tasks acknowledged\n"
    )


def test_nobody_reads_the_handles(gearmand: Gearmand, start: Callable[..., Process]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as output:
        process = start("f", "--handles", "--server", gearmand.address, stdout=output)
    lines = numbered(30_000)
    with suppress(BrokenPipeError):  # it stops reading half-way
        type_in(process, joined(lines))
    status, _, messages = end(process)
    assert status == 1
    assert messages.startswith(
        "gearman-c: standard output does not take the handles (Broken pipe); "
    )
    assert messages.count("\n") == 1
    acknowledged = int(messages.split("; ")[1].split()[0])
    held = workloads(gearmand)
    assert acknowledged <= len(held) < len(lines)
    assert held == lines[: len(held)]
