"""A platform, an institution and departments on this machine that have joined one another as organisations do.

A local run (`fedcredit.node.local`) has one authority for all and does one job. Here each party is its own authority
and joins the platform with a token, so that its models can be published and scored, and its records asked about. The
folder is a local run's, `OUT/parties/NAME` and `OUT/logs/NAME.log`; policies admit everything, since whoever runs it
owns every table.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM, Consortium
from fedcredit.node.operator import Operator
from fedcredit.node.own_node import OwnNode
from fedcredit.node.trust.founding import complete
from fedcredit.node.trust.joining import enrol
from fedcredit.node.trust.keys import following_keyring, trust_folder
from fedcredit.node.trust.members import make_token
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import JobFile, PartyFile, load_party
from fedcredit.runtime.policy_file import POLICY_FILE
from fedcredit.runtime.policy_template import open_policy
from fedcredit.runtime.toml import dump

__all__ = ["Register", "Services", "Town", "free_port"]

PATIENCE_S: Final = 240.0
LOOK_S: Final = 0.05
HOST: Final = "127.0.0.1"

_LOWEST: Final = 20_000
_PORTS: Final = 12_000
_turns = itertools.count(os.getpid() * 64)

_SECRETS: Final = (
    "keys/*.key",
    "keys/scores.json",
    "keys/consent/*.key",
    "set.key",
    "verify/log.key",
    "accounts*.json",
)
"""What is of no use once the town is gone, by its place in a node's folder."""

_PLATFORM_RULE: Final = """\
[[model.rule]]
name = "all-on-one-machine"
action = "admit"
callers = ["*"]
acts = ["publish", "activate", "challenge", "rollback", "retire", "show"]
models = ["*"]
kinds = ["*"]
purposes = ["*"]
"""

_MODEL_RULES: Final = """
[[model.rule]]
name = "scores"
action = "admit"
callers = ["*"]
acts = ["score"]
models = ["*"]
kinds = ["*"]
purposes = ["*"]
without = {without}
[[model.rule]]
name = "all-on-one-machine"
action = "admit"
callers = ["*"]
acts = ["publish", "approve"]
models = ["*"]
kinds = ["*"]
purposes = ["*"]
"""

_VERIFY_RULE: Final = """
[verify.levels]
{levels}
[[verify.rule]]
name = "all-on-one-machine"
action = "admit"
requesters = ["*"]
purposes = ["*"]
items = {items}
level_max = 3
budget = {{ questions = 3, days = 30 }}
"""


@dataclass(frozen=True, slots=True)
class Register:
    """A department's table behind an item of its region's catalog. `fields`: columns that are called otherwise."""

    item: str
    table: Path
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Services:
    """What the departments of a town do besides jobs, in a region of the shipped catalogs.

    `registers`: from which records who answers questions. `without`: departments that a score may lack while they are
    down.
    """

    region: str = "jining"
    registers: Mapping[PartyId, Sequence[Register]] = field(default_factory=dict)
    without: Sequence[PartyId] = ()


