"""The bank's side where it wants to know in which band a card's total is, and never the total."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedcredit.credit.bands import ScoreBands
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.crypto.zero_sum import Member
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.governance.registry.documents import rounded_out
from fedcredit.ids import PartyId
from fedcredit.node.scoring.asking import Found, Rows
from fedcredit.node.scoring.asking_card import card_of, own_columns
from fedcredit.node.scoring.own_keys import OwnScoreKeys
from fedcredit.node.scoring.subject_rows import SubjectRows
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import BandedCard, BandsRequester, ScoreCard, ScoresAsked
from fedcredit.protocols.score.bands import table_chunks
from fedcredit.wire.message import Message
from fedcredit.wire.score import CHUNK_ROWS
from fedcredit.wire.score_bands import BandPart, BandTables

__all__ = ["AskingBands"]


class AskingBands:
    """Asks for bands of one version of a card, of all providers together; the last one has the tables."""

    answers: frozenset[type[Message]] = frozenset({BandPart, BandTables})

    def __init__(
        self,
        me: PartyId,
        part: CardPart,
        manifest: bytes,
        members: Sequence[Member],
        ranges: Mapping[PartyId, tuple[int, int]],
        keys: OwnScoreKeys,
        bands: ScoreBands,
        words: bytes,
    ) -> None:
        """Raises: BadRange (SCORE_RANGE); ConfigError (SCORE_BANDS) where bands leave one or too many of the card."""
        self._part = part
        self.lent: Mapping[PartyId, bytes] = {PartyId(member.name): words for member in members}
        # By the words of all, this party's own among them: so departments know the range, too.
        card = card_of(rounded_out(*part.point_range), manifest, members, ranges)
        self._below, edges = _edges(card, bands)
        banded = BandedCard.of(card, edges)
        self.last: PartyId | None = PartyId(members[-1].name)
        self.max_rows = next(table_chunks(CHUNK_ROWS, banded.message())).stop
        self._role = BandsRequester(me, banded, tuple(members), keys.score.public, keys.pair)

    def steps(self, asked: Rows, table: SubjectRows | None) -> Steps[Found]:
        """See `Asking`."""
        columns = own_columns(asked, table)
        points = self._part.totals(columns)
        wanted = ScoresAsked(asked.purpose, asked.issued_at, asked.codes, asked.consents, points)
        found = yield from self._role.steps(wanted, SystemRandomness())
        unknown = np.full(asked.n, np.nan)
        bands = np.where(found.scored, found.bands + self._below, 0)
        return Found(found.scored, unknown, unknown, [()] * asked.n, bands)


def _edges(card: ScoreCard, bands: ScoreBands) -> tuple[int, tuple[int, ...]]:
    """How many bands lie below all of the card's totals, and where the others begin, but for the first of them."""
    starts = [math.ceil(cutoff) for cutoff in bands.cutoffs]
    edges = tuple(sorted({start for start in starts if card.low < start <= card.high}))
    return sum(start <= card.low for start in starts), edges
