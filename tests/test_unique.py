"""Unique keys: distinct where the binding assigns them, joined where the user gives them."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import pytest

import gearman_c
from gearman_c import Client
from gearman_c.testing import Gearmand, drain

RunScript = Callable[..., str]

NOWHERE = "127.0.0.1:1"

library = ctypes.CDLL(gearman_c._gearman.__file__)
library.gearman_client_create.restype = ctypes.c_void_p
library.gearman_client_add_task_background.restype = ctypes.c_void_p
library.gearman_task_unique.restype = ctypes.c_char_p


def hashed_by_libgearman(workload: bytes) -> str:
    """Return the key that the C library itself makes of "#"."""
    rc = ctypes.c_int()
    client = ctypes.c_void_p(library.gearman_client_create(None))
    size = ctypes.c_size_t(len(workload))
    task = library.gearman_client_add_task_background(
        client, None, None, b"f", b"#", workload or None, size, ctypes.byref(rc)
    )
    assert rc.value == 0
    key = library.gearman_task_unique(ctypes.c_void_p(task)).decode()
    library.gearman_client_free(client)
    return key


# Assigned keys


def test_a_million_keys_are_distinct() -> None:
    keys: set[str] = set()
    for _ in range(20):
        with Client(NOWHERE) as client:
            keys.update(client.add_task_background("f").unique for _ in range(50_000))
    assert len(keys) == 1_000_000
    assert max(len(key.encode()) for key in keys) <= 63


def test_a_key_stays_what_it_is(gearmand: Gearmand) -> None:
    """As it was read before the run, the server has it, and the task after the client is gone."""
    with Client(gearmand.address) as client:
        tasks = [client.add_task_background("f") for _ in range(3000)]
        before = [task.unique for task in tasks]
        client.run_tasks()
        assert [task.unique for task in tasks] == before
    assert [task.unique for task in tasks] == before
    assert [job.unique for job in drain(gearmand.address, "f")] == before


def test_equal_payloads_are_not_joined(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        for _ in range(1000):
            client.add_task_background("f", "the same")
        client.run_tasks()
        assert len({task.job_handle for task in client.submit("f", ["the same"] * 1000)}) == 1000
    assert len(drain(gearmand.address, "f")) == 2000


def test_threads_get_distinct_keys() -> None:
    found: list[list[str]] = [[] for _ in range(8)]
    with Client(NOWHERE) as shared:

        def add(number: int) -> None:
            with Client(NOWHERE) as own:
                for client in (own, shared) * 10_000:
                    found[number].append(client.add_task_background("f").unique)

        threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shared.pending == 80_000
    assert len({key for keys in found for key in keys}) == 160_000


def test_processes_get_distinct_keys(run_script: RunScript) -> None:
    code = """
from gearman_c import Client
with Client("127.0.0.1:1") as client:
    for _ in range(1000):
        print(client.add_task_background("f").unique)
"""
    keys = [key for _ in range(5) for key in run_script(code).split()]
    assert len(set(keys)) == len(keys) == 5000


FORKS = {
    "os.fork": """
import os
def in_children(function):
    reader, writer = os.pipe()
    for _ in range(4):
        if os.fork() == 0:
            os.write(writer, (" ".join(function(1000)) + " ").encode())
            os._exit(0)
    os.close(writer)
    with open(reader, closefd=True) as pipe:
        print(pipe.read())
    for _ in range(4):
        assert os.wait()[1] == 0
""",
    "multiprocessing": """
import multiprocessing
def in_children(function):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for keys in pool.map(function, [1000] * 8, chunksize=1):
            print(*keys)
