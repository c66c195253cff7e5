"""The platform's desk for models: takes offers, words and changes from those who may, and tells the parties.

It calls nobody: a party that may only dial out asks for news as the others do. What was answered is durable and stands
in the audit log.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Container, Mapping
from datetime import datetime
from typing import Any, Final

from fedcredit.errors import PeerError, Problem, RefusedError
from fedcredit.governance.registry.bulletin import REGISTRY, Standing
from fedcredit.governance.registry.bulletin import ModelBulletin as Bulletin
from fedcredit.governance.registry.documents import OFFER, WORD, Offer, Word
from fedcredit.governance.registry.drift import DRIFT, DriftWord, check_month
from fedcredit.governance.registry.rules import MODEL_REFUSED, Act, Asked, ModelRule
from fedcredit.governance.registry.states import Change
from fedcredit.ids import PartyId
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.registry.admitting import admitted
from fedcredit.node.registry.answers import answered
from fedcredit.node.registry.recording import ModelRecord
from fedcredit.node.registry.sheets import summary, whole
from fedcredit.node.rpc import Method
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobState, Store
from fedcredit.node.store.registry import KeptVersion, Signed
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.transport.pace import Pace
from fedcredit.wire.registry import (
    FollowModels,
    ModelBulletin,
    ModelChange,
    ModelDocument,
    ModelDrift,
    ModelOffer,
    ModelWord,
    ShowModels,
)

__all__ = ["BURST", "PER_S", "RegistryDesk"]

PER_S: Final = 0.5
BURST: Final = 120
"""Offers, words and changes of one caller: a person does one in seconds; each costs writes to the disk."""

MOST_LISTED: Final = 2000
"""Versions in one list, the last ones by name and number; of others one asks by their name."""

_log = logs.get("model")


class RegistryDesk:
    """Answers `fedcredit.v1.Registry`. `operators`, the platform itself among them, see every model."""

    def __init__(
        self,
        signing: SigningIdentity,
        store: Store,
        record: ModelRecord,
        policy: PolicySource,
        clock: Clock,
        operators: frozenset[PartyId],
    ) -> None:
        self._signing, self._store, self._record, self._policy = signing, store, record, policy
        self._clock, self._operators = clock, operators
        self._paces: dict[PartyId, Pace] = {}
        self._news = asyncio.Condition()
        self._number = 0

    def methods(self, members: Container[PartyId]) -> list[Method]:
        """The calls, each with its callers."""
        all_ = _Either(self._operators, members)
        return [
            Method("Publish", ModelOffer, members, handle=self._publish),
            Method("State", ModelWord, members, handle=self._state),
            Method("Change", ModelChange, all_, handle=self._change),
            Method("Drift", ModelDrift, members, handle=self._drift),
            Method("Models", ShowModels, all_, handle=self._models),
            Method("Follow", FollowModels, members, handle=self._follow),
        ]

    def recover(self) -> None:
        """After a start: record what a crash has left unrecorded. Raises: ConfigError (AUDIT_UNAVAILABLE, STORE_*)."""
        self._record.catch_up()
        self._number = self._store.model_changes.number

    async def _publish(self, caller: PartyId, request: ModelOffer) -> ModelDocument:
        return await self._written(caller, lambda: self._published(caller, request))

    async def _state(self, caller: PartyId, request: ModelWord) -> ModelDocument:
        return await self._written(caller, lambda: self._stated(caller, request))

    async def _change(self, caller: PartyId, request: ModelChange) -> ModelDocument:
        return await self._written(caller, lambda: self._changed(caller, request))

    async def _drift(self, caller: PartyId, request: ModelDrift) -> ModelDocument:
        return await self._written(caller, lambda: self._drifted(caller, request))

    async def _models(self, caller: PartyId, request: ShowModels) -> ModelDocument:
        return await answered(self._is_own(caller), lambda: asyncio.to_thread(self._shown, caller, request))

    async def _follow(self, caller: PartyId, request: FollowModels) -> ModelBulletin:
        try:
            async with asyncio.timeout(request.wait_ms / 1000), self._news:
                await self._news.wait_for(lambda: self._number > request.number)
        except TimeoutError:
            pass  # nothing has changed, and the caller hears that it still holds
        return await asyncio.to_thread(self._bulletin, caller)

    async def _written(self, caller: PartyId, write: Callable[[], Mapping[str, Any]]) -> ModelDocument:
        now = self._clock.monotonic()
        if self._paces.setdefault(caller, Pace(PER_S, BURST, now)).take(now):
            raise RefusedError(Problem("QUOTA", f"models of {caller}", "changes more than is taken", "try it later"))

        async def work() -> Mapping[str, Any]:
            made = await asyncio.to_thread(write)
            async with self._news:
                self._number = await asyncio.to_thread(lambda: self._store.model_changes.number)
                self._news.notify_all()
            return made

        answer: Callable[[], Awaitable[Mapping[str, Any]]] = work
        return await answered(self._is_own(caller), answer)

    def _published(self, caller: PartyId, request: ModelOffer) -> Mapping[str, Any]:
        offer = Offer.parse(request.offer, caller)
        if (offer.platform, offer.publisher) != (self._signing.me, caller):
            raise PeerError(caller, "model offer", "is another party's, or for another platform", "OFFER_INVALID")
        self._signing.verify(caller, request.certificate, OFFER, request.signature, request.offer)
        rule = self._admit(caller, Act.PUBLISH, offer)
        self._check_job(offer)
        signed = Signed(request.offer, request.signature, request.certificate)
        facts = {"change": "publish", "party": caller, "offer": offer.digest.hex(), "of": offer.job, "rule": rule.name}
        version, new = self._store.models.publish(offer, signed, facts)
        self._record.catch_up()
        return {"name": offer.name, "version": version, "new": new, "parties": list(offer.parties)}

    def _check_job(self, offer: Offer) -> None:
        """See that it is a model of a job that all its parties have signed and finished, offered by who had the label.

        Raises: RefusedError (JOB_UNKNOWN, OFFER_DIFFERS).
        """
        kept = self._store.platform.job(offer.job)
        if kept is None or kept.specification is None or kept.state is not JobState.SUCCEEDED:
            what = "is not a job of this platform that has succeeded"
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {offer.job}", what, "publish a model of one that has"))
        job = JobSpecification.parse(kept.specification)
        models = {(entry.name, entry.kind) for entry in job.models}
        due = (job.hash, job.job.purpose, job.data_parties, job.label_party)
        said = (offer.specification, offer.purpose, offer.parties, offer.publisher)
        if said != due or (offer.model, offer.kind) not in models:
            what = f"does not say of job {offer.job} what its parties have signed"
            raise RefusedError(
                Problem("OFFER_DIFFERS", f"offer of {offer.name}", what, "publish it at the label party")
            )

    def _stated(self, caller: PartyId, request: ModelWord) -> Mapping[str, Any]:
        word = Word.parse(request.word, caller)
        self._signing.verify(caller, request.certificate, WORD, request.signature, request.word)
        offer = self._seen(caller, word.name, word.version).manifest.offer
        word.check_for(offer, word.version, caller)
        facts: dict[str, str | int] = {
            "change": "approve" if word.approves else "withdraw",
            "version": word.version,
            "party": caller,
            "number": word.number,
            "word": _sha256(request.word),
        }
        signed = Signed(request.word, request.signature, request.certificate)
        counted = self._store.models.take(word, signed, facts)
        self._record.catch_up()
        found = self._store.models.version(word.name, word.version)
        return summary(found) | {"counted": counted}

    def _changed(self, caller: PartyId, request: ModelChange) -> Mapping[str, Any]:
        change = Change(request.change)
        offer = self._seen(caller, request.name, request.version).manifest.offer
        rule = self._admit(caller, Act(change.value), offer)
        facts = {
            "change": change.value,
            "version": request.version,
            "party": caller,
            "by": request.by,
            "rule": rule.name,
        }
        decision = self._store.models.change(change, request.name, request.version, facts)
        self._record.catch_up()
        roles = {"champion": decision.roles.champion, "challenger": decision.roles.challenger}
        return {"name": request.name, "version": request.version, "changed": decision.changed, **roles}

    def _drifted(self, caller: PartyId, request: ModelDrift) -> Mapping[str, Any]:
        word = DriftWord.parse(request.word, caller)
        self._signing.verify(caller, request.certificate, DRIFT, request.signature, request.word)
        kept = self._seen(caller, word.name, word.version)
        word.check_for(kept.manifest.offer, self._signing.me, caller)
        check_month(word.month, datetime.fromisoformat(kept.published), self._clock.now())
        found = word.stability()
        facts: dict[str, str | int] = {"change": "drift", "version": word.version, "party": caller}
        facts |= {"month": word.month, "index": word.index, "scores": word.scores, "word": _sha256(request.word)}
        new = self._store.models.note_stability(word.name, word.version, found, facts)
        self._record.catch_up()
        said = {"name": word.name, "version": word.version, "month": word.month, "new": new}
        return said | {"index": found.index, "scores": found.scores, "says": found.says}

    def _shown(self, caller: PartyId, request: ShowModels) -> Mapping[str, Any]:
        if not request.version:
            found = self._store.models.all(request.name)[-MOST_LISTED:]
            return {"models": [summary(kept) for kept in found if self._sees(caller, kept)]}
        kept = self._seen(caller, request.name, request.version)
        stability = self._store.models.stability(kept.name, kept.version)
        months = [{"month": one.month, "index": one.index, "scores": one.scores, "says": one.says} for one in stability]
        changes = [{"time": one.made, **one.facts} for one in self._store.model_changes.of(kept.name)]
        return whole(kept) | {"stability": months, "changes": changes}

    def _bulletin(self, caller: PartyId) -> ModelBulletin:
        number, live = self._store.models.live()
        standings = [_standing(one) for one in live if caller in one.manifest.offer.parties]
        now = int(self._clock.now().timestamp())
        body = Bulletin.of(self._signing.me, caller, number, now, standings).to_bytes()
        return ModelBulletin(body, self._signing.sign(REGISTRY, body), self._signing.certificate)

    def _seen(self, caller: PartyId, name: str, version: int) -> KeptVersion:
        """A version; to who may not see it, it is not there. Raises: RefusedError (MODEL_UNKNOWN)."""
        kept = self._store.models.version(name, version)
        if not self._sees(caller, kept):
            raise RefusedError(Problem("MODEL_UNKNOWN", f"{name} {version}", "is not known here"))
        return kept

    def _sees(self, caller: PartyId, kept: KeptVersion) -> bool:
        if caller in self._operators or caller in kept.manifest.offer.parties:
            return True
        try:
            self._admit(caller, Act.SHOW, kept.manifest.offer)
        except RefusedError:
            return False
        return True

    def _admit(self, caller: PartyId, act: Act, offer: Offer) -> ModelRule:
        """The rule of the platform's policy that lets it be. Raises: RefusedError (MODEL_REFUSED)."""
        asked = Asked(caller=caller, act=act, model=offer.name, kind=offer.kind, purpose=offer.purpose)
        try:
            return admitted(self._policy, asked)
        except RefusedError:
            if act is not Act.SHOW:
                _log.warning("model.refused", caller=caller, method=act.value, code=MODEL_REFUSED)
            raise

    def _is_own(self, caller: PartyId) -> bool:
        return caller == self._signing.me


def _standing(kept: KeptVersion) -> Standing:
    manifest = kept.manifest
    digest = manifest.offer.digest
    return Standing(kept.name, kept.version, digest, kept.state, kept.role, manifest.digest, manifest.withdrawn)


class _Either:
    def __init__(self, first: Container[PartyId], second: Container[PartyId]) -> None:
        self._first, self._second = first, second

    def __contains__(self, party: object) -> bool:
        return party in self._first or party in self._second


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
