"""What a task may be made of: function names, unique keys, and payloads of every kind."""

from __future__ import annotations

import array
import mmap
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from gearman_c import ArgumentError, Client, Task
from gearman_c.testing import DrainedJob, Gearmand, drain

ADD = ["add_task_background", "add_task_high_background", "add_task_low_background"]


class Text(str):
    """A subclass, which must be taken for what it is."""


class Data(bytes):
    """Likewise."""


def still_works(client: Client, server: Gearmand) -> None:
    """Assert that only good tasks are queued, and that the client sends the next one."""
    assert client.pending == 0
    task = client.add_task_background("after", "all")
    client.run_tasks()
    assert [job.handle for job in drain(server.address, "after")] == [task.job_handle]
    assert set(server.status()) == {"after"}


# Function names

NAMES: list[str | bytes] = [
    "f",
    "0",
    "a b",
    "tab\tand\nline",
    "%s%n",
    "Größe",
    "画像を縮小",
    "é" * 256,
    "x" * 512,
    b"f",
    b"x" * 512,
    b"\xff\xfe",
    b"\x01",
    Text("text"),
    Data(b"data"),
]


@pytest.mark.parametrize("add", ADD)
@pytest.mark.parametrize("name", NAMES)
def test_function_names(gearmand: Gearmand, name: str | bytes, add: str) -> None:
    raw = name.encode() if isinstance(name, str) else bytes(name)
    with Client(gearmand.address) as client:
        task = getattr(client, add)(name, "payload")
        client.run_tasks()
    text = raw.decode("utf-8", "surrogateescape")
    assert task.function_name == text
    assert drain(gearmand.address, raw) == [
        DrainedJob(task.job_handle, text, task.unique, b"payload")
    ]


@pytest.mark.parametrize("length", range(1, 513, 7))
def test_lengths_of_function_names(gearmand: Gearmand, length: int) -> None:
    name = "f" * length
    with Client(gearmand.address) as client:
        client.add_task_background(name)
        client.run_tasks()
    assert len(drain(gearmand.address, name)) == 1


BAD_NAMES: list[tuple[Any, type[Exception]]] = [
    ("", ArgumentError),
    (b"", ArgumentError),
    ("x" * 513, ArgumentError),
    (b"x" * 513, ArgumentError),
    ("é" * 257, ArgumentError),
    ("x" * 1_000_000, ArgumentError),
    ("\0", ArgumentError),
    ("a\0b", ArgumentError),
    (b"f\0", ArgumentError),
    ("\ud800", ArgumentError),
    ("f\udcff", ArgumentError),
    (None, TypeError),
    (5, TypeError),
    (1.5, TypeError),
    (["f"], TypeError),
    (bytearray(b"f"), TypeError),
    (memoryview(b"f"), TypeError),
    (object(), TypeError),
]


@pytest.mark.parametrize(("name", "error"), BAD_NAMES)
def test_bad_function_names(gearmand: Gearmand, name: Any, error: type[Exception]) -> None:
    with Client(gearmand.address) as client:
        for add in ADD:
            with pytest.raises(error) as caught:
                getattr(client, add)(name, "payload")
            # ArgumentError is a ValueError; and it is raised at once, before any run.
            assert isinstance(caught.value, ValueError | TypeError)
        with pytest.raises(error):
            client.submit(name, ["payload"])
        still_works(client, gearmand)


def test_a_bad_name_after_a_good_one(gearmand: Gearmand) -> None:
    """The name that was used last is remembered; a refused one is not."""
    with Client(gearmand.address) as client:
        for name in ("good", "bad\0", "good", "bad\0", "other", "good"):
            if "\0" in name:
                with pytest.raises(ArgumentError):
                    client.add_task_background(name)
            else:
                client.add_task_background(name)
        client.run_tasks()
    assert {name: row.total for name, row in gearmand.status().items()} == {"good": 3, "other": 1}


