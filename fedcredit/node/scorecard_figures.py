"""A scorecard's entry in metrics.json, and what a feature party's own page shows of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedcredit.credit.bands import ScoreBands, points_shift
from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.fourier import ERROR_PROBABILITY
from fedcredit.credit.glm import Estimates
from fedcredit.credit.metrics import RankCurve, rank_curve
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.estimators import CardPart, Scorecard
from fedcredit.estimators.bin_documents import column_rows
from fedcredit.estimators.binning import BinnedColumn
from fedcredit.estimators.card_label import LabelOutcome
from fedcredit.estimators.card_table import CardTable
from fedcredit.estimators.scorecard import spread
from fedcredit.ids import PartyId
from fedcredit.node.models import ModelContext
from fedcredit.protocols.tally import Tally

__all__ = [
    "INTENDED_USE",
    "LIMITS",
    "coefficient_rows",
    "contribution_row",
    "estimate_row",
    "label_figures",
    "own_figures",
    "point_rows",
    "scale_row",
    "seconds_of_card",
    "told_row",
]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Row = dict[str, Any]

LIMITS: Final = (
    "Scores are for the population that the rows came from; column stability below says how far a later one has moved.",
    "Rows that were refused before are not among them: the bad rate of all applicants may be another one.",
    "Points are whole numbers: a score may be off by half a point for each column.",
    "Evaluation is from how total points are spread in at most 128 steps, not from single rows.",
)
INTENDED_USE: Final = "ranks enterprises by the risk of default, for decisions on financing that a person makes"
_PARTS: Final = {"figures": "selection", "moments": "selection", "declare": "binning", "bins": "binning"}


def label_figures(context: ModelContext, card: Scorecard, params: ScorecardParams) -> Row:
    """All that the label party knows of its card, ready for JSON."""
    outcome, table = card.outcome_, card.outcome_.table
    train, test = context.train.label, context.test.label
    assert train is not None, "the label party has labels"
    assert test is not None, "the label party has labels"
    scale = params.scale
    y_train, points_train = _spread(outcome.tallies.get("tally.train"), train, outcome.own_points[0])
    y_test, points_test = _spread(outcome.tallies.get("tally.test"), test, outcome.own_points[1])
    alone = card.alone_
    figures = evaluate(
        y_train,
        scale.probability(points_train),
        y_test,
        scale.probability(points_test),
        None if alone is None else scale.probability(alone.own_points[1].astype(np.float64)),
        y_alone=test,
    )
    bands = ScoreBands.fit(points_train, params.n_bands)
    counts = bands.counts(y_test, points_test)
    size = len(table.left)
    fit = outcome.fit
    return figures | {
        "kind": "scorecard",
        "name": context.entry.name,
        "params": params.to_mapping(),
        "rows": train.size,
        "bads": int(train.sum()),
        "columns": column_rows(context.me, params.bins, card.columns_, card.binning_.foreign_),
        "selection": table.rows(),
        "coefficients": coefficient_rows(outcome, context.me),
        "fit": {
            "rows": train.size,
            "bads": int(train.sum()),
            "log_likelihood": fit.log_likelihood,
            "aic": 2.0 * (1 + size) - 2.0 * fit.log_likelihood,
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
        "contribution": _contribution(context, card, test, (y_test, points_test)),
        "column_stability": _stability(context, card),
        "periods": _periods(context, card),
        "card": _card(
            context, [(party, table.numbers(party).size) for party in (context.me, *context.feature_parties)]
        ),
    }


def own_figures(context: ModelContext, card: Scorecard, params: ScorecardParams) -> Row:
    """What a feature party knows of its part, in the same shape."""
    part = card.part_
    return {
        "kind": "scorecard",
        "name": context.entry.name,
        "params": params.to_mapping(),
        "columns": column_rows(context.me, params.bins, card.columns_),
        "coefficients": [
            estimate_row(context.me, column.name, column.coefficient, column.standard_error, None, None)
            for column in part.columns
        ],
        "scale": scale_row(params),
        "points": point_rows(part, card.columns_),
        "column_stability": _stability(context, card),
        "periods": _periods(context, card),
        "card": _card(context, [(context.me, len(part.columns))]),
    }


def seconds_of_card(seconds: Mapping[str, float], gradients: int) -> dict[str, float]:
    """Seconds of binning, selection, fits and evaluation, and of one gradient of the last fit."""
    found = dict.fromkeys(("binning", "selection", "fit", "evaluation"), 0.0)
    for phase, spent in seconds.items():
        head = phase.partition(".")[0]
        part = _PARTS.get(head, {"counts": "binning", "fit": "fit"}.get(head, "evaluation"))
        found[part] += spent
    last = max((phase for phase in seconds if phase.startswith("fit.")), default="")
    return found | {"per_iteration": seconds.get(last, 0.0) / max(gradients, 1)}


def _spread(tally: Tally | None, labels: npt.NDArray[np.uint8], own: I64) -> tuple[npt.NDArray[np.uint8], F64]:
    """Labels and scores of all rows, in no order of rows where they are from a tally."""
    return (labels, own.astype(np.float64)) if tally is None else spread(tally)


def coefficient_rows(outcome: LabelOutcome, me: PartyId) -> list[Row]:
    """The table of coefficients: of this party's own columns all, of others' what it is told."""
    fit, table, part = outcome.fit, outcome.table, outcome.part
    rows = [estimate_row(me, "intercept", float(fit.values[0]), float(fit.errors[0]), None, None)]
    standardised = fit.standardised
    for j, k in enumerate(table.left):
        column = table.columns[k]
        if j < len(part.columns):
            own = part.columns[j]
            size = _spread_of(own.bins.evidence or (), own.rows) * own.coefficient
            rows.append(estimate_row(me, own.name, own.coefficient, own.standard_error, size, column.iv))
        else:
            rows.append(told_row(column.party, column.name, float(standardised[j]), float(fit.z[j]), column.iv))
    return rows


def told_row(party: PartyId, column: str, standardised: float, z: float, iv: float | None) -> Row:
    """A coefficient of another party's column, as far as the label party is told of it."""
    p_value = float(Estimates(np.array([z]), np.ones(1)).p_values[0])
    return estimate_row(party, column, None, None, standardised, iv) | {"z": z, "p_value": p_value}


