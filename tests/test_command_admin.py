"""`gearman-c admin` and `ping`."""

from __future__ import annotations

import json

from fix_cli import cli, complaint, shown
from fix_tasks import wait_for
from fix_worker import RawWorker, keep

from gearman_c import Client
from gearman_c.testing import Gearmand, drain, unused_port

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
