"""The bank: it asks all providers for the same, adds up what they send, and opens the sums with its key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal import BadPoint, PointTable, PrivateKey, check_points
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.zero_sum import Member, PairKey, ZeroSum
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv
from fedcredit.protocols.score.asking import ask, check_subjects, request_of
from fedcredit.protocols.score.binding import STEP, ScoreCard, chunks, request_hash
from fedcredit.wire.score import NONCE_BYTES, ScorePart

__all__ = ["ScoreRequester", "Scores", "ScoresAsked"]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoresAsked:
    """Of whom scores are wanted, on which grounds, and the bank's own part of them.

    Shapes: codes (n, w), padded with zeros, w to 32; consents (k, n, 32), for each provider the hash of the consent
    that each subject gave for it; points (n,), those of the bank's own columns with the base points.
    Units: issued_at in seconds since 1970. Range: n from 1 to 100,000.
    Raises: DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE); ValueError for other shapes.
    """

    purpose: str
    issued_at: int
    codes: U8 = field(repr=False)
    consents: U8 = field(repr=False)
    points: I64 = field(repr=False)

    def __post_init__(self) -> None:
        check_subjects(self.codes, self.consents)
        n = len(self.codes)
        if self.points.dtype != np.int64 or self.points.shape != (n,):
            raise ValueError(f"scores: points of {n} subjects are {self.points.shape} {self.points.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What came of a request. Shapes: (n,) each, in the order asked for.

    `scored`: whether every provider answered for the subject. If not, there is no score of it, and the total is 0.
    """

    request: bytes
    """The hash of the request: what parts, audit entries and this have in common."""
    totals: I64 = field(repr=False)
    scored: Bools = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRequester:
    """Learns the total points of each subject for which all `providers` answer.

    Reveals: to this party, of each subject the total, and so the sum of all providers' points; with one provider, that
    provider's points; or that some provider refuses the subject, not which one nor why. To the providers, whom this
    party wants to score, on which consent, with which model and which other providers. To who carries the messages,
    what they hold but for scores, parts and refusals.
    **Totals of the same subject over two lists of providers differ by what the one list has more:** who answers both
    shows that part. Over many subjects, totals are equations for others' points (`docs/protocols/score.md`).
    Assumes: decisional Diffie-Hellman; semi-honest providers as to their points: one that lies moves a total within the
    card's range unseen; of masks, what `crypto.zero_sum` does; authenticated links, or parts signed by who made them.
    Raises: PeerError (SHAPE, SCORE_OTHER_REQUEST, POINT_INVALID) that names who sent what is wrong; SCORE_OUT_OF_RANGE,
    which names all providers, since a sum does not tell whose part is wrong; BadKey for a provider's key that is none.
    """

    me: PartyId
    card: ScoreCard
    providers: tuple[Member, ...]
    key: PrivateKey = field(repr=False)
    pair: PairKey = field(repr=False)
    table: PointTable = field(repr=False)
    """That of the card: `ScoreCard.table`."""

    def __post_init__(self) -> None:
        if (self.table.low, self.table.high) != self.card.others:
            raise ValueError("scores: the table is of another range than the card's")

    def steps(self, asked: ScoresAsked, randomness: Randomness) -> Steps[Scores]:
        """Ask, add up, open. Nothing is returned unless every row is either scored or refused."""
        card, n = self.card, len(asked.codes)
        if asked.points.min() < card.own_low or asked.points.max() > card.own_high:
            raise ValueError("scores: own points are outside of the card's own range")
        bank = Member(self.me, self.pair.public)
        request = request_of(
            bank,
            self.providers,
            asked.codes,
            asked.consents,
            purpose=asked.purpose,
            issued_at=asked.issued_at,
            model=card.model,
            key=self.key.public.fingerprint,
            nonce=randomness.bytes(NONCE_BYTES),
        )
        bound = request_hash(request)
        # Keys are looked at before anybody is asked.
        masks = ZeroSum([bank, *self.providers], 0, self.pair, bound)
        for place, provider in enumerate(self.providers):
            yield from ask(PartyId(provider.name), request, asked.codes, asked.consents[place])
        totals, scored = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        for rows in chunks(n):
            parts = []
            for provider in self.providers:
                parts.append((yield from _part(PartyId(provider.name), bound, rows)))
            sums, scored[rows] = self._opened(parts, masks, rows)
            totals[rows] = np.where(scored[rows], sums + asked.points[rows], 0)
        return Scores(bound, totals, scored)

    def _opened(self, parts: Sequence[ScorePart], masks: ZeroSum, rows: slice) -> tuple[I64, Bools]:
        """The sums of points, and which rows every provider answers for. Shapes: (n,) each."""
        none = np.zeros(rows.stop - rows.start, np.uint64)
        marks: U64 = np.sum([masks.words(none, rows.start), *(part.marks for part in parts)], axis=0, dtype=np.uint64)
        answered: Bools = marks == 0
        try:
            sums, known = self.key.open(np.stack([part.ciphertexts for part in parts]), self.table)
        except BadPoint:
            raise self._blamed(parts) from None
        if (answered & ~known).any():
            everybody = ", ".join(provider.name for provider in self.providers)
            what = "a total is outside of the card's range: one part at least is not of this request, row and model"
            raise PeerError(everybody, STEP, what, "SCORE_OUT_OF_RANGE")
        return sums, answered

    def _blamed(self, parts: Sequence[ScorePart]) -> PeerError:
        for provider, part in zip(self.providers, parts, strict=True):
            try:
                check_points(part.ciphertexts)
            except BadPoint as bad:
                return PeerError(provider.name, STEP, str(bad), "POINT_INVALID")
        raise AssertionError("a point that is none was refused in a sum, and is in no part")


def _part(provider: PartyId, bound: bytes, rows: slice) -> Steps[ScorePart]:
    part = yield from recv(provider, ScorePart)
    if part.request != bound:
        raise PeerError(provider, STEP, "sent a part for another request", "SCORE_OTHER_REQUEST")
    if part.first != rows.start or part.marks.size != rows.stop - rows.start:
        raise PeerError(provider, STEP, "sent a part of other rows than are due", "SHAPE")
    return part