def estimate_row(
    party: PartyId, column: str, value: float | None, error: float | None, standardised: float | None, iv: float | None
) -> Row:
    """A row of the table of coefficients; what is not known is None."""
    row: Row = {
        "party": party,
        "column": column,
        "coefficient": value,
        "standard_error": error,
        "standardised": standardised,
        "z": None,
        "p_value": None,
        "low": None,
        "high": None,
        "iv": iv,
    }
    if value is not None and error is not None and error > 0:
        estimates = Estimates(np.array([value]), np.array([error]))
        low, high = estimates.intervals()[0].tolist()
        row |= {"z": float(estimates.z[0]), "p_value": float(estimates.p_values[0]), "low": low, "high": high}
    return row


def _spread_of(evidence: Sequence[float], rows: Sequence[int]) -> float:
    woe, n = np.array(evidence), np.array(rows, np.float64)
    mean = float(woe @ n / n.sum())
    return math.sqrt(float((woe - mean) ** 2 @ n / n.sum()))


def point_rows(part: CardPart, columns: Sequence[BinnedColumn]) -> list[Row]:
    """The bins and points of a part's columns, with bad rates where they are known."""
    known = {column.column.name: column for column in columns}
    found = []
    for column in part.columns:
        of = known[column.name]
        rates = [None] * len(column.names) if of.table is None else of.table.counts.bad_rate.tolist()
        bins = zip(column.names, column.rows, rates, column.bins.evidence or (), column.points, strict=True)
        keys = ("bin", "rows", "bad_rate", "woe", "points")
        found.append(
            {"party": part.party, "column": column.name, "bins": [dict(zip(keys, b, strict=True)) for b in bins]}
        )
    return found


