"""The tables of constants against the libgearman that the extension has loaded."""

from __future__ import annotations

import ctypes

import pytest

import gearman_c
from gearman_c import ClientOption, Priority, ReturnCode, TaskState, WorkerOption

# Through the extension, so that it is the very library it is linked with, wherever that lies.
library = ctypes.CDLL(gearman_c._gearman.__file__)
library.gearman_strerror.restype = ctypes.c_char_p
library.gearman_client_create.restype = ctypes.c_void_p
library.gearman_worker_create.restype = ctypes.c_void_p


@pytest.fixture
def c_client() -> ctypes.c_void_p:
    client = ctypes.c_void_p(library.gearman_client_create(None))
    yield client
    library.gearman_client_free(client)


@pytest.mark.parametrize("code", ReturnCode)
def test_return_code(code: ReturnCode) -> None:
    assert library.gearman_strerror(int(code)).decode() == f"GEARMAN_{code.name}"


def test_return_codes_are_complete() -> None:
    assert list(ReturnCode) == list(range(len(ReturnCode)))
    assert library.gearman_strerror(len(ReturnCode)) == b"GEARMAN_MAX_RETURN"


def test_client_options_are_known(c_client: ctypes.c_void_p) -> None:
    """The library takes each option that can be set, and shows it under the same bit."""
    assert library.gearman_client_options(c_client) == ClientOption.ALLOCATED
    settable = ClientOption.NON_BLOCKING | ClientOption.UNBUFFERED_RESULT
    settable |= ClientOption.FREE_TASKS | ClientOption.GENERATE_UNIQUE
    for option in settable:
        library.gearman_client_add_options(c_client, int(option))
        assert ClientOption(library.gearman_client_options(c_client)) & option
    assert library.gearman_client_options(c_client) == ClientOption.ALLOCATED | settable


def test_client_option_bits() -> None:
    assert {option.name: option.value for option in ClientOption} == {
        "ALLOCATED": 1,
        "NON_BLOCKING": 2,
        "TASK_IN_USE": 4,
        "UNBUFFERED_RESULT": 8,
        "NO_NEW": 16,
        "FREE_TASKS": 32,
        "GENERATE_UNIQUE": 64,
        "EXCEPTION": 128,
        "SSL": 256,
    }


def test_worker_options_are_known() -> None:
    """As those of a client; IDENTIFIER makes one up."""
    worker = ctypes.c_void_p(library.gearman_worker_create(None))
    made = WorkerOption(library.gearman_worker_options(worker))
    assert made == (
        WorkerOption.ALLOCATED
        | WorkerOption.PACKET_INIT
        | WorkerOption.GRAB_UNIQ
        | WorkerOption.GRAB_ALL
    )
    settable = WorkerOption.NON_BLOCKING | WorkerOption.TIMEOUT_RETURN | WorkerOption.IDENTIFIER
    for option in settable:
        library.gearman_worker_add_options(worker, int(option))
        assert WorkerOption(library.gearman_worker_options(worker)) & option
    assert library.gearman_worker_options(worker) == made | settable
    library.gearman_worker_free(worker)


def test_worker_option_bits() -> None:
    names = "ALLOCATED NON_BLOCKING PACKET_INIT GRAB_JOB_IN_USE PRE_SLEEP_IN_USE WORK_JOB_IN_USE"
    names += " CHANGE GRAB_UNIQ TIMEOUT_RETURN GRAB_ALL SSL IDENTIFIER"
    assert {option.name: option.value for option in WorkerOption} == {
        name: 1 << bit for bit, name in enumerate(names.split())
    }


def test_priorities() -> None:
    assert {each.name: each.value for each in Priority} == {"HIGH": 0, "NORMAL": 1, "LOW": 2}


def test_task_states() -> None:
    """What each state means is shown in test_task.py."""
    assert {state.name: state.value for state in TaskState} == {
        "PENDING": 0,
        "IN_FLIGHT": 1,
        "UNCONFIRMED": 2,
        "RUNNING": 3,
        "CREATED": 4,
        "COMPLETE": 5,
        "FAILED": 6,
        "CANCELLED": 7,
    }
