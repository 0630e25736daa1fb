"""Hypothesis: whatever is legal arrives as it was given, in its order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gearman_c import ArgumentError, Client
from gearman_c.testing import Gearmand, drain

# One server serves all examples of a test: each leaves it empty.
relaxed = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

payloads = st.binary(max_size=300)
windows = st.integers(1, 50)


def is_name(text: str, limit: int) -> bool:
    return 0 < len(text.encode()) <= limit


characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
names = st.text(characters, min_size=1, max_size=512).filter(lambda text: is_name(text, 512))
raw_names = st.binary(min_size=1, max_size=512).filter(lambda name: b"\0" not in name)
keys = st.text(characters, min_size=1, max_size=63).filter(lambda text: is_name(text, 63))
# These two have a meaning of their own, see test_unique.py.
plain_keys = keys.filter(lambda key: key not in ("#", "-"))


@pytest.fixture
def server(gearmand: Gearmand) -> Iterator[Gearmand]:
    yield gearmand
    assert all(row.total == 0 for row in gearmand.status().values())


@relaxed
@given(workloads=st.lists(payloads, max_size=120), window=windows)
def test_payloads_arrive_in_order(server: Gearmand, workloads: list[bytes], window: int) -> None:
    with Client(server.address, max_in_flight=window) as client:
        tasks = [client.add_task_background("f", workload) for workload in workloads]
        client.run_tasks()
        assert client.pending == 0
    jobs = drain(server.address, "f")
    assert [job.workload for job in jobs] == workloads
    assert [job.handle for job in jobs] == [task.job_handle for task in tasks]
    assert [job.unique for job in jobs] == [task.unique for task in tasks]


@relaxed
@given(workloads=st.lists(payloads, max_size=120), window=windows)
def test_submissions_arrive_in_order(server: Gearmand, workloads: list[bytes], window: int) -> None:
    with Client(server.address, max_in_flight=window) as client:
        tasks = list(client.submit("f", iter(workloads)))
    assert [task.workload for task in tasks] == workloads
    jobs = drain(server.address, "f")
    assert [job.handle for job in jobs] == [task.job_handle for task in tasks]
    assert [job.workload for job in jobs] == workloads


@relaxed
@given(name=names | raw_names, workload=payloads)
def test_function_names(gearmand: Gearmand, name: str | bytes, workload: bytes) -> None:
    with Client(gearmand.address) as client:
        task = client.add_task_background(name, workload)
        client.run_tasks()
    raw = name.encode() if isinstance(name, str) else name
    (job,) = drain(gearmand.address, raw)
    assert (job.handle, job.workload) == (task.job_handle, workload)
    assert job.function == task.function_name == raw.decode("utf-8", "surrogateescape")


@relaxed
@given(chosen=st.lists(plain_keys, unique=True, max_size=50), window=windows)
def test_unique_keys(server: Gearmand, chosen: list[str], window: int) -> None:
    with Client(server.address, max_in_flight=window) as client:
        tasks = [client.add_task_background("f", unique=key) for key in chosen]
        client.run_tasks()
    assert [task.unique for task in tasks] == chosen
    assert [job.unique for job in drain(server.address, "f")] == chosen


@relaxed
@given(rows=st.lists(st.tuples(st.sampled_from("fgh"), st.integers(0, 2), payloads), max_size=120))
def test_functions_and_priorities(server: Gearmand, rows: list[tuple[str, int, bytes]]) -> None:
    with Client(server.address, max_in_flight=7) as client:
        add = [
            client.add_task_high_background,
            client.add_task_background,
            client.add_task_low_background,
        ]
        for function, priority, workload in rows:
            add[priority](function, workload)
        client.run_tasks()
    for function in "fgh":
        mine = [row for row in rows if row[0] == function]
        mine.sort(key=lambda row: row[1])
        assert [job.workload for job in drain(server.address, function)] == [
            workload for _, _, workload in mine
        ]


@relaxed
@given(text=st.text(st.characters(), max_size=600), key=st.text(st.characters(), max_size=80))
def test_any_text_is_taken_or_refused(gearmand: Gearmand, text: str, key: str) -> None:
    """Whatever is refused is refused at once, and what is taken can be sent."""
    with Client(gearmand.address) as client:
        try:
            task = client.add_task_background(text, text, unique=key)
        except ArgumentError:
            assert client.pending == 0
            return
        client.run_tasks()
    assert is_name(text, 512)
    assert is_name(key, 63)
    assert [job.handle for job in drain(gearmand.address, text)] == [task.job_handle]
