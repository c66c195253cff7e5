"""The bank's side of scores of a card: what it asks, and what it makes of a total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.crypto.zero_sum import Member
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.ids import PartyId
from fedcredit.node.scoring.asking import Found, Rows
from fedcredit.node.scoring.own_keys import OwnScoreKeys
from fedcredit.node.scoring.points import PointsOfTable
from fedcredit.node.scoring.subject_rows import SubjectRows
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import ScoreCard, ScoreRequester, ScoresAsked
from fedcredit.wire.message import Message
from fedcredit.wire.score import ScorePart

__all__ = ["AskingCard", "card_of", "own_columns"]

I64: TypeAlias = npt.NDArray[np.int64]


def card_of(
    own: tuple[int, int], manifest: bytes, members: Sequence[Member], ranges: Mapping[PartyId, tuple[int, int]]
) -> ScoreCard:
    """A version with these providers, by what each has signed of its part; `own`: the least and the most of the bank's.

    Raises: BadRange (SCORE_RANGE).
    """
    low, high = own
    reach = [ranges[PartyId(member.name)] for member in members]
    least, most = sum(one for one, _ in reach), sum(one for _, one in reach)
    return ScoreCard(manifest, low + least, high + most, low, high)


def own_columns(asked: Rows, table: SubjectRows | None) -> I64:
    """The points of the bank's own columns. Shapes: (n, f)."""
    return table.columns[asked.rows] if isinstance(table, PointsOfTable) else np.zeros((asked.n, 0), np.int64)


class AskingCard:
    """Asks for scores of one version of a card. `ranges`: the least and the most of each provider's part."""

    answers: frozenset[type[Message]] = frozenset({ScorePart})
    lent: Mapping[PartyId, bytes] = {}
    max_rows = 1 << 20
    last: PartyId | None = None

    def __init__(
        self,
        me: PartyId,
        part: CardPart,
        manifest: bytes,
        members: Sequence[Member],
        ranges: Mapping[PartyId, tuple[int, int]],
        keys: OwnScoreKeys,
    ) -> None:
        """Raises: BadRange (SCORE_RANGE) for a card with more totals than are looked up."""
        self._part = part
        card = card_of(part.point_range, manifest, members, ranges)
        self._role = ScoreRequester(me, card, tuple(members), keys.score, keys.pair, card.table())

    def steps(self, asked: Rows, table: SubjectRows | None) -> Steps[Found]:
        """See `Asking`."""
        columns = own_columns(asked, table)
        points = self._part.totals(columns)
        wanted = ScoresAsked(asked.purpose, asked.issued_at, asked.codes, asked.consents, points)
        found = yield from self._role.steps(wanted, SystemRandomness())
        totals = found.totals.astype(np.float64)
        return Found(found.scored, totals, self._part.scale.probability(totals), self._reasons(columns))

    def _reasons(self, columns: I64) -> list[tuple[str, ...]]:
        part = self._part
        return [
            tuple(part.columns[number].name for number in numbers if number >= 0)
            for numbers in part.reasons(columns).tolist()
        ]
