"""A task that was sent and not acknowledged when the connection broke: what is known is said."""

from __future__ import annotations

import gc
import random
import socket
import warnings
from typing import TYPE_CHECKING

import pytest
from fix_impostor import Impostor, read_packet, reply
from fix_tasks import add_tasks, at, check_all_there, check_pending, held, take, wait_for, waiting

from gearman_c import (
    Client,
    ConnectionFailedError,
    GearmanError,
    QueueFullError,
    ReturnCode,
    ServerError,
    Task,
    TaskState,
    UnconfirmedError,
    WaitTimeoutError,
)
from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy


def states(tasks: list[Task]) -> set[TaskState]:
    return {task.state for task in tasks}


def check_failed(tasks: list[Task]) -> None:
    for task in tasks:
        assert task.state is TaskState.FAILED
        assert isinstance(task.error, UnconfirmedError)
        assert task.error.task is task
        assert task.return_code is not ReturnCode.SUCCESS
        assert task.job_handle is None
        assert task.is_finished
        assert not task.is_known


def hold_answers_back(proxy: Proxy, client: Client) -> Task:
    """Connect the client, then let only its requests through; return the task this took."""
    task = client.add_task_background("f", b"the first")
    client.run_tasks()
    proxy.stall(to_server=False)
    return task


def time_out(client: Client) -> WaitTimeoutError:
    with pytest.raises(WaitTimeoutError) as caught:
        client.run_tasks(timeout=0.2)
    return caught.value


