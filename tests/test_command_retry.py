"""`gearman-c submit`: failures that pass are overcome with --retry; Ctrl-C ends it at any time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from fix_command import (
    Process,
    end,
    eventually,
    holds,
    joined,
    numbered,
    read_line,
    refusal,
    run,
    type_in,
    workloads,
)

from gearman_c.testing import Gearmand, drain, unused_port

if TYPE_CHECKING:
    from fix_proxy import Proxy


# Failures that pass


def test_retry_across_a_restart(durable_gearmand: Gearmand, start: Callable[..., Process]) -> None:
    server, lines = durable_gearmand, numbered(200)  # few: each is a write to the disk, twice
    process = start("f", "--handles", "--verbose", "--retry", "60", "--server", server.address)
    type_in(process, joined(lines[:100]))
    eventually(lambda: "f" in server.status())
    server.kill()
    type_in(process, joined(lines[100:]))
    assert read_line(process.stderr).endswith(b"; trying for 60 s\n")
    server.start()
    status, output, messages = end(process)
    assert status == 0
    assert "gearman-c: 200 tasks acknowledged in" in messages
    jobs = drain(server.address, "f")
    assert sorted(job.workload for job in jobs) == sorted(lines)
    assert len(output.splitlines()) == 200


def test_retry_after_cuts(gearmand: Gearmand, proxy: Proxy, start: Callable[..., Process]) -> None:
    lines = numbered(6000)
    process = start("f", "--handles", "--retry", "60", "--server", proxy.address)
    for number in range(3):
        proxy.cut_after(bytes_to_client=7_000)
        type_in(process, joined(lines[number * 2000 : number * 2000 + 2000]))
        proxy.wait_until(lambda count=number + 1: proxy.cuts == count)  # type: ignore[misc]
    status, output, messages = end(process)
    assert (status, messages) == (0, "")
    jobs = drain(gearmand.address, "f")
    assert [job.workload for job in jobs] == lines
    assert [job.handle.encode() for job in jobs] == output.splitlines()


def test_cut_without_retry(gearmand: Gearmand, proxy: Proxy, start: Callable[..., Process]) -> None:
    process = start("f", "--handles", "--server", proxy.address)
    type_in(process, b"1\n")
    handle = read_line(process.stdout)
    proxy.stall(to_server=False)
    type_in(process, b"2\n3\n")
    eventually(lambda: holds(gearmand, 3))
    proxy.cut()
    assert process.wait(60) == 1
    _, output, message = end(process)
    assert output == b""
    assert message.startswith("gearman-c: the connection broke (")
    assert message.endswith(
        "; 1 task acknowledged, 2 unconfirmed (the server may have them); "
        "--retry SECONDS goes on by itself\n"
    )
    assert message.count("\n") == 1
    assert drain(gearmand.address, "f")[0].handle.encode() == handle.strip()


def test_retry_ends_when_nothing_moves(start: Callable[..., Process]) -> None:
    address = f"127.0.0.1:{unused_port()}"
    message = refusal("f", "--retry", "0.3", "--server", address, data=b"x\n")
    assert message.endswith("; gave up after 0.3 s without progress")


def test_retry_while_nobody_listens(
    proxy: Proxy, gearmand: Gearmand, start: Callable[..., Process]
) -> None:
    proxy.refuse()
    process = start("f", "--retry", "inf", "--verbose", "--server", proxy.address)
    type_in(process, b"1\n2\n")
    assert read_line(process.stderr).endswith(b"; trying for inf s\n")
    proxy.accept()
    assert end(process, b"3")[0] == 0
    assert workloads(gearmand) == [b"1", b"2", b"3"]


def test_retry_of_a_server_that_stands_still(
    gearmand: Gearmand, proxy: Proxy, start: Callable[..., Process]
) -> None:
    options = ["--retry", "60", "--timeout", "0.2", "--verbose"]
    process = start("f", *options, "--server", proxy.address)
    type_in(process, b"1\n")
    eventually(lambda: holds(gearmand, 1))
    proxy.stall(to_server=False)
    type_in(process, b"2\n")
    assert b"made no progress for 0.2 s; trying for 60 s" in read_line(process.stderr)
    proxy.resume()
    assert end(process, b"3\n")[0] == 0
    assert workloads(gearmand) == [b"1", b"2", b"3"]


def limited(server: Gearmand) -> None:
    server.command("create function f")
    server.command("maxqueue f 3")


def test_full_queue_without_retry(gearmand: Gearmand) -> None:
    limited(gearmand)
    result = run("f", "--handles", "--server", gearmand.address, data=b"1\n2\n3\n4\n5\n")
    assert result.returncode == 1
    message = result.stderr.decode()
    assert "Job queue is full" in message
    assert message.endswith(
        "; 3 tasks acknowledged, 2 read and not submitted; --retry SECONDS waits for the workers\n"
    )
    jobs = drain(gearmand.address, "f")
    assert [job.workload for job in jobs] == [b"1", b"2", b"3"]
    assert [job.handle.encode() for job in jobs] == result.stdout.splitlines()


def test_retry_of_a_full_queue(gearmand: Gearmand, start: Callable[..., Process]) -> None:
    limited(gearmand)
    lines = numbered(10)
    process = start("f", "--handles", "--retry", "60", "--server", gearmand.address)
    type_in(process, joined(lines))
    jobs = []
    for expected in (3, 3, 3, 1):
        eventually(lambda count=expected: holds(gearmand, count))  # type: ignore[misc]
        jobs += drain(gearmand.address, "f", expected)
    status, output, messages = end(process)
    assert (status, messages) == (0, "")
    assert sorted(job.workload for job in jobs) == lines
    handles = {job.workload: job.handle.encode() for job in jobs}
    assert output.splitlines() == [handles[line] for line in lines]


# Ctrl-C


def test_interrupted_while_it_waits_for_input(
    gearmand: Gearmand, start: Callable[..., Process]
) -> None:
    process = start("f", "--server", gearmand.address)
    type_in(process, b"1\n")
    eventually(lambda: holds(gearmand, 1))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert end(process)[1:] == (b"", "gearman-c: interrupted; 1 task acknowledged\n")


def test_interrupted_with_tasks_under_way(
    gearmand: Gearmand, proxy: Proxy, start: Callable[..., Process]
) -> None:
    process = start("f", "--handles", "--server", proxy.address)
    type_in(process, b"1\n")
    handle = read_line(process.stdout)
    proxy.stall(to_server=False)
    type_in(process, b"2\n3\n")
    eventually(lambda: holds(gearmand, 3))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert end(process)[1:] == (
        b"",
        "gearman-c: interrupted; 1 task acknowledged, 2 unconfirmed (the server may have them)\n",
    )
    jobs = drain(gearmand.address, "f")
    assert jobs[0].handle.encode() == handle.strip()


@pytest.mark.parametrize("options", [[], ["--retry", "inf"]])
def test_interrupted_on_a_stopped_server(
    gearmand: Gearmand, proxy: Proxy, start: Callable[..., Process], options: list[str]
) -> None:
    gearmand.pause()
    process = start("f", *options, "--server", proxy.address)
    type_in(process, b"1\n2\n")
    # The first question of a new connection: nothing is submitted before it is answered.
    proxy.wait_until(lambda: proxy.bytes_to_server > 0)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert end(process)[1:] == (
        b"",
        "gearman-c: interrupted; 0 tasks acknowledged, 2 read and not submitted\n",
    )


def test_interrupted_between_two_attempts(start: Callable[..., Process]) -> None:
    address = f"127.0.0.1:{unused_port()}"
    process = start("f", "--retry", "inf", "--verbose", "--server", address)
    type_in(process, b"1\n")
    read_line(process.stderr)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert end(process)[2] == (
        "gearman-c: interrupted; 0 tasks acknowledged, 1 read and not submitted\n"
    )
