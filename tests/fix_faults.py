"""Faults that strike while work is under way, and the six ways to have work under way."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fix_machine import (
    NamedProxy,
    Names,
    Network,
    NetworkProxy,
    can_hide_names,
    can_make_networks,
    can_mount,
    small_disk,
)
from fix_proxy import Proxy
from fix_running import running
from fix_tasks import wait_for

from gearman_c import Client, GearmanError, Job, Task, TaskState, UnconfirmedError, Worker, aio
from gearman_c.testing import Gearmand

FUNCTION = "f"
COUNT = 30  # jobs of a run
STRIKE_AT = 5  # the fault comes when so many are done, or acknowledged
NAME = "queue.test"
PATIENCE = 2.0  # seconds that a call has


@dataclass
class Outcome:
    """What became of a run that was struck."""

    raised: set[str] = field(default_factory=set)
    unconfirmed: set[int] = field(default_factory=set)

    def note(self, error: GearmanError) -> None:
        self.raised.add(type(error).__name__)
        self.unconfirmed |= numbers(error.unconfirmed)


class Scene:
    """A server with its queue on a disk in memory, another one, and a worker of both.

    Clients, or the worker that is struck, are behind `proxy`. done: how often each job was done.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._strike: Callable[[], object] | None = None
        self.has_struck = False
        self.forgets = False  # the server cannot write down that a job is done
        self.done: Counter[int] = Counter()
        self.in_hand: set[int] = set()  # what a worker did when the fault struck

    def __enter__(self) -> Self:
        self.folder = self._stack.enter_context(self._make_folder())
        arguments = ["-q", "libsqlite3", "--libsqlite3-db", f"{self.folder}/queue"]
        self.server = self._stack.enter_context(Gearmand(arguments=arguments))
        self.other = self._stack.enter_context(Gearmand())
        self.proxy = self._stack.enter_context(self._make_proxy())
        return self

    def _make_folder(self) -> AbstractContextManager[str]:
        shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
        return tempfile.TemporaryDirectory(dir=shared)

    def _make_proxy(self) -> Proxy:
        return Proxy(self.server.host, self.server.port)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def work(self) -> None:
        """Have a worker that no fault of the network strikes."""
        worker = Worker([self.server.address, self.other.address])
        worker.add_function(FUNCTION, self.do)
        self._stack.enter_context(running(worker))

    def do(self, job: Job) -> bytes:
        """Do a job; the fault strikes with one in hand."""
        with self._lock:
            self.done[int(job.workload)] += 1
            number = sum(self.done.values())
            if (self._strike is not None and number >= STRIKE_AT) or self.forgets:
                self.in_hand.add(int(job.workload))
        self.reach(number)
        return job.workload[::-1]

    def once(self, lift: Callable[[Scene], object]) -> Callable[[], object]:
        """Return a call that lifts a fault that has struck, the first time."""
        lifts = [lift]
        return lambda: self.has_struck and lifts and lifts.pop()(self)

    def strike_with(self, fault: Fault) -> None:
        self._strike = lambda: fault.strike(self)

    def reach(self, number: int) -> None:
        """Strike when it is time."""
        with self._lock:
            strike = self._strike if number >= STRIKE_AT else None
            if strike is not None:
                self._strike = None
        if strike is not None:
            strike()
            self.has_struck = True


class SmallDisk(Scene):
    """The server's queue is on a disk of a few pages."""

    def _make_folder(self) -> AbstractContextManager[str]:
        return small_disk()


class NamedServer(Scene):
    """The server is known by a name."""

    def _make_proxy(self) -> Proxy:
        self.names = self._stack.enter_context(Names())
        self.find()
        return NamedProxy(NAME, self.server.host, self.server.port)

    def find(self) -> None:
        self.names.learn(NAME)


class RealNetwork(Scene):
    """What comes to the proxy goes over a network that can lose packets."""

    def _make_proxy(self) -> Proxy:
        self.network = self._stack.enter_context(Network())
        return NetworkProxy(self.network, self.server.host, self.server.port)


