"""Real signals in processes of their own: heard soon, and they lose nothing."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from fix_script import Script, until_quick
from fix_tasks import held, take, wait_for

from gearman_c.testing import Gearmand

if TYPE_CHECKING:
    from fix_proxy import Proxy

# Each script tells when it has connected, does its run when told to, is interrupted, says what
# is pending and how long the run took, and finishes when told to.
PROLOGUE = """
import signal, sys, time
from gearman_c import Client, TaskState, WaitTimeoutError
client = Client(sys.argv[1])
client.add_task_background("f", b"first")
client.run_tasks()

def expect(kind, run):
    print("connected")
    sys.stdin.readline()
    start = time.monotonic()
    try:
        run()
    except kind as error:
        print(type(error).__name__, client.pending, time.monotonic() - start)
    else:
        print("nothing was raised")
    sys.stdin.readline()
"""

EPILOGUE = """
client.run_tasks()
print("finished", client.pending)
client.close()
"""

RUN = f"""{PROLOGUE}
size = int(sys.argv[2])
tasks = [client.add_task_background("f", b"%d:" % n + bytes(size)) for n in range(int(sys.argv[3]))]
expect(KeyboardInterrupt, client.run_tasks)
{EPILOGUE}"""

SUBMIT = f"""{PROLOGUE}
done = []
submission = client.submit("f", (b"%d:" % n for n in range(3000)))
expect(KeyboardInterrupt, lambda: done.extend(submission))
done.extend(submission)
assert [task.workload for task in done] == [b"%d:" % n for n in range(3000)][-len(done):]
{EPILOGUE}"""

RAISES = f"""{PROLOGUE}
class Mine(Exception):
    pass

def handler(number, frame):
    raise Mine

signal.signal(signal.SIGUSR1, handler)
tasks = [client.add_task_background("f", b"%d:" % n) for n in range(100)]
expect(Mine, client.run_tasks)
{EPILOGUE}"""


def check_all_there(server: Gearmand, count: int) -> None:
    """Check that the server holds the numbered jobs in order, and take them off it."""
    workloads = [job.workload.partition(b":")[0] for job in take(server)]
    assert workloads == [b"first"] + [b"%d" % number for number in range(count)]


@pytest.mark.parametrize(
    ("script", "number", "size", "count", "name"),
    [
        (RUN, signal.SIGINT, 0, 100, "KeyboardInterrupt"),
        (RUN, signal.SIGINT, 20_000_000, 1, "KeyboardInterrupt"),
        (RUN, signal.SIGINT, 7_000_000, 6, "KeyboardInterrupt"),
        (SUBMIT, signal.SIGINT, 0, 3000, "KeyboardInterrupt"),
        (RAISES, signal.SIGUSR1, 0, 100, "Mine"),
    ],
)
def test_interrupted(
    proxy: Proxy,
    gearmand: Gearmand,
    script: str,
    number: signal.Signals,
    size: int,
    count: int,
    name: str,
) -> None:
    """While the server stands still, and the proxy shows that the run is under way."""

    def attempt() -> float:
        with Script(script, proxy.address, size, count) as child:
            assert child.read() == "connected"
            gearmand.pause()
            sent = proxy.bytes_to_server
            child.write()
            proxy.wait_until(lambda: proxy.bytes_to_server >= sent + 2000)
            start = time.monotonic()
            child.send_signal(number)
            words = child.read().split()
            took = time.monotonic() - start
            assert words[0] == name
            if script != SUBMIT:
                assert int(words[1]) == count
            gearmand.resume()
            child.write()
            assert child.read() == "finished 0"
        check_all_there(gearmand, count)
        return took

    until_quick(attempt, 0.5)


def test_interrupted_while_connecting(gearmand: Gearmand) -> None:
    def attempt() -> float:
        gearmand.pause()
        with Script(CONNECT, gearmand.address) as child:
            assert child.read() == "running"
            wait_for(lambda: waits_for("poll", child.process.pid))
            start = time.monotonic()
            child.send_signal(signal.SIGINT)
            assert child.read() == "KeyboardInterrupt 100"
            took = time.monotonic() - start
            gearmand.resume()
            assert child.read() == "finished 0"
        assert held(gearmand) == 100
        take(gearmand)
        return took

    until_quick(attempt, 0.5)


CONNECT = """
import sys
from gearman_c import Client
client = Client(sys.argv[1])
for _ in range(100):
    client.add_task_background("f")
try:
    print("running")
    client.run_tasks()
except KeyboardInterrupt:
    print("KeyboardInterrupt", client.pending)
