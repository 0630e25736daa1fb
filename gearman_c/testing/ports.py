"""Ports of 127.0.0.1: which are unused, and who listens."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"


def unused_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses and that no outgoing connection will get.

    While a server is down, the kernel could otherwise give its port to any client as the
    local end, even to the one that tries to reach it, which would then talk to itself.
    Raises OSError when none is found.
    """
    dice = random.SystemRandom()  # a test may have seeded the other one
    for _ in range(1000):
        port = dice.randrange(10000, _first_ephemeral_port())
        if is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, "no unused port found on 127.0.0.1")


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 32768
    # A machine where all ports are ephemeral leaves no choice but to use one of them.
    return first if first > 11000 else 32768


def is_free(port: int) -> bool:
    """Tell whether a server could take the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As gearmand does it: connections that a killed server left behind do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def listener_pid(host: str, port: int) -> int | None:
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
