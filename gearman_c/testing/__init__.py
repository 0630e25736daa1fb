"""A private gearmand server for tests, and plain-socket helpers that show what it holds.

For instance::

    with Gearmand() as server:
        client = gearman_c.Client(server.address)
        ...
        assert server.status()["resize"].total == 3
        jobs = drain(server.address, "resize")

Nothing is left running, whatever ends Python (SIGKILL too): see `watchdog`.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from .ports import HOST, is_free, listener_pid, unused_port
from .protocol import DrainedJob, ServerReplyError, drain, submit
from .watchdog import STOP_LIMIT, Child

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
_ATTEMPTS: Final = 20  # ports tried when others keep taking them

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

    host: Final = HOST

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
        self._child: Child | None = None

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
        """Host and port as clients take them, ``"127.0.0.1:PORT"``."""
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
                if is_free(port) and self._launch(port):
                    self._port = port
                    return
            raise OSError(errno.EADDRINUSE, f"gearmand: {self.host}:{port} is taken")

    def stop(self) -> None:
        """End the server: SIGTERM, and SIGKILL when it takes longer than 5 seconds.

        Works on a paused server, and does nothing when it is not running.
        """
        with self._lock:
            self._discard(STOP_LIMIT)

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
        """Stop the process with SIGSTOP and return when it stands; connections stay open.

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

    def _running_child(self) -> Child:
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
        child = self._child = Child([self.executable, *own, *self.arguments])
        try:
            ready = self._wait_ready(child, port)
        except BaseException:
            self._discard(0)
            raise
        if not ready:
            self._discard(0)
        return ready

    def _wait_ready(self, child: Child, port: int) -> bool:
        """Return True when our own process answers on the port, False when another one does."""
        deadline = time.monotonic() + _START_LIMIT
        while True:
            if not child.alive():
                status = child.server.returncode
                raise RuntimeError(f"gearmand ended with status {status}:\n{child.log()}")
            pid = listener_pid(self.host, port)
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
