"""The bank where it is to learn the band alone: it adds up masked points, and looks the band of the sum up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal import PublicKey
from fedcredit.crypto.lookup import OUTSIDE, BadPoint, Choice, Lookup
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.score.asking import ask, request_of
from fedcredit.protocols.score.bands import BandedCard, bands_hash, lookup_of, marks_masks, table_chunks, words_of
from fedcredit.protocols.score.binding import STEP, chunks, request_hash
from fedcredit.protocols.score.requester import ScoresAsked
from fedcredit.wire.score import NONCE_BYTES
from fedcredit.wire.score_bands import BandChoices, BandPart, BandTables, ScoreBands

__all__ = ["NO_BAND", "BandsRequester", "ScoresBanded"]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

NO_BAND: Final = -1
"""Of a subject that some provider refuses."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoresBanded:
    """What came of a request. Shapes: (n,) each, in the order asked for.

    `scored`: whether every provider answered for the subject. If not, its band is `NO_BAND`.
    """

    request: bytes
    """The hash of the request with its bands: what parts, audit entries and this have in common."""
    bands: I64 = field(repr=False)
    scored: Bools = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class BandsRequester:
    """Learns in which band of `banded` the total of each subject is for which all `providers` answer; not the total.

    `key`: the record by which providers know this bank; nothing is encrypted under it.

    Reveals: to this party, of each subject the band of the total, or that some provider refuses the subject, not which
    one nor why. To the providers, whom this party wants to score, on which consent, with which model, bands and other
    providers; the last one does not learn what is looked up. To who carries the messages, what they hold but for
    points, bands and refusals.
    Assumes: semi-honest providers as to their points: one that lies moves a band, and the last one can answer anything;
    of masks, what `crypto.zero_sum` does; authenticated links, or parts signed by who made them.
    Raises: PeerError (SHAPE, SCORE_OTHER_REQUEST, POINT_INVALID, SCORE_TABLE) that names who sent what is wrong;
    SCORE_OUT_OF_RANGE, which names all providers; BadKey for a provider's key that is none.
    """

    me: PartyId
    banded: BandedCard
    providers: tuple[Member, ...]
    key: PublicKey
    pair: PairKey = field(repr=False)

    def steps(self, asked: ScoresAsked, randomness: Randomness) -> Steps[ScoresBanded]:
        """Ask, add up, look up. Nothing is returned unless every row is either banded or refused."""
        card, n, last = self.banded.card, len(asked.codes), PartyId(self.providers[-1].name)
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
            key=self.key.fingerprint,
            nonce=randomness.bytes(NONCE_BYTES),
        )
        bands = self.banded.message()
        bound = bands_hash(request_hash(request), bands)
        # Keys are looked at before anybody is asked.
        masks = marks_masks(bank, self.providers, 0, self.pair, bound)
        for place, provider in enumerate(self.providers):
            yield from ask(PartyId(provider.name), request, asked.codes, asked.consents[place])
            yield from send(PartyId(provider.name), bands)
        words, marks = (asked.points - card.low).astype(np.uint64), words_of(masks, np.zeros(n, np.uint64))
        for rows in chunks(n):
            for provider in self.providers[:-1]:
                part = yield from _part(PartyId(provider.name), bound, rows)
                words[rows] += part.words
                marks[rows] += part.marks
        cells = yield from self._looked_up(bands, bound, words, marks, last, randomness)
        scored: Bools = marks == 0
        self._check(cells[scored], last)
        return ScoresBanded(bound, np.where(scored, cells.astype(np.int64), NO_BAND), scored)

    def _looked_up(
        self, bands: ScoreBands, bound: bytes, words: U64, marks: U64, last: PartyId, randomness: Randomness
    ) -> Steps[U8]:
        """The cell of each row's sum; the last provider's marks are added to `marks`. Shapes: (n,) each."""
        lookup, cells = lookup_of(bound, bands), np.zeros(len(words), np.uint8)
        indices = (words & np.uint64(lookup.cells - 1)).astype(np.uint32)
        every = list(table_chunks(len(words), bands))
        choices: deque[Choice] = deque()
        for place in range(len(every) + 1):
            # Choices go one message ahead of tables: so no side waits for the way, and no window is filled by both.
            if place < len(every):
                rows = every[place]
                choices.append(lookup.choose(indices[rows], rows.start, randomness))
                yield from send(last, BandChoices(bound, rows.start, choices[-1].points))
            if place > 0:
                rows = every[place - 1]
                tables = yield from self._tables(bound, rows, lookup.cells, last)
                cells[rows] = _read(lookup, choices.popleft(), tables, last)
                marks[rows] += tables.marks
        return cells

    def _tables(self, bound: bytes, rows: slice, cells: int, last: PartyId) -> Steps[BandTables]:
        tables = yield from recv(last, BandTables)
        if tables.request != bound:
            raise PeerError(last, STEP, "sent tables for another request", "SCORE_OTHER_REQUEST")
        if tables.first != rows.start or tables.tables.shape != (rows.stop - rows.start, cells):
            raise PeerError(last, STEP, "sent tables of other rows or sizes than are due", "SHAPE")
        return tables

    def _check(self, cells: U8, last: PartyId) -> None:
        if (cells == OUTSIDE).any():
            everybody = ", ".join(provider.name for provider in self.providers)
            what = "a total is outside of the card's range: one part at least is not of this request, row and model"
            raise PeerError(everybody, STEP, what, "SCORE_OUT_OF_RANGE")
        if (cells >= self.banded.n_bands).any():
            raise PeerError(last, STEP, "a table of it has a band that there is none of", "SCORE_TABLE")


def _part(provider: PartyId, bound: bytes, rows: slice) -> Steps[BandPart]:
    part = yield from recv(provider, BandPart)
    if part.request != bound:
        raise PeerError(provider, STEP, "sent a part for another request", "SCORE_OTHER_REQUEST")
    if part.first != rows.start or part.marks.size != rows.stop - rows.start:
        raise PeerError(provider, STEP, "sent a part of other rows than are due", "SHAPE")
    return part


def _read(lookup: Lookup, choice: Choice, tables: BandTables, last: PartyId) -> U8:
    try:
        return lookup.read(choice, tables.point, tables.tables)
    except BadPoint as bad:
        raise PeerError(last, STEP, str(bad), "POINT_INVALID") from None
