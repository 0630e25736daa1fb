"""`gearman-c submit`: which bytes become which tasks, and how soon; unique keys; flat memory."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_command import (
    Process,
    Sink,
    end,
    eventually,
    holds,
    joined,
    numbered,
    read_line,
    refusal,
    submit,
    type_in,
    workloads,
)

from gearman_c.testing import Gearmand, drain

# What is sent


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a\n\n\nb\n", [b"a", b"", b"", b"b"]),
        (b"no newline at the end", [b"no newline at the end"]),
        (b"carriage\r\nreturn\r", [b"carriage\r", b"return\r"]),
        (b"NUL\0inside\n\0\n", [b"NUL\0inside", b"\0"]),
        (b"\xff\xfe\x80 \t\n  spaces  \n", [b"\xff\xfe\x80 \t", b"  spaces  "]),
    ],
)
def test_bytes_are_untouched(gearmand: Gearmand, data: bytes, expected: list[bytes]) -> None:
    submit(gearmand, "f", data=data)
    assert workloads(gearmand) == expected


@pytest.mark.parametrize("option", ["-0", "--null"])
def test_null(gearmand: Gearmand, option: str) -> None:
    submit(gearmand, "f", option, data=b"a\nb\0\0c\n\0d")
    assert workloads(gearmand) == [b"a\nb", b"", b"c\n", b"d"]


def test_lines_longer_than_a_read(gearmand: Gearmand) -> None:
    lines = [bytes([65 + size % 26]) * size for size in (3_000_000, 0, 65_535, 65_536, 65_537, 1)]
    submit(gearmand, "f", data=joined(lines))
    assert workloads(gearmand) == lines


def test_files(gearmand: Gearmand, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1\n2")
    (tmp_path / "empty").touch()
    (tmp_path / "two").write_bytes(b"5\n")
    paths = [str(tmp_path / name) for name in ("one", "empty", "two")]
    submit(gearmand, "f", paths[0], "-", "--priority", "high", *paths[1:], data=b"3\n4")
    assert workloads(gearmand) == [b"1", b"2", b"3", b"4", b"5"]


def test_named_pipe(gearmand: Gearmand, start: Callable[..., Process], tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    process = start("f", str(path), "--server", gearmand.address)
    with path.open("wb") as pipe:
        pipe.write(b"1\n2\n")
    assert end(process) == (0, b"", "")
    assert workloads(gearmand) == [b"1", b"2"]


def test_function_name_is_bytes(gearmand: Gearmand) -> None:
    submit(gearmand, b"\xe9t\xe9", data=b"x\n")
    assert [job.workload for job in drain(gearmand.address, b"\xe9t\xe9")] == [b"x"]


def test_order_and_handles(gearmand: Gearmand) -> None:
    lines = numbered(20_000)
    handles = submit(gearmand, "f", "--handles", data=joined(lines))
    jobs = drain(gearmand.address, "f")
    assert [job.workload for job in jobs] == lines
    assert [job.handle.encode() for job in jobs] == handles


def test_priorities(gearmand: Gearmand) -> None:
    for priority in ("low", "normal", "high"):
        submit(gearmand, "f", "--priority", priority, data=priority.encode())
    submit(gearmand, "f", data=b"default")
    assert workloads(gearmand) == [b"high", b"normal", b"default", b"low"]


# Unique keys


def test_unique_auto_joins_nothing(gearmand: Gearmand) -> None:
    submit(gearmand, "f", data=b"same\nsame\n")
    jobs = drain(gearmand.address, "f")
    assert [job.workload for job in jobs] == [b"same", b"same"]
    assert jobs[0].unique != jobs[1].unique


def test_unique_hash_joins_equal_lines(gearmand: Gearmand) -> None:
    lines = [b"same", b"other\0\r", b"same", b"", b"x" * 1000, b""]
    handles = submit(gearmand, "f", "--unique", "hash", "--handles", data=joined(lines))
    jobs = drain(gearmand.address, "f")
    assert [job.workload for job in jobs] == [b"same", b"other\0\r", b"", b"x" * 1000]
    for job in jobs:
        assert job.unique == hashlib.sha256(job.workload).hexdigest()[:63]
    assert handles[0] == handles[2]
    assert handles[3] == handles[5]
    assert len(set(handles)) == 4


def test_unique_line(gearmand: Gearmand) -> None:
    lines = [b"a", b"b" * 63, "ä".encode(), b"a", b"##", b"--"]
    handles = submit(gearmand, "f", "--unique", "line", "--handles", data=joined(lines))
    jobs = drain(gearmand.address, "f")
    assert [job.workload for job in jobs] == [*lines[:3], *lines[4:]]
    assert [job.unique.encode() for job in jobs] == [job.workload for job in jobs]
    assert handles[0] == handles[3]


@pytest.mark.parametrize(
    ("line", "flaw"),
    [
        (b"x" * 64, "it has 64 bytes, 63 are allowed"),
        (b"", "it is empty"),
        (b"a\0b", "it has a NUL byte"),
        (b"#", "# stands for a hash"),
        (b"-", "- stands for a hash"),
    ],
)
def test_unique_line_that_is_no_key(gearmand: Gearmand, line: bytes, flaw: str) -> None:
    data = joined([*numbered(2000), line, b"later"])
    message = refusal("f", "--unique", "line", "--server", gearmand.address, data=data)
    assert message == (
        f"gearman-c: standard input, line 2001: {flaw}, so it cannot be a unique key; "
        "correct it or use --unique hash; 2000 tasks acknowledged"
    )
    assert workloads(gearmand) == numbered(2000)


def test_unique_line_names_the_file(gearmand: Gearmand, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"1\n2\n")
    (tmp_path / "bad").write_bytes(b"3\n" + b"x" * 64)
    files = [str(tmp_path / "good"), str(tmp_path / "bad")]
    message = refusal("f", *files, "--unique", "line", "--server", gearmand.address)
    assert f"{files[1]}, line 2: it has 64 bytes" in message


# Streaming


def test_slow_producer(gearmand: Gearmand, start: Callable[..., Process]) -> None:
    process = start("f", "--handles", "--server", gearmand.address)
    for number in range(1, 4):
        type_in(process, b"half of ")
        type_in(process, b"line %d\nand the beginning of another: " % number)
        eventually(lambda count=number: holds(gearmand, count))  # type: ignore[misc]
        assert read_line(process.stdout).startswith(b"H:")
    assert end(process)[::2] == (0, "")
    assert workloads(gearmand)[1:] == [
        b"and the beginning of another: half of line 2",
        b"and the beginning of another: half of line 3",
        b"and the beginning of another: ",
    ]


def test_non_blocking_input(gearmand: Gearmand, start: Callable[..., Process]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with open(reader, "rb") as source:
        process = start("f", "--server", gearmand.address, stdin=source)
    for number in range(1, 4):
        os.write(writer, b"x\n")
        eventually(lambda count=number: holds(gearmand, count))  # type: ignore[misc]
    os.close(writer)
    assert end(process)[0] == 0


PRODUCER = """\
import sys
line, count, times = b"x" * int(sys.argv[1]) + b"\\n", int(sys.argv[2]), int(sys.argv[3])
for _ in range(times):
    sys.stdout.buffer.write(line * count)
