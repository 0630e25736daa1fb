"""A private gearmand server for tests, and plain-socket helpers that show what it holds.

    with Gearmand() as server:
        client = gearman_c.Client(server.address)
        ...
        assert server.status()["resize"].total == 3
        jobs = drain(server.address, "resize")

Nothing is left running, whatever ends Python (SIGKILL too): a tiny shell waits on a pipe that
closes with this process, then kills the server. Unlike PR_SET_PDEATHSIG that does not depend on
the thread that started the server, needs no Python code between fork and exec, and is portable.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple, Self

from .protocol import DrainedJob, ServerReplyError, drain, submit

__all__ = [
    "DrainedJob",
    "FunctionStatus",
    "Gearmand",
    "ServerReplyError",
    "drain",
    "find_gearmand",
    "submit",
    "unused_port",
]

_START_LIMIT: Final = 20.0  # seconds until a server that does not answer is given up
_STOP_LIMIT: Final = 5.0  # seconds between SIGTERM and SIGKILL
_ATTEMPTS: Final = 20  # ports tried when others keep taking them

# The launcher tells the watchdog its process id before it becomes gearmand: there is no moment
# at which the server runs unwatched. Both are children of this process, which reaps them.
_LAUNCHER: Final = 'echo $$; exec "$@" >/dev/null'
_WATCHDOG: Final = 'read pid || exit 0; read done || kill -KILL "$pid"'

_INSTALL: Final = """gearmand was not found. Install the server:
  apt install gearman-job-server    (Debian, Ubuntu)
  dnf install gearmand              (Fedora, EPEL)
  pacman -S gearmand                (Arch; from the AUR if the repositories lack it)
  apk add gearmand                  (Alpine)
  brew install gearman              (macOS)
