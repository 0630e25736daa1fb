"""Admin: each text command, of a real server with real jobs and workers."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator

import pytest
from fix_running import running
from fix_tasks import wait_for
from fix_worker import RawWorker, keep

import gearman_c
from gearman_c import (
    Admin,
    ArgumentError,
    Client,
    ConnectionFailedError,
    FunctionStatus,
    JobFailedError,
    PriorityStatus,
    QueueFullError,
    ServerError,
    ServerJob,
    UsageError,
    WaitTimeoutError,
    Worker,
    WorkerStatus,
)
from gearman_c.testing import Gearmand, drain, unused_port


@pytest.fixture
def admin(gearmand: Gearmand) -> Iterator[Admin]:
    with Admin(gearmand.host, gearmand.port) as opened:
        yield opened


def only(admin: Admin) -> WorkerStatus:
    """Return its own connection, as soon as the server has noticed that all others are gone."""
    wait_for(lambda: len(admin.workers()) == 1)
    (own,) = admin.workers()
    return own


# Questions


def test_status(gearmand: Gearmand, admin: Admin, client: Client) -> None:
    assert admin.status() == []
    for _ in range(3):
        client.do_background("f")
    assert admin.status() == [FunctionStatus("f", 3, 0, 0)]
    worker = RawWorker(gearmand.address, {"f": keep})
    worker.gate.clear()  # it stays at the first job
    with worker:
        wait_for(lambda: admin.status() == [FunctionStatus("f", 3, 1, 1)])


def test_priority_status(admin: Admin, client: Client) -> None:
    for do in (client.do_high_background, *[client.do_background] * 2, client.do_low_background):
        do("f")
    client.do_low_background("f")
    client.do_low_background("f")
    assert admin.priority_status() == [PriorityStatus("f", 1, 2, 3, 0)]


def test_workers(gearmand: Gearmand, admin: Admin) -> None:
    own = only(admin)
    assert own == WorkerStatus(own.descriptor, "127.0.0.1", None, ())
    worker = Worker(gearmand.address, identifier="me")
    for name in ("f", "g"):
        worker.add_function(name, lambda job: job.workload)
    with running(worker):
        wait_for(
            lambda: any(each.identifier and len(each.functions) == 2 for each in admin.workers())
        )
        (other,) = (each for each in admin.workers() if each.descriptor != own.descriptor)
    assert (other.address, other.identifier) == ("127.0.0.1", "me")
    assert set(other.functions) == {"f", "g"}


def test_jobs(gearmand: Gearmand, admin: Admin, client: Client) -> None:
    assert (admin.jobs(), admin.unique_jobs()) == ([], [])
    handles = [client.do_background("f", unique=key) for key in ("one", ".", "two words")]
    found = sorted(admin.jobs(), key=lambda job: handles.index(job.job_handle))
    assert found == [ServerJob(handle, 0, False, True) for handle in handles]
    assert sorted(admin.unique_jobs()) == [".", "one", "two words"]
    with RawWorker(gearmand.address, {"f": keep}):
        wait_for(lambda: admin.status()[0].running)
    # The worker went with its job, so that goes back into the queue.
    wait_for(lambda: max(job.retries for job in admin.jobs()) == 1)
    assert len(drain(gearmand.address, "f")) == 3
    assert (admin.jobs(), admin.unique_jobs()) == ([], [])


def test_about_the_server(gearmand: Gearmand, admin: Admin) -> None:
    assert admin.version().startswith(("1.", "2."))
    assert admin.verbose() == "ERROR"
    assert admin.getpid() == gearmand.pid


def test_verbose_of_another_level(gearmand_factory: Callable[..., Gearmand]) -> None:
    server = gearmand_factory(arguments=["--verbose", "INFO"])
    with Admin(server.host, server.port) as admin:
        assert admin.verbose() == "INFO"


# Orders


def test_create_and_drop_function(admin: Admin) -> None:
    admin.create_function("resize")
    admin.create_function("resize")  # it is known
    assert admin.status() == [FunctionStatus("resize", 0, 0, 0)]
    admin.drop_function("resize")
    assert admin.status() == []
    with pytest.raises(ServerError, match="function not found") as caught:
        admin.drop_function("resize")
    assert caught.value.operation == "drop_function"
    assert caught.value.detail == "ERR function not found"


def test_function_with_a_worker_is_not_dropped(gearmand: Gearmand, admin: Admin) -> None:
    with RawWorker(gearmand.address, {"f": keep}):
        with pytest.raises(ServerError, match="still connected workers"):
            admin.drop_function("f")
        assert admin.status() == [FunctionStatus("f", 0, 0, 1)]


def test_drop_of_functions_that_differ_in_capital_letters(admin: Admin) -> None:
    for name in ("name", "NAME", "other"):
        admin.create_function(name)
    admin.drop_function("Name")  # a line of the reply for each
    assert [row.function_name for row in admin.status()] == ["other"]
    assert admin.version()


def test_maxqueue(admin: Admin, client: Client) -> None:
    admin.create_function("f")
    admin.maxqueue("f", 2)
    client.do_background("f")
    client.do_high_background("f")
    for do in (client.do_high_background, client.do_background, client.do_low_background):
        with pytest.raises(QueueFullError):
            do("f")
    admin.maxqueue("f")
    client.do_background("f")
    assert admin.status() == [FunctionStatus("f", 3, 0, 0)]


@pytest.mark.parametrize("limited", ["high", "normal", "low"])
def test_maxqueue_of_one_priority(admin: Admin, client: Client, limited: str) -> None:
    orders = {
        "high": client.do_high_background,
        "normal": client.do_background,
        "low": client.do_low_background,
    }
    admin.create_function("f")
    admin.maxqueue("f", **{limited: 1})
    client.do_background("f", b"the one")
    for priority, do in orders.items():
        if priority == limited:
            with pytest.raises(QueueFullError):
                do("f")
        else:
            do("f")


def test_cancel_job(gearmand: Gearmand, admin: Admin, client: Client) -> None:
    handle = client.do_background("f", b"cancelled")
    client.do_background("f", b"kept")
    admin.cancel_job(handle)
    assert {job.job_handle for job in admin.jobs() if job.ignored} == {handle}
    assert [job.workload for job in drain(gearmand.address, "f")] == [b"kept"]
    with pytest.raises(ServerError, match="UNKNOWN_JOB"):
        admin.cancel_job(handle)


def test_client_sees_its_job_cancelled(gearmand: Gearmand, admin: Admin, client: Client) -> None:
    failures: list[Exception] = []

    def do() -> None:
        try:
            client.do("f")
        except JobFailedError as error:
            failures.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    wait_for(admin.jobs)
    admin.cancel_job(admin.jobs()[0].job_handle)
    thread.join()
    assert len(failures) == 1


@pytest.mark.parametrize("graceful", [False, True])
def test_shutdown(gearmand: Gearmand, admin: Admin, graceful: bool) -> None:
    # Servers that have the command end; 1.1.20 has lost it and says so.
    refusal = ""
    try:
        admin.shutdown(graceful)
    except ServerError as error:
        refusal = str(error)
    if "UNKNOWN_COMMAND" in refusal:
        assert gearmand.running
    else:
        assert refusal == ""
        wait_for(lambda: not gearmand.running)


# Names


@pytest.mark.parametrize("name", ["größe", b"\xff\xfe", "x" * 512, ":", "ERR", "OK", "."])
def test_odd_names(gearmand: Gearmand, admin: Admin, client: Client, name: str | bytes) -> None:
    text = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
    admin.create_function(name)
    assert admin.status() == [FunctionStatus(text, 0, 0, 0)]
    client.do_background(name)
    admin.maxqueue(text, 1)
    with pytest.raises(QueueFullError):
        client.do_background(name)
    assert admin.priority_status() == [PriorityStatus(text, 0, 1, 0, 0)]
    with RawWorker(gearmand.address, {"g": keep}):
        assert ("g",) in [each.functions for each in admin.workers()]
    drain(gearmand.address, os.fsdecode(name))
    # The server may not have noticed that the worker is gone.
    wait_for(lambda: FunctionStatus(text, 0, 0, 0) in admin.status())
    admin.drop_function(text)
    assert [row.function_name for row in admin.status()] == ["g"]


def test_names_that_other_programs_made(admin: Admin, client: Client) -> None:
    names = ["with space", "tab\there", "ERR no error"]
    for name in names:
        client.do_background(name, unique=name)
    assert sorted(row.function_name for row in admin.status()) == sorted(names)
    assert sorted(admin.unique_jobs()) == sorted(names)


BAD = ["", " ", "two words", "f\n", "f\r", "f\0", "f\tg", "f\x7f", "f\x85", "f\u2028", "f\u00a0g"]


@pytest.mark.parametrize("name", [*BAD, b"", b"f\nshutdown", "\ud800", "x" * 513])
def test_names_that_are_refused(gearmand: Gearmand, admin: Admin, name: str | bytes) -> None:
    for order in (admin.create_function, admin.drop_function, admin.cancel_job, admin.maxqueue):
        with pytest.raises(ArgumentError):
            order(name)
    assert gearmand.status() == {}
    # The question itself is all there is: Admin has not connected.
    wait_for(lambda: len(gearmand.command("workers")) == 1)


def test_other_arguments(admin: Admin) -> None:
    with pytest.raises(TypeError):
        admin.create_function(3)  # type: ignore[arg-type]
    for limit in (0, -1, 2**31):
        with pytest.raises(ArgumentError):
            admin.maxqueue("f", limit)
    for host in ("", "a b", "a\n", "localhost:4730"):
        with pytest.raises(ArgumentError):
            Admin(host)
    for port in (0, 65536):
        with pytest.raises(ArgumentError):
            Admin(port=port)
    for timeout in (0, -1.0, float("nan")):
        with pytest.raises(ArgumentError):
            Admin(timeout=timeout)


@pytest.mark.parametrize("kind", ["FunctionStatus", "PriorityStatus", "ServerJob", "WorkerStatus"])
def test_answers_are_frozen(kind: str) -> None:
    made = getattr(gearman_c, kind)
    assert dataclasses.is_dataclass(made)
    answer = made(*range(len(dataclasses.fields(made))))
    assert not hasattr(answer, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(answer, dataclasses.fields(made)[0].name, "x")


# The connection


def test_connection_is_kept_and_made_anew(gearmand: Gearmand, admin: Admin) -> None:
    first = only(admin)
    assert admin.workers() == [first]  # with the same descriptor
    gearmand.restart()
    assert admin.getpid() == gearmand.pid
    gearmand.kill()
    with pytest.raises(ConnectionFailedError):
        admin.version()
    gearmand.start()
    assert admin.getpid() == gearmand.pid


def test_refused_connection() -> None:
    port = unused_port()
    with Admin("127.0.0.1", port) as admin:
        with pytest.raises(
            ConnectionFailedError, match=rf"127\.0\.0\.1:{port}: .*refused"
        ) as caught:
            admin.status()
        assert caught.value.operation == "connect"
    with Admin("no.such.host.invalid") as admin, pytest.raises(ConnectionFailedError):
        admin.status()


def test_server_that_is_stopped(gearmand: Gearmand) -> None:
    with Admin(gearmand.host, gearmand.port, timeout=0.2) as admin:
        admin.create_function("f")
        gearmand.pause()
        with pytest.raises(WaitTimeoutError):
            admin.getpid()
        gearmand.resume()
        # The answer to the question that was given up is not that to this one.
        wait_for(lambda: _answers(admin))
        assert admin.status() == [FunctionStatus("f", 0, 0, 0)]


def _answers(admin: Admin) -> bool:
    try:
        return admin.version() != ""
    except WaitTimeoutError:
        return False


def test_close(admin: Admin) -> None:
    admin.version()
    admin.close()
    admin.close()
    with pytest.raises(UsageError):
        admin.version()


def test_threads_take_turns(admin: Admin, client: Client) -> None:
    for number in range(50):
        client.do_background(f"f{number}")
    failures: list[object] = []

    def ask(question: Callable[[], object]) -> None:
        expected = question()
        failures.extend(1 for _ in range(50) if question() != expected)

    questions = (admin.status, admin.jobs, admin.unique_jobs, admin.getpid, admin.version)
    threads = [threading.Thread(target=ask, args=(question,)) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_forked_child_has_a_connection_of_its_own(gearmand: Gearmand, admin: Admin) -> None:
    own = only(admin)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            others = [each for each in admin.workers() if each != own]
            status = 0 if len(others) == 1 else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    wait_for(lambda: admin.workers() == [own])
