"""Users who do anything in any order, and servers in any mood: Hypothesis looks for the worst.

`make fuzz` tries more of it.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fix_impostor import Impostor
from fix_moody import MOODS, Mood, Moody
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gearman_c import (
    Admin,
    ArgumentError,
    Client,
    GearmanError,
    Job,
    Submission,
    Task,
    TaskState,
    Worker,
)

PATIENCE = 0.05  # seconds that a call is allowed
HANG = 60.0  # seconds that none may take: see test_fuzz.py
SETTINGS = settings(
    deadline=None,
    derandomize="FUZZ_CASES" not in os.environ,
    max_examples=max(int(os.environ.get("FUZZ_CASES", "0")) // 200, 25),
    stateful_step_count=15,
    suppress_health_check=list(HealthCheck),
)

moods = st.lists(st.sampled_from(MOODS), max_size=6)


def attempt(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call something; what the server may be to blame for is no failure."""
    start = time.monotonic()
    try:
        with suppress(GearmanError, MemoryError):
            return call(*arguments, **options)
    finally:
        assert time.monotonic() - start < HANG, call
    return None


class ClientMachine(RuleBasedStateMachine):
    """One client, whose tasks are each in one place, whatever happens."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Moody().__enter__()
        self.tasks: list[Task] = []
        self.handles: dict[Task, str | None] = {}
        self.submission: Submission | None = None

    @initialize(resend=st.booleans(), window=st.integers(1, 4))
    def begin(self, *, resend: bool, window: int) -> None:
        self.client = Client(
            self.server.address, timeout=PATIENCE, resend=resend, max_in_flight=window
        )

    @rule(moods=moods)
    def change_moods(self, moods: list[Mood]) -> None:
        self.server.take(moods)

    @rule(number=st.integers(1, 5))
    def add_background(self, number: int) -> None:
        self.tasks += [self.client.add_task_background("f", b"%d" % n) for n in range(number)]

    @rule(number=st.integers(1, 5))
    def add_foreground(self, number: int) -> None:
        self.tasks += [self.client.add_task("f", b"%d" % n) for n in range(number)]

    @rule()
    def run(self) -> None:
        attempt(self.client.run_tasks, PATIENCE)

    @rule()
    def do(self) -> None:
        result = attempt(self.client.do, "f", b"x", timeout=PATIENCE)
        assert result is None or isinstance(result, bytes)

    @rule(at=st.sampled_from([None, 2e9]))
    def do_background(self, at: float | None) -> None:
        handle = attempt(self.client.do_background, "f", b"x", timeout=PATIENCE, at=at)
        assert handle is None or isinstance(handle, str)

    @rule(background=st.booleans())
    def submit(self, *, background: bool) -> None:
        if self.submission is None:
            payloads = (b"%d" % number for number in itertools.count())
            self.submission = self.client.submit("f", payloads, background=background)
        task = attempt(next, self.submission)
        assert task is None or task.is_finished

    @rule()
    def ask(self) -> None:
        attempt(self.client.job_status, "H:moody:1", PATIENCE)
        attempt(self.client.unique_status, "u", PATIENCE)
        attempt(self.client.echo, b"hello", PATIENCE)
        self.tasks.append(self.client.add_task_status("H:moody:1"))

    @precondition(lambda self: self.tasks)
    @rule(place=st.integers(0, 1000))
    def cancel(self, place: int) -> None:
        self.tasks[place % len(self.tasks)].cancel()

    @rule()
    def change_settings(self) -> None:
        attempt(setattr, self.client, "identifier", "me")

    @rule()
    def make_anew(self) -> None:
        self.client.close()
        assert self.client.pending == 0
        assert all(task.is_finished for task in self.tasks)
        self.submission = None
        self.client = self.client.clone() if not self.client.closed else Client(self.server.address)
        self.client.timeout = PATIENCE

    @invariant()
    def all_are_accounted_for(self) -> None:
        own = [task for task in self.tasks if not task.is_finished]
        if self.submission is None:
            assert self.client.pending == len(own)
        assert self.client.pending >= len(own)
        for task in self.tasks:
            background = task.background and task.state is TaskState.CREATED
            assert not background or task.is_known
            if task.state is TaskState.FAILED:
                assert isinstance(task.error, GearmanError)
            if task.state is TaskState.COMPLETE and not task.background and task.unique:
                assert isinstance(task.result(), bytes)

    @invariant()
    def handles_stay(self) -> None:
        for task in self.tasks:
            known = self.handles.get(task)
            assert known is None or task.job_handle == known
            self.handles[task] = task.job_handle

    def teardown(self) -> None:
        self.client.close()
        self.server.close()


class WorkerMachine(RuleBasedStateMachine):
    """One worker, and the jobs that it has in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Moody().__enter__()
        self.worker = Worker(self.server.address)
        self.jobs: list[Job] = []

    @rule(moods=moods)
    def change_moods(self, moods: list[Mood]) -> None:
        self.server.take(moods)

    @rule(timeout=st.sampled_from([0, 5]))
    def add_function(self, timeout: int) -> None:
        self.worker.add_function("f", lambda job: job.workload, timeout=timeout)

    @rule()
    def unregister(self) -> None:
        with suppress(ArgumentError):
            self.worker.unregister("f")

    @rule()
    def grab(self) -> None:
        job = attempt(self.worker.grab_job, PATIENCE)
        if job is not None:
            assert isinstance(job.workload, bytes)
            self.jobs.append(job)

    @rule()
    def work(self) -> None:
        attempt(self.worker.work, PATIENCE)

    @precondition(lambda self: self.jobs)
    @rule(place=st.integers(0, 100), what=st.integers(0, 5))
    def send(self, place: int, what: int) -> None:
        job = self.jobs[place % len(self.jobs)]
        calls: list[Callable[[], object]] = [
            lambda: job.send_data(b"x" * 1000),
            lambda: job.send_warning("careful"),
            lambda: job.send_status(1, 2),
            lambda: job.send_complete("done"),
            job.send_fail,
            lambda: job.send_exception(b"oh"),
        ]
        finished = job.is_finished
        attempt(calls[what])
        assert job.is_finished or not finished

    @precondition(lambda self: self.jobs)
    @rule()
    def drop(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            self.jobs.clear()

    @rule()
    def echo(self) -> None:
        attempt(self.worker.echo, b"hello", PATIENCE)

    def teardown(self) -> None:
        self.worker.close()
        self.jobs.clear()
        self.server.close()


LINES = (
    b"f\t1\t0\t2\n",
    b"f\t1\n",
    b"3 127.0.0.1 me : f g\n",
    b"H:x:1\t0\t0\t1\n",
    b"OK\n",
    b"OK 1.1.20\r\n",
    b"ERR UNKNOWN_COMMAND Unknown+server+command\n",
    b"ERR\n",
    b".\n",
    b".\r\n",
    b"\n",
    b"\0",
    b"f\t99999999999999999999\t-1\tx\n",
    b"\xff\xfe\n",
    b"x" * 3000,
    b"a line without an end",
)


class AdminMachine(RuleBasedStateMachine):
    """One connection for administration, and any lines in answer."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []
        self.closes = False
        self.impostor = Impostor(self.serve).__enter__()
        host, _, port = self.impostor.address.partition(":")
        self.admin = Admin(host, int(port), timeout=PATIENCE / 5)  # much of it has no end

    def serve(self, connection: Any) -> None:
        while connection.recv(4096):
            connection.sendall(b"".join(self.lines))
            if self.closes:
                return

    @rule(lines=st.lists(st.sampled_from(LINES), max_size=6), closes=st.booleans())
    def say(self, lines: list[bytes], *, closes: bool) -> None:
        self.lines, self.closes = lines, closes

    @rule(place=st.integers(0, 12))
    def ask(self, place: int) -> None:
        admin = self.admin
        calls: list[Callable[[], object]] = [
            admin.status,
            admin.priority_status,
            admin.workers,
            admin.version,
            admin.verbose,
            admin.getpid,
            admin.jobs,
            admin.unique_jobs,
            lambda: admin.maxqueue("f", 1),
            lambda: admin.create_function("f"),
            lambda: admin.drop_function("f"),
            lambda: admin.cancel_job("H:x:1"),
            admin.shutdown,
        ]
        attempt(calls[place])

    def teardown(self) -> None:
        self.admin.close()
        self.impostor.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Pytest would keep all that the workers tell."""
    caplog.set_level(logging.CRITICAL, "gearman_c")


pytestmark = [pytest.mark.slow] if "FUZZ_CASES" in os.environ else []

for machine in (ClientMachine, WorkerMachine, AdminMachine):
    machine.TestCase.settings = SETTINGS
TestClient = ClientMachine.TestCase
TestWorker = WorkerMachine.TestCase
TestAdmin = AdminMachine.TestCase