def test_sent_again(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    first = hold_answers_back(proxy, client)
    tasks = add_tasks(client, 20)
    error = time_out(client)
    assert error.unconfirmed == tuple(tasks)
    assert states(tasks) == {TaskState.UNCONFIRMED}
    wait_for(lambda: held(gearmand) == 21)
    proxy.cut()
    proxy.resume()
    tasks += add_tasks(client, 20)
    client.run_tasks()  # an old connection that broke loses nothing: no exception
    assert client.pending == 0
    client.close()
    jobs = take(gearmand)
    assert len(jobs) == 41
    handles = {job.unique: job.handle for job in jobs}
    assert all(handles[task.unique] == task.job_handle for task in [first, *tasks])


def test_not_sent_again(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address, resend=False)
    hold_answers_back(proxy, client)
    tasks = add_tasks(client, 20)
    assert time_out(client).unconfirmed == tuple(tasks)
    assert states(tasks) == {TaskState.UNCONFIRMED}
    assert client.pending == 20  # the connection stands: the answers may still come
    wait_for(lambda: held(gearmand) == 21)
    proxy.cut()
    proxy.resume()
    others = add_tasks(client, 20)
    with pytest.raises(ConnectionFailedError) as caught:
        client.run_tasks()
    assert caught.value.unconfirmed == tuple(tasks)
    check_failed(tasks)
    assert client.pending == 20
    client.run_tasks()
    assert client.pending == 0
    assert states(others) == {TaskState.CREATED}
    keys = [job.unique for job in take(gearmand)]
    assert len(set(keys)) == len(keys) == 41


@pytest.mark.parametrize("resend", [False, True])
def test_only_the_window_is_unconfirmed(proxy: Proxy, gearmand: Gearmand, *, resend: bool) -> None:
    client = Client(proxy.address, max_in_flight=5, resend=resend)
    hold_answers_back(proxy, client)
    tasks = add_tasks(client, 20)
    assert time_out(client).unconfirmed == tuple(tasks[:5])
    assert states(tasks[5:]) == {TaskState.PENDING}
    check_pending(client, tasks)
    wait_for(lambda: held(gearmand) == 6)
    with pytest.raises(WaitTimeoutError):
        client.run_tasks(timeout=0)
    proxy.resume()
    client.run_tasks()  # the answers come: none was lost, none is sent twice
    assert client.pending == 0
    assert proxy.connections == 1
    assert states(tasks) == {TaskState.CREATED}
    assert held(gearmand) == 21


@pytest.mark.parametrize("resend", [False, True])
def test_broken_in_mid_run(proxy: Proxy, gearmand: Gearmand, *, resend: bool) -> None:
    client = Client(proxy.address, max_in_flight=10, resend=resend)

    def act() -> None:
        proxy.stall(to_server=False)
        client.timeout = 0.2

    told = at(client, 30, act)
    tasks = add_tasks(client, 100)
    with pytest.raises(WaitTimeoutError) as caught:
        client.run_tasks()
    unconfirmed = list(caught.value.unconfirmed)
    assert 30 <= len(told) < 100
    assert told == tasks[: len(told)]
    assert unconfirmed == tasks[len(told) :][: len(unconfirmed)]
    assert 0 < len(unconfirmed) <= 10
    assert states(tasks[len(told) + len(unconfirmed) :]) == {TaskState.PENDING}
    client.timeout = None
    wait_for(lambda: held(gearmand) == len(told) + len(unconfirmed))
    proxy.resume()
    if resend:
        assert states(unconfirmed) == {TaskState.UNCONFIRMED}
    else:
        check_failed(unconfirmed)
    assert client.pending == waiting(tasks)
    client.run_tasks()
    assert client.pending == 0
    if resend:
        check_all_there(gearmand, tasks)
    else:
        assert held(gearmand) == len(tasks)
        check_failed(unconfirmed)


@pytest.mark.parametrize("resend", [False, True])
def test_half_a_task(gearmand: Gearmand, *, resend: bool) -> None:
    """Only the one whose first byte was sent is unconfirmed, not what waits behind it."""
    client = Client(gearmand.address, resend=resend)
    client.add_task_background("f")
    client.run_tasks()
    gearmand.pause()
    tasks = [client.add_task_background("f", bytes(20_000_000)) for _ in range(3)]
    assert time_out(client).unconfirmed == (tasks[0],)
    assert tasks[0].state is TaskState.UNCONFIRMED
    assert TaskState.UNCONFIRMED not in states(tasks[1:])
    assert client.pending == 3
    gearmand.kill()
    gearmand.start()
    if resend:
        client.run_tasks()
        check_all_there(gearmand, tasks)
    else:
        with pytest.raises(ConnectionFailedError) as caught:
            client.run_tasks()
        assert caught.value.unconfirmed == (tasks[0],)
        check_failed(tasks[:1])
        assert client.pending == 2
        client.run_tasks()
        check_all_there(gearmand, tasks[1:])


@pytest.mark.parametrize("side", ["bytes_to_server", "bytes_to_client"])
@pytest.mark.parametrize("window", [3, 1000])
def test_either_acknowledged_or_failed(
    proxy: Proxy, gearmand: Gearmand, side: str, window: int
) -> None:
    """With resend=False, whatever is cut: no job twice, and no failed task is a surprise."""
    dice = random.Random(f"{side} {window}")
    client = Client(proxy.address, resend=False, max_in_flight=window)
    tasks = add_tasks(client, 3000, ("f", "g"))
    unconfirmed: list[Task] = []
    while client.pending:
        proxy.cut_after(**{side: dice.randrange(1 + 40 * dice.choice([3, 100, 1000]))})
        try:
            client.run_tasks()
        except GearmanError as error:
            unconfirmed.extend(error.unconfirmed)
            check_failed(list(error.unconfirmed))
        assert client.pending == waiting(tasks)
        known = [task for task in tasks if task.is_known]
        assert client.pending + len(known) + len(unconfirmed) == len(tasks)
    assert unconfirmed == [task for task in tasks if task.state is TaskState.FAILED]
    assert unconfirmed
    keys = [job.unique for job in take(gearmand, ("f", "g"))]
    assert len(set(keys)) == len(keys)
    assert {task.unique for task in known} <= set(keys)


@pytest.mark.parametrize("resend", [False, True])
def test_close(proxy: Proxy, gearmand: Gearmand, *, resend: bool) -> None:
    client = Client(proxy.address, max_in_flight=5, resend=resend)
    first = hold_answers_back(proxy, client)
    tasks = add_tasks(client, 20)
    time_out(client)
    client.close()
    assert client.pending == 0
    assert first.state is TaskState.CREATED
    check_failed(tasks[:5])
    assert states(tasks[5:]) == {TaskState.CANCELLED}
    assert not any(task.error for task in tasks[5:])
    wait_for(lambda: held(gearmand) == 6)


@pytest.mark.parametrize("action", ["default", "error"])
def test_dropped(
    proxy: Proxy, gearmand: Gearmand, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Python is told to make an error of the warning."""
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    client = Client(proxy.address, max_in_flight=5)
    hold_answers_back(proxy, client)
    tasks = add_tasks(client, 20)
    time_out(client)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter(action)
        del client
        gc.collect()
    check_failed(tasks[:5])
    assert states(tasks[5:]) == {TaskState.CANCELLED}
    assert all(task.cancel() for task in tasks[5:])
    proxy.resume()


def test_cancel(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address, max_in_flight=5, timeout=0.2)
    hold_answers_back(proxy, client)
    tasks = add_tasks(client, 20)
    with pytest.raises(WaitTimeoutError):
        client.run_tasks()
    assert states(tasks[:5]) == {TaskState.UNCONFIRMED}
    wait_for(lambda: held(gearmand) == 6)
    assert tasks[1].cancel()
    assert tasks[10].cancel()
    assert client.pending == 18
    proxy.resume()
    client.timeout = None
    client.run_tasks()
    assert client.pending == 0
    assert [task for task in tasks if not task.is_known] == [tasks[1], tasks[10]]
    assert held(gearmand) == 20  # the server had one of the two already


def test_not_cancelled_while_under_way(proxy: Proxy, gearmand: Gearmand) -> None:
    client = Client(proxy.address)
    hold_answers_back(proxy, client)
    tasks = add_tasks(client, 5)
    time_out(client)
    assert not any(task.cancel() for task in tasks)
    assert client.pending == 5
    proxy.resume()
    client.run_tasks()
    assert states(tasks) == {TaskState.CREATED}
    assert held(gearmand) == 6


@pytest.mark.parametrize("resend", [True, False])
def test_failing_store(*, resend: bool) -> None:
    """What a durable queue refuses because it fails may be in there: gearmand 1.1.20, full disk."""
    packets: list[tuple[int, bytes]] = []

    def behave(connection: socket.socket) -> None:
        while True:
            command, body = read_packet(connection)
            if command == 15:  # a question about a job
                connection.sendall(reply(20, body + b"\x000\x000\x000\x000"))
                continue
            packets.append((command, body))
            fails = len(packets) <= 3
            connection.sendall(reply(19, b"QUEUE_ERROR\0disk") if fails else reply(8, b"H:x:1"))

    with Impostor(behave) as impostor, Client(impostor.address, resend=resend) as client:
        tasks = [client.add_task_background("f", b"%d" % number) for number in range(3)]
        with pytest.raises(ServerError, match="durable queue") as caught:
            client.run_tasks(timeout=30)
        assert not isinstance(caught.value, QueueFullError)
        assert caught.value.unconfirmed == tuple(tasks)
        if resend:
            assert [task.state for task in tasks] == [TaskState.UNCONFIRMED] * 3
            client.run_tasks(timeout=30)
            assert all(task.is_known for task in tasks)
            assert packets[3:] == packets[:3]  # under the same unique keys
        else:
            assert client.pending == 0
            assert all(isinstance(task.error, UnconfirmedError) for task in tasks)