def test_missing_and_unknown_arguments(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        for add in ADD:
            with pytest.raises(TypeError):
                getattr(client, add)()
            with pytest.raises(TypeError):
                getattr(client, add)("f", "w", "unique")
            with pytest.raises(TypeError):
                getattr(client, add)("f", "w", key="unique")
            assert isinstance(getattr(client, add)(function="f", workload="w"), Task)
        assert client.pending == 3


# Unique keys


def test_unique_keys(gearmand: Gearmand) -> None:
    keys: list[str | bytes] = ["k" * length for length in range(1, 64)]
    keys += ["é" * 31, b"\xff" * 63, Text("text"), Data(b"data"), "##", "-a", "a b"]
    with Client(gearmand.address) as client:
        tasks = [client.add_task_background("f", unique=key) for key in keys]
        client.run_tasks()
    raw = [key.encode() if isinstance(key, str) else bytes(key) for key in keys]
    texts = [key.decode("utf-8", "surrogateescape") for key in raw]
    assert [task.unique for task in tasks] == texts
    assert [job.unique for job in drain(gearmand.address, "f")] == texts


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("", ArgumentError),
        (b"", ArgumentError),
        ("k" * 64, ArgumentError),
        (b"k" * 65, ArgumentError),
        ("é" * 32, ArgumentError),
        ("a\0b", ArgumentError),
        (b"\0", ArgumentError),
        ("\ud800", ArgumentError),
        (5, TypeError),
        (False, TypeError),
        (bytearray(b"k"), TypeError),
        (("k",), TypeError),
    ],
)
def test_bad_unique_keys(gearmand: Gearmand, key: Any, error: type[Exception]) -> None:
    with Client(gearmand.address) as client:
        for add in ADD:
            with pytest.raises(error):
                getattr(client, add)("f", "payload", unique=key)
        still_works(client, gearmand)


# Payloads

EVERY_BYTE = bytes(range(256))
TABLE = numpy.arange(24, dtype=numpy.int32).reshape(4, 6)


def mapped() -> mmap.mmap:
    memory = mmap.mmap(-1, 8192)
    memory[:] = EVERY_BYTE * 32
    return memory


