"""A bank and two departments with desks for scores of a published card, consents, and no network between them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from model_town import BANK, PLATFORM, RIVAL, SOCIAL, TAX, ModelTown, run
from scorecard_sample import sample

from fedcredit import uscc
from fedcredit.errors import FedcreditError, PeerLost
from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.decision import Premises
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.consent.token import encode, fresh_jti, revocation_id
from fedcredit.ids import PartyId
from fedcredit.node.registry.sheets import Sheet
from fedcredit.node.rpc import remote_error
from fedcredit.node.scoring.client import NotScored, Score, ScoreClient, Wanted
from fedcredit.node.scoring.desk import ScoringDesk
from fedcredit.node.scoring.lent_trees import LentTrees
from fedcredit.node.scoring.own_keys import own_keys
from fedcredit.node.scoring.points import PointsOfTable
from fedcredit.node.scoring.shown_words import show_words
from fedcredit.node.scoring.version import OwnVersion, bands_of
from fedcredit.runtime.score_file import ScoreSection
from fedcredit.transport.trust import Trust
from fedcredit.wire.message import Message

__all__ = ["BANK", "REGION", "RIVAL", "SOCIAL", "TAX", "N", "ScoreTown"]

M = TypeVar("M", bound=Message)
Change = Callable[[PartyId, str, bytes], bytes]

N = 200
REGION = "nanjing"
RULE = """
[[model.rule]]
name = "scores"
action = "admit"
callers = ["bank"]
acts = ["score"]
models = ["sme"]
kinds = ["scorecard"]
purposes = ["financing"]
"""


def codes(n: int) -> list[str]:
    """Valid codes of enterprises."""
    digits = np.array([[9, 1, 3, 2, 0, 1, 0, 0, *map(int, f"{k:09}")] for k in range(n)], np.uint8)
    checks = uscc.check_character(digits)
    return ["".join(uscc.ALPHABET[value] for value in (*row, check)) for row, check in zip(digits, checks, strict=True)]


@dataclass
class Points:
    """A table's points that are read already."""

    read: PointsOfTable

    def current(self) -> PointsOfTable:
        """See `KeptTable`."""
        return self.read


@dataclass
class Wire:
    """The bank's way to a provider's desk: messages travel as bytes, errors as their codes."""

    town: ScoreTown
    provider: PartyId

    async def call(self, method: str, request: Message, reply: type[M], *, timeout_s: float, attempts: int = 3) -> M:
        """As a ControlClient does."""
        town, provider = self.town, self.provider
        town.calls.append((provider, method))
        if provider in town.down:
            raise PeerLost(provider, method, "cannot be reached")
        data = town.sent(provider, method, request.encode())
        (found,) = [one for one in town.desks[provider].methods() if one.name == method]
        assert town.caller in found.callers
        assert found.handle is not None
        try:
            answer = await found.handle(town.caller, found.request.decode(data))
        except FedcreditError as error:
            raise remote_error(provider, method, error.code, error.exit_status) from None
        return reply.decode(town.came(provider, method, answer.encode()))

    async def close(self) -> None:
        """Nothing to hang up."""

    def to(self, provider: PartyId) -> Wire:
        """The way to another."""
        return Wire(self.town, provider)


