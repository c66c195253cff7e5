"""The nodes of a town in one process, on made-up time: everything of `fedcredit.node.server` runs but gRPC itself.

A node is `serve(config)` of its own folder, with its store, audit log and results on the disk. What is played: the
network (`sim_grpc`), time and threads (`sim_loop`), the clock of each machine, and death, at any callback or failpoint.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from e2e.conftest import write_job, write_tables
from faults.sim_grpc import Fabric, SimChannel, SimCredentials, SimServer
from faults.sim_loop import PROCESS, Killed, Process, SimLoop

from fedcredit import failpoints
from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.node import server
from fedcredit.node.local import OPERATOR, PLATFORM, Consortium
from fedcredit.node.pki import Authority, write_keys
from fedcredit.node.serve import ending
from fedcredit.node.store import lease
from fedcredit.node.store.lease import Holder
from fedcredit.runtime.config import PartyFile, load_job, load_party
from fedcredit.runtime.policy_file import POLICY_FILE
from fedcredit.runtime.policy_template import open_policy

PARTIES = (PartyId("bank"), PartyId("tax"), PartyId("registry"))
NODES = (*PARTIES, PLATFORM)
SIZES = {"bank": (0, 90), "tax": (10, 100), "registry": (20, 110)}
JOB = """
[intersect]
min_size = 20
[split]
holdout = 0.2
[[model]]
kind = "gbdt"
num_trees = 2
max_depth = 2
max_bin = 4
min_data_in_leaf = 10
"""


class Template:
    """Folders, keys and tables, made once and copied for each run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}
        """Of every node; it overrides their files."""
        folder.mkdir(parents=True, exist_ok=True)
        write_tables(folder, SIZES)
        self.definition = load_job(write_job(folder, list(SIZES), JOB))
        plan, authority = Consortium(self.definition, folder / "nodes"), Authority.create()
        self.ports = {party: 7001 + index for index, party in enumerate(NODES)}
        for party in PARTIES:
            plan._write_node(party, authority, plan._party_file(party))
        addresses = {party: f"127.0.0.1:{self.ports[party]}" for party in PARTIES}
        plan._write_node(PLATFORM, authority, plan._platform_file(addresses))
        write_keys(plan.folder(OPERATOR) / "keys", OPERATOR, authority)

    def copy(self, to: Path) -> Path:
        """Fresh folders of all nodes."""
        shutil.copytree(self.folder / "nodes" / "parties", to, copy_function=shutil.copy2)
        return to