or name the program with Gearmand(executable=...)."""


class FunctionStatus(NamedTuple):
    """One line of the text command `status`: jobs held, jobs running, workers that can do it."""

    total: int
    running: int
    available_workers: int


class Gearmand:
    """A gearmand of our own on 127.0.0.1; starts with `start()` or as a context manager.

    arguments: more command line arguments, e.g. ["--hashtable-buckets", "100003"]. (--listen,
    --port, --log-file, --pid-file and --config-file are taken; /etc/gearmand.conf is not read.)
    port: the port; None: a free one, which then stays the same over restarts.
    executable: path or name of gearmand; None: the one on PATH or in the usual places.
    Raises FileNotFoundError, saying what to install, when there is no gearmand.

    Methods may be called from any thread. A forked child that inherits the object cannot harm
    the server: there it counts as not running.
    """

    host: Final = "127.0.0.1"

    def __init__(
        self,
        *,
        arguments: Sequence[str] = (),
        port: int | None = None,
        executable: str | os.PathLike[str] | None = None,
    ) -> None:
        self.arguments = tuple(arguments)
        self.executable = find_gearmand(executable)
        self._port = port
        self._lock = threading.RLock()
        self._log = ""
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"running as {self.pid}" if self.running else "not running"
        return f"<Gearmand on {self.host}:{self._port} {state}>"

    @property
    def port(self) -> int:
        """The port. Raises RuntimeError before the first start if none was given."""
        if self._port is None:
            raise RuntimeError("the server has no port before its first start()")
        return self._port

    @property
    def address(self) -> str:
        """Host and port as clients take them: "127.0.0.1:PORT"."""
        return f"{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        with self._lock:
            return self._child is not None and self._child.alive()

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError when the server is not running."""
        return self._running_child().server.pid

    @property
    def log(self) -> str:
        """What the server has written to its log and to stderr, over all its starts."""
        with self._lock:
            return self._log + (self._child.log() if self.running and self._child else "")

    def start(self) -> None:
        """Start the server and return when it answers; does nothing when it is running.

        Raises OSError (EADDRINUSE) when somebody else has the port, RuntimeError with the
        server's own words when it exits, TimeoutError when it does not answer.
        """
        with self._lock:
            if self.running:
                return
            self._discard(0)  # it died without us
            for _ in range(1 if self._port else _ATTEMPTS):
                port = self._port or unused_port()
                if _is_free(port) and self._launch(port):
                    self._port = port
                    return
            raise OSError(errno.EADDRINUSE, f"gearmand: {self.host}:{port} is taken")

    def stop(self) -> None:
        """End the server: SIGTERM, and SIGKILL when it takes longer than 5 seconds.

        Works on a paused server, and does nothing when it is not running.
        """
        with self._lock:
            self._discard(_STOP_LIMIT)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would, and reap it."""
        with self._lock:
            self._discard(0)

    def restart(self) -> None:
        """Stop and start on the same port with the same arguments. Raises as `start` does."""
        with self._lock:
            self.stop()
            self.start()

    def pause(self) -> None:
        """Stop the process with SIGSTOP and return when it stands: connections open, all silent.

        Raises RuntimeError when the server is not running.
        """
        os.kill(self.pid, signal.SIGSTOP)
        if hasattr(os, "waitid"):  # macOS has it from Python 3.13 on
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT). Raises RuntimeError when it is not running."""
        os.kill(self.pid, signal.SIGCONT)

    def command(self, line: str, *, timeout: float = 30.0) -> list[str]:
        """Send a command of the text protocol, e.g. "status" or "maxqueue resize 3".

        timeout: seconds without an answer. Returns the lines of the reply; the closing "." is
        left out, and a refusal is a line that starts with ERR. Raises OSError.
        """
        # The server wants the carriage return: "create function" cuts two bytes off the name.
        data = line.encode("utf-8", "surrogateescape") + b"\r\n"
        with socket.create_connection((self.host, self.port), timeout) as connection:
            connection.sendall(data)
            with connection.makefile("rb") as reply:
                return _read_reply(line, (raw.decode("utf-8", "surrogateescape") for raw in reply))

    def status(self) -> dict[str, FunctionStatus]:
        """Return what the server holds, by function name. Raises OSError."""
        rows = (line.rsplit("\t", 3) for line in self.command("status"))
        return {name: FunctionStatus(*map(int, numbers)) for name, *numbers in rows}

    def _running_child(self) -> _Child:
        with self._lock:
            if self._child is None or not self._child.alive():
                raise RuntimeError(f"gearmand is not running; its log:\n{self.log}")
            return self._child

    def _launch(self, port: int) -> bool:
        """Start a process and wait until it answers; False if the port turns out to be taken."""
        # An empty pid file: the default one belongs to the system's gearmand, and a second
        # server would delete it. An empty configuration file: none is read.
        own = ["--listen", self.host, "--port", str(port), "--log-file", "stderr"]
        own += ["--pid-file", "", "--config-file", ""]
        child = self._child = _Child([self.executable, *own, *self.arguments])
        try:
            ready = self._wait_ready(child, port)
        except BaseException:
            self._discard(0)
            raise
        if not ready:
            self._discard(0)
        return ready

    def _wait_ready(self, child: _Child, port: int) -> bool:
        """Return True when our own process answers on the port, False when another one does."""
        deadline = time.monotonic() + _START_LIMIT
        while True:
            if not child.alive():
                status = child.server.returncode
                raise RuntimeError(f"gearmand ended with status {status}:\n{child.log()}")
            pid = _listener_pid(self.host, port)
            if pid is not None:
                return pid == child.server.pid
            if time.monotonic() > deadline:
                raise TimeoutError(f"gearmand does not answer on port {port}:\n{child.log()}")
            time.sleep(0.001)

    def _discard(self, limit: float) -> None:
        """End the process if there is one, and keep its log."""
        if self._child is not None:
            self._log += self._child.end(limit)
            self._child = None


