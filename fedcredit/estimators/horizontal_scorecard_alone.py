"""What a member's own rows give by the same rules: the comparison that says what the others' rows are worth."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.errors import DataError
from fedcredit.estimators.binning import OwnColumns
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.card_label import CardRows, LabelCard, LabelOutcome
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.scorecard import HeldOut
from fedcredit.estimators.training import Stages
from fedcredit.runtime.state import run_at_once
from fedcredit.tables import Column

__all__ = ["AloneCard", "stretch"]

I64: TypeAlias = npt.NDArray[np.int64]

REACH: Final = 8.0
"""Log-odds beyond this are counted as this where a range of points has to be known beforehand."""
_NO_CARD: Final = ("NO_COLUMNS_LEFT", "LABEL_SEPARABLE")


@dataclass(frozen=True, slots=True, eq=False)
class AloneCard:
    """A member's own card, None where its rows give none, and what it says of the rows that this member holds out.

    Shapes: points (m,). Where there is no card all rows have the points of this member's bad rate.
    """

    card: LabelOutcome | None = field(repr=False)
    points: I64 = field(repr=False)
    bounds: tuple[int, int]

    @classmethod
    async def of(
        cls,
        params: ScorecardParams,
        federation: Federation,
        columns: Mapping[str, Column],
        held: HeldOut,
        train: CardRows,
        test: CardRows,
    ) -> Self:
        """Bin, select and fit this member's rows. Raises: DataError (VALUE_*, the fit's)."""
        n, bads, bounds = train.labels.size, int(np.count_nonzero(train.labels)), stretch(params)
        card = await cls._card(params, federation, columns, held, train, test) if 0 < bads < n else None
        if card is not None:
            return cls(card, card.own_points[1], bounds)
        odds = np.array([np.log((bads + 0.5) / (n - bads + 0.5))])
        each = round(float(params.scale.score(odds)[0]))
        return cls(None, np.full(test.labels.size, each, np.int64), bounds)

    @staticmethod
    async def _card(
        params: ScorecardParams,
        federation: Federation,
        columns: Mapping[str, Column],
        held: HeldOut,
        train: CardRows,
        test: CardRows,
    ) -> LabelOutcome | None:
        cut = await asyncio.to_thread(OwnColumns.cut, columns, params.bins, train.labels.size)
        binned = await asyncio.to_thread(cut.settled, train.labels, params.bins)
        own = await asyncio.to_thread(CardColumns.of, binned, held.columns, train.labels.size, held.n_rows)
        table = CardTable(federation.me, own.columns, ())
        stages = Stages(replace(federation, feature_parties=()), "alone", run_at_once)
        try:
            return await LabelCard(params, own, table, train, test, stages).run("alone")
        except DataError as error:
            if error.code not in _NO_CARD:
                raise
            return None


def stretch(params: ScorecardParams) -> tuple[int, int]:
    """The points of log-odds of REACH and of -REACH: a range that members need not tell each other."""
    low, high = params.scale.score(np.array([REACH, -REACH])).tolist()
    return round(low), round(high)