class _Clock:
    """The clock of one machine."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def now(self) -> datetime:
        skew = self._world.skew.get(self._name, 0.0)
        return self._world.epoch + timedelta(seconds=self._world.loop.time() + skew)

    def monotonic(self) -> float:
        return self._world.loop.time()


class _Plan:
    """Stands for the plan of failpoints: every hit is a place where the run may hurt the process that is there."""

    def __init__(self, world: World, reached: str | None) -> None:
        self._world = world
        self._noted = failpoints._Plan([], reached)

    def hit(self, name: str, detail: str) -> None:
        self._noted.hit(name, detail)
        process = PROCESS.get()
        if process is not None:
            self._world.passed(process, name, detail)


class World:
    """One run. `at_failpoint` is told (process name, failpoint, count there) and may say `kill` or an errno's name.

    `ended` is told of a node that ended by itself: its name, and `done` or why.
    """

    def __init__(self, template: Template, folder: Path, loop: SimLoop) -> None:
        self.template, self.loop = template, loop
        self.folder = template.copy(folder)
        self.fabric = Fabric(loop)
        self.epoch = datetime.now(UTC) - timedelta(seconds=loop.time())
        self.skew: dict[str, float] = {}
        self.full: set[str] = set()
        self.alive: dict[str, Process] = {}
        self.hits: Counter[tuple[str, str]] = Counter()
        self.at_failpoint: Callable[[str, str, int], str | None] = lambda process, name, count: None
        self.exits: list[tuple[str, str]] = []
        self.ended: Callable[[str, str], None] = lambda name, how: None
        self._lives: Counter[str] = Counter()
        self._shut_down: dict[Process, asyncio.Event] = {}
        failpoints._plan = _Plan(self, os.environ.get(failpoints.REACHED))  # type: ignore[assignment]

    def start(self, party: str) -> None:
        """Start a node that does not run."""
        assert party not in self.alive, f"{party} runs"
        process = self._new(party)
        context = contextvars.Context()
        context.run(PROCESS.set, process)
        self.loop.create_task(self._serve(process), context=context, name=f"serve {process}")

    def let_a_person_decide(self, party: str) -> None:
        """Have each job wait for a person of `party`."""
        (self.folder / party / POLICY_FILE).write_text(open_policy().replace('"admit"', '"approve"'))

    def kill(self, party: str, *, silent: bool = False) -> None:
        """End a node at once; `silent`: with its machine, so that nobody hears a connection break."""
        if (process := self.alive.pop(party, None)) is not None:
            self.loop.bury(process)
            for lock in process.locks:
                _real_flock(lock, fcntl.LOCK_UN)
            self.fabric.gone(process, silent=silent)

    def terminate(self, party: str) -> None:
        """SIGTERM."""
        if (process := self.alive.get(party)) is not None and process in self._shut_down:
            self._shut_down[process].set()

    def outside(self, name: str) -> contextvars.Context:
        """The context of somebody who is no node, such as an operator."""
        self._new(name)
        return self.context_of(name)

    def context_of(self, name: str) -> contextvars.Context:
        """A context of a process that lives."""
        context = contextvars.Context()
        context.run(PROCESS.set, self.alive[name])
        return context

    def passed(self, process: Process, name: str, detail: str) -> None:
        """A process is at a failpoint."""
        key = (process.name, name)
        self.hits[key] += 1
        what = self.at_failpoint(process.name, name, self.hits[key])
        if what == "kill":
            self.kill(process.name)
            raise Killed
        # A full disk refuses writes, and these are the places where one is under way: elsewhere nothing is written.
        if what is not None and name.endswith(".written"):
            number = getattr(errno, what)
            raise OSError(number, os.strerror(number))

    def _new(self, name: str) -> Process:
        self._lives[name] += 1
        process = self.alive[name] = Process(name, self._lives[name])
        return process

    async def _serve(self, process: Process) -> None:
        port = str(self.template.ports[PartyId(process.name)])
        environment = self.template.environment | {"FEDCREDIT_LISTEN__PORT": port}
        config = load_party(self.folder / process.name, environment)
        how = "done"
        try:
            await server.serve(config)
        except FedcreditError as error:
            how = error.code
        except Exception as error:  # noqa: BLE001 - told in the run's report
            how = repr(error)
        self.exits.append((repr(process), how))
        if self.alive.get(process.name) is process:
            del self.alive[process.name]
            self.fabric.gone(process, silent=False)
            self.ended(process.name, how)


_worlds: list[Any] = []


def current() -> Any:
    """The world that runs now; processes of earlier ones are dead."""
    return _worlds[-1]


def enter(world: Any) -> None:
    """Make `world` the one whose network and clocks the nodes find."""
    _worlds.append(world)


def _me() -> Process:
    process = PROCESS.get()
    assert process is not None
    return process


def _server(*_: Any, interceptors: Any = (), **__: Any) -> SimServer:
    return SimServer(current().fabric, interceptors)


def _channel(target: str, credentials: SimCredentials, **_: Any) -> SimChannel:
    return SimChannel(current().fabric, target, credentials)


def _own(
    authorities: bytes | None = None, key: bytes | None = None, certificate: bytes | None = None
) -> SimCredentials:
    return SimCredentials(certificate or b"")


def _flock(file: Any, operation: int) -> None:
    """A lock goes with its process: this one notes who has it."""
    _real_flock(file, operation)
    if operation & fcntl.LOCK_EX and (process := PROCESS.get()) is not None:
        process.locks.append(file if isinstance(file, int) else file.fileno())


def _holder(_: type[Holder]) -> Holder:
    number = _me().number
    return Holder("sim", number, "sim", str(number), secrets.token_hex(16))


def _started(number: int) -> str:
    """Of which process a number is, if that lives."""
    return str(number) if any(process.number == number for process in current().alive.values()) else ""


def _remember_shut_down(shut_down: asyncio.Event) -> None:
    current()._shut_down[_me()] = shut_down


def _ready(config: PartyFile, running: ending.Running) -> Path:
    path = config.folder / "ready.json"
    path.write_text(json.dumps({"ready": config.me, "address": f"127.0.0.1:{running.transport.port}"}))
    return path


class _Unwatched:
    """Stands for the watchdog of an event loop: a played node that was killed has one that nobody stops."""

    def __init__(self, me: PartyId) -> None:
        self.me = me

    def stop(self) -> None:
        """As the watchdog's."""


_real_flock = fcntl.flock


def play(put: Callable[[Any, str, Any], None]) -> None:
    """Put the played network, clocks and signals in the place of the real ones: `put` is setattr, or a test's."""
    put(grpc.aio, "server", _server)
    put(grpc.aio, "secure_channel", _channel)
    put(grpc, "ssl_channel_credentials", _own)
    put(grpc, "ssl_server_credentials", lambda *_, **__: None)
    put(grpc, "ssl_server_certificate_configuration", lambda *_, **__: None)
    put(grpc, "dynamic_ssl_server_credentials", lambda *_, **__: None)
    put(server, "SystemClock", lambda: _Clock(current(), _me().name))
    put(fcntl, "flock", _flock)
    put(Holder, "mine", classmethod(_holder))
    put(lease, "_started", _started)
    put(lease.Lease, "keep", lambda *_: None)  # its thread would beat in real time
    put(server, "_stop_on_signals", _remember_shut_down)
    put(server, "_say_ready", _ready)
    put(ending, "leave_within", lambda *_: None)  # it would end this process, and in real time
    put(server, "Watchdog", _Unwatched)  # so would this
