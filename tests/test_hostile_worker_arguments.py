"""Every method and attribute of a worker and a job, given anything."""

from __future__ import annotations

import threading

import pytest
from fix_calls import (
    Call,
    attempt,
    attributes_of,
    brief,
    draw_value,
    lengthy,
    methods_of,
    quietly,
)
from hypothesis import given
from hypothesis import strategies as st

from gearman_c import Client, Job, Worker
from gearman_c.testing import Gearmand


def check_worker(worker: Worker, server: Gearmand) -> None:
    """Whatever it was given, it still gets jobs - or is closed."""
    if worker.closed:
        return
    worker.timeout = 5
    worker.remove_servers()
    worker.add_servers(server.address)
    worker.set_log(None)
    worker.namespace = None
    worker.echo(b"hello")
    worker.unregister_all()
    worker.register("after")
    worker.grab_job(0)  # takes notice of a stop that came late
    with Client(server.address) as client:
        client.do_background("after", unique="-")
    job = worker.grab_job()
    assert job is not None
    job.send_complete()


def check_method(data: st.DataObject, server: Gearmand, name: str) -> None:
    with Worker(server.address, timeout=0.02) as worker:
        worker.add_function("f", lambda job: None)
        steps = [
            quietly(worker.close),
            quietly(worker.stop),
            quietly(worker.unregister_all),
            quietly(worker.remove_servers),
            quietly(worker.work, 0.01),
            quietly(worker.add_function, "back", print),
        ]
        callback = data.draw(st.sampled_from(steps), "callback")
        call = Call(data, getattr(Worker, name), callback)
        timer = threading.Timer(0.05, worker.stop)
        if name in ("grab_job", "work", "run"):
            timer.start()  # it may be told to wait for ever
        given_out = attempt(call.of(getattr(worker, name)))
        timer.cancel()
        if timer.ident:
            timer.join()
        if isinstance(given_out, Job):
            given_out.send_complete()
        elif isinstance(given_out, Worker) and given_out is not worker:
            given_out.close()
        elif callable(given_out):  # the decorator
            attempt(lambda: given_out(draw_value(data, callback=callback)))
        elif name == "set_log":
            attempt(lambda: worker.work(0.02))
        call = given_out = None  # now goes what calls back when it is dropped
        check_worker(worker, server)


@pytest.mark.parametrize("name", methods_of(Worker))
@brief
@given(data=st.data())
def test_methods(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_method(data, shared_gearmand, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods_of(Worker))
@lengthy
@given(data=st.data())
def test_methods_at_length(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_method(data, shared_gearmand, name)


@pytest.mark.parametrize("name", attributes_of(Worker))
@brief
@given(data=st.data())
def test_attributes(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    with Worker(shared_gearmand.address, timeout=0.02) as worker:

        def try_one() -> None:
            value = draw_value(data, callback=worker.close)
            attempt(lambda: setattr(worker, name, value), AttributeError)
            getattr(worker, name)

        for _ in range(3):
            try_one()
        check_worker(worker, shared_gearmand)


def check_job(data: st.DataObject, server: Gearmand, name: str) -> None:
    with Client(server.address) as client, Worker(server.address) as worker:
        worker.register("job")
        client.do_background("job")
        job = worker.grab_job(5)
        assert job is not None
        steps = [job.send_fail, worker.close, lambda: job.send_data(b"x")]
        callback = quietly(data.draw(st.sampled_from(steps), "callback"))
        for _ in range(2):
            attempt(Call(data, getattr(Job, name), callback).of(getattr(job, name)))
            attempt(lambda: setattr(job, name, None), AttributeError)
        if not worker.closed and not job.is_finished:
            job.send_complete()
        check_worker(worker, server)


@pytest.mark.parametrize("name", methods_of(Job))
@brief
@given(data=st.data())
def test_jobs(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_job(data, shared_gearmand, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", methods_of(Job))
@lengthy
@given(data=st.data())
def test_jobs_at_length(shared_gearmand: Gearmand, name: str, data: st.DataObject) -> None:
    check_job(data, shared_gearmand, name)


@brief
@given(data=st.data())
def test_results(shared_gearmand: Gearmand, data: st.DataObject) -> None:
    """Of a callable, and of one that is a generator: what cannot be sent fails the job."""
    with Client(shared_gearmand.address) as client, Worker(shared_gearmand.address) as worker:
        given_out = draw_value(data, callback=worker.unregister_all)
        is_generator = data.draw(st.booleans(), "generator")
        worker.add_function("result", lambda job: iter([given_out]) if is_generator else given_out)
        client.do_background("result")
        attempt(lambda: worker.work(5))
        check_worker(worker, shared_gearmand)