""",
}

FORKING = """
from gearman_c import Client
client = Client("127.0.0.1:1")
before = [client.add_task_background("f").unique for _ in range(10)]
def new_keys(count):
    with Client("127.0.0.1:1") as own:
        return [each.add_task_background("f").unique
                for each in (own, client) for _ in range(count // 2)]
def grandchildren(count):
    import os
    reader, writer = os.pipe()
    keys = new_keys(count // 2)
    if os.fork() == 0:
        os.write(writer, " ".join(new_keys(count // 2)).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, closefd=True) as pipe:
        keys += pipe.read().split()
    os.wait()
    return keys
print(*before)
print(*new_keys(1000), flush=True)
in_children(grandchildren)
print(*new_keys(1000))
client.close()
"""


@pytest.mark.parametrize("way", FORKS)
def test_forks_get_distinct_keys(run_script: RunScript, way: str) -> None:
    """Parent, children and their children, from new clients and from an inherited one."""
    keys = run_script(FORKS[way] + FORKING).split()
    assert len(keys) == 10 + 2000 + (4000 if way == "os.fork" else 8000)
    assert len(set(keys)) == len(keys)


def test_key_of_a_task_from_before_the_fork(run_script: RunScript) -> None:
    code = """
import os
from gearman_c import Client
client = Client("127.0.0.1:1")
task = client.add_task_background("f")
key = task.unique
if os.fork() == 0:
    client.add_task_background("f")
    assert task.unique == key
    client.close()
    assert task.unique == key
    os._exit(0)
assert os.wait()[1] == 0
assert task.unique == key
client.close()
"""
    assert run_script(code) == ""


# Keys of the user


def test_the_same_key_joins(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        first = client.add_task_background("f", "one", unique="key")
        second = client.add_task_background("f", "two", unique=b"key")
        client.run_tasks()
        third = client.add_task_high_background("f", "three", unique="key")
        client.run_tasks()
        elsewhere = client.add_task_background("g", "four", unique="key")
        client.run_tasks()
    assert first.job_handle == second.job_handle == third.job_handle
    assert elsewhere.job_handle != first.job_handle  # keys belong to a function
    (job,) = drain(gearmand.address, "f")
    assert job == (first.job_handle, "f", "key", b"one")
    assert [job.workload for job in drain(gearmand.address, "g")] == [b"four"]


def test_the_same_key_after_the_job_is_done(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        handles = []
        for _ in range(3):
            task = client.add_task_background("f", unique="key")
            client.run_tasks()
            handles.append(task.job_handle)
            assert [job.handle for job in drain(gearmand.address, "f")] == [task.job_handle]
    assert len(set(handles)) == 3


def test_many_tasks_of_few_keys(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        tasks = [
            client.add_task_background("f", unique=f"key {number % 100}") for number in range(5000)
        ]
        client.run_tasks()
    handles = {task.unique: task.job_handle for task in tasks}
    assert len(handles) == len(set(handles.values())) == 100
    assert all(task.job_handle == handles[task.unique] for task in tasks)
    assert len(drain(gearmand.address, "f")) == 100


@pytest.mark.parametrize("workload", [b"payload", b"x", b"\0" * 33, bytes(range(256)) * 500, b""])
def test_hash_key_is_the_one_of_libgearman(gearmand: Gearmand, workload: bytes) -> None:
    with Client(gearmand.address) as client:
        task = client.add_task_background("f", workload, unique="#")
        assert task.unique == "#"
        client.run_tasks()
        assert task.unique == hashed_by_libgearman(workload)
    assert [job.unique for job in drain(gearmand.address, "f")] == [task.unique]


@pytest.mark.parametrize("key", ["#", "-"])
def test_equal_payloads_join(gearmand: Gearmand, key: str) -> None:
    """With "#" by the hash that libgearman makes; with "-" gearmand compares the payloads."""
    with Client(gearmand.address) as client:
        tasks = [
            client.add_task_background("f", f"payload {number % 3}", unique=key)
            for number in range(300)
        ]
        client.run_tasks()
        tasks += client.submit("f", ["payload 1"] * 10, unique=lambda _: key)
    handles = {task.workload: task.job_handle for task in tasks}
    assert len(set(handles.values())) == 3
    assert all(task.job_handle == handles[task.workload] for task in tasks)
    jobs = drain(gearmand.address, "f")
    assert [job.workload for job in jobs] == [b"payload 0", b"payload 1", b"payload 2"]
    assert [job.unique for job in jobs] == [task.unique for task in tasks[:3]]
    assert {job.unique for job in jobs} == ({"-"} if key == "-" else {t.unique for t in tasks})


def test_empty_payloads_are_not_joined_by_themselves(gearmand: Gearmand) -> None:
    """With "-" gearmand joins by what the payload is, and takes an empty one for none."""
    with Client(gearmand.address) as client:
        tasks = [client.add_task_background("f", b"", unique="-") for _ in range(5)]
        client.run_tasks()
    jobs = drain(gearmand.address, "f")
    assert [(job.unique, job.handle) for job in jobs] == [("-", task.job_handle) for task in tasks]
    assert len({job.handle for job in jobs}) == 5


def test_keys_of_a_submission(gearmand: Gearmand) -> None:
    """Made from each payload by the caller, or assigned where that gives None."""
    with Client(gearmand.address) as client:
        tasks = list(client.submit("f", ["a", "b", "a", "c"], unique=lambda text: f"key {text}"))
        assert [task.unique for task in tasks] == ["key a", "key b", "key a", "key c"]
        assert tasks[0].job_handle == tasks[2].job_handle
        assigned = list(client.submit("f", ["a"] * 3, unique=lambda _: None))
        assert len({task.unique for task in assigned}) == 3
        with pytest.raises(TypeError):
            client.submit("f", ["a"], unique="key")
    keys = [job.unique for job in drain(gearmand.address, "f")]
    assert keys == ["key a", "key b", "key c", *(task.unique for task in assigned)]
