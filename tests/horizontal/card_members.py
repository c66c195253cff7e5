"""Members with a table each for a horizontal scorecard, played in one process, and the card of the pooled table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
from horizontal.members import Split
from horizontal.plain_sums import Board, PlainSums, federations, outcomes, parties, together
from scorecard_cases import Kept

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.estimators import HeldOut
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.card_label import CardRows, LabelCard, LabelOutcome
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.horizontal_scorecard import HorizontalScorecard
from fedcredit.estimators.scorecard import rows_of
from fedcredit.estimators.training import Stages
from fedcredit.runtime.state import run_at_once

__all__ = ["played", "pooled_card", "tried"]


async def _member(split: Split, sums: PlainSums, k: int, kept: list[Kept] | None, params: dict[str, Any]) -> Any:
    columns, label = split.train(k)
    held, y = split.test(k)
    how = {"run_stage": kept[k]} if kept else {}
    return await HorizontalScorecard(**params).fit(
        sums.federation, columns, label, sums=sums, held_out=HeldOut(held, y.size, y), **how
    )


def played(
    split: Split, *, board: Board | None = None, kept: list[Kept] | None = None, **params: Any
) -> list[HorizontalScorecard]:
    """The card at each member."""
    return together(split.members, lambda sums, k: _member(split, sums, k, kept, params), board)


def tried(split: Split, *, kept: list[Kept] | None = None, **params: Any) -> list[Any]:
    """The card at each member, or what was raised there."""
    return outcomes(split.members, lambda sums, k: _member(split, sums, k, kept, params))


def pooled_card(split: Split, card: HorizontalScorecard, **params: Any) -> LabelOutcome:
    """What one party with all rows makes of the same bins, by the code that a vertical card's label party runs."""
    settings = ScorecardParams.from_mapping(params)
    columns, label = split.train()
    held, y = split.test()
    binned = [replace(of, column=columns[of.column.name]) for of in card.columns_]
    own = CardColumns.of(binned, held, label.size, y.size)
    federation = replace(federations(1)[0], feature_parties=())
    table = CardTable(parties(1)[0], own.columns, ())
    train, test = rows_of(settings, columns, label), rows_of(settings, held, y)
    assert isinstance(train, CardRows)
    made = LabelCard(settings, own, table, train, test, Stages(federation, "pooled", run_at_once))
    return asyncio.run(made.run(card.part_.model))


def scores(outcome: LabelOutcome, *, test: bool) -> np.ndarray:
    """Total points of the pooled rows."""
    return outcome.own_points[int(test)]
