"""A bank's way to scores: it meets the providers of a version, asks all of them for the same, and opens the sums.

Which version that is, who has a part of it and what this bank's own part is, its own node says, which must run. The
bank's own points come from its own table; who is not in that has no score.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.zero_sum import Member
from fedcredit.errors import DataError, FedcreditError, PeerError, PeerLost, Problem, RefusedError
from fedcredit.governance.scoring.keys import KeyWord, SignedWord, read_words, write_words
from fedcredit.ids import PartyId
from fedcredit.node.rpc import ControlClient
from fedcredit.node.scoring.asking import Asking, Found, Rows
from fedcredit.node.scoring.consents import consent_hashes
from fedcredit.node.scoring.desk import SCORE_PART
from fedcredit.node.scoring.driving import ask_all
from fedcredit.node.scoring.own_keys import own_keys
from fedcredit.node.scoring.subject_rows import SubjectRows
from fedcredit.node.scoring.version import OwnVersion
from fedcredit.node.signing import SigningIdentity, load_signing
from fedcredit.node.trust.keys import node_address, open_keyring
from fedcredit.runtime.clock import Clock, SystemClock
from fedcredit.runtime.config import PartyFile
from fedcredit.tables.identifiers import subject_id
from fedcredit.transport.address import RELAYED
from fedcredit.transport.connections import Connection
from fedcredit.transport.keyring import Keyring
from fedcredit.transport.limits import Limits
from fedcredit.wire.message import Message
from fedcredit.wire.score import MAX_CODE_BYTES
from fedcredit.wire.scoring import (
    MAX_CALL_ROWS,
    ScoreCall,
    ScoreMeeting,
    ScoreMet,
    ScoreReply,
    pack,
    reply_digest,
    unpack,
)

__all__ = ["Line", "Lines", "NotScored", "Score", "ScoreClient", "Wanted", "Ways"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

M = TypeVar("M", bound=Message)

MEET_TIMEOUT_S: Final = 60.0
"""A provider that meets its first bank reads its table before it answers."""

CALL_TIMEOUT_S: Final = 60.0
FEW: Final = 4
"""Subjects whose score computes in a millisecond or two."""

SERVICE: Final = "Scoring"
_FORGOTTEN: Final = frozenset({"SCORE_KEY", "SCORE_PROVIDERS", "SCORE_MAP"})
"""What a provider refuses a request with, before it looks at any subject, that does not know the keys in it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subject by its code, and its consent token."""

    subject: str
    consent: str = field(repr=False)


NotScored: TypeAlias = str
"""Why a subject has no score: `refused` by some provider, or `not in the own table`."""


@dataclass(frozen=True, slots=True)
class Score:
    """A subject's score. `points`: of trees the log-odds on the scale that cards have. `reasons`: those of this bank's
    own columns in which it falls shortest; of trees none. `without`: providers that were down, whose part it lacks.
    Where the band alone was asked for, points and probability are None.
    """

    subject: str
    points: int | None
    probability: float | None
    band: int
    reasons: tuple[str, ...] = ()
    without: tuple[PartyId, ...] = ()


class Line(Protocol):
    """`ControlClient.call` at one provider."""

    async def call(
        self, method: str, request: Message, reply: type[M], *, timeout_s: float, attempts: int = 3
    ) -> M: ...


class Lines(Protocol):
    """The ways to providers."""

    def to(self, provider: PartyId) -> Line:
        """The way to one. Raises: ConfigError (PEER_UNKNOWN), RefusedError (SCORE_RELAYED)."""

    async def close(self) -> None:
        """Hang up."""


class Ways:
    """The ways to providers' nodes, with the identity of a node's folder."""

    def __init__(self, config: PartyFile, keyring: Keyring) -> None:
        self._config, self._keyring = config, keyring
        self._connections: dict[PartyId, Connection] = {}

    def to(self, provider: PartyId) -> Line:
        """See `Lines`."""
        if provider not in self._connections:
            address = node_address(self._config, provider)
            if address.startswith(RELAYED):
                what, fix = "is reached over the relay alone, which carries no scores", "have it listen on a port"
                raise RefusedError(Problem("SCORE_RELAYED", str(provider), what, fix))
            self._connections[provider] = Connection(provider, address, self._keyring, Limits())
        return ControlClient(self._connections[provider], SERVICE, provider)

    async def close(self) -> None:
        """See `Lines`."""
        while self._connections:
            _, connection = self._connections.popitem()
            await connection.close()


@dataclass(slots=True)
class _Met:
    """A provider that was met: the way to it, its keys, the range of its part."""

    client: Line
    member: Member
    signed: SignedWord
    terms: ScoreMet


class ScoreClient:
    """Scores of one version for one purpose. Use as an asynchronous context manager; then `score` as often as needed.

    `without`: providers without which a score is wanted rather than none, when they are down; their own policies and
    those of the others have to let it be.
    """

    def __init__(
        self,
        folder: Path,
        signing: SigningIdentity,
        version: OwnVersion,
        lines: Lines,
        *,
        without: Sequence[str] = (),
    ) -> None:
        self._folder, self._signing, self.version, self._lines = folder, signing, version, lines
        self._may_lack = frozenset(without)
        self._met: list[_Met] = []
        self.lacking: tuple[PartyId, ...] = ()
        self._asking: Asking | None = None
        self._meeting = asyncio.Lock()

    @classmethod
    def of(
        cls, config: PartyFile, version: OwnVersion, *, without: Sequence[str] = (), clock: Clock | None = None
    ) -> Self:
        """A client with the identity of a node's folder. Raises: ConfigError."""
        clock = clock or SystemClock()
        keyring = open_keyring(config, clock)
        signing = load_signing(config, clock, lambda: keyring.trust)
        return cls(config.folder, signing, version, Ways(config, keyring), without=without)

    async def __aenter__(self) -> Self:
        try:
            await self.meet()
        except BaseException:
            await self._lines.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._lines.close()

    @property
    def rows_a_call(self) -> int:
        """Subjects of one request, by what all providers take."""
        assert self._asking is not None, "the providers were met"
        return min(MAX_CALL_ROWS, self._asking.max_rows, *(met.terms.max_rows for met in self._met))

    async def meet(self) -> None:
        """Show the own keys to all providers, and each provider's to the others; learn what they go by.

        Raises: PeerLost for one that is down and not in `without`; PeerError (MODEL_DIFFERS, KEY_INVALID, SIGN*);
        RefusedError (SCORE_REFUSED, MODEL_STATE); ConfigError (SCORE_RANGE, SCORE_PASSAGE).
        """
        own = own_keys(self._folder, self._signing.me, self._now()).newest
        mine = own.signed(self._signing)
        found = await asyncio.gather(*(self._meet(name, [mine]) for name in self.version.providers))
        self._met = [met for met in found if met is not None]
        self.lacking = tuple(name for name, met in zip(self.version.providers, found, strict=True) if met is None)
        if not self._met:
            raise PeerLost(", ".join(self.version.providers), "score", "cannot be reached, none of them")
        members = [met.member for met in self._met]
        asking = await asyncio.to_thread(self.version.asking, self._folder, members, own, self._now())
        words = [mine, *(met.signed for met in self._met)]
        lent = [asking.lent.get(PartyId(met.member.name), b"") for met in self._met]
        await asyncio.gather(
            *(self._call_meet(met.client, words, data) for met, data in zip(self._met, lent, strict=True))
        )
        self._asking = asking

    async def score(self, wanted: Sequence[Wanted], own: SubjectRows | None) -> list[Score | NotScored]:
        """The score of each subject, or why there is none; all in one request, so as many as `rows_a_call`.

        `own`: the bank's own table; None where the version takes no column of its.
        Raises: DataError (ID_DUPLICATE, ID_*), PeerLost, PeerError, RefusedError; then nothing is released of any.
        """
        codes = _codes([one.subject for one in wanted])
        rows, known = np.zeros(len(codes), np.int64), np.ones(len(codes), np.bool_)
        if own is not None:
            rows, known = own.rows_of(codes)
            if not known.any():
                return ["not in the own table"] * len(wanted)
        asked = [one for one, there in zip(wanted, known.tolist(), strict=True) if there]
        found = iter(self._scores(asked, await self._asked(asked, codes[known], rows[known], own)))
        return [next(found) if there else "not in the own table" for there in known.tolist()]

    async def _asked(self, asked: Sequence[Wanted], codes: U8, rows: I64, own: SubjectRows | None) -> Found:
        """Asked again, once, where a provider has forgotten whom it met, or somebody's keys are new."""
        before = self._asking
        try:
            return await self._found(asked, codes, rows, own)
        except RefusedError as error:
            if error.code not in _FORGOTTEN:
                raise
        async with self._meeting:
            if self._asking is before:
                await self.meet()
        return await self._found(asked, codes, rows, own)

    async def _found(self, asked: Sequence[Wanted], codes: U8, rows: I64, own: SubjectRows | None) -> Found:
        assert self._asking is not None, "the providers were met"
        tokens = [one.consent for one in asked]
        consents = np.broadcast_to(consent_hashes(tokens), (len(self._met), len(asked), 32))
        by_name = {met.member.name: met for met in self._met}
        lines, answers = "\n".join(tokens).encode(), self._asking.answers

        async def ask(provider: PartyId, messages: list[Message]) -> list[Message]:
            return await self._call(by_name[provider], messages, lines, answers)

        subjects = Rows(self.version.offer.purpose, self._now(), codes, consents, rows)
        return await ask_all(self._asking.steps(subjects, own), ask, self._asking.last, few=len(asked) <= FEW)

    async def _call(
        self, met: _Met, messages: list[Message], tokens: bytes, answers: frozenset[type[Message]]
    ) -> list[Message]:
        name = PartyId(met.member.name)
        call = ScoreCall(self.version.offer.name, self.version.number, pack(messages), tokens)
        # A request is answered once: a call that was cut off is not made again.
        reply = await met.client.call("Score", call, ScoreReply, timeout_s=CALL_TIMEOUT_S, attempts=1)
        self._signing.verify(name, reply.certificate, SCORE_PART, reply.signature, reply_digest(reply.messages))
        try:
            return unpack(reply.messages, answers)
        except FedcreditError as error:
            raise PeerError(name, "score", "sends no part of a score", error.code) from None

    async def _meet(self, name: PartyId, words: list[SignedWord]) -> _Met | None:
        """A provider, met; None for one that is down and may be lacking."""
        try:
            client = self._lines.to(name)
            terms = await self._call_meet(client, words)
        except PeerLost:
            if name in self._may_lack:
                return None
            raise
        (signed, *more) = read_words(terms.word, name)
        word: KeyWord = signed.believed(self._signing.verify, name)
        if more or word.party != name:
            raise PeerError(name, "score keys", "shows another's word as its own", "KEY_INVALID")
        if terms.manifest != self.version.manifest or terms.kind != self.version.offer.kind:
            what = "has another version under this name and number than the platform shows here"
            raise PeerError(name, "score", what, "MODEL_DIFFERS")
        return _Met(client, Member(name, word.pair), signed, terms)

    async def _call_meet(self, client: Line, words: Sequence[SignedWord], lent: bytes = b"") -> ScoreMet:
        offer = self.version.offer
        meeting = ScoreMeeting(offer.name, self.version.number, offer.purpose, write_words(words), lent)
        return await client.call("Meet", meeting, ScoreMet, timeout_s=MEET_TIMEOUT_S, attempts=2)

    def _now(self) -> int:
        return int(self._signing.clock.now().timestamp())

    def _scores(self, asked: Sequence[Wanted], found: Found) -> list[Score | NotScored]:
        if found.bands is not None:
            pairs = zip(asked, found.scored.tolist(), found.bands.tolist(), strict=True)
            of_band = [Score(one.subject, None, None, band + 1, (), self.lacking) for one, _, band in pairs]
            return [
                score if scored else "refused" for score, scored in zip(of_band, found.scored.tolist(), strict=True)
            ]
        bands = self.version.bands.bands(found.points)
        return [
            Score(one.subject, round(points), probability, band + 1, reasons, self.lacking) if scored else "refused"
            for one, scored, points, probability, band, reasons in zip(
                asked,
                found.scored.tolist(),
                found.points.tolist(),
                found.probability.tolist(),
                bands.tolist(),
                found.reasons,
                strict=True,
            )
        ]


def _codes(subjects: Sequence[str]) -> U8:
    """The codes as tables have them: (n, 32), padded with zeros. Raises: DataError (ID_*), naming the row."""
    codes = np.zeros((len(subjects), MAX_CODE_BYTES), np.uint8)
    problems = []
    for row, subject in enumerate(subjects):
        try:
            code = bytes(subject_id(subject))
        except DataError as error:
            problems.append(Problem(error.code, f"subject {row + 1}", error.problems[0].what, error.problems[0].fix))
            continue
        codes[row, : len(code)] = np.frombuffer(code, np.uint8)
    if problems:
        raise DataError(problems)
    return codes
