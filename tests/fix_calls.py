"""Calls of any method, with arguments of any type and value."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from fix_values import HostileError, HostileExit, Maker, anything
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from gearman_c import GearmanError, Priority

LIMIT: Final = 10.0  # seconds that any call may take

_relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck))
brief = settings(_relaxed, max_examples=12)
lengthy = settings(_relaxed, max_examples=30)

# What a call may raise. OverflowError and UnicodeError would be conversions that nobody checked,
# SystemError and AttributeError what C and Cython say of an object that they took for another.
DOCUMENTED = (
    GearmanError,
    TypeError,
    ValueError,
    BufferError,
    MemoryError,
    HostileError,
    HostileExit,
)

# What lets a call get as far as the other arguments. A parameter that is new belongs here.
ORDINARY: dict[str, st.SearchStrategy[Any]] = {
    "function": st.sampled_from(["f", b"f"]),
    "partition": st.just("f"),
    "workload": st.just(b"x"),
    "workloads": st.just([b"x", b"y"]),
    "unique": st.none(),
    "context": st.none(),
    "timeout": st.sampled_from([0.02, 1]),
    "at": st.builds(lambda: time.time() + 1000),
    "priority": st.sampled_from(["low", Priority.HIGH]),
    "background": st.just(True),
    "job_handle": st.just("H:host:1"),
    "name": st.just("exceptions"),
    "servers": st.just("127.0.0.1:1"),
    "host": st.just("127.0.0.1"),
    "port": st.just(1),
    "namespace": st.none(),
    "identifier": st.just("me"),
    "tls": st.none(),
    "max_in_flight": st.just(10),
    "resend": st.booleans(),
    "exceptions": st.booleans(),
    "target": st.none(),
    "level": st.just(20),
    "callable": st.just(lambda job: None),
    "threads": st.just(1),
    "processes": st.just(1),
    "handle_signals": st.booleans(),
    "numerator": st.just(1),
    "denominator": st.just(2),
    "data": st.just(b"x"),
    "warning": st.just(b"x"),
    "result": st.just(b"x"),
    "exception": st.just(b"x"),
    **dict.fromkeys(["kind", "error", "traceback"], st.none()),  # of a context manager
}


class Name(str):
    """The name of a keyword that cannot be compared."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise HostileError


class Call:
    """Arguments for a method, drawn for its parameters; they are dropped with it."""

    def __init__(
        self,
        data: st.DataObject,
        described: Callable[..., object],
        callback: Callable[[], None] = lambda: None,
    ) -> None:
        self._arguments: list[object] = []
        self._options: dict[Any, object] = {}
        is_positional = data.draw(st.booleans(), "positional")
        for parameter in _parameters(described):
            if parameter.default is not parameter.empty and data.draw(st.booleans(), "default"):
                is_positional = False
                continue
            values = ORDINARY[parameter.name] | anything | anything
            if parameter.name in ("threads", "processes"):
                values = values.filter(_is_no_crowd)
            value = draw_value(data, values, callback)
            if is_positional and parameter.kind is not parameter.KEYWORD_ONLY:
                self._arguments.append(value)
            else:
                self._options[parameter.name] = value
        # Now and then one too many, or a name that no parameter has.
        if data.draw(st.integers(0, 19)) == 19:
            self._arguments.append(None)
        if data.draw(st.integers(0, 19)) == 19:
            names: list[object] = ["", "\ud800", "self", "a b", 5]
            if "timeout" not in self._options:
                names.append(Name("timeout"))
            self._options[data.draw(st.sampled_from(names))] = 1

    def of(self, method: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: method(*self._arguments, **self._options)


def _parameters(method: Callable[..., object]) -> Iterable[inspect.Parameter]:
    try:
        parameters = inspect.signature(method).parameters.values()
    except ValueError:  # what C has made of __next__() and its like takes nothing
        return []
    return [
        each
        for each in parameters
        if each.name != "self" and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]


def _is_no_crowd(value: object) -> bool:
    """Whether it is no legal number of threads or processes that the test would not survive."""
    return not isinstance(value, int) or value <= 1


def draw_value(
    data: st.DataObject,
    values: st.SearchStrategy[Any] = anything,
    callback: Callable[[], None] = lambda: None,
) -> Any:
    value = data.draw(values)
    return value.make(callback) if isinstance(value, Maker) else value


def methods_of(kind: type) -> list[str]:
    """Return the names of its public methods, and of the special ones that it has itself."""
    special = "__enter__ __exit__ __iter__ __next__ __reduce__ __aenter__ __aexit__ __aiter__"
    public = [name for name in dir(kind) if name[0] != "_" and callable(getattr(kind, name))]
    bases = kind.__mro__[:-1]
    return public + [name for name in special.split() if any(name in vars(b) for b in bases)]


def attributes_of(kind: type) -> list[str]:
    return [name for name in dir(kind) if name[0] != "_" and not callable(getattr(kind, name))]


def attempt(action: Callable[[], Any], *others: type[BaseException]) -> Any:
    """Call it; it may return, or raise what is documented or one of the others, in LIMIT."""
    start = time.monotonic()
    try:
        return action()
    except (*DOCUMENTED, *others) as error:
        check_error(error)
        return None
    finally:
        assert time.monotonic() - start < LIMIT


def check_error(error: BaseException) -> None:
    if isinstance(error, UnicodeError):
        raise AssertionError("a UnicodeError that should be an ArgumentError") from error
    if isinstance(error, TimeoutError) and not isinstance(error, GearmanError):
        raise AssertionError("a time-out that is not ours") from error


def quietly(action: Callable[..., object], *arguments: object) -> Callable[[], None]:
    """Return a function that makes a call which an argument may make: it may be refused."""

    def call() -> None:
        with suppress(GearmanError):
            action(*arguments)

    return call
