"""A provider where the bank is to learn the band alone: it masks its points, or, as the last one, answers by tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.lookup import BadPoint
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.zero_sum import PairKey
from fedcredit.errors import PeerError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.score.asked import Asked, take_request
from fedcredit.protocols.score.bands import (
    BandTerms,
    bands_hash,
    lookup_of,
    marks_masks,
    points_masks,
    steps_of,
    table_chunks,
    words_of,
)
from fedcredit.protocols.score.binding import STEP, chunks
from fedcredit.protocols.score.provider import Answer, ScoreAnswered, ScoreTerms, check_answer
from fedcredit.wire.score import ScoreRequest
from fedcredit.wire.score_bands import BandChoices, BandPart, BandTables, ScoreBands

__all__ = ["BandsProvider"]

U64: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class BandsProvider:
    """Answers one request of `requester` for bands. `keys`: this party's own pair keys, by their public halves.

    The last provider of the request's list answers the bank's look-ups; the others send masked points.

    Reveals: to this party, whom the bank wants to score, on which consent, with which model, bands and other providers;
    no total, no band, no part of another, and not whether others answer. To the bank, with the other providers, the
    band of one number for each subject, which is the total where the bank keeps to the protocol, and else the sum of
    the providers' points and a number of its choice, modulo the cells of a table; and that some provider refuses a row.
    The bank and the last provider together learn the sum of the others' points; the bank and all others, of the last
    one's points a band. To others, sizes.
    Assumes: what `crypto.lookup` does; that the last provider does not tell the bank its masks, or is this one; of
    masks, what `crypto.zero_sum` does; a registry that names providers and their keys truly. Of the bank nothing, but
    what `answer` lets it have: a subject that is asked for twice is told of twice, of two bands if the bank likes.
    Raises: PeerError (SHAPE, SCORE_OTHER_REQUEST, POINT_INVALID) that names the bank; RefusedError (SCORE_MODEL,
    SCORE_KEY, SCORE_PROVIDERS, SCORE_ROWS, SCORE_BANDS, SCORE_REPLAYED); whatever `answer` raises.
    """

    me: PartyId
    requester: PartyId
    terms: ScoreTerms
    bands: BandTerms
    keys: Mapping[bytes, PairKey] = field(repr=False)

    def steps(
        self, fresh: Callable[[ScoreRequest], bool], answer: Answer, randomness: Randomness
    ) -> Steps[ScoreAnswered]:
        """Take a request, and answer it if it is one to answer. `fresh`: see `ScoreProvider.steps`."""
        asked = yield from take_request(self.me, self.requester, self.terms, self.keys)
        bands = yield from recv(self.requester, ScoreBands)
        if problems := self.bands.problems(bands):
            raise RefusedError(problems)
        n, bound = asked.request.rows, bands_hash(asked.bound, bands)
        try:
            points_mask = points_masks(asked.providers, asked.place, asked.own, bound)
            marks_mask = marks_masks(asked.bank, asked.providers, asked.place + 1, asked.own, bound)
        except BadKey as bad:
            raise bad.of_peer(self.requester, STEP) from None
        if not fresh(asked.request):
            what = "was answered before, or made too long ago"
            raise RefusedError(Problem("SCORE_REPLAYED", "request", what, "ask anew, with a fresh nonce"))
        points, released = answer(asked.request, asked.codes, asked.consents)
        check_answer(points, released, n, self.terms.points)
        # Drawn for every row, so that time does not tell how many are refused.
        noise, marks = randomness.words(n), randomness.words(n) * ~released
        words = words_of(points_mask, np.where(released, points.astype(np.uint64), noise))
        shown = words_of(marks_mask, marks)
        if asked.place < len(asked.providers) - 1:
            for rows in chunks(n):
                yield from send(self.requester, BandPart(bound, rows.start, words[rows], shown[rows]))
        else:
            yield from self._tables(asked, bands, bound, words, shown, randomness)
        return ScoreAnswered(bound, n, int(released.sum()))

    def _tables(
        self, asked: Asked, bands: ScoreBands, bound: bytes, words: U64, marks: U64, randomness: Randomness
    ) -> Steps[None]:
        """Answer look-ups with tables of the bands of all totals. Shapes: words, marks (n,)."""
        lookup = lookup_of(bound, bands)
        offsets = (words & np.uint64(lookup.cells - 1)).astype(np.uint32)
        edges, last = steps_of(bands, lookup.cells)
        for rows in table_chunks(asked.request.rows, bands):
            got = yield from recv(self.requester, BandChoices)
            if got.request != bound:
                raise PeerError(self.requester, STEP, "looks up for another request", "SCORE_OTHER_REQUEST")
            if got.first != rows.start or len(got.points) != rows.stop - rows.start:
                raise PeerError(self.requester, STEP, "looks up other rows than are due", "SHAPE")
            try:
                point, tables = lookup.answer(got.points, offsets[rows], edges, last, rows.start, randomness)
            except BadPoint as bad:
                raise PeerError(self.requester, STEP, str(bad), "POINT_INVALID") from None
            yield from send(self.requester, BandTables(bound, rows.start, point, tables, marks[rows]))
