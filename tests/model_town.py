"""A platform, a bank, two departments and a stranger with desks for models and no network between them."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from scorecard_sample import sample

from fedcredit.errors import FedcreditError, PeerLost
from fedcredit.governance.audit import Event
from fedcredit.ids import PartyId
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.audit_scan import read_log
from fedcredit.node.pki import Authority
from fedcredit.node.platform import make_proposal
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.registry.answers import read_answer
from fedcredit.node.registry.desk import RegistryDesk
from fedcredit.node.registry.held import HeldModels
from fedcredit.node.registry.own import OwnModels
from fedcredit.node.registry.recording import ModelRecord
from fedcredit.node.rpc import remote_error
from fedcredit.node.signing import AUDIT_HEAD, SigningIdentity
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobState, Store
from fedcredit.runtime.clock import ManualClock
from fedcredit.transport.trust import Pin, Trust
from fedcredit.wire.message import Message
from fedcredit.wire.registry import FollowModels, ModelBulletin, ModelOrder, ShowModels

__all__ = ["BANK", "MODEL", "NOW", "PARTIES", "PLATFORM", "RIVAL", "SOCIAL", "TAX", "Line", "ModelTown", "PartyDesk"]

M = TypeVar("M", bound=Message)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLATFORM, BANK, TAX, SOCIAL, RIVAL = map(PartyId, ("platform", "bank", "tax", "social_insurance", "rival"))
PARTIES = (BANK, TAX, SOCIAL)
MODEL = "scorecard.0"
OPEN = """
[[model.rule]]
name = "open"
action = "admit"
callers = ["bank", "platform"]
acts = ["*"]
models = ["*"]
kinds = ["*"]
purposes = ["financing"]
"""


class Node:
    """What every node has: a folder, an identity, a store, a log, a policy."""

    def __init__(self, town: ModelTown, name: PartyId) -> None:
        self.name, self.folder = name, town.folder / name
        self.folder.mkdir()
        (self.folder / "policy.toml").write_text(OPEN)
        self.clock = ManualClock(NOW)
        private = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32))
        made = x509.load_pem_x509_certificate(
            town.authorities[name].certify_signer(name, private.public_key(), now=NOW)
        )
        der = made.public_bytes(Encoding.DER)
        self.signing = SigningIdentity(name, private, der, lambda: Trust(town.pins), self.clock)
        (self.folder / "store.sqlite").write_bytes(_empty_store())
        self.store = Store.at(self.folder / "store.sqlite", self.clock)
        self.audit = AuditFile(
            self.folder / "audit",
            name,
            sign=lambda body: self.signing.sign(AUDIT_HEAD, body),
            verify=lambda signature, body: self.signing.verify_own(AUDIT_HEAD, signature, body),
            clock=self.clock,
        )
        recorder = Recorder(self.audit, self.store)
        self.record, self.policy = ModelRecord(self.store, recorder), PolicySource(self.folder, recorder)

    def changes(self) -> list[dict[str, Any]]:
        """The facts of all changes of models in its audit log."""
        found, _ = read_log(self.folder / "audit", self.name, self._verify)
        return [dict(entry.facts) for entry in found if entry.event is Event.MODEL_CHANGED]

    def close(self) -> None:
        self.audit.close()
        self.store.close()

    def _verify(self, signature: bytes, body: bytes) -> None:
        self.signing.verify_own(AUDIT_HEAD, signature, body)


class Line:
    """A party's way to the platform's registry: messages travel as bytes, errors as their codes."""

    def __init__(self, town: ModelTown, caller: PartyId) -> None:
        self.peer, self._town, self._caller = PLATFORM, town, caller
        self.down = False

    async def call(self, method: str, request: Message, reply: type[M], *, timeout_s: float, attempts: int = 3) -> M:
        """As a ControlClient does."""
        if self.down:
            raise PeerLost(PLATFORM, method, "cannot be reached")
        return reply.decode((await self._town.served(self._caller, method, request)).encode())


class PartyDesk(Node):
    """A party: its people, its part, what it has heard."""

    def __init__(self, town: ModelTown, name: PartyId) -> None:
        super().__init__(town, name)
        self.line: Any = Line(town, name)
        self.held = HeldModels(self.folder, PLATFORM, self.signing, self.store, self.record)
        self.desk = OwnModels(self.folder, self.signing, self.store, self.record, self.policy, self.held, self.line)

    def order(self, order: str, name: str = "sme", version: int = 0, job: str = "", model: str = "") -> dict[str, Any]:
        """What comes of an order of its people, who are told the reasons of a refusal."""
        message = ModelOrder(order, name, version, job, model, "ann")
        return read_answer(self.name, run(self.desk._order(self.name, ModelOrder.decode(message.encode()))).document)

    def shown(self, name: str = "", version: int = 0) -> dict[str, Any]:
        """What its people see."""
        return read_answer(self.name, run(self.desk._shown(self.name, ShowModels(name, version))).document)

    def hear(self) -> bool:
        """Ask the platform once; whether there was news."""
        reply = run(self.line.call("Follow", FollowModels(0, 0), ModelBulletin, timeout_s=1))
        return run(self.held.take(reply))

    def part(self, job: str) -> Path:
        """Its part as the job left it."""
        return self.folder / "jobs" / job / "result" / "model" / MODEL / "scorecard.json"


class ModelTown:
    """All of them. Use `job` to have one that has succeeded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authorities = _authorities()
        self.pins = {name: Pin((authority.certificate,)) for name, authority in self.authorities.items()}
        self.platform = Node(self, PLATFORM)
        self.parties = {name: PartyDesk(self, name) for name in (*PARTIES, RIVAL)}
        self.desk = self.new_desk()

    def new_desk(self) -> RegistryDesk:
        """The platform's desk after a start."""
        at = self.platform
        desk = RegistryDesk(at.signing, at.store, at.record, at.policy, at.clock, frozenset({PLATFORM}))
        desk.recover()
        return desk

    async def served(self, caller: PartyId, method: str, request: Message) -> Message:
        """The platform's answer to a call, or what its code stands for."""
        (found,) = [one for one in self.desk.methods(frozenset(self.parties)) if one.name == method]
        assert caller in found.callers
        assert found.handle is not None
        try:
            return await found.handle(caller, found.request.decode(request.encode()))
        except FedcreditError as error:
            raise remote_error(PLATFORM, method, error.code, error.exit_status) from None

    def job(self, name: str = "sme", state: JobState = JobState.SUCCEEDED) -> str:
        """A job of the three with a scorecard, as all its nodes have it when it has ended."""
        definition = {
            "job": {"name": name, "purpose": "financing", "seed": 7, "trust": "semi-honest"},
            "parties": [{"id": party, "role": "label" if party == BANK else "feature"} for party in PARTIES],
            "intersect": {"mode": "auto", "min_size": 100, "receiver_only": False},
            "split": {"holdout": 0.2},
            "models": [
                {"kind": "scorecard", "name": MODEL, "groupsum": "auto", "hide_nodes": False, "params": {}},
                {"kind": "binning", "name": "binning.1", "groupsum": "auto", "hide_nodes": False, "params": {}},
            ],
        }
        proposal = make_proposal(definition, PLATFORM, BANK)
        offer = {"rows": 1000, "features": 3, "commitment": bytes(32), "subjects": bytes(32), "certificate": b"0"}
        job = proposal.with_offers({party: proposal.party(party).offering(**offer) for party in PARTIES})  # type: ignore[arg-type]
        self._at_platform(job, state)
        for party in PARTIES:
            self._at_party(self.parties[party], job)
        return job.id

    def _at_platform(self, job: JobSpecification, state: JobState) -> None:
        jobs, digest = self.platform.store.platform, hashlib.sha256(b"{}").digest()
        jobs.submit(job.id, job.id, digest, definition=b"{}", proposal=job.proposal().to_bytes(), submitter=BANK)
        jobs.update(job.id, state, specification=job.to_bytes(), signatures=b"{}")

    def _at_party(self, at: PartyDesk, job: JobSpecification) -> None:
        jobs = at.store.jobs
        jobs.propose(job.id, job.proposal().to_bytes(), bytes(32), bytes(32))
        jobs.sign(job.id, job.to_bytes(), job.hash)
        jobs.start(job.id, b"{}")
        data = replace(sample().parts[at.name], model=f"{job.hash.hex()}/{MODEL}").to_bytes()
        path = at.part(job.id)
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        name = path.relative_to(at.folder / "jobs" / job.id / "result").as_posix()
        at.store.results.add(job.id, [(name, hashlib.sha256(data).digest(), len(data))])
        jobs.end(job.id, JobState.SUCCEEDED)

    def version(self, job: str | None = None) -> int:
        """A version of the bank's that all have approved."""
        made = self.parties[BANK].order("publish", job=job or self.job(), model=MODEL)
        for party in PARTIES:
            self.parties[party].order("approve", version=made["version"])
        return int(made["version"])

    def close(self) -> None:
        for node in (self.platform, *self.parties.values()):
            node.close()


T = TypeVar("T")


@functools.cache
def _authorities() -> dict[PartyId, Authority]:
    return {name: Authority.of_party(name, now=NOW) for name in (PLATFORM, *PARTIES, RIVAL)}


@functools.cache
def _empty_store() -> bytes:
    """A store that need not be migrated: that takes longer than all that a test does with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        Store.at(path, ManualClock(NOW)).close()
        return path.read_bytes()


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of what a node awaits."""
    return asyncio.run(work)
