"""The exception tree: bases, codes, attributes, pickling."""

from __future__ import annotations

import copy
import pickle

import pytest

from gearman_c import (
    ArgumentError,
    Client,
    ConnectionFailedError,
    GearmanError,
    JobFailedError,
    NotSupportedError,
    ProtocolError,
    QueueFullError,
    ReturnCode,
    ServerError,
    UnconfirmedError,
    UsageError,
    WaitTimeoutError,
)
from gearman_c.errors import class_for
from gearman_c.testing import unused_port

CODES: dict[type[GearmanError], set[str]] = {
    ConnectionFailedError: {
        "GETADDRINFO",
        "NO_SERVERS",
        "LOST_CONNECTION",
        "NOT_CONNECTED",
        "COULD_NOT_CONNECT",
        "NO_ACTIVE_FDS",
    },
    WaitTimeoutError: {"TIMEOUT"},
    ArgumentError: {
        "INVALID_ARGUMENT",
        "ARGUMENT_TOO_LARGE",
        "DATA_TOO_LARGE",
        "INVALID_FUNCTION_NAME",
        "TOO_MANY_ARGS",
    },
    ServerError: {"SERVER_ERROR", "INVALID_SERVER_OPTION", "UNKNOWN_OPTION", "JOB_NOT_FOUND"},
    QueueFullError: {"QUEUE_ERROR", "JOB_QUEUE_FULL"},
    ProtocolError: {
        "INVALID_MAGIC",
        "INVALID_COMMAND",
        "INVALID_PACKET",
        "UNEXPECTED_PACKET",
        "ECHO_DATA_CORRUPTION",
        "IGNORE_PACKET",
        "SEND_BUFFER_TOO_SMALL",
    },
    JobFailedError: {"WORK_FAIL", "WORK_EXCEPTION", "WORK_ERROR"},
    UnconfirmedError: set(),
    UsageError: set(),
    NotSupportedError: set(),
}


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (GearmanError, (Exception,)),
        (ConnectionFailedError, (GearmanError, ConnectionError)),
        (WaitTimeoutError, (GearmanError, TimeoutError)),
        (ArgumentError, (GearmanError, ValueError)),
        (ServerError, (GearmanError,)),
        (QueueFullError, (ServerError,)),
        (ProtocolError, (GearmanError,)),
        (JobFailedError, (GearmanError,)),
        (UnconfirmedError, (GearmanError,)),
        (UsageError, (GearmanError, RuntimeError)),
        (NotSupportedError, (GearmanError,)),
    ],
)
def test_bases(kind: type[GearmanError], bases: tuple[type, ...]) -> None:
    assert kind.__bases__ == bases


@pytest.mark.parametrize("code", ReturnCode)
def test_class_for_each_code(code: ReturnCode) -> None:
    claimed = [kind for kind, names in CODES.items() if code.name in names]
    assert class_for(code) is (claimed[0] if claimed else GearmanError)


@pytest.mark.parametrize("kind", CODES)
def test_codes_are_told_by_the_class(kind: type[GearmanError]) -> None:
    assert set(vars(kind).get("codes", "").split()) == CODES[kind]


def test_code_claimed_twice() -> None:
    with pytest.raises(RuntimeError, match="TIMEOUT is claimed by WaitTimeoutError already"):
        type("Second", (GearmanError,), {"codes": "TIMEOUT"})
    assert class_for(ReturnCode.TIMEOUT) is WaitTimeoutError


def test_codes_are_not_inherited() -> None:
    """A user's own subclass claims nothing."""
    type("Mine", (WaitTimeoutError,), {})
    assert class_for(ReturnCode.TIMEOUT) is WaitTimeoutError


def test_code_that_libgearman_does_not_have() -> None:
    with pytest.raises(KeyError):
        type("Wrong", (GearmanError,), {"codes": "NO_SUCH_CODE"})


def test_attributes() -> None:
    bare = GearmanError("what happened")
    assert str(bare) == "what happened"
    assert (bare.code, bare.operation, bare.detail, bare.task) == (None, None, None, None)
    assert bare.unconfirmed == ()
    with Client("127.0.0.1:1") as client:
        task = client.add_task_background("f")
        full = ServerError(
            "refused",
            code=ReturnCode.SERVER_ERROR,
            operation="run_tasks",
            detail="all of it",
            task=task,
            unconfirmed=(task,),
        )
    assert full.code is ReturnCode.SERVER_ERROR
    assert (full.operation, full.detail) == ("run_tasks", "all of it")
    assert full.task is task
    assert full.unconfirmed == (task,)


@pytest.mark.parametrize("kind", [GearmanError, *CODES])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(kind: type[GearmanError], protocol: int) -> None:
    error = kind("what", code=ReturnCode.PAUSE, operation="echo", detail="whole")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.code, again.operation, again.detail) == (ReturnCode.PAUSE, "echo", "whole")
    assert again.code is ReturnCode.PAUSE


def test_pickling_leaves_tasks_behind() -> None:
    with Client("127.0.0.1:1") as client:
        task = client.add_task_background("f", context=object())
        error = UnconfirmedError("lost", task=task, unconfirmed=(task,))
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(again) is UnconfirmedError
            assert str(again) == "lost"
            assert again.task is None
            assert again.unconfirmed == ()


def test_a_real_one() -> None:
    port = unused_port()
    with Client(("127.0.0.1", port) for _ in range(1)) as client:
        task = client.add_task_background("f")
        with pytest.raises(ConnectionFailedError, match=f"127.0.0.1:{port}") as caught:
            client.run_tasks()
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value.code, ReturnCode)
    assert class_for(caught.value.code) is ConnectionFailedError
    assert caught.value.operation == "connect"
    assert caught.value.detail
    assert caught.value.task is None
    assert caught.value.unconfirmed == ()
    assert not task.is_known