PAYLOADS: dict[str, tuple[Callable[[], Any], bytes]] = {
    "bytes": (lambda: EVERY_BYTE, EVERY_BYTE),
    "bytes subclass": (lambda: Data(EVERY_BYTE), EVERY_BYTE),
    "one byte": (lambda: b"\0", b"\0"),
    "bytearray": (lambda: bytearray(EVERY_BYTE), EVERY_BYTE),
    "str": (lambda: "Grüße 🎉\0", "Grüße 🎉\0".encode()),
    "str subclass": (lambda: Text("é"), b"\xc3\xa9"),
    "memoryview": (lambda: memoryview(EVERY_BYTE)[5:77], EVERY_BYTE[5:77]),
    "memoryview with steps": (lambda: memoryview(EVERY_BYTE)[::3], EVERY_BYTE[::3]),
    "memoryview backwards": (lambda: memoryview(EVERY_BYTE)[::-1], EVERY_BYTE[::-1]),
    "memoryview in two dimensions": (
        lambda: memoryview(EVERY_BYTE).cast("B", shape=[16, 16]),
        EVERY_BYTE,
    ),
    "array": (lambda: array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
    "mmap": (mapped, EVERY_BYTE * 32),
    "numpy": (lambda: TABLE, TABLE.tobytes()),
    "numpy scalar": (lambda: numpy.float64(1.5), numpy.float64(1.5).tobytes()),
    "numpy without dimensions": (lambda: numpy.array(7), numpy.array(7).tobytes()),
    "numpy rows": (lambda: TABLE[::2], TABLE[::2].tobytes("C")),
    "numpy columns": (lambda: TABLE[:, 1::2], TABLE[:, 1::2].tobytes("C")),
    "numpy transposed": (lambda: TABLE.T, TABLE.T.tobytes("C")),
    "numpy fortran": (lambda: numpy.asfortranarray(TABLE), TABLE.tobytes("C")),
    "numpy broadcast": (lambda: numpy.broadcast_to(TABLE[0], (3, 6)), TABLE[0].tobytes() * 3),
    "numpy read-only": (lambda: numpy.frombuffer(EVERY_BYTE, numpy.uint8), EVERY_BYTE),
    "numpy records": (
        lambda: numpy.array([(1, 2.5)], dtype=[("count", "<i4"), ("Offset", "<f8")]),
        numpy.array([(1, 2.5)], dtype=[("count", "<i4"), ("Offset", "<f8")]).tobytes(),
    ),
    "empty bytes": (lambda: b"", b""),
    "empty str": (lambda: "", b""),
    "empty bytearray": (bytearray, b""),
    "empty memoryview": (lambda: memoryview(b""), b""),
    "empty array": (lambda: array.array("d"), b""),
    "empty numpy": (lambda: numpy.empty((0, 3)), b""),
    "empty slice": (lambda: TABLE[:0, ::2], b""),
}


@pytest.mark.parametrize("kind", PAYLOADS)
def test_payloads(gearmand: Gearmand, kind: str) -> None:
    make, raw = PAYLOADS[kind]
    with Client(gearmand.address) as client:
        tasks = [getattr(client, add)("f", make()) for add in ADD]
        assert all(type(task.workload) is bytes for task in tasks)
        assert [task.workload for task in tasks] == [raw] * 3
        client.run_tasks()
        assert [task.workload for task in client.submit("f", [make()])] == [raw]
    assert [job.workload for job in drain(gearmand.address, "f")] == [raw] * 4


def test_default_payload_is_empty(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        assert client.add_task_background("f").workload == b""
        client.run_tasks()
    assert [job.workload for job in drain(gearmand.address, "f")] == [b""]


def test_bytes_are_not_copied() -> None:
    payload = EVERY_BYTE * 2
    with Client("127.0.0.1:1") as client:
        assert client.add_task_background("f", payload).workload is payload


def test_changed_after_it_was_added(gearmand: Gearmand) -> None:
    """A payload is taken as it was when it was added; and it is not held back for that."""
    table, memory = numpy.zeros(300, numpy.uint8), mapped()
    payloads: list[Any] = [bytearray(300), array.array("B", bytes(300)), table, memory]
    payloads.append(memoryview(payloads[0])[:150])
    with Client(gearmand.address) as client:
        for payload in payloads:
            client.add_task_background("f", payload)
        del payloads[4], payload
        payloads[0].extend(b"more")  # BufferError if somebody still looked into it
        payloads[1].extend(b"more")
        payloads[0][:] = b"changed"
        table[:] = 7
        memory.close()
        client.run_tasks()
    workloads = [job.workload for job in drain(gearmand.address, "f")]
    assert workloads == [bytes(300), bytes(300), bytes(300), EVERY_BYTE * 32, bytes(150)]


BAD_PAYLOADS: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "None": (lambda: None, TypeError),
    "int": (lambda: 5, TypeError),
    "float": (lambda: 1.5, TypeError),
    "list": (lambda: [1, 2], TypeError),
    "dict": (dict, TypeError),
    "object": (object, TypeError),
    "class": (lambda: bytes, TypeError),
    "numpy objects": (lambda: numpy.array([{}, None]), TypeError),
    "numpy records with objects": (
        lambda: numpy.array([(1, {})], dtype=[("a", "i4"), ("b", object)]),
        TypeError,
    ),
    "surrogate": (lambda: "\ud800", ArgumentError),
    "surrogate after text": (lambda: "text\udc80", ArgumentError),
}


@pytest.mark.parametrize("kind", BAD_PAYLOADS)
def test_bad_payloads(gearmand: Gearmand, kind: str) -> None:
    make, error = BAD_PAYLOADS[kind]
    with Client(gearmand.address) as client:
        for add in ADD:
            with pytest.raises(error):
                getattr(client, add)("f", make())
        still_works(client, gearmand)


def test_payloads_that_are_gone(gearmand: Gearmand) -> None:
    view = memoryview(b"x")
    view.release()
    memory = mapped()
    memory.close()
    with Client(gearmand.address) as client:
        for payload in (view, memory):
            with pytest.raises(ValueError, match=r"released|closed"):
                client.add_task_background("f", payload)
        still_works(client, gearmand)


def test_payload_beyond_what_a_packet_carries(run_script: Callable[..., str]) -> None:
    """Never touched, so the four gigabytes are only promised to the process."""
    code = """
from gearman_c import ArgumentError, Client
with Client("127.0.0.1:1") as client:
    try:
        client.add_task_background("f", bytes(2**32))
    except ArgumentError as error:
        print(error)
    assert client.pending == 0
"""
    assert "4 GiB" in run_script(code, environment={"PYTHONMALLOC": "malloc"})


def test_context_is_the_same_object(gearmand: Gearmand) -> None:
    contexts: list[Any] = [None, 0, "text", 10**30, object(), [1], {"a": 1}, print, ValueError()]
    with Client(gearmand.address) as client:
        tasks = [client.add_task_background("f", context=context) for context in contexts]
        client.run_tasks()
    for task, context in zip(tasks, contexts, strict=True):
        assert task.context is context
