"""What does no I/O is the same as in the ``gearman_c.Client`` behind, types included."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from .. import _gearman
from .._gearman import Task

if TYPE_CHECKING:
    from .client import Client

_Value = TypeVar("_Value")
_Arguments = ParamSpec("_Arguments")
_Callable = TypeVar("_Callable", bound=Callable[..., Any])


class Same(Generic[_Value]):
    """An attribute that is the one of the ``gearman_c.Client`` behind."""

    def __set_name__(self, owner: type[Client], name: str) -> None:
        self._name = name
        self.__doc__ = f"As ``gearman_c.Client.{name}``."

    @overload
    def __get__(self, client: None, owner: type[Client]) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type[Client]) -> _Value: ...
    def __get__(self, client: Client | None, owner: type[Client]) -> Self | _Value:
        if client is None:
            return self
        value: _Value = getattr(client.tasks, self._name)
        return value

    def __set__(self, client: Client, value: _Value) -> None:
        setattr(client.tasks, self._name, value)


def passing(
    method: Callable[Concatenate[_gearman.Client, _Arguments], _Value],
) -> Callable[Concatenate[Client, _Arguments], _Value]:
    """Return a method that is the one of the ``gearman_c.Client`` behind."""

    def call(
        client: Client, /, *arguments: _Arguments.args, **options: _Arguments.kwargs
    ) -> _Value:
        return method(client.tasks, *arguments, **options)

    return _named_as(method, call)


def adding(
    method: Callable[Concatenate[_gearman.Client, _Arguments], Task],
) -> Callable[Concatenate[Client, _Arguments], Task]:
    """Return a method that adds a task; it joins the run that is under way."""

    def add(client: Client, /, *arguments: _Arguments.args, **options: _Arguments.kwargs) -> Task:
        task = method(client.tasks, *arguments, **options)
        client._runner.wake()
        return task

    return _named_as(method, add)


def _named_as(method: Callable[..., _Value], call: _Callable) -> _Callable:
    call.__name__ = method.__name__
    call.__qualname__ = f"Client.{method.__name__}"
    call.__doc__ = f"As ``gearman_c.Client.{method.__name__}()``."
    return call
