"""Full disks, lost packets and names that come and go: what only root can make, on Linux."""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from fix_proxy import Proxy

DISK_SIZE = "256k"  # a database of gearmand and its journal, and some jobs
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
LIBRARY = ctypes.CDLL(None, use_errno=True)


def enter(namespace: IO[str], kind: int) -> None:
    if LIBRARY.setns(namespace.fileno(), kind):
        raise OSError(ctypes.get_errno(), "setns")


def call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def small_disk() -> Iterator[str]:
    """Return a folder that holds little."""
    with tempfile.TemporaryDirectory() as folder:
        call("mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", folder)
        try:
            yield folder
        finally:
            call("umount", "--lazy", folder)  # its server may still end


def can_mount() -> bool:
    try:
        with small_disk():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


class Names:
    """The names that this thread, and those it starts, can resolve: only these."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            # What is mounted here nobody else sees. There is no way back while threads are alive
            # that this one has started: what is mounted is taken away in the end.
            if LIBRARY.unshare(CLONE_NEWNS):
                raise OSError(ctypes.get_errno(), "unshare")
            call("mount", "--make-rprivate", "/")
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            self._hosts = Path(folder, "hosts")
            servers = Path(folder, "resolv.conf")
            servers.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            self.forget()
            for file in (self._hosts, servers):
                call("mount", "--bind", str(file), f"/etc/{file.name}")
                stack.callback(call, "umount", "--lazy", f"/etc/{file.name}")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def forget(self) -> None:
        """Have no name resolve."""
        self._hosts.write_text("")

    def learn(self, name: str) -> None:
        """Have a name resolve to this machine."""
        self._hosts.write_text(f"127.0.0.1 {name}\n")


def can_hide_names() -> bool:
    try:
        with Names():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


class NamedProxy(Proxy):
    """A proxy whose address is a name."""

    def __init__(self, name: str, server_host: str, server_port: int) -> None:
        super().__init__(server_host, server_port)
        self.host = name

    def _listen(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", self.port), backlog=128)


class Network:
    """A network of two: this machine, and an address behind a cable of its own.

    address: of the other end, which sockets made by ``listen()`` have.
    """

    def __init__(self) -> None:
        # Tests run side by side: each has its own cable, and its own pair of addresses.
        self._cable = f"gc{secrets.token_hex(4)}"
        pair = secrets.randbelow(1 << 15) * 2
        self._here, self.address = (f"198.18.{end >> 8}.{end & 255}" for end in (pair, pair + 1))

    def __enter__(self) -> Self:
        # It has a network of its own as long as it runs, and it runs as long as we hold its input.
        self._other_end = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready; cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert self._other_end.stdout is not None
            if self._other_end.stdout.readline() != b"ready\n":
                raise OSError("no network of its own")
            number = str(self._other_end.pid)
            call("ip", "link", "add", self._cable, "type", "veth", "peer", "eth0", "netns", number)
            inside = ("nsenter", "--net", "--target", number, "ip")
            self._ends = ((("ip",), self._cable, self.address), (inside, "eth0", self._here))
            for (tool, device, _), own in zip(self._ends, (self._here, self.address), strict=True):
                call(*tool, "address", "add", f"{own}/31", "dev", device)
                call(*tool, "link", "set", device, "up")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        """With the process its network ends, and with that the cable."""
        self._other_end.communicate()
        self._other_end.wait()

    def listen(self, port: int) -> socket.socket:
        """Return a socket that listens at the other end."""
        with (
            Path("/proc/thread-self/ns/net").open() as ours,
            Path(f"/proc/{self._other_end.pid}/ns/net").open() as others,
        ):
            enter(others, CLONE_NEWNET)
            try:
                return socket.create_server((self.address, port), backlog=128)
            finally:
                enter(ours, CLONE_NEWNET)

    def drop(self) -> None:
        """Lose all packets, both ways, without a word: nobody has that hardware address."""
        for tool, device, other in self._ends:
            call(*tool, "neigh", "replace", other, "lladdr", "02:00:00:00:00:01", "dev", device)

    def restore(self) -> None:
        for tool, device, other in self._ends:
            call(*tool, "neigh", "del", other, "dev", device)


def can_make_networks() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        with Network() as network:
            network.listen(4730).close()
            network.drop()
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


class NetworkProxy(Proxy):
    """A proxy at the other end of a network."""

    def __init__(self, network: Network, server_host: str, server_port: int) -> None:
        super().__init__(server_host, server_port)
        self.host = network.address
        self._network = network

    def _listen(self) -> socket.socket:
        return self._network.listen(self.port)
