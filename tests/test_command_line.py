"""`gearman-c submit`, run as its users run it: as a process of its own, on real servers."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import pytest

import gearman_c
from gearman_c.testing import Gearmand, drain, unused_port

if TYPE_CHECKING:
    from fix_proxy import Proxy

COMMAND = [sys.executable, "-m", "gearman_c", "submit"]
Process = subprocess.Popen[bytes]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "GEARMAN_SERVERS"}
    return kept | variables


def run(
    *arguments: str | bytes, data: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=data,
        capture_output=True,
        env=environment(**variables),
        timeout=120,
        check=False,
    )


def submit(server: Gearmand, *arguments: str | bytes, data: bytes = b"") -> list[bytes]:
    """Run the command successfully and silently; return the lines of its output."""
    result = run(*arguments, "--server", server.address, data=data)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.splitlines()


def refusal(*arguments: str | bytes, data: bytes = b"", status: int = 1, **variables: str) -> str:
    """Run the command, which must fail with one line on stderr; return that line."""
    result = run(*arguments, data=data, **variables)
    message = result.stderr.decode()
    assert result.returncode == status, message
    assert message.startswith("gearman-c: ")
    assert message.count("\n") == 1
    return message.strip()


def workloads(server: Gearmand, function: str = "f") -> list[bytes]:
    return [job.workload for job in drain(server.address, function)]


def numbered(count: int) -> list[bytes]:
    return [b"line %d" % number for number in range(count)]


def joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "this did not come about"
        time.sleep(0.005)


def holds(server: Gearmand, count: int, function: str = "f") -> bool:
    status = server.status()
    return function in status and status[function].total == count


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Start the command in the background, with pipes."""
    processes: list[Process] = []
    # A pytest in the background of a shell ignores SIGINT, and its children would inherit that.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def begin(*arguments: str, command: Sequence[str] = COMMAND, **options: Any) -> Process:
        keywords: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        keywords |= {"bufsize": 0, "env": environment()} | options
        process: Process = subprocess.Popen([*command, *arguments], **keywords)
        processes.append(process)
        return process

    yield begin
    signal.signal(signal.SIGINT, handler)
    for process in processes:
        process.kill()
        process.communicate()


def type_in(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)


def read_line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    assert select.select([stream], [], [], 60)[0], "nothing was written"
    return stream.readline()


def end(process: Process, data: bytes = b"") -> tuple[int, bytes, str]:
    """Give the last of the input; return the exit status, stdout and stderr."""
    output, messages = process.communicate(data, timeout=120)
    return process.returncode, output, messages.decode()


class Sink:
    """A server that acknowledges jobs and forgets them: millions take no memory here.

    refused: a workload that it refuses.
    """

    def __init__(self, refused: bytes | None = None) -> None:
        self.count = 0
        self._refused = refused
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        header = struct.Struct(">4xII")
        created = b"\0RES" + struct.pack(">II", 8, 3) + b"H:1"
        error = b"\0RES" + struct.pack(">II", 19, 9) + b"NO\0refuse"
        buffer = bytearray()
        while data := connection.recv(1 << 18):
            buffer += data
            start, replies = 0, []
            while len(buffer) - start >= 12:
                command, size = header.unpack_from(buffer, start)
                if len(buffer) - start - 12 < size:
                    break
                body = start + 12
                start = body + size
                if command == 15:  # GET_STATUS, answered by STATUS_RES
                    reply = bytes(buffer[body:start]) + b"\x000\x000\x000\x000"
                    replies.append(b"\0RES" + struct.pack(">II", 20, len(reply)) + reply)
                elif self._refused is not None and buffer.endswith(self._refused, body, start):
                    replies.append(error)
                else:
                    self.count += 1
                    replies.append(created)
            del buffer[:start]
            connection.sendall(b"".join(replies))


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


# Servers


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
        (["f", "--server", "host:99999"], "99999 is not a port"),
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
    message = refusal("f", *files, "--server", gearmand.address)
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


@pytest.mark.memory
@pytest.mark.slow
def test_millions_of_lines_in_flat_memory(start: Callable[..., Process]) -> None:
    little = peak_memory(start, 60, 1000, 100)
    much = peak_memory(start, 60, 1000, 3000)
    assert much - little < 2048


@pytest.mark.memory
def test_large_lines_in_flat_memory(start: Callable[..., Process]) -> None:
    little = peak_memory(start, 1_000_000, 1, 10)
    much = peak_memory(start, 1_000_000, 1, 500)
    assert much - little < 200 * 1024


# Failures that pass


def test_retry_across_a_restart(durable_gearmand: Gearmand, start: Callable[..., Process]) -> None:
    server, lines = durable_gearmand, numbered(600)
    process = start("f", "--handles", "--verbose", "--retry", "60", "--server", server.address)
    type_in(process, joined(lines[:300]))
    eventually(lambda: "f" in server.status())
    server.kill()
    type_in(process, joined(lines[300:]))
    assert read_line(process.stderr).endswith(b"; trying for 60 s\n")
    server.start()
    status, output, messages = end(process)
    assert status == 0
    assert "gearman-c: 600 tasks acknowledged in" in messages
    jobs = drain(server.address, "f")
    assert sorted(job.workload for job in jobs) == sorted(lines)
    assert len(output.splitlines()) == 600


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


# What it shows


def on_terminal(command: Sequence[str], server: Gearmand, *arguments: str) -> str:
    """Run a command with stderr on a terminal; return what it showed there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 80))
    process = subprocess.Popen(
        [*command, "f", *arguments, "--server", server.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(TERM="xterm"),
    )
    os.close(theirs)
    output, _ = process.communicate(joined(numbered(2000)), timeout=60)
    shown = b""
    with suppress(OSError):  # Linux: EIO is the end
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert (process.returncode, output) == (0, b"")
    return shown.decode()


def test_bar_on_a_terminal(gearmand: Gearmand) -> None:
    shown = on_terminal(COMMAND, gearmand)
    assert " tasks/s" in shown
    assert "gearman-c: 2000 tasks acknowledged in " in shown.splitlines()[-1]
    assert holds(gearmand, 2000)


def test_bar_knows_how_much_of_a_file_is_left(gearmand: Gearmand, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(joined(numbered(2000)))
    shown = on_terminal(COMMAND, gearmand, str(tmp_path / "lines"))
    assert "100%|" in shown
    assert "2.00k/2.00k" in shown


def test_without_tqdm(gearmand: Gearmand) -> None:
    hidden = "import sys; sys.modules['tqdm'] = None; import gearman_c.__main__ as cli; "
    hidden += "sys.exit(cli.main(sys.argv[1:]))"
    shown = on_terminal([sys.executable, "-c", hidden, "submit"], gearmand)
    assert shown.startswith("gearman-c: 2000 tasks acknowledged in ")
    assert shown.count("\n") == 1


def test_no_bar_in_a_pipe(gearmand: Gearmand) -> None:
    result = run("f", "--verbose", "--server", gearmand.address, data=joined(numbered(2000)))
    assert result.stderr.startswith(b"gearman-c: 2000 tasks acknowledged in ")
    assert result.stderr.endswith(b" per second\n")
    assert result.stderr.count(b"\n") == 1
    assert b"\r" not in result.stderr


def test_tqdm_is_imported_for_a_bar_only() -> None:
    code = "import sys, gearman_c, gearman_c.__main__; sys.exit('tqdm' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
