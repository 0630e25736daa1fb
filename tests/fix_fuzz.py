"""What real servers said, and servers that say it again with something wrong in it."""

from __future__ import annotations

import random
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from fix_impostor import read_packet, reply

from gearman_c.testing import Gearmand

LIMIT = 0.02  # seconds after which a server no longer waits for a request


class Turn(NamedTuple):
    """What a server says after so many requests."""

    requests: int
    data: bytes


Turns = list[Turn]


def record(gearmand: Gearmand, scenario: Callable[[str], None]) -> Turns:
    """Return what the server says to a scenario, which makes one connection."""
    turns: Turns = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_listen_in, args=(listener, gearmand, turns))
        thread.start()
        scenario(f"127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    return turns


def _listen_in(listener: socket.socket, gearmand: Gearmand, turns: Turns) -> None:
    client, _ = listener.accept()
    with (
        client,
        socket.create_connection((gearmand.host, gearmand.port)) as server,
        selectors.DefaultSelector() as selector,
    ):
        for end in (client, server):
            selector.register(end, selectors.EVENT_READ)
        requests, pending = 0, b""
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    return
                if key.fileobj is server:
                    turns.append(Turn(requests, data))
                    requests = 0
                    client.sendall(data)
                else:
                    pending += data
                    while len(pending) >= 12 and len(pending) >= 12 + _size(pending):
                        pending = pending[12 + _size(pending) :]
                        requests += 1
                    server.sendall(data)


def _size(header: bytes) -> int:
    return int(struct.unpack(">I", header[8:12])[0])


class Replay:
    """A server that says the same to its first client, closes, and is mute to all others."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self._turns: Turns | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def say(self, turns: Turns) -> None:
        """Set what the next client hears."""
        self._turns = turns

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                turns, self._turns = self._turns or [], None
                with connection, suppress(OSError):
                    connection.settimeout(LIMIT)
                    for requests, data in turns:
                        for _ in range(requests):
                            read_packet(connection)
                        connection.sendall(data)


@contextmanager
def replay() -> Iterator[Replay]:
    server = Replay()
    try:
        yield server
    finally:
        server.close()


SIZES = (0, 1, 11, 12, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PACKETS = [
    reply(19, b"code\0text"),
    reply(19),
    reply(8, b"H:x:1"),
    reply(8, b"H" * 65536),
    reply(8),
    reply(6),
    reply(10),
    reply(13, b"H:x:1\0result"),
    reply(13),
    reply(14, b"H:x:1"),
    reply(12, b"H:x:1\x001\x002"),
    reply(12, b"H:x:1\x00" + b"9" * 300 + b"\x00-1"),
    reply(25, b"H:x:1\0exception"),
    reply(28, b"H:x:1\0data"),
    reply(29, b"H:x:1\0warning"),
    reply(20, b"H:x:1\x001\x001\x001\x002"),
    reply(42, b"u\x001\x001\x001\x002\x003"),
    reply(27, b"exceptions"),
    reply(17, b"echo"),
    reply(11, b"H:x:1\0f\0load"),
    reply(31, b"H:x:1\0f\0u\0load"),
    reply(31, b"H" * 65536 + b"\0f\0u\0load"),
    reply(40, b"H:x:1\0f\0u\0r\0load"),
    reply(41),
    reply(999, b"what"),
    reply(26, b"x"),
]


def mutate(turns: Turns, chance: random.Random) -> Turns:
    """Return what was said with one to three things wrong in it."""
    mutated = list(turns)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        place = chance.randrange(len(mutated))
        requests, data = mutated[place]
        mutated[place] = Turn(requests, chance.choice(MUTATIONS)(data, chance))
    return mutated


def _set_byte(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(max(len(data), 1))
    value = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return data[:place] + bytes([value]) + data[place + 1 :]


def _set_size(data: bytes, chance: random.Random) -> bytes:
    places = [at for at in range(len(data)) if data[at : at + 4] == b"\0RES"] or [0]
    place = chance.choice(places) + 8
    return data[:place] + struct.pack(">I", chance.choice(SIZES)) + data[place + 4 :]


def _set_command(data: bytes, chance: random.Random) -> bytes:
    places = [at for at in range(len(data)) if data[at : at + 4] == b"\0RES"] or [0]
    place = chance.choice(places) + 4
    return data[:place] + struct.pack(">I", chance.randrange(50)) + data[place + 4 :]


def _cut_out(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[end:]


def _cut_off(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    return data * chance.randrange(2, 5)


def _insert(data: bytes, chance: random.Random) -> bytes:
    packet = chance.choice(PACKETS)
    return chance.choice((packet + data, data + packet))


def _insert_inside(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.randrange(1, 20)) + data[place:]


MUTATIONS = (
    _set_byte,
    _set_byte,
    _set_size,
    _set_command,
    _cut_out,
    _cut_off,
    _repeat,
    _insert,
    _insert,
    _insert_inside,
)
