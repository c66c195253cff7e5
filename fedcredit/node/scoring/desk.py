"""A provider's desk for encrypted scores: a bank has its part of one where version, policy and consent say so.

What is released is first decided in the store, together with what was released before, then written into the audit log,
then encrypted and signed. A refusal of a whole request tells the caller a code; that of a subject, a mark in its row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fedcredit import failpoints
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import FedcreditError, PeerError, Problem, RefusedError
from fedcredit.governance.audit import Event, Fact
from fedcredit.governance.consent.decision import Premises
from fedcredit.governance.registry.documents import Offer
from fedcredit.governance.registry.rules import Act, Asked, ModelRule
from fedcredit.governance.scoring.keys import read_words, write_words
from fedcredit.ids import PartyId
from fedcredit.node.callers import Anybody, FewAtATime
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.registry.admitting import admitted
from fedcredit.node.registry.held import HeldModels, Served
from fedcredit.node.rpc import Method
from fedcredit.node.scoring.answering import Answering
from fedcredit.node.scoring.consents import ConsentedRows
from fedcredit.node.scoring.driving import answer_in_one
from fedcredit.node.scoring.known_keys import KnownKeys
from fedcredit.node.scoring.lent_trees import LentTrees
from fedcredit.node.scoring.own_keys import OwnKeys
from fedcredit.node.scoring.points import PointsOfTable
from fedcredit.node.scoring.shown_words import Ranges, ranges_shown
from fedcredit.node.scoring.sides import SidesOfTable
from fedcredit.node.scoring.subject_rows import OwnTable
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.observe import logs
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import BandsProvider, BandTerms, ScoreProvider, ScoreTerms, TreesProvider, TreesTerms
from fedcredit.runtime.score_file import ScoreSection
from fedcredit.transport.trust import Trust
from fedcredit.wire.message import Message
from fedcredit.wire.score import ScoreRequest, ScoreSubjects
from fedcredit.wire.score_bands import BandChoices, ScoreBands
from fedcredit.wire.score_trees import MAX_ROWS, TreesVector
from fedcredit.wire.scoring import ScoreCall, ScoreMeeting, ScoreMet, ScoreReply, pack, reply_digest, unpack

__all__ = ["SCORE_PART", "SCORE_REFUSED", "ScoringDesk"]

_log = logs.get("score")

SCORE_PART: Final = b"fedcredit/v1/score-part"
"""The use of a provider's signature over its messages of a request."""

SCORE_REFUSED: Final = "SCORE_REFUSED"
"""What a caller is told that the policy does not admit, or that asks for a model of which there is no part here."""

CALLS_AT_A_TIME: Final = 4
"""Of one requester. Each holds a thread, and all cores while it encrypts."""

_ASKED: Final[frozenset[type[Message]]] = frozenset({ScoreRequest, ScoreSubjects, ScoreBands, BandChoices, TreesVector})


