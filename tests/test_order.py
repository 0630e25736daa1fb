"""First in, first out, for each function and priority and any sizes; whose handle is whose."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from gearman_c import Client, Priority, Task
from gearman_c.testing import Gearmand, drain

MEGABYTE = 1 << 20


def mixed_sizes(count: int, seed: int) -> list[int]:
    """Sizes from 0 to 20 MB, small and large ones close together, some 120 MB in all at most."""
    dice = random.Random(seed)
    sizes = [
        dice.choice([0, 1, dice.randrange(300), dice.randrange(300), dice.randrange(5000)])
        for _ in range(count)
    ]
    large = [20 * MEGABYTE, *(dice.randrange(30_000, 100_000) for _ in range(200))]
    large += [dice.randrange(MEGABYTE, 5 * MEGABYTE) for _ in range(10)]
    large += [20 * MEGABYTE] * (count > 5000)
    for size in large[: max(1, count // 5)]:
        sizes[dice.randrange(count)] = size
    return sizes


def payload(number: int, size: int) -> bytes:
    """Return a payload that no other number has, unless it is very small."""
    return (b"%d;" % number + bytes([number % 251]) * size)[:size]


def adders(client: Client) -> list[Callable[..., Task]]:
    """By Priority."""
    return [
        client.add_task_high_background,
        client.add_task_background,
        client.add_task_low_background,
    ]


def check_order(server: Gearmand, function: str, tasks: list[Task]) -> None:
    jobs = drain(server.address, function)
    assert [job.handle for job in jobs] == [task.job_handle for task in tasks]
    # Compared one by one: a failing comparison of lists would print megabytes.
    for job, task in zip(jobs, tasks, strict=True):
        assert job.unique == task.unique
        assert job.workload == task.workload, f"{job.handle} has the payload of another task"


@pytest.mark.parametrize("window", [1, 2, 7, 1000])
@pytest.mark.parametrize("count", [1, 2, 3, 100, 999, 2500, 10_000])
def test_mixed_sizes(gearmand: Gearmand, count: int, window: int) -> None:
    sizes = mixed_sizes(count, seed=count + window)
    with Client(gearmand.address, max_in_flight=window) as client:
        tasks = [
            client.add_task_background("f", payload(number, size))
            for number, size in enumerate(sizes)
        ]
        client.run_tasks()
    assert [len(task.workload) for task in tasks] == sizes
    check_order(gearmand, "f", tasks)


@pytest.mark.parametrize("window", [1, 2, 7, 1000])
@pytest.mark.parametrize("count", [1, 100, 10_000])
def test_mixed_sizes_submitted(gearmand: Gearmand, count: int, window: int) -> None:
    sizes = mixed_sizes(count, seed=count * window)
    workloads = (payload(number, size) for number, size in enumerate(sizes))
    with Client(gearmand.address, max_in_flight=window) as client:
        tasks = list(client.submit("f", workloads))
    assert [len(task.workload) for task in tasks] == sizes
    check_order(gearmand, "f", tasks)


@pytest.mark.parametrize("seed", range(5))
def test_functions_and_priorities(gearmand: Gearmand, seed: int) -> None:
    """A worker gets high before normal before low, each in the order in which it was added."""
    dice = random.Random(seed)
    queues: dict[tuple[str, Priority], list[Task]] = defaultdict(list)
    with Client(gearmand.address, max_in_flight=dice.choice([1, 2, 7, 1000])) as client:
        add = adders(client)
        for number, size in enumerate(mixed_sizes(4000, seed)):
            function = dice.choice(["f", "g", "h", "a function with a longer name"])
            priority = dice.choice(list(Priority))
            task = add[priority](function, payload(number, size))
            assert task.priority is priority
            queues[function, priority].append(task)
        client.run_tasks()
    for function in gearmand.status():
        check_order(
            gearmand, function, [task for each in Priority for task in queues[function, each]]
        )


def test_one_large_among_small(gearmand: Gearmand) -> None:
    """The socket's buffer is full in the middle of a task, wherever the large one stands."""
    for place in (0, 1, 499, 998, 999):
        sizes = [100] * 1000
        sizes[place] = 20 * MEGABYTE
        with Client(gearmand.address) as client:
            tasks = [client.add_task_background("f", payload(*row)) for row in enumerate(sizes)]
            client.run_tasks()
        check_order(gearmand, "f", tasks)


def test_several_runs(gearmand: Gearmand) -> None:
    """Tasks of later runs stand behind those of earlier ones."""
    dice = random.Random(7)
    tasks: list[Task] = []
    with Client(gearmand.address, max_in_flight=50) as client:
        for _ in range(100):
            for _ in range(dice.randrange(1, 150)):
                size = dice.choice([0, 20, 20_000])
                tasks.append(client.add_task_background("f", payload(len(tasks), size)))
            client.run_tasks()
    check_order(gearmand, "f", tasks)


def test_submissions_in_turn(gearmand: Gearmand) -> None:
    """Two streams through one client: each stays in its own order."""
    with Client(gearmand.address, max_in_flight=20) as client:
        first = client.submit("f", (payload(number, 50) for number in range(3000)))
        second = client.submit("g", (payload(number, 9000) for number in range(3000)))
        pairs = list(zip(first, second, strict=True))
    check_order(gearmand, "f", [pair[0] for pair in pairs])
    check_order(gearmand, "g", [pair[1] for pair in pairs])


def test_each_task_has_its_own_handle(gearmand: Gearmand) -> None:
    """10,000 tasks of three priorities and five functions, matched by what they carry."""
    dice = random.Random(42)
    with Client(gearmand.address) as client:
        add = adders(client)
        contexts = [object() for _ in range(10_000)]
        tasks = [
            add[dice.randrange(3)](f"f{dice.randrange(5)}", str(number), context=contexts[number])
            for number in range(10_000)
        ]
        client.run_tasks()
    jobs = [job for number in range(5) for job in drain(gearmand.address, f"f{number}")]
    held = {job.workload: job for job in jobs}
    assert len(held) == len(jobs) == 10_000
    for number, task in enumerate(tasks):
        job = held[b"%d" % number]
        assert (task.job_handle, task.function_name, task.unique) == job[:3]
        assert task.context is contexts[number]
    assert len({task.job_handle for task in tasks}) == 10_000
