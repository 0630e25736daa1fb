"""execute_by_partition(): a call that blocks in libgearman, and can be given up all the same."""

from __future__ import annotations

import threading
import time

import pytest
from fix_tasks import wait_for
from fix_worker import RawWorker

import gearman_c
from gearman_c import (
    ArgumentError,
    Client,
    ConnectionFailedError,
    JobFailedError,
    ReturnCode,
    TaskState,
    WaitTimeoutError,
)
from gearman_c.testing import Gearmand, unused_port


def test_result(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        task = client.execute_by_partition("reverse", "part", b"abc", context=1)
        assert (task.result(), task.function_name, task.context) == (b"cba", "part", 1)
        assert task.job_handle
        assert client.execute_by_partition("reverse", "part").result() == b""
        assert client.execute_by_partition("talk", "part").result() == b"one two end"


def test_background(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        task = client.execute_by_partition("f", "part", b"abc", background=True, unique="mine")
        assert task.state is TaskState.CREATED
        assert client.unique_status("mine").is_known
        assert client.job_status(task.job_handle or "").is_known


def test_failures(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        for name, code in (("fail", ReturnCode.WORK_FAIL), ("throw", ReturnCode.WORK_EXCEPTION)):
            task = client.execute_by_partition(name, "part", b"abc")
            assert isinstance(task.error, JobFailedError)
            assert (task.state, task.return_code) == (TaskState.FAILED, code)


def test_given_up(gearmand: Gearmand, worker: RawWorker) -> None:
    others = gearman_c._gearman._open_channels()
    with Client(gearmand.address) as client:
        start = time.monotonic()
        with pytest.raises(WaitTimeoutError) as caught:
            client.execute_by_partition("keep", "part", timeout=0.3)
        assert time.monotonic() - start < 30
        (task,) = caught.value.unconfirmed
        assert task.state is TaskState.UNCONFIRMED
    wait_for(lambda: gearman_c._gearman._open_channels() <= others)


def test_server_dies(gearmand: Gearmand, worker: RawWorker) -> None:
    with Client(gearmand.address) as client:
        killer = threading.Timer(0.3, gearmand.kill)
        killer.start()
        with pytest.raises(ConnectionFailedError) as caught:
            client.execute_by_partition("keep", "part")
        killer.join()
        assert len(caught.value.unconfirmed) == 1


def test_nobody_listens() -> None:
    with (
        Client(f"127.0.0.1:{unused_port()}") as client,
        pytest.raises(ConnectionFailedError) as caught,
    ):
        client.execute_by_partition("f", "g")
    assert caught.value.unconfirmed == ()


@pytest.mark.parametrize("names", [("", "f"), ("f", ""), ("f" * 513, "f"), ("f", "a\0b")])
def test_bad_names(names: tuple[str, str]) -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(ArgumentError):
        client.execute_by_partition(*names)


def test_given_up_with_a_log(gearmand: Gearmand, worker: RawWorker) -> None:
    """The thread of the call logs when its client is gone: its settings must not be."""
    for _ in range(5):
        lines: list[str] = []
        others = gearman_c._gearman._open_channels()
        client = Client(gearmand.address)
        client.set_log(lambda _, line, lines=lines: lines.append(line), 5)
        with pytest.raises(WaitTimeoutError):
            client.execute_by_partition("keep", "part", timeout=0.1)
        del client
        reused = [bytearray(b"\xff" * size) for size in range(100, 900)]
        wait_for(lambda others=others: gearman_c._gearman._open_channels() <= others)
        assert lines
        del reused
