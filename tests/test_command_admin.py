"""`gearman-c status`, `admin`, `ping` and `do`, against a server and against none."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fix_cli import CLI, Start, cli, complaint, is_running, shown
from fix_command import end, environment, read_line
from fix_impostor import Impostor
from fix_tasks import wait_for
from fix_worker import RawWorker, keep

from gearman_c import Client
from gearman_c.testing import Gearmand, drain, unused_port

HEADINGS = ["Server", "Function", "Jobs", "Running", "Workers"]


@pytest.fixture
def client(gearmand: Gearmand) -> Iterator[Client]:
    with Client(gearmand.address, timeout=60) as opened:
        yield opened


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# status


def test_table(gearmand: Gearmand, client: Client) -> None:
    assert cells(shown(gearmand, "status")) == [HEADINGS]
    for function in ("resize", "resize", "mail"):
        client.do_background(function)
    worker = RawWorker(gearmand.address, {"resize": keep})
    worker.gate.clear()  # it stays at the first job
    with worker:
        is_running(gearmand, "resize")
        text = shown(gearmand, "status")
    assert cells(text) == [
        HEADINGS,
        [gearmand.address, "mail", "1", "0", "0"],
        [gearmand.address, "resize", "2", "1", "1"],
    ]
    lines = text.splitlines()
    assert len({line.index("mail" if "mail" in line else "resize") for line in lines[1:]}) == 1
    assert len({len(line) for line in lines}) == 1  # numbers end where their heading ends


def test_table_of_several_servers(gearmand_factory: Callable[..., Gearmand]) -> None:
    servers = [gearmand_factory(), gearmand_factory()]
    for server in servers:
        with Client(server.address) as client:
            client.do_background("f")
    rows = cells(shown(servers[0], "status", "--server", servers[1].address))[1:]
    assert sorted(rows) == sorted([server.address, "f", "1", "0", "0"] for server in servers)


def test_json(gearmand: Gearmand, client: Client) -> None:
    assert json.loads(shown(gearmand, "status", "--json")) == []
    client.do_background(b"gr\xc3\xb6\xc3\x9fe\x1b")
    text = shown(gearmand, "status", "--json")
    assert text.count("\n") == 1
    assert json.loads(text) == [
        {
            "server": gearmand.address,
            "function_name": "größe\x1b",
            "total": 1,
            "running": 0,
            "available_workers": 0,
        }
    ]


def test_names_give_a_terminal_no_orders(gearmand: Gearmand, client: Client) -> None:
    client.do_background(b"a\x1b[2J\xff")
    assert r"a\x1b[2J\xff" in shown(gearmand, "status")


def test_watch_in_a_pipe(gearmand: Gearmand, client: Client, start: Start) -> None:
    arguments = ("--watch", "0.01", "--json", "--server", gearmand.address)
    process = start("status", *arguments, command=CLI)
    assert json.loads(read_line(process.stdout)) == []
    client.do_background("f")
    wait_for(lambda: json.loads(read_line(process.stdout)) != [])
    gearmand.stop()
    assert gearmand.address.encode() in read_line(process.stderr)  # told, and it goes on
    gearmand.start()
    client.do_background("g")
    wait_for(lambda: b'"g"' in read_line(process.stdout))
    process.send_signal(signal.SIGINT)
    status, _, messages = end(process)
    assert status == 130
    assert messages.endswith("gearman-c: interrupted\n")


def test_watch_ends_with_its_reader(gearmand: Gearmand, start: Start) -> None:
    process = start("status", "--watch", "0.01", "--server", gearmand.address, command=CLI)
    assert read_line(process.stdout).split()[0] == b"Server"
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_watch_on_a_terminal(gearmand: Gearmand, client: Client) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 100))
    process = subprocess.Popen(
        [*CLI, "status", "--watch", "0.05", "--server", gearmand.address],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm"),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(theirs)
    text = b""

    def see(what: bytes) -> None:
        nonlocal text
        while what not in text:
            text += os.read(ours, 65536)
        text = b""

    try:
        see(b"Workers")
        client.do_background("[bold]name[/bold]")  # markup of rich, and to be shown as it is
        see(b"[bold]name[/bold]")
        gearmand.stop()
        see(b"Connection refused")
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # Linux: EIO is the end
            see(b"what never comes")
        assert process.wait(60) == 130
        assert b"gearman-c: interrupted" in text
        assert b"\x1b[?1049l" in text  # the terminal has its own screen again
    finally:
        process.kill()
        process.wait()
        os.close(ours)


# admin


def test_questions(gearmand: Gearmand, client: Client) -> None:
    handle = client.do_background("f", unique="key")
    client.do_high_background("f", unique="other")
    assert shown(gearmand, "admin", "status") == "f\t2\t0\t0\n"
    assert shown(gearmand, "admin", "priority-status") == "f\t1\t1\t0\t0\n"
    assert f"{handle}\t0\t0\t1" in shown(gearmand, "admin", "jobs").splitlines()
    assert sorted(shown(gearmand, "admin", "unique-jobs").split()) == ["key", "other"]
    assert shown(gearmand, "admin", "getpid") == f"{gearmand.pid}\n"
    assert shown(gearmand, "admin", "verbose") == "ERROR\n"
    assert shown(gearmand, "admin", "version").startswith(("1.", "2."))
    with RawWorker(gearmand.address, {"g": keep}):
        lines = shown(gearmand, "admin", "workers").splitlines()
    assert ["127.0.0.1", "-", "g"] in [line.split("\t")[1:] for line in lines]


def test_questions_in_json(gearmand: Gearmand, client: Client) -> None:
    handle = client.do_background("f", unique="key")
    assert json.loads(shown(gearmand, "admin", "jobs", "--json")) == [
        {
            "server": gearmand.address,
            "job_handle": handle,
            "retries": 0,
            "ignored": False,
            "queued": True,
        }
    ]
    assert json.loads(shown(gearmand, "admin", "unique-jobs", "--json")) == [
        {"server": gearmand.address, "unique": "key"}
    ]


def test_orders(gearmand: Gearmand, client: Client) -> None:
    assert shown(gearmand, "admin", "create-function", "f") == ""
    assert shown(gearmand, "admin", "maxqueue", "f", "1") == ""
    handle = client.do_background("f", b"1")
    options = ("--server", gearmand.address)
    assert complaint("submit", "f", *options, data=b"2\n").startswith("gearman-c: ")
    assert shown(gearmand, "admin", "maxqueue", "f", "1", "0", "1") == ""
    client.do_background("f", b"2")
    assert shown(gearmand, "admin", "cancel-job", handle) == ""
    assert [job.workload for job in drain(gearmand.address, "f")] == [b"2"]
    wait_for(lambda: gearmand.status()["f"].available_workers == 0)
    assert shown(gearmand, "admin", "drop-function", "f") == ""
    assert gearmand.status() == {}


def test_order_that_is_refused(gearmand: Gearmand) -> None:
    options = ("--server", gearmand.address)
    assert "UNKNOWN_JOB" in complaint("admin", "cancel-job", "H:none:1", *options)
    assert "function not found" in complaint("admin", "drop-function", "none", *options)


def test_shutdown(gearmand: Gearmand) -> None:
    # Servers that have the command end; 1.1.20 has lost it and says so.
    result = cli("admin", "shutdown", "graceful", "--server", gearmand.address)
    if result.returncode:
        assert (result.returncode, result.stdout) == (1, b"")
        assert b"UNKNOWN_COMMAND" in result.stderr
        assert gearmand.running
    else:
        wait_for(lambda: not gearmand.running)


def test_several_servers_of_which_one_is_dead(gearmand: Gearmand) -> None:
    dead = f"127.0.0.1:{unused_port()}"
    result = cli("admin", "getpid", "--server", dead, "--server", gearmand.address)
    assert (result.returncode, result.stdout.decode()) == (
        1,
        f"{gearmand.address}\t{gearmand.pid}\n",
    )
    assert result.stderr.startswith(f"gearman-c: {dead}: no connection".encode())
    assert result.stderr.count(b"\n") == 1


# ping


def test_ping(gearmand: Gearmand) -> None:
    address, milliseconds = shown(gearmand, "ping").split("\t")
    assert address == gearmand.address
    assert float(milliseconds) > 0


def test_ping_of_a_server_that_is_stopped(gearmand: Gearmand) -> None:
    gearmand.pause()
    message = complaint("ping", "--timeout", "0.2", "--server", gearmand.address)
    gearmand.resume()
    assert gearmand.address in message
    assert message.endswith("; see what stops the server, or allow more with --timeout")


# do


def test_do_with_a_file_and_with_standard_input(
    gearmand: Gearmand, worker: RawWorker, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"abc\n")
    assert shown(gearmand, "do", "reverse", str(tmp_path / "file")) == "\ncba"
    assert shown(gearmand, "do", "reverse", data=b"from\nstdin") == "nidts\nmorf"
    assert shown(gearmand, "do", "reverse", "-", "--priority", "high", data=b"xy") == "yx"
    assert shown(gearmand, "do", "talk") == "one two end"


def test_do_with_much(gearmand: Gearmand, worker: RawWorker) -> None:
    data = os.urandom(5_000_000)
    result = cli("do", "reverse", "--server", gearmand.address, data=data)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == data[::-1]


def test_do_of_a_job_that_fails(gearmand: Gearmand, worker: RawWorker) -> None:
    options = ("--server", gearmand.address)
    assert complaint("do", "fail", *options) == "gearman-c: the job failed"
    message = complaint("do", "throw", *options, data=b"it\x1b")
    assert message == r"gearman-c: the job failed: cannot: it\x1b"


def test_do_with_nobody_to_do_it(gearmand: Gearmand) -> None:
    message = complaint("do", "f", "--timeout", "0.2", "--server", gearmand.address)
    assert message.startswith("gearman-c: no result in 0.2 s")


def test_do_that_is_interrupted(gearmand: Gearmand, start: Start) -> None:
    with RawWorker(gearmand.address, {"f": keep}):
        process = start(
            "do", "f", "--server", gearmand.address, command=CLI, stdin=subprocess.DEVNULL
        )
        is_running(gearmand, "f")
        process.send_signal(signal.SIGINT)
        assert end(process) == (130, b"", "gearman-c: interrupted\n")


def test_do_with_a_file_that_is_not_there(gearmand: Gearmand, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    message = complaint("do", "f", missing, "--server", gearmand.address)
    assert message == f"gearman-c: {missing}: No such file or directory"
    assert gearmand.status() == {}


# All of them

ONE_OF_EACH = {
    "status": ["status"],
    "admin": ["admin", "version"],
    "ping": ["ping"],
    "do": ["do", "f"],
}
each = pytest.mark.parametrize("words", ONE_OF_EACH.values(), ids=ONE_OF_EACH.keys())


@each
def test_dead_server(words: list[str]) -> None:
    address = f"127.0.0.1:{unused_port()}"
    result = cli(*words, "--server", address)
    assert result.returncode == 1
    assert result.stdout.splitlines()[1:] == []
    assert result.stderr.count(b"\n") == 1
    assert address.encode() in result.stderr
    assert result.stderr.endswith(b"; start gearmand there, or name another with --server\n")


@each
def test_server_that_is_none(words: list[str]) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example.org ESMTP\r\n" * 3)
        while connection.recv(4096):
            pass

    with Impostor(speak) as impostor:
        result = cli(*words, "--server", impostor.address)
    assert result.returncode == 1
    assert b"in the time allowed" not in result.stderr
    assert result.stderr.startswith(b"gearman-c: ")
    assert result.stderr.count(b"\n") == 1


@each
def test_environment_names_the_server(words: list[str]) -> None:
    address = f"127.0.0.1:{unused_port()}"
    result = cli(*words, GEARMAN_SERVERS=address)
    assert result.returncode == 1
    assert address.encode() in result.stderr


@each
def test_full_device(gearmand: Gearmand, worker: RawWorker, words: list[str]) -> None:
    command = [*CLI, *words, "--server", gearmand.address]
    if words[0] == "do":
        command[-3] = "talk"
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert result.returncode == 1
    assert result.stderr == b"gearman-c: standard output: No space left on device\n"


@each
def test_closed_streams(gearmand: Gearmand, words: list[str]) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *CLI, *words, "--server", gearmand.address]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
    assert result.returncode == 1
    assert result.stderr == b"gearman-c: standard output is closed\n"
    assert gearmand.status() == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "extra"], "unrecognized arguments: extra"),
        (["status", "--watch", "0"], "'0' is not a number of seconds above 0"),
        (["status", "--timeout", "-1"], "'-1' is not a number of seconds above 0"),
        (["status", "--server", "host:99999"], "port is 99999"),
        (["ping", "--timeout", "soon"], "'soon' is not a number of seconds above 0"),
        (["do"], "required: FUNCTION"),
        (["do", ""], "the function name is empty"),
        (["do", "f", "a", "b"], "unrecognized arguments: b"),
        (["do", "f", "--priority", "urgent"], "invalid choice: 'urgent'"),
        (["admin"], "required: COMMAND"),
        (["admin", "frobnicate"], "invalid choice: 'frobnicate'"),
        (["admin", "status", "f"], "the form is: status"),
        (["admin", "status", "--timeout", "nan"], "'nan' is not a number of seconds above 0"),
        (["admin", "cancel-job"], "the form is: cancel-job HANDLE"),
        (["admin", "maxqueue", "f"], "the form is: maxqueue FUNCTION LIMIT"),
        (["admin", "maxqueue", "f", "1", "2"], "the form is: maxqueue FUNCTION LIMIT"),
        (["admin", "maxqueue", "f", "many"], "a limit is a number of jobs, or 0 for none"),
        (["admin", "maxqueue", "f", "99999999999"], "99999999999 is no limit of a queue"),
        (["admin", "create-function", "two words"], "the function name has ' ' in it"),
        (["admin", "create-function", "f", "--json"], "--json: create-function prints nothing"),
        (["admin", "cancel-job", ""], "the job handle is empty"),
        (["admin", "shutdown", "now"], "'now' is no way to shut down: graceful is"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    result = cli(*arguments)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.startswith(f"usage: gearman-c {arguments[0]}".encode())
    assert message in result.stderr.decode()


@pytest.mark.parametrize("command", ["submit", "do", "work", "status", "admin", "ping"])
def test_help(command: str) -> None:
    assert command in cli("--help").stdout.decode().split()
    result = cli(command, "--help")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(f"usage: gearman-c {command}".encode())
    assert b"--server HOST[:PORT]" in result.stdout
    assert b"exit status: 0" in result.stdout
