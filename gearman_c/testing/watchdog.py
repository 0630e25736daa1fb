"""The process of a server, and the watchdog that ends it when Python is gone.

Nothing is left running, whatever ends Python (SIGKILL too): a tiny shell waits on a pipe that
closes with this process, then kills the server. Unlike PR_SET_PDEATHSIG that does not depend on
the thread that started the server, needs no Python code between fork and exec, and is portable.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import weakref
from contextlib import suppress
from typing import IO, Final

STOP_LIMIT: Final = 5.0  # seconds between SIGTERM and SIGKILL

# The launcher tells the watchdog its process id before it becomes gearmand: there is no moment
# at which the server runs unwatched. Both are children of this process, which reaps them.
_LAUNCHER: Final = 'echo $$; exec "$@" >/dev/null'
_WATCHDOG: Final = 'read pid || exit 0; read done || kill -KILL "$pid"'


class Child:
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
        """Tell whether the server runs, and is ours."""
        return os.getpid() == self._owner and self.server.poll() is None

    def log(self) -> str:
        """Return what the server has written so far."""
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


_children: weakref.WeakSet[Child] = weakref.WeakSet()


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
        _end_server(server, STOP_LIMIT)
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
