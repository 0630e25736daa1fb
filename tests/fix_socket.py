"""The sockets of this process, seen from outside: by their descriptors."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

SO_BUF_LOCK = 72  # Linux 5.14
LIBGEARMAN_BUFFER = 2 * 32 * 1024  # what it sets, doubled by the kernel


class Options(NamedTuple):
    """What is set on a socket."""

    linger: tuple[int, int]
    send_buffer: int
    receive_buffer: int
    locked: bool  # the kernel may not size the buffers


def read_options(end: socket.socket) -> Options:
    linger = struct.unpack("ii", end.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
    return Options(
        linger,
        end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        end.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
        bool(end.getsockopt(socket.SOL_SOCKET, SO_BUF_LOCK)),
    )


@contextmanager
def borrowed(descriptor: int) -> Iterator[socket.socket]:
    """A socket object around a descriptor of somebody else, who keeps it."""
    end = socket.socket(fileno=descriptor)
    try:
        yield end
    finally:
        end.detach()


def connections_to(port: int, *, but: frozenset[int] = frozenset()) -> dict[int, Options]:
    """The sockets of this process that are connected to a port, by descriptor."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        with suppress(OSError):
            if descriptor in but or not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with borrowed(descriptor) as end:
                if end.family == socket.AF_INET and end.getpeername()[1] == port:
                    found[descriptor] = read_options(end)
    return found


def is_tuned(options: Options) -> bool:
    """Whether somebody has undone what libgearman does to its sockets."""
    return not options.linger[0] and (not options.locked or options.send_buffer > LIBGEARMAN_BUFFER)
