"""What holds for `gearman-c status`, `admin`, `ping` and `do`, and for the usage of all."""

from __future__ import annotations

import socket
import subprocess

import pytest
from fix_cli import CLI, cli
from fix_impostor import Impostor
from fix_worker import RawWorker

from gearman_c.testing import Gearmand, unused_port

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
