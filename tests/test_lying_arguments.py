"""Subclasses, claims and calls back: what is checked is what is used, and at that time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import repeat
from typing import Any

import numpy
import pytest

import gearman_c.aio
from gearman_c import TLS, ArgumentError, Client, UsageError, Worker
from gearman_c.testing import Gearmand, drain


class Number(int):
    """Says yes to each comparison, and has nothing to do with its value."""

    def __lt__(self, other: object) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__

    def __mul__(self, other: object) -> int:  # type: ignore[override]
        return 1

    __rmul__ = __mul__  # type: ignore[assignment]


class Name(bytes):
    """Has no NUL byte, as it says, is ASCII, and is in truth another one."""

    def __contains__(self, part: object) -> bool:
        return False

    def __bytes__(self) -> bytes:
        return Name(b"another")

    def isascii(self) -> bool:
        return True


class Host(str):
    """Prints well."""

    def isprintable(self) -> bool:
        return True

    def __contains__(self, part: object) -> bool:
        return False


def test_numbers_are_what_they_are(gearmand: Gearmand) -> None:
    """The buffer of a client was made for max_in_flight * 1, and it wrote max_in_flight rows."""
    with Client(gearmand.address, max_in_flight=Number(3000)) as client:
        assert client.max_in_flight == 3000
        for number in range(9000):
            client.add_task_background("f", str(number))
        client.run_tasks()
    assert len(drain(gearmand.address, "f")) == 9000
    for number in (Number(0), Number(100_001), Number(-1), Number(1 << 80)):
        with pytest.raises(ArgumentError, match="max_in_flight"):
            Client(max_in_flight=number)
    with Client("a:1") as client, pytest.raises(ArgumentError, match="port"):
        client.add_server("b", Number(65536))
    assert type(client.servers[0][1]) is int


def test_names_are_what_they_are(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        for name in (Name(b"a\0b"), Name(b"")):
            with pytest.raises(ArgumentError):
                client.add_task_background(name)
        with pytest.raises(ArgumentError):
            client.identifier = Name(b"a b\n")
        task = client.add_task_background(Name(b"name"), Name(b"pay\0load"), unique=Name(b"key"))
        client.run_tasks()
    assert (task.function_name, task.unique, task.workload) == ("name", "key", b"pay\0load")
    assert type(task.workload) is bytes
    assert [job.workload for job in drain(gearmand.address, "name")] == [b"pay\0load"]


def test_hosts_are_what_they_are() -> None:
    for host in (Host("a\0b"), Host("a b")):
        for servers in ([host], [(host, 1)]):
            with pytest.raises(ArgumentError):
                Client(servers)
    with Client(Host("a:1,b")) as client:
        client.add_servers([Host("c:2"), (Host("d"), 3)])
        assert client.servers == (("a", 1), ("b", 4730), ("c", 2), ("d", 3))
        assert {type(host) for host, _ in client.servers} == {str}


@pytest.mark.parametrize("claimed", [datetime, TLS, str, bytes, int])
def test_claims_do_not_count(claimed: type) -> None:
    """As those of a mock with a specification."""

    class Liar:
        __class__ = property(lambda self: claimed)  # type: ignore[assignment]

    liar: Any = Liar()
    with pytest.raises(TypeError):
        Client(tls=liar)
    with Client("127.0.0.1:1") as client:
        with pytest.raises(TypeError):
            client.do_background("f", at=liar)
        with pytest.raises(TypeError):
            client.do_background(liar)
        with pytest.raises(TypeError):
            client.do_background("f", timeout=liar)


def test_tls_takes_no_descriptor() -> None:
    """It would be read, and closed."""
    with open("/dev/zero", "rb") as file:
        number: Any = file.fileno()
        with pytest.raises(TypeError):
            Client(tls=TLS(number, number, number))
        assert file.read(1) == b"\0"
    for path in ("a\0b", "\ud800"):
        with pytest.raises(ArgumentError, match="TLS"):
            Client(tls=TLS(path, path, path))


def test_beyond_a_packet_before_it_is_copied() -> None:
    """An array of 2**60 bytes that is one byte in truth."""
    with Client("127.0.0.1:1") as client:
        for bits in (33, 60):
            with pytest.raises(ArgumentError, match="4 GiB"):
                client.add_task_background("f", numpy.broadcast_to(numpy.uint8(1), (1 << bits,)))


@pytest.mark.parametrize("kind", [Client, Worker])
@pytest.mark.parametrize("is_closed", [False, True])
def test_an_argument_calls_the_constructor(kind: type[Client | Worker], is_closed: bool) -> None:
    """The settings of the inner call may be in use when the outer one comes to an end."""
    made: Any = kind.__new__(kind)

    def servers() -> Iterator[str]:
        made.__init__("127.0.0.1:2", identifier="inner")
        if is_closed:
            made.close()
        yield "127.0.0.1:1"

    with pytest.raises(UsageError, match="an argument has"):
        made.__init__(servers(), identifier="outer")
    assert made.closed is is_closed
    if not is_closed:
        assert (made.servers, made.identifier) == ((("127.0.0.1", 2),), "inner")
    made.close()


def test_old_settings_that_call_back(gearmand: Gearmand) -> None:
    """What was dropped with them waited for ever for the change of settings to end."""
    said: list[str] = []
    with Client(gearmand.address) as client:

        class Log:
            def __call__(self, level: int, line: str) -> None: ...

            def __del__(self) -> None:
                for call in (client.run_tasks, client.close, lambda: client.set_log(None)):
                    try:
                        call()
                    except UsageError as error:
                        said.append(str(error))

        client.set_log(Log(), 5)
        client.do_background("f")
        client.set_log(None)
        client.do_background("f")
    assert len(said) == 3


def test_closed_while_a_question_is_asked(gearmand: Gearmand) -> None:
    """By what the question itself logs: it has a connection of its own, and ended never."""
    with Client(gearmand.address) as client:
        gearmand.pause()
        client.set_log(lambda level, line: client.close(), 5)
        with pytest.raises(UsageError, match="closed"):
            client.execute_by_partition("p", "f")
        gearmand.resume()


BAD_TIMES = [float("nan"), -1, -0.5, 10**400, -(10**400)]


@pytest.mark.parametrize("timeout", [*BAD_TIMES, "1", True, repeat])
def test_time_outs_for_asyncio(timeout: Any) -> None:
    """The same as elsewhere: nan spoils the order of an event loop's timers for all of them."""
    error = ArgumentError if timeout in BAD_TIMES else TypeError

    async def check() -> None:
        async with gearman_c.aio.Client("127.0.0.1:1") as client:
            calls: list[Callable[..., Any]] = [
                client.run_tasks,
                lambda timeout: client.do("f", timeout=timeout),
                lambda timeout: client.do_low_background("f", timeout=timeout),
                lambda timeout: client.do_background("f", timeout=timeout, at=5e9),
                lambda timeout: client.echo(b"x", timeout),
            ]
            for call in calls:
                with pytest.raises(error):
                    await call(timeout=timeout)
            assert client.pending == 0

    asyncio.run(check())
