"""The entry of a horizontal scorecard in metrics.json: that of a vertical one, all columns being everybody's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedcredit.credit.bands import ScoreBands, points_shift
from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.estimators.bin_documents import column_rows
from fedcredit.estimators.horizontal_scorecard import HorizontalScorecard
from fedcredit.estimators.horizontal_within import own_figures, within_figures
from fedcredit.estimators.scorecard import spread
from fedcredit.ids import PartyId
from fedcredit.node.scorecard_figures import INTENDED_USE, LIMITS, coefficient_rows, point_rows, scale_row
from fedcredit.protocols.tally import Tally

__all__ = ["horizontal_card_figures"]

CONSENT_BASIS: Final = (
    "each party's policy admitted this job for its purpose; subjects' own authorisation is the ground on which each "
    "member holds its table"
)

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Row = dict[str, Any]

_LIMITS: Final = (
    *LIMITS[:3],
    "Evaluation is from how total points are spread over all members' rows, not from single rows.",
    "Nobody has checked what each member added up: wrong rows of one of them spoil the card of all.",
)


def horizontal_card_figures(
    card: HorizontalScorecard,
    params: ScorecardParams,
    *,
    name: str,
    members: Sequence[PartyId],
    purpose: str,
    leakage: Sequence[str],
    labels: U8 | None = None,
) -> Row:
    """All that every member knows of the card, ready for JSON; `members` has the leader first.

    Keys are those of `scorecard_figures.label_figures`. `auc_alone` is over all rows held out, each scored with its own
    member's card, which knows that member's bad rate; so what others' rows are worth shows in `within`, the chance that
    of a bad and a good row of the same member the bad one has fewer points: `auc`, `auc_alone`. With `labels` of this
    member's own rows held out it also has `own`: `auc` and `ks` on these rows of this card, and with `_alone` of what
    its rows alone give; it is this member's alone to tell.

    Raises: DataError LABEL_ONE_CLASS unless good and bad rows are held out.
    """
    outcome, leader, scale = card.outcome_, members[0], params.scale
    y_train, points_train = spread(outcome.tallies["tally.train"])
    y_test, points_test = _spread(outcome.tallies.get("tally.test"))
    y_alone, points_alone = _spread(card.alone_tally_)
    figures = evaluate(
        y_train,
        scale.probability(points_train),
        y_test,
        scale.probability(points_test),
        scale.probability(points_alone),
        y_alone=y_alone,
    )
    bands = ScoreBands.fit(points_train, params.n_bands)
    counts = bands.counts(y_test, points_test)
    total, fit, size = card.binning_.total_, outcome.fit, len(outcome.table.left)
    return (
        figures
        | {
            "kind": "scorecard",
            "split": "horizontal",
            "name": name,
            "params": params.to_mapping(),
            "rows": total.rows,
            "bads": total.bads,
            "columns": column_rows(leader, params.bins, card.columns_),
            "selection": outcome.table.rows(),
            "coefficients": coefficient_rows(outcome, leader),
            "fit": {
                "rows": total.rows,
                "bads": total.bads,
                "log_likelihood": fit.log_likelihood,
                "aic": 2.0 * (1 + size) - 2.0 * fit.log_likelihood,
                "fits": outcome.fits,
                "gradients": fit.gradients,
                "l2": params.l2,
            },
            "scale": scale_row(params) | {"base_points": outcome.part.base_points},
            "points": point_rows(outcome.part, card.columns_),
            "bands": bands.band_table(counts),
            "cutoffs": bands.cutoff_table(counts),
            "within": within_figures(card.within_),
            "contribution": [],
            "column_stability": _stability(card),
            "periods": [],
            "card": {
                "intended_use": INTENDED_USE,
                "purpose": purpose,
                # How many rows each member has is in no sum.
                "data": [{"party": member, "rows": None, "columns": size} for member in members],
                "consent_basis": CONSENT_BASIS,
                "period": None,
                "limits": list(_LIMITS),
                "leakage": list(leakage),
            },
        }
        | (
            {}
            if labels is None
            else {"own": own_figures(labels, _bad_first(card.outcome_.own_points[1]), _bad_first(card.alone_.points))}
        )
    )


def _spread(tally: Tally | None) -> tuple[U8, F64]:
    return (np.zeros(0, np.uint8), np.zeros(0)) if tally is None else spread(tally)


def _stability(card: HorizontalScorecard) -> list[Row]:
    """How far each column's spread over bins moved from all rows to train on to all those held out."""
    in_card = {column.name: column for column in card.part_.columns}
    with_bins = [column for column in card.columns_ if column.bins is not None]
    held = card.held_.of_columns([len(column.rows) for column in with_bins])
    actual = {column.column.name: (column.rows, rows) for column, rows in zip(with_bins, held, strict=True)}
    found: list[Row] = []
    for name, party, index in card.stability_:
        if index < 0:
            continue
        shift = None
        if name in in_card:
            expected, counted = actual[name]
            shift = points_shift(np.array(expected, np.int64), counted, np.array(in_card[name].points, np.int64))
        found.append({"party": party, "column": name, "index": index, "points_shift": shift})
    return sorted(found, key=lambda row: -row["index"])


def _bad_first(points: I64) -> F64:
    return -points.astype(np.float64)