def scale_row(params: ScorecardParams) -> Row:
    """What points mean."""
    scale = params.scale
    return {
        "base_score": scale.base_score,
        "odds": scale.odds,
        "pdo": scale.pdo,
        "factor": scale.factor,
        "offset": scale.offset,
    }


def _contribution(
    context: ModelContext,
    card: Scorecard,
    labels: npt.NDArray[np.uint8],
    whole: tuple[npt.NDArray[np.uint8], F64],
) -> list[Row]:
    """What the card loses without a party's points: its coefficients stay as they are."""
    outcome, table = card.outcome_, card.outcome_.table
    curve = rank_curve(whole[0], -whole[1])
    own = outcome.own_points[1].astype(np.float64)
    parties = tuple(party for party in context.feature_parties if table.numbers(party).size)
    without: dict[PartyId, tuple[npt.NDArray[np.uint8], F64]] = {
        # Where no other party has points every row has the same.
        context.me: _spread(outcome.tallies.get("tally.without.label"), labels, np.zeros(labels.size, np.int64))
    }
    for number, party in enumerate(parties):
        tally = outcome.tallies.get(f"tally.without.{number}")
        without[party] = (labels, own) if tally is None else spread(tally)
    return [contribution_row(table, party, y, points, curve) for party, (y, points) in without.items()]


def contribution_row(
    table: CardTable, party: PartyId, labels: npt.NDArray[np.uint8], points: F64, curve: RankCurve
) -> Row:
    """What a card with this `curve` loses where rows have these `points`, without those of a party."""
    left = rank_curve(labels, -points)
    in_card = [table.columns[k] for k in table.left if table.columns[k].party == party]
    return {
        "party": party,
        "columns": len(in_card),
        "iv": sum(column.iv for column in in_card),
        "auc_without": left.auc,
        "ks_without": left.ks,
        "auc_gain": curve.auc - left.auc,
        "ks_gain": curve.ks - left.ks,
    }


def _stability(context: ModelContext, card: Scorecard) -> list[Row]:
    """How far each column's spread over bins moved from the rows to train on to those held out."""
    own = {column.name: column for column in card.part_.columns}
    found: list[Row] = []
    rows = card.stability_
    for name, party, index in rows:
        if index < 0:
            continue
        shift = None
        if party == context.me and name in own:
            column = own[name]
            counted = [
                np.bincount(column.codes_of(of.columns[name]), minlength=column.bins.n_bins)
                for of in (context.train, context.test)
            ]
            shift = points_shift(counted[0], counted[1], np.array(column.points, np.int64))
        found.append({"party": party, "column": name, "index": index, "points_shift": shift})
    return sorted(found, key=lambda row: -row["index"])


def _periods(context: ModelContext, card: Scorecard) -> list[Row]:
    """Stability of the total points, where known, and of each of this party's columns of the card, by period."""
    return [
        {
            "party": None if name is None else context.me,
            "column": name,
            "periods": [{"period": of.period, "rows": of.rows, "index": of.index} for of in found],
        }
        for name, found in card.periods_.items()
    ]


def _card(context: ModelContext, columns: Sequence[tuple[PartyId, int]]) -> Row:
    return {
        "intended_use": INTENDED_USE,
        "purpose": context.purpose,
        "data": [
            {"party": party, "rows": context.count(context.train), "columns": number} for party, number in columns
        ],
        "consent_basis": "each party's policy admitted this job for its purpose; subjects' own authorisation is the "
        "ground on which each department holds and lends its table",
        "period": None,
        "limits": list(LIMITS),
        "leakage": list(context.leakage),
    }
