"""`gearman-c status`: the table, once, again and again, and as JSON."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Callable
from contextlib import suppress

from fix_cli import CLI, Start, is_running, shown
from fix_command import end, environment, read_line
from fix_tasks import wait_for
from fix_worker import RawWorker, keep

from gearman_c import Client
from gearman_c.testing import Gearmand

HEADINGS = ["Server", "Function", "Jobs", "Running", "Workers"]


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


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