class _Child:
    """The processes of one start: the server, and the watchdog that ends it after our death."""

    def __init__(self, command: list[str]) -> None:
        self._owner = os.getpid()
        self._output = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (lives as long as we)
        environment = {k: v for k, v in os.environ.items() if k != "GEARMAN_SERVERS"}
        # A session of its own: Ctrl-C on the terminal is for Python, which then stops it.
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        try:
            self.server = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCHER, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=self._watchdog.stdin,
                stderr=self._output,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            _end_watchdog(self._watchdog)
            self._output.close()
            raise
        _children.add(self)
        # Runs once: when `end` calls it, when the object dies, or at exit of Python.
        self._finalizer = weakref.finalize(
            self, _release, self._owner, self.server, self._watchdog, self._output
        )

    def alive(self) -> bool:
        return os.getpid() == self._owner and self.server.poll() is None

    def log(self) -> str:
        # pread: the offset of the file belongs to the server, which writes there.
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode("utf-8", "replace")

    def end(self, limit: float) -> str:
        """End both processes and return the log.

        limit: seconds that SIGTERM is given; 0: SIGKILL at once.
        """
        if os.getpid() != self._owner:
            return ""
        _end_server(self.server, limit)
        log = self.log()
        self._finalizer()
        return log

    def forget(self) -> None:
        """In a forked child: let go of the pipe, or the server would outlive our parent."""
        self._finalizer.detach()
        self._output.close()
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        for process in (self.server, self._watchdog):
            # They are not our children: keeps Popen from warning about them.
            process.returncode = process.returncode or 0


_children: weakref.WeakSet[_Child] = weakref.WeakSet()


def _forget_children() -> None:
    for child in list(_children):
        child.forget()


os.register_at_fork(after_in_child=_forget_children)


def _release(
    owner: int,
    server: subprocess.Popen[bytes],
    watchdog: subprocess.Popen[bytes],
    output: IO[bytes],
) -> None:
    if os.getpid() == owner:
        _end_server(server, _STOP_LIMIT)
        _end_watchdog(watchdog)
    output.close()


def _end_server(server: subprocess.Popen[bytes], limit: float) -> None:
    if limit > 0 and server.poll() is None:
        server.terminate()
        server.send_signal(signal.SIGCONT)  # a stopped process does not see SIGTERM
        with suppress(subprocess.TimeoutExpired):
            server.wait(limit)
    server.kill()
    server.wait()


def _end_watchdog(watchdog: subprocess.Popen[bytes]) -> None:
    if watchdog.stdin is not None and not watchdog.stdin.closed:
        with suppress(OSError):  # somebody killed it
            watchdog.stdin.write(b"done\n")
        watchdog.stdin.close()
    watchdog.wait()


def find_gearmand(executable: str | os.PathLike[str] | None = None) -> str:
    """Return the path of gearmand (or of the program named).

    Raises FileNotFoundError, saying which package to install, when there is none.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(executable or "gearmand", path=path)
    if found is None:
        name = os.fspath(executable or "gearmand")
        raise FileNotFoundError(errno.ENOENT, _INSTALL, name)
    return found


def unused_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses and that no outgoing connection will get.

    While a server is down, the kernel could otherwise give its port to any client as the
    local end, even to the one that tries to reach it, which would then talk to itself.
    Raises OSError when none is found.
    """
    dice = random.SystemRandom()  # a test may have seeded the other one
    for _ in range(1000):
        port = dice.randrange(10000, _first_ephemeral_port())
        if _is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, "no unused port found on 127.0.0.1")


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 32768
    # A machine where all ports are ephemeral leaves no choice but to use one of them.
    return first if first > 11000 else 32768


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As gearmand does it: connections that a killed server left behind do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((Gearmand.host, port))
        except OSError:
            return False
        return True


def _listener_pid(host: str, port: int) -> int | None:
    """Return the process id of the gearmand on the port, 0 if it is no gearmand, None: not yet."""
    try:
        with socket.create_connection((host, port), 2.0) as probe:
            if probe.getsockname() == probe.getpeername():
                return None  # nobody listens: the kernel joined the socket to itself
            probe.sendall(b"getpid\r\n")
            with probe.makefile("rb") as reply:
                words = reply.readline(64).split()
    except OSError:
        return None
    return int(words[1]) if len(words) == 2 and words[1].isdigit() else 0


def _read_reply(command: str, lines: Iterable[str]) -> list[str]:
    """Read one reply: a single line that starts with OK or ERR, or lines up to a "."."""
    words = command.lower().split()
    # Told by the command, not by the line: a function may be called "OK".
    long = words[:1] in (["status"], ["prioritystatus"], ["workers"]) or words in (
        ["show", "jobs"],
        ["show", "unique", "jobs"],
    )
    reply: list[str] = []
    for ending in lines:
        line = ending.rstrip("\r\n")
        if long and line == ".":
            return reply
        reply.append(line)
        if not long:
            return reply
    raise ConnectionResetError(f"the gearmand server closed the connection during {command!r}")
