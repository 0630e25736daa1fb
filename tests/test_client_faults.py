"""The client's own process is killed, or has no descriptors left."""

from __future__ import annotations

from collections.abc import Callable

from fix_script import Script
from fix_tasks import settle

from gearman_c.testing import Gearmand, drain

KILLED = """
import sys
from itertools import count
from gearman_c import Client
with Client(sys.argv[1]) as client:
    for task in client.submit("f", (str(number) for number in count())):
        print(task.workload.decode(), flush=True)
"""

NO_DESCRIPTORS = """
import os, resource, sys
from gearman_c import Client, ConnectionFailedError
client = Client(sys.argv[1])
for number in range(10):
    client.add_task_background("f", str(number))
lowest = os.dup(0)
os.close(lowest)
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
try:
    client.run_tasks(timeout=10)
except ConnectionFailedError as error:
    assert error.unconfirmed == ()
    print(client.pending)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
client.run_tasks(timeout=30)
print(client.pending)
"""


def test_killed(gearmand: Gearmand) -> None:
    """What it was told about is there; nothing is there twice."""
    with Script(KILLED, gearmand.address) as script:
        told = [script.read() for _ in range(1500)]
        script.kill()
    settle(gearmand, clients=0)
    jobs = [job.workload.decode() for job in drain(gearmand.address, "f")]
    assert told == [str(number) for number in range(1500)]
    assert jobs == [str(number) for number in range(len(jobs))]
    assert len(jobs) >= 1500


def test_no_descriptors(gearmand: Gearmand, run_script: Callable[..., str]) -> None:
    assert run_script(NO_DESCRIPTORS, gearmand.address).split() == ["10", "0"]
    jobs = drain(gearmand.address, "f")
    assert [job.workload for job in jobs] == [b"%d" % number for number in range(10)]
