"""Hypothesis strategies for arguments of any type and value."""

from __future__ import annotations

import array
import ctypes
import itertools
import mmap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy
from hypothesis import strategies as st

from gearman_c import TLS, GearmanError, Priority


class HostileError(Exception):
    """Raised by an argument itself, so that it may come out of the call."""


class HostileExit(BaseException):
    """Likewise, and no Exception."""


@dataclass(frozen=True)
class Maker:
    """Makes an argument anew for each call; told how to call back into what it is given to."""

    name: str
    make: Callable[[Callable[[], None]], object]

    def __repr__(self) -> str:
        return self.name


def released() -> memoryview:
    view = memoryview(b"released")
    view.release()
    return view


def closed_map() -> mmap.mmap:
    memory = mmap.mmap(-1, 4096)
    memory.close()
    return memory


def failing_generator(callback: Callable[[], None]) -> Iterator[object]:
    yield b"first"
    callback()
    yield "127.0.0.1:1"
    raise HostileError


class Record(ctypes.Structure):
    _fields_ = (("number", ctypes.c_int), ("text", ctypes.c_char * 5))


OBJECTS: dict[str, Callable[[], object]] = {
    "steps": lambda: memoryview(bytes(range(256)))[::3],
    "backwards": lambda: memoryview(bytearray(300))[::-7],
    "released": released,
    "two dimensions": lambda: memoryview(bytes(240)).cast("B", (12, 20)),
    "no size": lambda: memoryview(b"").cast("i"),
    "a zero dimension": lambda: numpy.empty((3, 0, 2), numpy.int16),
    "bytearray": lambda: bytearray(b"a\0b"),
    "array": lambda: array.array("d", [1.5, float("nan")]),
    "empty array": lambda: array.array("L"),
    "closed map": closed_map,
    "ctypes structure": Record,
    "ctypes array": Record * 3,
    "ctypes pointers": lambda: (ctypes.py_object * 2)(1, 2),
    "numpy": lambda: numpy.arange(24).reshape(4, 6)[::2, ::-2],
    "numpy broadcast": lambda: numpy.broadcast_to(numpy.uint8(1), (50, 50)),
    "numpy beyond any memory": lambda: numpy.broadcast_to(numpy.uint8(1), (1 << 60,)),
    "numpy beyond a packet": lambda: numpy.broadcast_to(numpy.uint8(1), (1 << 33,)),
    "numpy objects": lambda: numpy.array([None, {}]),
    "numpy records with objects": lambda: numpy.zeros(2, [("O", "i1"), ("b", object)]),
    "numpy dates": lambda: numpy.array(["2020-01-01"], "M8[D]"),
    "numpy texts": lambda: numpy.array(["text", "\ud800"]),
    "numpy int": lambda: numpy.int64(1),
    "numpy float": lambda: numpy.float64(0.01),
    "numpy float32": lambda: numpy.float32(0.01),
    "numpy bool": lambda: numpy.bool_(True),
    "numpy nan": lambda: numpy.float64("nan"),
    "endless ints": itertools.count,
    "endless None": lambda: itertools.repeat(None),
    "exhausted": lambda: iter(()),
    "servers": lambda: iter(["127.0.0.1", ("127.0.0.1", 2)]),
    "odd servers": lambda: [("127.0.0.1", 1, 1)],
    "server with a float": lambda: [("127.0.0.1", 1.0)],
    "dict": lambda: {"127.0.0.1": 1},
    "set": lambda: {1, "a"},
    "slice": lambda: slice(None),
    "class": lambda: bytes,
    "lambda": lambda: lambda *arguments: None,
    "lambda without parameters": lambda: lambda: None,
    "identity": lambda: lambda value: value,
    "object": object,
    "ellipsis": lambda: ...,
    "exception": lambda: ValueError("\ud800"),
    "naive moment": lambda: datetime(2050, 1, 1),
    "first moment": lambda: datetime.min.replace(tzinfo=UTC),
    "last moment": lambda: datetime.max.replace(tzinfo=UTC),
    "future": lambda: datetime.now(UTC) + timedelta(days=1000),
    "TLS": TLS,
    "TLS of descriptors": lambda: TLS(-1, 10**6, 10**30),
    "TLS of a folder": lambda: TLS("/", "/", b"/"),
    "TLS of nothing": lambda: TLS("", "\0", "\ud800"),
    "huge int": lambda: 10**5000,
    "huge negative int": lambda: -(10**400),
    "long name": lambda: "x" * 512,
    "too long name": lambda: b"x" * 513,
    "megabyte": lambda: b"x" * (1 << 20),
    "long text": lambda: "é" * 100_000,
}


