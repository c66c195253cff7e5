"""A party's own desk for models: its people publish, approve, withdraw, and order changes at the platform.

Whoever calls has shown the node's own certificate, so can read its key, so is its operator.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, PeerError, PeerLost, Problem, RefusedError
from fedcredit.governance.audit import Fact
from fedcredit.governance.registry.documents import OFFER, Offer, Word, keyed_hash
from fedcredit.governance.registry.drift import DRIFT, MILLIONTHS, DriftWord
from fedcredit.governance.registry.rules import Act, Asked
from fedcredit.governance.registry.stability import Stability
from fedcredit.governance.registry.states import State
from fedcredit.ids import PartyId
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.registry.admitting import admitted
from fedcredit.node.registry.answers import answered, read_answer
from fedcredit.node.registry.held import HeldModels
from fedcredit.node.registry.parts import OwnParts
from fedcredit.node.registry.recording import ModelRecord
from fedcredit.node.registry.sheets import Sheet
from fedcredit.node.rpc import ControlClient, Method
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.store.model_parts import OwnPart
from fedcredit.wire.registry import (
    CHANGES,
    DriftOrder,
    ModelChange,
    ModelDocument,
    ModelDrift,
    ModelOffer,
    ModelOrder,
    ShowModels,
)

__all__ = ["OwnModels"]

CALL_S: Final = 30.0
SOON_S: Final = 5.0
"""For a platform that may be away, where what is known here is worth showing without it."""


class OwnModels:
    """Answers `fedcredit.v1.Models`. `client` is the way to the registry of the party's platform."""

    def __init__(
        self,
        folder: Path,
        signing: SigningIdentity,
        store: Store,
        record: ModelRecord,
        policy: PolicySource,
        held: HeldModels,
        client: ControlClient,
    ) -> None:
        self._me, self._signing, self._store, self._record = signing.me, signing, store, record
        self._policy, self._held, self._client = policy, held, client
        self._parts = OwnParts(signing.me, folder, store)
        self._lock = asyncio.Lock()

    def methods(self) -> list[Method]:
        """The calls, which the node itself may make."""
        own = frozenset({self._me})
        return [
            Method("Order", ModelOrder, own, handle=self._order),
            Method("Drift", DriftOrder, own, handle=self._drift),
            Method("Shown", ShowModels, own, handle=self._shown),
        ]

    async def _order(self, caller: PartyId, request: ModelOrder) -> ModelDocument:
        async def work() -> Mapping[str, Any]:
            if request.order == "publish":
                return await self._publish(request)
            if request.order in CHANGES:
                return await self._change(request)
            return await (self._approve(request) if request.order == "approve" else self._withdraw(request))

        return await answered(True, work)

    async def _publish(self, request: ModelOrder) -> Mapping[str, Any]:
        offer = await asyncio.to_thread(
            self._parts.offer_of, self._client.peer, request.name, request.job, request.model
        )
        rule = await asyncio.to_thread(self._admitted, self._me, Act.PUBLISH, offer)
        data = offer.to_bytes()
        message = ModelOffer(data, self._signing.sign(OFFER, data), self._signing.certificate)
        reply = await self._client.call("Publish", message, ModelDocument, timeout_s=CALL_S)
        made = read_answer(self._client.peer, reply.document)
        facts: dict[str, Fact] = {"change": "publish", "of": offer.job, "offer": offer.digest.hex()}
        facts |= {"version": _version_in(made, self._client.peer), "by": request.by, "rule": rule}
        await asyncio.to_thread(self._record.note, offer.name, **facts)
        return made

    async def _change(self, request: ModelOrder) -> Mapping[str, Any]:
        message = ModelChange(request.order, request.name, request.version, request.by)
        reply = await self._client.call("Change", message, ModelDocument, timeout_s=CALL_S)
        made = read_answer(self._client.peer, reply.document)
        facts: dict[str, Fact] = {"change": request.order, "version": request.version, "by": request.by}
        await asyncio.to_thread(self._record.note, request.name, **facts)
        return made

    async def _approve(self, request: ModelOrder) -> Mapping[str, Any]:
        sheet = await self._sheet(request.name, request.version)
        async with self._lock:
            part = await asyncio.to_thread(self._approved, sheet, request)
        return await self._told(part)

    async def _withdraw(self, request: ModelOrder) -> Mapping[str, Any]:
        # What was approved here is withdrawn here, at once, whether the platform can be asked or not.
        kept = await asyncio.to_thread(self._store.model_parts.of, request.name, request.version)
        sheet = None if kept is not None else await self._sheet(request.name, request.version)
        async with self._lock:
            part = await asyncio.to_thread(self._withdrawn, sheet, request)
        return await self._told(part)

    async def _drift(self, caller: PartyId, request: DriftOrder) -> ModelDocument:
        async def work() -> Mapping[str, Any]:
            word = await asyncio.to_thread(self._drift_word, request)
            data = word.to_bytes()
            message = ModelDrift(data, self._signing.sign(DRIFT, data), self._signing.certificate)
            reply = await self._client.call("Drift", message, ModelDocument, timeout_s=CALL_S)
            made = read_answer(self._client.peer, reply.document)
            facts: dict[str, Fact] = {"change": "drift", "version": word.version, "month": word.month}
            facts |= {"index": word.index, "scores": word.scores, "by": request.by}
            await asyncio.to_thread(self._record.note, word.name, **facts)
            return made

        return await answered(True, work)

    def _drift_word(self, request: DriftOrder) -> DriftWord:
        """Raises: RefusedError (MODEL_UNKNOWN, DRIFT_PUBLISHER), DataError (STABILITY_INVALID)."""
        kept, where = self._store.model_parts.of(request.name, request.version), f"{request.name} {request.version}"
        if kept is None:
            raise RefusedError(Problem("MODEL_UNKNOWN", where, "was never approved here", "fedcredit model list"))
        Stability(request.month, request.index / MILLIONTHS, request.scores)
        word = DriftWord(
            platform=kept.offer.platform,
            party=self._me,
            name=request.name,
            version=request.version,
            offer=kept.offer.digest,
            month=request.month,
            index=request.index,
            scores=request.scores,
            time=int(self._signing.clock.now().timestamp()),
        )
        word.check_for(kept.offer, self._client.peer, self._me)
        return word

    def _approved(self, sheet: Sheet, request: ModelOrder) -> OwnPart:
        """Compare, keep the part, say yes. Again: the word that was given. Raises: FedcreditError with every reason."""
        offer, kept = sheet.manifest.offer, self._store.model_parts.of(request.name, request.version)
        where = f"{request.name} {request.version}"
        if kept is not None and kept.offer != offer:
            raise PeerError(self._client.peer, "model", f"shows another offer of {where} than before", "OFFER_INVALID")
        sheet.check_offer(self._signing)
        if sheet.state is State.RETIRED:
            raise RefusedError(Problem("MODEL_STATE", where, "is retired, which is for good", "publish a new version"))
        rule = self._admitted(offer.publisher, Act.APPROVE, offer)
        found = self._parts.of_offer(offer)
        if kept is not None and kept.content and kept.content != found.content:
            what = f"has SHA-256 {found.content.hex()} now, and {kept.content.hex()} was approved before"
            fix = "bring the part of then back, or have a new version published"
            raise RefusedError(Problem("MODEL_PART_DIFFERS", f"part of {where}", what, fix))
        self._parts.keep(found)
        failpoints.hit("model.part.kept", request.name)
        if kept is not None and kept.word.approves and not kept.refused:
            return kept
        key = kept.key if kept is not None and kept.key else secrets.token_bytes(32)
        part = keyed_hash(key, offer.digest, self._me, found.content)
        word = self._word(offer, request.version, kept, sheet, part, found.reach)
        facts: dict[str, Fact] = {"change": "approve", "part": found.content.hex(), "by": request.by, "rule": rule}
        return self._say(offer, word, found.content, key, facts)

    def _withdrawn(self, sheet: Sheet | None, request: ModelOrder) -> OwnPart:
        kept = self._store.model_parts.of(request.name, request.version)
        if kept is not None and not kept.word.approves:
            return kept
        facts: dict[str, Fact] = {"change": "withdraw", "by": request.by}
        if kept is not None:
            word = self._word(kept.offer, request.version, kept, None)
            return self._say(kept.offer, word, kept.content, kept.key, facts)
        assert sheet is not None, "asked for where nothing is kept"
        sheet.check_offer(self._signing)
        offer = sheet.manifest.offer
        if self._me not in offer.parties:
            where = f"{request.name} {request.version}"
            raise RefusedError(Problem("MODEL_UNKNOWN", where, "has no part of this party", "fedcredit model list"))
        return self._say(offer, self._word(offer, request.version, None, sheet), b"", b"", facts)

    def _word(
        self,
        offer: Offer,
        version: int,
        kept: OwnPart | None,
        sheet: Sheet | None,
        part: bytes | None = None,
        reach: tuple[int, int] | None = None,
    ) -> Word:
        # A store that was restored must not begin at the first number once more.
        shown = None if sheet is None else sheet.manifest.words.get(self._me)
        number = 1 + max(0 if kept is None else kept.word.number, 0 if shown is None else shown.number)
        least, most = (None, None) if reach is None else reach
        return Word(
            platform=offer.platform,
            party=self._me,
            name=offer.name,
            version=version,
            offer=offer.digest,
            number=number,
            time=int(self._signing.clock.now().timestamp()),
            part=part,
            least=least,
            most=most,
        )

    def _say(self, offer: Offer, word: Word, content: bytes, key: bytes, facts: Mapping[str, Fact]) -> OwnPart:
        part = OwnPart(offer, word, content, key)
        digest = hashlib.sha256(word.to_bytes()).hexdigest()
        said: dict[str, Fact] = {"version": word.version, "number": word.number, "word": digest}
        said |= {"offer": word.offer.hex()}
        self._store.model_parts.put(part, {**facts, **said})
        self._record.catch_up()
        return part

    async def _told(self, part: OwnPart) -> Mapping[str, Any]:
        """Tell the platform; while it is away, the word holds here, and is told when it is back."""
        told = True
        if not part.told:
            try:
                await self._held.tell(self._client, part)
            except PeerLost:
                told = False
        word = part.word
        reach = None if word.least is None else [word.least, word.most]
        said = {"name": word.name, "version": word.version, "approves": word.approves, "told": told, "reach": reach}
        return said | {"content": part.content.hex(), "part": None if word.part is None else word.part.hex()}

    async def _shown(self, caller: PartyId, request: ShowModels) -> ModelDocument:
        async def work() -> Mapping[str, Any]:
            try:
                reply = await self._client.call("Models", request, ModelDocument, timeout_s=SOON_S, attempts=1)
                found = read_answer(self._client.peer, reply.document)
            except PeerLost:
                found = {"away": self._client.peer, "models": []}
            return await asyncio.to_thread(self._beside, found, request)

        return await answered(True, work)

    def _beside(self, found: dict[str, Any], request: ShowModels) -> Mapping[str, Any]:
        """What the platform says, with what is kept here, and who of the parties has not signed what it shows."""
        kept = [part for part in self._store.model_parts.all() if request.name in ("", part.word.name)]
        if not request.version or "away" in found:
            return found | {"own": [self._own(part, whole=False) for part in kept]}
        sheet = Sheet.read(found, self._client.peer, request.name, request.version)
        sheet.check_offer(self._signing)
        mine = next((self._own(part, whole=True) for part in kept if part.word.version == request.version), None)
        manifest = None if sheet.manifest.digest is None else sheet.manifest.digest.hex()
        return found | {"own": mine, "unbelieved": sheet.unbelieved(self._signing), "manifest": manifest}

    def _own(self, part: OwnPart, *, whole: bool) -> dict[str, Any]:
        """What is kept of a version here, and whether it is served; `whole`: with a look at the part itself."""
        word = part.word
        try:
            role = self._held.role(word.name, word.version)
            if whole:
                self._parts.kept(part)
            served, code = role.value, ""
        except FedcreditError as error:
            served, code = "", str(error.problems[0])
        said = {"name": word.name, "version": word.version, "approves": word.approves, "told": part.told}
        said |= {"refused": part.refused}
        return said | {"content": part.content.hex(), "served": served, "why_not": code}

    async def _sheet(self, name: str, version: int) -> Sheet:
        reply = await self._client.call("Models", ShowModels(name, version), ModelDocument, timeout_s=CALL_S)
        return Sheet.read(read_answer(self._client.peer, reply.document), self._client.peer, name, version)

    def _admitted(self, caller: PartyId, act: Act, offer: Offer) -> str:
        asked = Asked(caller=caller, act=act, model=offer.name, kind=offer.kind, purpose=offer.purpose)
        return admitted(self._policy, asked).name


def _version_in(made: Mapping[str, Any], platform: PartyId) -> int:
    version = made.get("version")
    if type(version) is not int:
        raise PeerError(platform, "models", "did not say which version it is", "MESSAGE_INVALID")
    return version