client.run_tasks()
print("finished", client.pending)
client.close()
"""


def waits_for(what: str, pid: int) -> bool:
    """Whether the main thread waits in the kernel for a socket ("poll") or a lock ("futex")."""
    with open(f"/proc/{pid}/wchan") as wchan:
        return what in wchan.read()


@pytest.mark.parametrize("elsewhere", [0, 1])
def test_interrupted_while_another_thread_runs(gearmand: Gearmand, elsewhere: int) -> None:
    """A timer does not keep it from its timeout, and Ctrl-C ends it, whichever thread gets it."""

    def attempt() -> float:
        with Script(HELD, gearmand.address, elsewhere) as child:
            words = child.read().split()
            assert words[0] == "WaitTimeoutError"
            assert float(words[1]) >= 0.4
            assert int(words[2]) >= 2  # calls of the timer's handler
            assert child.read() == "waiting"
            wait_for(lambda: waits_for("futex", child.process.pid))
            start = time.monotonic()
            child.send_signal(signal.SIGINT)
            assert child.read() == "KeyboardInterrupt 1"
            took = time.monotonic() - start
            assert child.read() == "finished 0"
        check_all_there(gearmand, 2)
        return max(took, float(words[1]) - 0.5)

    until_quick(attempt, 0.5)


HELD = f"""{PROLOGUE}
import threading
inside, gate = threading.Event(), threading.Event()
calls = 0

def handler(number, frame):
    global calls
    calls += 1

def hold(task):
    inside.set()
    gate.wait()

client.on_created = hold
client.add_task_background("f", b"0:")
runner = threading.Thread(target=client.run_tasks)
runner.start()
inside.wait()
client.add_task_background("f", b"1:")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
start = time.monotonic()
try:
    client.run_tasks(timeout=0.5)
except WaitTimeoutError as error:
    print(type(error).__name__, time.monotonic() - start, calls)
signal.setitimer(signal.ITIMER_REAL, 0)
if int(sys.argv[2]):
    signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGINT}})
try:
    print("waiting")
    client.run_tasks()
except KeyboardInterrupt:
    print("KeyboardInterrupt", client.pending)
gate.set()
runner.join()
{EPILOGUE}"""


def test_many_interrupts(gearmand: Gearmand) -> None:
    """Ctrl-C again and again, wherever the run is: nothing is lost, nothing doubled."""
    with Script(MANY, gearmand.address) as child:
        assert child.read() == "ready"
        while True:
            child.send_signal(signal.SIGUSR1)
            child.write()
            words = child.read().split()
            if words[0] == "finished":
                break
            assert words[0] == "interrupted"
    assert int(words[1]) > 3, "hardly a run was interrupted"
    check_all_there(gearmand, 30_000)


MANY = f"""{PROLOGUE}
class Mine(Exception):
    pass

armed = False

def handler(number, frame):
    if armed:
        raise Mine

signal.signal(signal.SIGUSR1, handler)
tasks = [client.add_task_background("f", b"%d:" % n) for n in range(30_000)]
count = 0
client.on_created = lambda task: None
print("ready")
while client.pending:
    sys.stdin.readline()
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        signal.signal(signal.SIGALRM, handler)
        client.run_tasks()
        armed = False
    except Mine:
        armed = False
        count += 1
    waiting = sum(not task.is_known for task in tasks)
    assert waiting == client.pending, (waiting, client.pending)
    print("interrupted" if client.pending else "finished", count)
signal.setitimer(signal.ITIMER_REAL, 0)
client.close()
"""


@pytest.mark.parametrize("period", [0.001, 0.05])
def test_timer(gearmand: Gearmand, period: float) -> None:
    """Neither keeps a run from its end nor from its timeout, and the handler is called."""
    with Script(TIMER, gearmand.address, period) as child:
        assert child.read() == "finished 0"
        gearmand.pause()

        def attempt() -> float:
            child.write("again")
            words = child.read().split()
            assert words[:2] == ["WaitTimeoutError", "100"]
            assert int(words[3]) >= 2  # calls: at the end of each slice
            return float(words[2])

        until_quick(attempt, 1.0, 0.4)
        gearmand.resume()
        child.write("finish")
        assert child.read() == "finished 0"
    assert held(gearmand) == 20_101


TIMER = f"""{PROLOGUE}
calls = 0

def handler(number, frame):
    global calls
    calls += 1

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]), float(sys.argv[2]))
for n in range(20_000):
    client.add_task_background("f", b"x")
client.run_tasks()
print("finished", client.pending)
for n in range(100):
    client.add_task_background("f", b"x")
while sys.stdin.readline() == "again\\n":
    start, before = time.monotonic(), calls
    try:
        client.run_tasks(timeout=0.5)
    except WaitTimeoutError as error:
        took = time.monotonic() - start
        print(type(error).__name__, client.pending, took, calls - before)
{EPILOGUE}
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_sigint_ignored_in_a_library(gearmand: Gearmand) -> None:
    """A signal that Python ignores does not end a run."""
    with Script(IGNORED, gearmand.address) as child:
        assert child.read() == "connected"
        for _ in range(20):
            child.send_signal(signal.SIGINT)
        assert child.read() == "finished 0"
    assert held(gearmand) == 20_001


IGNORED = f"""{PROLOGUE}
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("connected")
for n in range(20_000):
    client.add_task_background("f", b"x")
{EPILOGUE}"""
