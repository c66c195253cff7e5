"""A consortium of real processes that a test may hurt: kill, stop, part, slow down, start with other clocks or limits.

    town = Town(folder)
    await town.start()
    job = await town.submit()
    await town.kill("tax")
    await town.up("tax")
    end = await town.end(job)
    assert town.result(job) == oracle

The nodes are started as anybody starts them, `fedcredit node up FOLDER`, from the folders that a local run writes; only
their environment differs. Tables and job are the same in every town, so one uninterrupted run is the oracle of all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import secrets
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.conftest import ROOT, write_job, write_tables
from faults.doors import Doors
from free_ports import free_port

from fedcredit import failpoints
from fedcredit.errors import PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.local import OPERATOR, PLATFORM, Consortium
from fedcredit.node.operator import Operator
from fedcredit.node.pki import Authority, load_credentials, write_keys
from fedcredit.runtime.config import load_job
from fedcredit.wire.control import JobEvent

BANK, TAX, REGISTRY = PartyId("bank"), PartyId("tax"), PartyId("registry")
PARTIES = (BANK, TAX, REGISTRY)
EVERYBODY = (*PARTIES, PLATFORM)
SIZES = {"bank": (0, 400), "tax": (100, 450), "registry": (150, 500)}
TREES = 4
JOB = f"""
[split]
holdout = 0.2
[[model]]
kind = "gbdt"
num_trees = {TREES}
max_depth = 2
max_bin = 8
"""

MAIN = "import sys; from fedcredit.cli.main import main; sys.exit(main(sys.argv[1:]))"
READY_S, EXIT_S, END_S = 240.0, 120.0, 480.0
ENDS = ("succeeded", "failed", "cancelled")

Environment = Mapping[str, str]


@dataclass(slots=True)
class Node:
    """One node of a town, running or not."""

    party: PartyId
    folder: Path
    log: Path
    port: int
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    special: bool = False
    """Whether it was started in another way than usual."""

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.returncode is None


class Town:
    """A platform and three parties. `limits` override the limits of every node's party.toml."""

    def __init__(self, folder: Path, *, extra: str = JOB, limits: Mapping[str, float] | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        write_tables(folder, SIZES)
        self.definition = load_job(write_job(folder, list(SIZES), extra))
        self.nodes = {
            party: Node(
                party, folder / "out" / "parties" / party, folder / "out" / "logs" / f"{party}.log", free_port()
            )
            for party in EVERYBODY
        }
        self.doors = Doors(self.pids)
        self.addresses: dict[PartyId, str] = {}
        self.reached = folder / "reached"
        self._limits = {"lost_after_s": 10.0} | dict(limits or {})
        self._operator: Operator | None = None

    async def start(self) -> None:
        """Write the folders, open the doors, start all nodes."""
        (self.folder / "out" / "logs").mkdir(parents=True, exist_ok=True)
        authority = Authority.create()
        plan = Consortium(self.definition, self.folder / "out")
        addresses = self.addresses = {p: await self.doors.add(p, node.port) for p, node in self.nodes.items()}
        for party in PARTIES:
            plan._write_node(party, authority, plan._party_file(party))
        peers = {party: address for party, address in addresses.items() if party != PLATFORM}
        plan._write_node(PLATFORM, authority, plan._platform_file(peers))
        keys = self.folder / "operator"
        write_keys(keys, OPERATOR, authority)
        credentials = load_credentials(keys / "tls.key", keys / "tls.crt", keys / "authorities.pem", me=OPERATOR)
        await self.up(*EVERYBODY)
        self._operator = Operator(OPERATOR, credentials, PLATFORM, addresses[PLATFORM])

    async def close(self) -> None:
        """End everything."""
        if self._operator is not None:
            await self._operator.close()
        await self.kill(*EVERYBODY)
        await self.doors.close()

    @property
    def operator(self) -> Operator:
        """Talks to the platform, through its door."""
        assert self._operator is not None, "the town has been started"
        return self._operator

    # -- processes ------------------------------------------------------------------------------------------------

    async def up(
        self,
        *parties: str,
        plan: str = "",
        environment: Environment | None = None,
        limits: Mapping[int, int] | None = None,
        before: str = "",
    ) -> None:
        """Start nodes that do not run and wait until they are ready.

        `plan` are failpoints, `limits` are resource limits, `before` is Python that runs ahead of the node's own code.
        """
        nodes = [self.nodes[PartyId(party)] for party in parties]
        for node in nodes:
            await self.launch(node.party, plan=plan, environment=environment, limits=limits, before=before)
        await asyncio.gather(*(self._ready(node) for node in nodes))

    async def launch(
        self,
        party: str,
        *,
        plan: str = "",
        environment: Environment | None = None,
        limits: Mapping[int, int] | None = None,
        before: str = "",
    ) -> Node:
        """Start a node's process and do not wait for it."""
        node = self.nodes[PartyId(party)]
        assert not node.running, f"{party} runs already"
        node.special = bool(plan or environment or limits or before)

        def restrict() -> None:
            for which, value in (limits or {}).items():
                resource.setrlimit(which, (value, value))

        with node.log.open("ab") as log:
            node.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", f"{before}\n{MAIN}", "node", "up", str(node.folder), "--with-parent"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment(node, plan) | dict(environment or {}),
                cwd=ROOT,
                start_new_session=True,
                preexec_fn=restrict if limits else None,
            )
        return node

    async def run(self, party: str, timeout_s: float = 240) -> tuple[int, str]:
        """Start another process for a party and let it end; its exit status and what it said."""
        node = self.nodes[PartyId(party)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MAIN, "node", "up", str(node.folder), "--with-parent"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(node, ""),
            cwd=ROOT,
        )
        async with asyncio.timeout(timeout_s):
            _, said = await process.communicate()
        return process.returncode or 0, said.decode()

    async def command(self, *arguments: str, timeout_s: float = 240) -> tuple[int, str]:
        """Run `fedcredit ARGUMENTS`; its exit status and what it said."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MAIN, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
        )
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def kill(self, *parties: str) -> None:
        """SIGKILL."""
        await asyncio.gather(*(self._end(self.nodes[PartyId(party)], signal.SIGKILL) for party in parties))

    async def terminate(self, party: str) -> int:
        """SIGTERM; the exit status."""
        return await self._end(self.nodes[PartyId(party)], signal.SIGTERM)

    def signal(self, party: str, number: signal.Signals) -> None:
        """Send a signal."""
        process = self.nodes[PartyId(party)].process
        assert process is not None, f"{party} runs"
        process.send_signal(number)

    async def died(self, party: str, timeout_s: float = END_S) -> int:
        """Wait until a node has ended by itself; its exit status."""
        process = self.nodes[PartyId(party)].process
        assert process is not None, f"{party} was started"
        async with asyncio.timeout(timeout_s):
            return await process.wait()

    async def restore(self) -> None:
        """Make the town whole for the next test: nothing parted, every node up and without a plan."""
        self.doors.heal()
        hurt = [party for party, node in self.nodes.items() if not node.running or node.special]
        await self.kill(*hurt)
        await self.up(*hurt)

    # -- jobs -----------------------------------------------------------------------------------------------------

    async def submit(self, **changes: Any) -> str:
        """Hand in the town's job; its name."""
        return await self.operator.submit(self.definition.shared() | changes)

    async def submit_patiently(self, timeout_s: float = END_S) -> str:
        """Hand in the town's job, again if the platform was away; one request is one job, however often it is sent."""
        request = secrets.token_hex(16)
        async with asyncio.timeout(timeout_s):
            while True:
                with contextlib.suppress(PeerLost):
                    return await self.operator.submit(self.definition.shared(), request)
                await asyncio.sleep(0.2)

    async def end(self, job: str, timeout_s: float = END_S) -> JobEvent:
        """The platform's last word on a job. Raises TimeoutError: a hang is a failure of the test."""
        last: JobEvent | None = None
        async with asyncio.timeout(timeout_s):
            async for event in self.watch(job):
                last = event
        assert last is not None, "a watch has events"
        return last

    async def watch(self, job: str) -> Any:
        """The events of a job at the platform; goes on when the platform was away."""
        seen = 0
        while True:
            try:
                async for event in self.operator.watch(job, seen):
                    seen = event.seq
                    yield event
                    if event.party == PLATFORM and event.kind == "state" and event.stage in ENDS:
                        return
            except PeerLost:
                pass  # The platform is away for a while.
            await asyncio.sleep(0.2)

    async def until(self, job: str, wanted: Callable[[JobEvent], bool], timeout_s: float = END_S) -> JobEvent:
        """The first event that is `wanted`."""
        async with asyncio.timeout(timeout_s):
            async for event in self.watch(job):
                if wanted(event):
                    return event
        raise AssertionError(f"{job} ended before the event came")

    def result(self, job: str) -> dict[str, bytes]:
        """What the job gave, at all parties: the files of the models, and what decides the figures."""
        found: dict[str, bytes] = {}
        for party in PARTIES:
            folder = self.nodes[party].folder / "jobs" / job / "result"
            for file in sorted((folder / "model").rglob("*")):
                if file.is_file():
                    found[f"{party}/{file.relative_to(folder)}"] = file.read_bytes()
        metrics = json.loads((self.nodes[BANK].folder / "jobs" / job / "result" / "metrics.json").read_text())
        kept = {"rows": metrics["rows"], "models": [{k: m[k] for k in ("auc", "ks")} for m in metrics["models"]]}
        return found | {"figures": json.dumps(kept, sort_keys=True).encode()}

    def failure(self, party: str, job: str) -> list[dict[str, str]]:
        """The problems that a party wrote down for a job."""
        path = self.nodes[PartyId(party)].folder / "jobs" / job / "failure.json"
        return list(json.loads(path.read_text())["problems"]) if path.exists() else []

    def state(self, party: str, job: str) -> str:
        """A job's state in a party's store; empty if it is not there."""
        rows = self.query(party, "SELECT state FROM jobs WHERE id = ?", job)
        return str(rows[0][0]) if rows else ""

    def query(self, party: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a party's store, read without it."""
        path = self.nodes[PartyId(party)].folder / "store.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as store:
            return list(store.execute(statement, values))

    async def state_becomes(self, party: str, job: str, *wanted: str, timeout_s: float = END_S) -> str:
        """Wait until a job's state in a party's store is one of `wanted`."""
        async with asyncio.timeout(timeout_s):
            while (state := self.state(party, job)) not in wanted:  # noqa: ASYNC110 - another process changes it
                await asyncio.sleep(0.05)
        return state

    def log(self, party: str) -> str:
        """What a node had to say."""
        return self.nodes[PartyId(party)].log.read_text(errors="replace")

    def begun(self, job: str) -> set[tuple[str, str]]:
        """The stages of a job that parties have begun, by party: roles speak to each other in no other place.

        Bytes between nodes do not tell: peers sign each other's audit heads when any job has ended.
        """
        found = set()
        for party in PARTIES:
            for line in self.log(party).splitlines():
                said = json.loads(line) if line.startswith("{") else {}
                if (said.get("event"), said.get("job"), said.get("state")) == ("job.stage", job, "begun"):
                    found.add((party, said["stage"]))
        return found

    # -- inside ---------------------------------------------------------------------------------------------------

    def pids(self) -> dict[int, str]:
        """The processes that run, and whose they are."""
        return {
            node.process.pid: node.party for node in self.nodes.values() if node.process is not None and node.running
        }

    def _environment(self, node: Node, plan: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FEDCREDIT_")}
        return kept | {
            "FEDCREDIT_LISTEN__PORT": str(node.port),
            **{f"FEDCREDIT_LIMITS__{name.upper()}": str(value) for name, value in self._limits.items()},
            failpoints.ALLOW: "1",
            failpoints.PLAN: plan,
            failpoints.REACHED: os.environ.get(failpoints.REACHED, str(self.reached)),
            "OMP_NUM_THREADS": "2",
        }

    async def _ready(self, node: Node) -> None:
        assert node.process is not None
        assert node.process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await node.process.stdout.readline()
        if not line:
            await node.process.wait()
            raise AssertionError(f"{node.party} did not start: {node.log.read_text()[-2000:]}")

    async def _end(self, node: Node, number: signal.Signals) -> int:
        process = node.process
        if process is None:
            return 0
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
                os.killpg(process.pid, signal.SIGCONT)
        async with asyncio.timeout(EXIT_S):
            return await process.wait()
