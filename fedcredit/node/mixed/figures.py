"""The entry of a mixed scorecard in metrics.json: that of a vertical one, over the rows of all banks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fedcredit.credit.bands import ScoreBands
from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.fourier import ERROR_PROBABILITY
from fedcredit.credit.metrics import RankCurve, rank_curve
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.estimators.bin_documents import column_rows
from fedcredit.estimators.mixed_scorecard import MixedScorecard
from fedcredit.estimators.scorecard import spread
from fedcredit.ids import PartyId
from fedcredit.node.models import ModelContext
from fedcredit.node.scorecard_figures import (
    INTENDED_USE,
    LIMITS,
    coefficient_rows,
    contribution_row,
    point_rows,
    scale_row,
)
from fedcredit.protocols.tally import Tally

__all__ = ["mixed_figures"]

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
Row = dict[str, Any]


def mixed_figures(context: ModelContext, card: MixedScorecard, params: ScorecardParams) -> Row:
    """All that the leader knows of the card, ready for JSON; keys are those of a vertical card.

    `auc_alone` is that of the card that the banks' common columns give over the rows of all banks, without departments.
    """
    outcome, scale, leader = card.outcome_, params.scale, context.label_party
    y_train, points_train = spread(card.tallies_["tally.train"])
    y_test, points_test = spread(card.tallies_["tally.test"])
    y_alone, points_alone = _alone(card)
    figures = evaluate(
        y_train,
        scale.probability(points_train),
        y_test,
        scale.probability(points_test),
        None if points_alone is None else scale.probability(points_alone),
        y_alone=y_alone,
    )
    bands = ScoreBands.fit(points_train, params.n_bands)
    counts = bands.counts(y_test, points_test)
    fit, table = outcome.fit, outcome.table
    rows, bads = y_train.size, int(np.count_nonzero(y_train))
    return figures | {
        "kind": "scorecard",
        "split": "mixed",
        "name": context.entry.name,
        "params": params.to_mapping(),
        "rows": rows,
        "bads": bads,
        "columns": column_rows(leader, params.bins, card.columns_, card.binning_.foreign_),
        "selection": table.rows(),
        "coefficients": coefficient_rows(outcome, leader),
        "fit": {
            "rows": rows,
            "bads": bads,
            "log_likelihood": fit.log_likelihood,
            "aic": 2.0 * (1 + len(table.left)) - 2.0 * fit.log_likelihood,
            "fits": outcome.fits,
            "gradients": fit.gradients,
            "gap": fit.gap,
            "l2": params.l2,
            "series_error": ERROR_PROBABILITY,
        },
        "scale": scale_row(params) | {"base_points": outcome.part.base_points},
        "points": point_rows(outcome.part, card.columns_),
        "bands": bands.band_table(counts),
        "cutoffs": bands.cutoff_table(counts),
        "contribution": _contribution(context, card, rank_curve(y_test, -points_test)),
        "column_stability": [
            {"party": party, "column": name, "index": index, "points_shift": None}
            for name, party, index in sorted(card.stability_, key=lambda row: -row[2])
            if index >= 0
        ],
        "periods": [],
        "card": _card(context, [(p, table.numbers(p).size) for p in (leader, *context.feature_parties)], rows),
    }


def _alone(card: MixedScorecard) -> tuple[U8 | None, F64 | None]:
    own = None if card.alone_ is None else card.alone_.outcome_.tallies.get("tally.test")
    return (None, None) if own is None else spread(own)


def _contribution(context: ModelContext, card: MixedScorecard, curve: RankCurve) -> list[Row]:
    """What the card loses without the points of the banks, or of a department: coefficients stay as they are."""
    table = card.outcome_.table
    departments = [party for party in context.feature_parties if table.numbers(party).size]
    without: list[tuple[PartyId, Tally | None]] = [(context.label_party, card.tallies_.get("tally.without.label"))]
    without += [(party, card.tallies_.get(f"tally.without.{k}")) for k, party in enumerate(departments)]
    return [contribution_row(table, party, *spread(tally), curve) for party, tally in without if tally is not None]


def _card(context: ModelContext, columns: list[tuple[PartyId, int]], rows: int) -> Row:
    return {
        "intended_use": INTENDED_USE,
        "purpose": context.purpose,
        "data": [{"party": party, "rows": rows, "columns": int(number)} for party, number in columns],
        "consent_basis": "each party's policy admitted this job for its purpose; subjects' own authorisation is the "
        "ground on which each bank and department holds and lends its table",
        "period": None,
        "limits": [*LIMITS, "Rows are those of all banks together; nobody has checked what each bank added up."],
        "leakage": list(context.leakage),
    }