@dataclass
class ScoreTown:
    """Use `town.score(...)`; change what a desk is told by `town.sent`, what the bank is told by `town.came`."""

    folder: Path
    models: ModelTown = field(init=False)
    desks: dict[PartyId, ScoringDesk] = field(init=False)
    down: set[PartyId] = field(default_factory=set)
    calls: list[tuple[PartyId, str]] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    caller: PartyId = BANK
    sent: Change = field(default=lambda provider, method, data: data)
    came: Change = field(default=lambda provider, method, data: data)

    def __post_init__(self) -> None:
        self.models = ModelTown(self.folder)
        self.version = self.models.version()
        self.models.parties[BANK].order("activate", version=self.version)
        for name in (BANK, TAX, SOCIAL):
            self.models.parties[name].hear()
        self.made = self.own_version()
        self.subjects = codes(N)
        self.key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"authority").digest())
        self.tables = {name: self._table(name) for name in (BANK, TAX, SOCIAL)}
        self.desks = {name: self._desk(name) for name in (TAX, SOCIAL)}

    def rule(self, name: PartyId, text: str) -> None:
        """Put `text` in place of a party's policy."""
        (self.models.parties[name].folder / "policy.toml").write_text(text)

    def own_version(self, **changes: Any) -> OwnVersion:
        """The version as the bank has it."""
        document = self.models.parties[BANK].shown("sme", self.version)
        sheet = Sheet.read(document, PLATFORM, "sme", self.version)
        manifest = sheet.manifest
        assert manifest.digest is not None
        part = sample().parts[BANK]
        ranges = {p: (w.least or 0, w.most or 0) for p, w in manifest.words.items() if p != BANK}
        fields: dict[str, Any] = {"number": self.version, "role": "champion", "manifest": manifest.digest}
        fields["words"] = show_words(sheet.words)
        fields |= {"offer": manifest.offer, "ranges": ranges, "part": part, "bands": bands_of(part.scale)}
        return OwnVersion(**fields | changes)

    def consent(self, subject: str, **change: Any) -> str:
        """A token for the model, of `subject`."""
        authority = self.models.authorities[BANK].certificate.fingerprint(hashes.SHA256())
        now = int(self.models.platform.clock.now().timestamp())
        scope = {"requester": "bank", "purpose": "financing", "region": REGION, "models": ("sme",), "max_uses": 3}
        scope |= {name: change.pop(name) for name in list(change) if name in (*scope, "items")}
        said: dict[str, Any] = {
            "issuer": "platform",
            "subject": subject,
            "providers": ("social_insurance", "tax"),
            "jti": fresh_jti(),
            "issued_at": now - 60,
            "not_before": now - 60,
            "expires": now + 3600,
            "authority": authority,
            "by": ConsentBy.ENTERPRISE,
            "disclosure": bytes(32),
            "scope": Scope(**scope),
        }
        return encode(Consent(**said | change), self._public(), self.key.sign)

    def wanted(self, *rows: int, **change: Any) -> list[Wanted]:
        """Subjects by their numbers, with consents."""
        return [Wanted(self.subjects[row], self.consent(self.subjects[row], **change)) for row in rows]

    def revoke(self, jti: str) -> None:
        """As a bulletin says it."""
        self.revoked.add(revocation_id(jti))

    def totals(self) -> np.ndarray:
        """Every subject's score, as who has all columns reckons it."""
        whole = sample()
        points = [part.totals(part.points_of(whole.columns[p], whole.label.size)) for p, part in whole.parts.items()]
        return np.sum(points, axis=0)[:N]

    def client(self, version: OwnVersion | None = None, without: Sequence[str] = ()) -> ScoreClient:
        """The bank's."""
        bank = self.models.parties[BANK]
        lines = Wire(self, BANK)
        return ScoreClient(bank.folder, bank.signing, version or self.made, lines, without=without)

    def score(self, wanted: Sequence[Wanted], without: Sequence[str] = ()) -> list[Score | NotScored]:
        """Meet the providers, then ask for scores."""

        self.tick()

        async def work() -> list[Score | NotScored]:
            async with self.client(without=without) as client:
                return await client.score(wanted, self.tables[BANK])

        return run(work())

    def tick(self) -> None:
        """Let a second pass: rows are told in the order of time, and the clocks here stand still."""
        for node in (self.models.platform, *self.models.parties.values()):
            node.clock.advance(1)

    def kept(self, name: PartyId) -> list[Any]:
        """What a provider's store has of what it let have."""
        return self.models.parties[name].store.scores.between(0, 1 << 40)

    def log(self, name: PartyId) -> list[Mapping[str, Any]]:
        """The entries of a provider's audit log about scores."""
        lines = (self.models.parties[name].folder / "audit" / "entries.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["event"].startswith("score_")]

    def close(self) -> None:
        """Close all stores."""
        self.models.close()

    def _public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def _premises(self, provider: str, region: str) -> Premises:
        issuers = Issuers([Issuer(self._public(), "authority", name="platform")])
        now = int(self.models.platform.clock.now().timestamp())
        return Premises(provider, region, issuers, self.revoked, now)

    def _table(self, name: PartyId) -> PointsOfTable:
        whole = sample()
        part = whole.parts[name]
        columns = part.points_of(whole.columns[name], whole.label.size)[:N]
        ids = np.array([code.encode() for code in self.subjects], "S32")
        order = np.argsort(ids)
        return PointsOfTable(ids[order], part, columns[order])

    def _desk(self, name: PartyId) -> ScoringDesk:
        at = self.models.parties[name]
        read = Points(self.tables[name])
        now = int(at.clock.now().timestamp())
        keys = own_keys(at.folder, name, now)
        return ScoringDesk(
            me=name,
            section=ScoreSection(region=REGION),
            models=at.held,
            tables=lambda served: read,
            lent=LentTrees(at.folder),
            premises=self._premises,
            keys=lambda: keys,
            log_key=hashlib.sha256(name.encode()).digest(),
            signing=at.signing,
            trust=lambda: Trust(self.models.pins),
            store=at.store,
            recorder=at.record._recorder,
            policy=at.policy,
        )