@dataclass(frozen=True)
class Fault:
    name: str
    strike: Callable[[Any], object]
    lift: Callable[[Any], object] = lambda scene: None
    scene: type[Scene] = Scene


def restart(scene: Scene) -> None:
    scene.server.kill()
    scene.server.start()


def replace(scene: Scene) -> None:
    scene.proxy.server = (scene.other.host, scene.other.port)
    scene.proxy.cut()


def refuse(scene: Scene) -> None:
    scene.proxy.refuse()
    scene.proxy.cut()


def limit_queue(scene: Scene) -> None:
    """Let one job wait, and no more; so the server must know the function first."""
    scene.server.command(f"maxqueue {FUNCTION} 1")


def lift_limit(scene: Scene) -> None:
    scene.server.command(f"maxqueue {FUNCTION} 0")


def forget(scene: Scene) -> None:
    """What was connected hears nothing any more, and then that nobody knows it."""
    scene.proxy.cut()
    scene.proxy.resume()


def fill_up(scene: SmallDisk) -> None:
    scene.forgets = True
    with suppress(OSError), Path(scene.folder, "filling").open("wb", buffering=0) as filling:
        while True:
            filling.write(bytes(512))


def make_room(scene: SmallDisk) -> None:
    """The server (1.1.20) takes nothing more until it is started again."""
    Path(scene.folder, "filling").unlink()
    restart(scene)
    scene.forgets = False


def lose_name(scene: NamedServer) -> None:
    scene.names.forget()
    scene.proxy.cut()


def lose_all(scene: RealNetwork) -> None:
    scene.network.drop()


def find_again(scene: RealNetwork) -> None:
    scene.network.restore()


def forget_unseen(scene: RealNetwork) -> None:
    """The end of the connections is lost, too: the client has half of each."""
    scene.proxy.cut()
    scene.network.restore()


FAULTS: tuple[Fault, ...] = (
    Fault("server killed", lambda scene: scene.server.kill(), lambda scene: scene.server.start()),
    Fault("server killed and started", restart),
    Fault("server stopped", lambda scene: scene.server.pause(), lambda s: s.server.resume()),
    Fault("server replaced", replace),
    Fault("connections refused", refuse, lambda scene: scene.proxy.accept()),
    Fault("connection reset", lambda scene: scene.proxy.cut()),
    Fault("cut inside a packet", lambda scene: scene.proxy.cut_after(bytes_to_client=5)),
    Fault(
        "acknowledgements delayed",
        lambda scene: scene.proxy.stall(to_server=False),
        lambda scene: scene.proxy.resume(),
    ),
    Fault("silence, then unknown", lambda scene: scene.proxy.stall(), forget),
    Fault("queue full", limit_queue, lift_limit),
    Fault("1 KB/s", lambda scene: scene.proxy.slow(1000)),
    Fault("one byte at a time", lambda scene: scene.proxy.one_byte_at_a_time()),
)
# Where the machine can make them.
if can_mount():
    FAULTS += (Fault("disk full", fill_up, make_room, SmallDisk),)
if can_hide_names():
    FAULTS += (Fault("name lost", lose_name, NamedServer.find, NamedServer),)
if can_make_networks():
    FAULTS += (
        Fault("packets lost for a while", lose_all, find_again, RealNetwork),
        Fault("half-open", lose_all, forget_unseen, RealNetwork),
    )


def numbers(tasks: Iterator[Task] | tuple[Task, ...] | list[Task]) -> set[int]:
    return {int(task.workload or b"") for task in tasks}


def run_until_done(client: Client, outcome: Outcome, lift: Callable[[], object]) -> None:
    """Call run_tasks() as a user does who wants all to be done."""
    while client.pending:
        try:
            client.run_tasks(timeout=PATIENCE)
        except GearmanError as error:
            outcome.note(error)
        lift()