class Path:
    def __fspath__(self) -> str:
        return "/"


# Classes to make subclasses of, and what the constructor of each is given.
BASES: dict[type, tuple[Any, ...]] = {
    object: (),
    str: ("f",),
    bytes: (b"f",),
    int: (1,),
    float: (0.02,),
    tuple: (("127.0.0.1", 1),),
    list: (["127.0.0.1:1"],),
    bytearray: (b"f",),
    dict: ({"f": 1},),
    datetime: (2100, 1, 1, 0, 0, 0, 0, UTC),
    Exception: ("f",),
    Path: (),
}

METHODS = [
    "__buffer__", "__len__", "__index__", "__int__", "__float__", "__str__", "__repr__",
    "__bytes__", "__iter__", "__next__", "__hash__", "__eq__", "__ne__", "__lt__", "__le__",
    "__gt__", "__ge__", "__bool__", "__fspath__", "__format__", "__contains__", "__getitem__",
    "__call__", "__mul__", "__rmul__", "__add__", "__radd__", "__round__", "__trunc__",
    "__aiter__", "__anext__", "__await__", "__get__", "__getattr__", "encode", "isprintable",
    "isascii", "isdigit", "count", "partition", "startswith", "upper", "strip", "timestamp", "log",
]  # fmt: skip

NONSENSE: tuple[object, ...] = (
    None, True, False, "\ud800", "127.0.0.1", -1, 1 << 70, 10**400, b"\0", b"f", (), 0.5,
    float("nan"), NotImplemented,
)  # fmt: skip


def strange(base: type, methods: list[str], act: str, answer: object) -> Maker:
    """An object of a subclass whose methods raise, call back, or return nonsense."""

    def make(callback: Callable[[], None]) -> object:
        def method(*arguments: object, **options: object) -> object:
            if act == "raise":
                raise HostileError
            if act == "exit":
                raise HostileExit
            if act == "call back":
                callback()
            return answer

        kind = type(base)("Strange", (base,), dict.fromkeys(methods, method))
        return kind(*BASES[base])

    return Maker(f"{base.__name__} whose {', '.join(methods)} {act} ({answer!r:.20})", make)


def farewell(base: type) -> Maker:
    """An object that calls back when it is dropped."""

    def make(callback: Callable[[], None]) -> object:
        def drop(self: object) -> None:
            with suppress(GearmanError):  # it may be dropped when all is over
                callback()

        return type(base)("Farewell", (base,), {"__del__": drop})(*BASES[base])

    return Maker(f"{base.__name__} that calls back when it is dropped", make)


def liar(claimed: type) -> Maker:
    """An object that claims to be of another class, as mocks do."""
    kind = type("Liar", (), {"__class__": property(lambda self: claimed)})
    return Maker(f"liar about {claimed.__name__}", lambda callback: kind())


# An argument, or a Maker of one.
fixed = st.sampled_from(
    [
        *(Maker(name, lambda callback, make=make: make()) for name, make in OBJECTS.items()),
        *(farewell(base) for base in BASES),
        *(liar(claimed) for claimed in (*BASES, bool, TLS, Priority)),
        Maker("failing generator", failing_generator),
        Maker("callback", lambda callback: lambda *arguments: callback()),
    ]
)
strangers = st.builds(
    strange,
    st.sampled_from(list(BASES)),
    st.lists(st.sampled_from(METHODS), min_size=1, max_size=5, unique=True),
    st.sampled_from(["raise", "exit", "call back", "lie", "lie"]),
    st.sampled_from(NONSENSE),
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70_000),
    st.integers(),
    st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63)]),
    st.floats(),
    st.floats(0, 0.05),
    st.complex_numbers(),
    st.text(max_size=70),
    st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=5),
    st.binary(max_size=70),
    st.integers(500, 520).map(lambda size: "x" * size),
    st.integers(60, 70).map(lambda size: b"\xff" * size),
    st.builds(str.encode, st.text(max_size=40)).map(bytearray),
    st.binary(max_size=40).map(memoryview),
    st.lists(st.one_of(st.text(max_size=5), st.binary(max_size=5), st.none()), max_size=4),
    st.tuples(st.text(max_size=5), st.integers(-1, 70_000)).map(lambda server: [server]),
    st.datetimes(timezones=st.sampled_from([None, UTC])),
    st.decimals(),
    st.fractions(),
)
anything = st.one_of(plain, fixed, strangers)