class Town(Consortium):
    """The town of a job file, all of whose parties are in it. Use as an asynchronous context manager.

    `run` does its job, `up` and `end` start and end single nodes. Models are `fedcredit.node.town.models`' matter,
    consents `fedcredit.node.town.consents`'. `port` gives a port of this machine that nobody listens on.
    """

    def __init__(
        self, job: JobFile, out: Path, services: Services | None = None, *, port: Callable[[], int] | None = None
    ) -> None:
        super().__init__(job, out)
        self.services = services or Services()
        self._port = port or free_port

    @property
    def bank(self) -> PartyId:
        """The institution: who has the label."""
        return self.job.receiver

    @property
    def departments(self) -> tuple[PartyId, ...]:
        """All others, in the order of the job."""
        return tuple(party for party in self.job.parties if party != self.bank)

    def config(self, party: PartyId) -> PartyFile:
        """The party.toml of a node. Raises: ConfigError."""
        return load_party(self.folder(party))

    async def up(self, party: PartyId) -> None:
        """Start a node that has ended, at its own address, and wait until it takes work. Raises: PeerLost."""
        child = await self.children.start(party, self.folder(party), self._log(party))
        await self.children.ready(child)

    async def end(self, party: PartyId, number: signal.Signals = signal.SIGKILL) -> int:
        """End a node's process; its exit status."""
        process = self.children[party].process
        if process.returncode is None:
            # The process' own method would look whether it has ended, and take its status from who waits for that.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        return await self.ended(party)

    async def ended(self, party: PartyId) -> int:
        """Wait until a node's process has ended by itself; its exit status. Raises: TimeoutError."""
        return await asyncio.wait_for(self.children[party].process.wait(), PATIENCE_S)

    async def settled(self, party: PartyId) -> None:
        """Wait until a node takes work, its questions among it, and believes all others. Raises: TimeoutError."""
        config = self.config(party)
        pins = trust_folder(config)
        assert pins is not None, "it has an authority of its own"
        others = {PLATFORM, *self.job.parties} - {party}
        async with asyncio.timeout(PATIENCE_S), OwnNode(config) as node:
            while not others <= set(pins.pins()) or not (await node.health())[0]:  # noqa: ASYNC110 - it may take a while
                await asyncio.sleep(LOOK_S)

    async def _start(self) -> None:
        (self.out / "logs").mkdir(parents=True, exist_ok=True)
        for party in (PLATFORM, *self.job.parties):
            self._found(party)
        await self.up(PLATFORM)
        for party in self.job.parties:
            await self._join(party)
        started = [await self.children.start(p, self.folder(p), self._log(p)) for p in self.job.parties]
        await asyncio.gather(*(self.children.ready(child) for child in started))
        await asyncio.gather(*(self.settled(party) for party in self.job.parties))
        keyring = following_keyring(self.config(self.bank), SystemClock())
        self.operator = Operator(self.bank, keyring, PLATFORM, self.children[PLATFORM].address)

    def _found(self, party: PartyId) -> None:
        folder = self.folder(party)
        folder.mkdir(parents=True)
        tables = self._platform_file({}) if party == PLATFORM else self._party_file(party)
        (folder / "party.toml").write_text(dump(tables), encoding="utf-8")
        (folder / POLICY_FILE).write_text(self._policy(party), encoding="utf-8")
        complete(folder)

    async def _join(self, party: PartyId) -> None:
        config, clock = self.config(party), SystemClock()
        token = self.folder(party) / "join.token"
        assert config.party.kind is not None, "it is written with its kind"
        made = make_token(self.folder(PLATFORM), party, config.party.kind, token, "1h")
        await enrol(config, made, clock)
        token.unlink()

    def _party_file(self, party: PartyId) -> dict[str, Any]:
        made = super()._party_file(party) | self._own(party)
        made["trust"] = {"platform": PLATFORM}
        if party == self.bank:
            return made
        made["score"] = {"region": self.services.region, "min_providers": self._fewest()}
        if registers := self.services.registers.get(party):
            made["verify"] = {"region": self.services.region, "listen": f"{HOST}:{self._port()}"}
            made["verify"]["items"] = {
                one.item: {"table": str(one.table.absolute()), "fields": dict(one.fields)} for one in registers
            }
        return made

    def _platform_file(self, addresses: dict[PartyId, str]) -> dict[str, Any]:
        made = super()._platform_file(addresses) | self._own(PLATFORM)
        made["trust"] = {"platform": PLATFORM, "operators": [self.bank]}
        enrolment = f"{HOST}:{self._port()}"
        made["enrol"] = {"listen": enrolment, "address": enrolment, "node": f"{HOST}:{made['listen']['port']}"}
        return made

    def _own(self, party: PartyId) -> dict[str, Any]:
        """A port that a node finds again when it is started again, and an authority that is nobody else's."""
        identity = {"authority": "keys/authority.crt", "authority_key": "keys/authority.key"}
        return {"listen": {"host": HOST, "port": self._port()}, "identity": identity}

    def _fewest(self) -> int:
        """Providers that have to answer together: all but those that may be missing, and never one alone."""
        return max(min(2, len(self.departments)), len(self.departments) - len(self.services.without))

    def _policy(self, party: PartyId) -> str:
        if party == PLATFORM:
            return _PLATFORM_RULE
        text = open_policy() + _MODEL_RULES.format(without=json.dumps([*self.services.without]))
        if registers := self.services.registers.get(party):
            items = [register.item for register in registers]
            levels = "\n".join(f"{item} = 2" for item in items)
            text += _VERIFY_RULE.format(levels=levels, items=json.dumps(items))
        return text

    def _forget(self) -> None:
        super()._forget()
        for secret in (path for pattern in _SECRETS for path in self.out.glob(f"parties/*/{pattern}")):
            secret.unlink(missing_ok=True)
        for snapshots in self.out.glob("parties/*/verify/indexes"):
            shutil.rmtree(snapshots, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to connections: a node finds it free again."""
    for turn in itertools.islice(_turns, _PORTS):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, _LOWEST + turn % _PORTS))
            except OSError:
                continue
            return _LOWEST + turn % _PORTS
    raise ConfigError(Problem("PORTS", HOST, "has no port left for a node", "end other programs that listen"))