@dataclass(slots=True, kw_only=True)
class ScoringDesk:
    """Answers for the parts that `models` says are served now.

    `tables` gives the table as a served part needs it; `premises` what is known of consents in a region;
    `keys` this party's own; `log_key` that of subjects' tags.
    """

    me: PartyId
    section: ScoreSection
    models: HeldModels
    tables: Callable[[Served], OwnTable[PointsOfTable] | OwnTable[SidesOfTable]]
    lent: LentTrees
    premises: Callable[[str, str], Premises]
    keys: Callable[[], OwnKeys] = field(repr=False)
    log_key: bytes = field(repr=False)
    signing: SigningIdentity
    trust: Callable[[], Trust] = field(repr=False)
    store: Store = field(repr=False)
    recorder: Recorder = field(repr=False)
    policy: PolicySource = field(repr=False)
    _known: KnownKeys = field(default_factory=KnownKeys, repr=False)
    _standing: dict[tuple[str, int], tuple[int, object, Served]] = field(default_factory=dict, repr=False)
    """Of each version that was served: as of how many words of its own people, and of which bulletin."""

    _ranges: dict[bytes, Ranges] = field(default_factory=dict, repr=False)
    """Of versions, by their digests, what their parties have signed of their parts."""

    _few: FewAtATime = field(default_factory=lambda: FewAtATime(CALLS_AT_A_TIME), repr=False)

    def methods(self) -> list[Method]:
        """The calls of `fedcredit.v1.Scoring`."""
        anybody = Anybody()
        return [
            Method("Meet", ScoreMeeting, anybody, handle=self._meet),
            Method("Score", ScoreCall, anybody, handle=self._score),
        ]

    async def _meet(self, caller: PartyId, request: ScoreMeeting) -> ScoreMet:
        with self._few.one_of(caller):
            return await asyncio.to_thread(self._met, caller, request)

    async def _score(self, caller: PartyId, request: ScoreCall) -> ScoreReply:
        with self._few.one_of(caller):
            return await asyncio.to_thread(self._answered, caller, request)

    def _met(self, caller: PartyId, request: ScoreMeeting) -> ScoreMet:
        offer, _ = self._admitted(caller, request.model, request.version, request.purpose)
        served = self._served(request.model, request.version)
        words = [word.believed(self.signing.verify, caller) for word in read_words(request.words, caller)]
        if words[0].party != caller or not {word.party for word in words[1:]} <= set(offer.parties):
            raise PeerError(caller, "score keys", "shows words of others than itself and the providers", "KEY_INVALID")
        for word in words:
            self._known.learn(word)
        table = self.tables(served).current()  # the first score does not wait for it
        if isinstance(table, SidesOfTable) and request.lent:
            self.lent.learn(caller, served.manifest, len(table.cuts), request.lent)
        elif request.lent:
            verify, version = self.signing.verify, request.version
            shown = ranges_shown(request.lent, offer, version, served.manifest, verify, caller)
            self._ranges[served.manifest] = shown
        own = self.keys().newest
        return ScoreMet(
            word=write_words([own.signed(self.signing)]),
            manifest=served.manifest,
            kind=offer.kind,
            role=served.role.value,
            max_rows=self.section.max_rows,
            min_providers=self.section.min_providers,
        )

    def _answered(self, caller: PartyId, call: ScoreCall) -> ScoreReply:
        request: ScoreRequest | None = None
        try:
            came = unpack(call.messages, _ASKED)
            request = next((message for message in came if isinstance(message, ScoreRequest)), None)
            if request is None:
                raise PeerError(caller, "score", "did not send a request", "STEP_UNEXPECTED")
            if request.requester != caller:
                raise PeerError(caller, "score", "asks in another party's name", "SCORE_REQUESTER")
            sent, _ = answer_in_one(self._steps(caller, call, request, came), caller, came)
        except FedcreditError as error:
            self._note(caller, call, error)
            raise
        messages = pack(sent)
        failpoints.hit("score.answered", caller)
        return ScoreReply(messages, self.signing.sign(SCORE_PART, reply_digest(messages)), self.signing.certificate)

    def _steps(self, caller: PartyId, call: ScoreCall, request: ScoreRequest, came: Sequence[Message]) -> Steps[Any]:
        """The role that answers, with what it may go by. Raises: RefusedError."""
        offer, rule = self._admitted(caller, call.model, call.version, request.purpose)
        served = self._served(call.model, call.version)
        providers = frozenset(offer.parties) - {caller}
        # Of trees nothing is left without a party whose splits lie on their paths.
        missing = providers - set(request.names()) - (rule.score.without if offer.kind == "scorecard" else set())
        if missing or not set(request.names()) <= providers:
            what = (
                f"are not all of the model, and the policy lets none of these be missing: {' '.join(sorted(missing))}"
            )
            raise RefusedError(Problem("SCORE_PROVIDERS", "providers", what, "ask when all are up"))
        bands = next((message for message in came if isinstance(message, ScoreBands)), None)
        if rule.score.only_bands and (bands is None or offer.kind != "scorecard"):
            what, fix = "is not told of this model, its band alone is", "fedcredit score --only-band"
            raise RefusedError(Problem("SCORE_BANDS_ONLY", "total", what, fix))
        answering = self._answering(caller, call, request, rule)
        table, pairs = self.tables(served).current(), self.keys().pairs(answering.now)
        known = self._known.pair_keys({caller, *providers} - {self.me}, answering.now)
        fewest, most = self.section.min_providers, self.section.max_rows
        if isinstance(table, PointsOfTable):
            keys, reach = self._known.score_keys(caller, answering.now), table.part.point_range
            terms = ScoreTerms(served.manifest, reach, keys, known, fewest, most)
            role: ScoreProvider | BandsProvider = ScoreProvider(self.me, caller, terms, pairs)
            if bands is not None:
                within = BandTerms(self._totals(served.manifest, {caller, *request.names()}))
                role = BandsProvider(self.me, caller, terms, within, pairs)
            return role.steps(answering.fresh, partial(answering.points, table), SystemRandomness())
        lent, conditions = self.lent.keys(caller), self.lent.conditions(caller, served.manifest)
        most = min(most, MAX_ROWS)
        after = None if rule.score.after is None else frozenset(map(PartyId, rule.score.after))
        with_trees = TreesTerms(served.manifest, len(table.cuts), conditions, lent, known, fewest, most, after)
        of_trees = TreesProvider(self.me, caller, with_trees, pairs)
        return of_trees.steps(answering.fresh, partial(answering.sides, table), SystemRandomness())

    def _totals(self, manifest: bytes, parties: set[PartyId]) -> tuple[int, int]:
        """The least and the most that these parties' parts add up to. Raises: RefusedError (SCORE_MAP)."""
        ranges = self._ranges.get(manifest)
        if ranges is None:
            what = "are of a version of which this node was not shown how far totals reach"
            raise RefusedError(Problem("SCORE_MAP", "bands", what, "meet, then ask anew"))
        reach = [ranges[party] for party in parties]
        return sum(least for least, _ in reach), sum(most for _, most in reach)

    def _answering(self, caller: PartyId, call: ScoreCall, request: ScoreRequest, rule: ModelRule) -> Answering:
        consented = ConsentedRows(
            requester=caller,
            authorities=self._authorities(caller),
            model=call.model,
            purpose=request.purpose,
            premises=self.premises(self.me, self.section.region),
            key=self.log_key,
        )
        return Answering(
            call=call,
            rule=rule,
            consented=consented,
            moment=self.signing.clock.now(),
            zone=lambda: self.policy.current().policy.zone,
            store=self.store,
            recorder=self.recorder,
        )

    def _admitted(self, caller: PartyId, model: str, version: int, purpose: str) -> tuple[Offer, ModelRule]:
        """The version, and the rule that lets its scores be had. Raises: RefusedError (SCORE_REFUSED)."""
        offer = self._offer(model, version)
        try:
            if offer is None:
                raise RefusedError(Problem("MODEL_STATE", f"model {model[:32]} {version}", "was never approved here"))
            if purpose != offer.purpose:
                what = f"is for {offer.purpose}, and asked for {purpose[:32]}"
                raise RefusedError(Problem("MODEL_PURPOSE", f"model {model} {version}", what))
            asked = Asked(caller=caller, act=Act.SCORE, model=model, kind=offer.kind, purpose=purpose)
            return offer, admitted(self.policy, asked)
        except RefusedError as refused:
            _log.warning("score.refused", peer=caller, code=refused.code)
            what, fix = "is not to be had here", "ask the provider's people"
            raise RefusedError(Problem(SCORE_REFUSED, f"score of {model[:32]} {version}", what, fix)) from None

    def _offer(self, model: str, version: int) -> Offer | None:
        """The offer of a version of which a part was approved here once."""
        kept = self._standing.get((model, version))
        if kept is not None and kept[0] == self.store.model_parts.changes:
            return kept[2].offer
        part = self.store.model_parts.of(model, version)
        return None if part is None else part.offer

    def _served(self, model: str, version: int) -> Served:
        """The version as it is served now; looked up again when the platform or this party's people have said anything.

        Raises: RefusedError (MODEL_STATE), DataError (MODEL_PART_*).
        """
        kept = self._standing.get((model, version))
        changes, bulletin = self.store.model_parts.changes, self.models.bulletin
        if kept is not None and kept[0] == changes and kept[1] is bulletin:
            return kept[2]
        served = self.models.served(model, version)
        self._standing[model, version] = changes, bulletin, served
        return served

    def _authorities(self, caller: PartyId) -> frozenset[bytes]:
        return frozenset(map(_fingerprint, self.trust().pin(caller).authorities))

    def _note(self, caller: PartyId, call: ScoreCall, error: FedcreditError) -> None:
        """A request of which nothing was answered, in the audit log, without what the caller made up."""
        known = self._offer(call.model, call.version) is not None
        model, version = (call.model, call.version) if known else ("", 0)
        facts: dict[str, Fact] = {"requester": caller, "model": model, "version": version, "code": error.code}
        self.recorder.record(Event.SCORE_REFUSED, "", **facts)


@lru_cache(maxsize=1024)
def _fingerprint(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())