"""

MEASURED = """\
import sys
from gearman_c.__main__ import main
status = main(["submit", *sys.argv[1:]])
with open("/proc/self/status") as lines:
    print(*[line.split()[1] for line in lines if line.startswith("VmHWM")])
sys.exit(status)
"""


def peak_memory(start: Callable[..., Process], size: int, count: int, times: int) -> int:
    """Submit lines from a pipe; return the most memory that the command had, in KiB."""
    with Sink() as sink:
        producer = [sys.executable, "-c", PRODUCER]
        source = start(str(size), str(count), str(times), command=producer)
        measured = [sys.executable, "-W", "error", "-c", MEASURED]
        process = start("f", "--server", sink.address, command=measured, stdin=source.stdout)
        assert source.stdout is not None
        source.stdout.close()  # or the producer would not see its reader end
        status, output, messages = end(process)
        assert (status, messages) == (0, "")
    assert sink.count == count * times
    return int(output)


@pytest.mark.unsanitized
@pytest.mark.slow
def test_millions_of_lines_in_flat_memory(start: Callable[..., Process]) -> None:
    little = peak_memory(start, 60, 1000, 100)
    much = peak_memory(start, 60, 1000, 3000)
    assert much - little < 2048


@pytest.mark.slow
@pytest.mark.unsanitized
def test_large_lines_in_flat_memory(start: Callable[..., Process]) -> None:
    little = peak_memory(start, 1_000_000, 1, 10)
    much = peak_memory(start, 1_000_000, 1, 500)
    assert much - little < 200 * 1024