def background(scene: Scene, fault: Fault) -> Outcome:
    """Call add_task_background() and run_tasks()."""
    outcome = Outcome()
    told: list[Task] = []

    def on_created(task: Task) -> None:
        told.append(task)
        scene.reach(len(told))

    with Client(scene.proxy.address, max_in_flight=10) as client:
        client.on_created = on_created
        tasks = [client.add_task_background(FUNCTION, str(number)) for number in range(COUNT)]
        run_until_done(client, outcome, scene.once(fault.lift))
    assert told == tasks
    scene.work()
    return outcome


def foreground(scene: Scene, fault: Fault) -> Outcome:
    """Call add_task() and run_tasks(); what is unconfirmed is added again."""
    outcome = Outcome()
    lift = scene.once(fault.lift)
    scene.work()
    left, done = set(range(COUNT)), []
    with Client(scene.proxy.address, max_in_flight=10) as client:
        while left:
            tasks = [client.add_task(FUNCTION, str(number)) for number in left]
            run_until_done(client, outcome, lift)
            done += [task for task in tasks if task.state is not TaskState.UNCONFIRMED]
            left -= numbers(done)
            assert left <= outcome.unconfirmed
    assert all(task.result() == (task.workload or b"")[::-1] for task in done)
    return outcome


def do(scene: Scene, fault: Fault) -> Outcome:
    """One round trip after the other; one that fails is repeated."""
    outcome = Outcome()
    lift = scene.once(fault.lift)
    scene.work()
    number = 0
    with Client(scene.proxy.address) as client:
        while number < COUNT:
            try:
                result = client.do(FUNCTION, str(number), timeout=PATIENCE)
            except GearmanError as error:
                outcome.note(error)
                assert client.pending == 0
                lift()
            else:
                assert result == str(number).encode()[::-1]
                number += 1
    return outcome


def submit(scene: Scene, fault: Fault) -> Outcome:
    """Submit a stream; next() goes on after an error."""
    outcome = Outcome()
    lift = scene.once(fault.lift)
    taken: list[Task] = []
    with Client(scene.proxy.address, max_in_flight=10, timeout=PATIENCE) as client:
        submission = client.submit(FUNCTION, (str(number) for number in range(COUNT)))
        while len(taken) < COUNT:
            try:
                for task in submission:
                    assert task.is_known
                    taken.append(task)
                    scene.reach(len(taken))
            except GearmanError as error:
                outcome.note(error)
                lift()
    assert [int(task.workload or b"") for task in taken] == list(range(COUNT))
    scene.work()
    return outcome


def worker(scene: Scene, fault: Fault) -> Outcome:
    """Have a worker whose connection is struck, or whose server."""
    outcome = Outcome()
    with Client(scene.server.address) as client:
        for number in range(COUNT):
            client.add_task_background(FUNCTION, str(number))
        client.run_tasks(timeout=60)
    struck = Worker(scene.proxy.address)
    struck.add_function(FUNCTION, scene.do)
    with running(struck):
        wait_for(lambda: scene.has_struck)
        if fault.name == "server replaced":
            scene.work()  # for those that the first one keeps
        fault.lift(scene)
        wait_for(lambda: len(scene.done) == COUNT)
    return outcome


def asynchronous(scene: Scene, fault: Fault) -> Outcome:
    """Have thirty do() of aio at a time; those that fail are repeated."""
    outcome = Outcome()
    lift = scene.once(fault.lift)
    scene.work()

    left = set(range(COUNT))

    async def call(client: aio.Client, number: int) -> None:
        try:
            result = await client.do(FUNCTION, str(number), timeout=PATIENCE)
        except GearmanError as error:
            outcome.note(error)
            if isinstance(error, UnconfirmedError):
                outcome.unconfirmed.add(number)
        else:
            assert result == str(number).encode()[::-1]
            left.discard(number)

    async def main() -> None:
        async with aio.Client(scene.proxy.address, max_in_flight=10) as client:
            while left:
                await asyncio.gather(*(call(client, number) for number in left))
                lift()

    asyncio.run(main())
    return outcome


KINDS = (background, foreground, do, submit, worker, asynchronous)
