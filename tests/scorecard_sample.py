"""A scorecard of three made-up parties, fitted in one place with the functions that a job calls: parts and figures."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedcredit.credit.bands import ScoreBands, points_shift
from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.glm import LogisticFit, fit_logistic
from fedcredit.credit.metrics import rank_curve, stability_index
from fedcredit.credit.points import PointScale
from fedcredit.credit.selection import Verdict, by_band, by_correlation, by_missing
from fedcredit.credit.settling import PrebinShape, prebins_of, settle_column, taken
from fedcredit.credit.woe import BinCounts
from fedcredit.estimators.bin_documents import column_rows
from fedcredit.estimators.binning import BinnedColumn, ForeignColumn
from fedcredit.estimators.scorecard_part import CardColumn, CardPart, OtherPart
from fedcredit.ids import PartyId
from fedcredit.synth import LABEL, generate
from fedcredit.synth.fields import FIELDS
from fedcredit.tables import Column

PARTIES = ("bank", "tax", "social_insurance")
SCALE = PointScale(base_score=600.0, odds=20.0, pdo=20.0)
SPECIAL = -1.0
_LEFT_OUT = {LABEL, "observation_month"}
_PARAMS = BinParams(method="optimal", max_bin=6, iv_disclosure="exact")


@dataclass(frozen=True)
class Sample:
    """Tables and labels of the same rows at all parties, each party's part, and the figures of `metrics.json`."""

    columns: dict[str, dict[str, Column]]
    label: np.ndarray
    train: np.ndarray
    parts: dict[str, CardPart]
    fit: LogisticFit
    figures: dict[str, Any]

    def rows(self, party: str, taken: np.ndarray) -> dict[str, Column]:
        """Some rows of a party's table."""
        return {name: _take(column, taken) for name, column in self.columns[party].items()}

    def own_page(self, party: str) -> dict[str, Any]:
        """What a feature party's page is made of: its own columns, points, coefficients, stability."""
        return _own_page(self, party)


def _take(column: Column, rows: np.ndarray) -> Column:
    return Column(column.name, column.kind, column.values[rows], column.levels, column.special)


@functools.cache
def sample(rows: int = 12_000, seed: int = 11) -> Sample:
    """The card, always the same. Takes less than a second."""
    columns, label = _tables(rows, seed)
    train = np.random.default_rng(seed).random(label.size) < 0.75
    binned = {party: [_binned(c, label, train) for c in columns[party].values()] for party in PARTIES}
    every = [(party, c) for party in PARTIES for c in binned[party]]
    names = {
        (party, c.column.name): c.column.name if party == "bank" else f"{party}.f{k}"
        for party in PARTIES
        for k, c in enumerate(binned[party])
    }
    said = {verdict.column: verdict for verdict in _select(every, [names[p, c.column.name] for p, c in every])}
    while True:  # what is not significant, or turns against its own evidence, goes one by one
        scored = [(p, c) for p, c in every if said[names[p, c.column.name]].kept]
        X = np.column_stack([c.bins.woe(c.bins.codes(c.column.values)) for _, c in scored])
        fit = fit_logistic(X[train], label[train], l2=1.0)
        if (gone := _worst(fit, [names[p, c.column.name] for p, c in scored])) is None:
            break
        said[gone.column] = gone
    selection = [
        {
            "party": p,
            "column": v.column,
            "kept": v.kept,
            "rule": "sign" if v.why.startswith("turns") else v.rule,
            "figure": v.figure,
            "why": v.why,
        }
        for (p, c), v in ((entry, said[names[entry[0], entry[1].column.name]]) for entry in every)
    ]
    parts = {party: _part(party, scored, fit) for party in PARTIES}
    whole = Sample(columns, label, train, parts, fit, {})
    figures = _figures(whole, binned, scored, X, names, selection)
    return Sample(columns, label, train, parts, fit, figures)


def _tables(rows: int, seed: int) -> tuple[dict[str, dict[str, Column]], np.ndarray]:
    town = generate(rows, seed=seed, default_rate=0.08, parties=PARTIES)
    common = functools.reduce(np.intersect1d, [town.holdings[party].ids for party in PARTIES])
    tables: dict[str, dict[str, Column]] = {}
    for party in PARTIES:
        holding = town.holdings[party]
        order = np.argsort(holding.ids)
        at = order[np.searchsorted(holding.ids[order], common)]
        tables[party] = {}
        for field in FIELDS[party]:
            values = holding.columns[field.name][at].copy()
            if field.name == LABEL:
                label = values.astype(np.uint8)
            if field.name in _LEFT_OUT:
                continue
            special = ()
            if field.name == "headcount_trend":  # a code for "was not there a year ago"
                values[np.random.default_rng(seed + 1).random(values.size) < 0.06] = SPECIAL
                special = (SPECIAL,)
            kind = "categorical" if field.kind == "category" else "numeric"
            tables[party][field.name] = Column(field.name, kind, values, tuple(field.levels), special)
    return tables, label


def _binned(column: Column, label: np.ndarray, train: np.ndarray) -> BinnedColumn:
    values = column.values[train]
    bins = prebins_of(values, _PARAMS, levels=column.kind == "categorical", special=column.special)
    counts = BinCounts.of(bins.codes(values), label[train], bins.n_bins)
    settled = settle_column(PrebinShape.of(bins), counts, _PARAMS)
    assert settled.table is not None, column.name
    final = taken(bins, settled.labels).with_evidence(settled.table.woe)
    rows = tuple(settled.table.counts.rows.tolist())
    return BinnedColumn(column, final, None, settled.iv, rows, settled.table)


def _select(every: list[tuple[str, BinnedColumn]], names: list[str]) -> tuple[Verdict, ...]:
    """Missing values, information value, then correlation over all parties' columns."""
    missing = by_missing(names, [float(np.isnan(c.column.values).mean()) for _, c in every], 0.4)
    left = missing.places()
    one = missing.then(by_band([names[k] for k in left], [every[k][1].iv or 0.0 for k in left], (0.02, 2.0)))
    left = one.places()
    evidence = np.column_stack([every[k][1].bins.woe(every[k][1].bins.codes(every[k][1].column.values)) for k in left])
    worth = [every[k][1].iv or 0.0 for k in left]
    return one.then(by_correlation([names[k] for k in left], np.corrcoef(evidence, rowvar=False), worth, 0.6)).verdicts


def _worst(fit: LogisticFit, names: list[str]) -> Verdict | None:
    """The verdict on the first column to go for its sign or its p-value, if one has to."""
    turned = np.flatnonzero(fit.coefficients > 0)
    if turned.size:
        j = int(turned[0])
        why = f"turns against its own weight of evidence: coefficient {fit.coefficients[j]:+.3f}"
        return Verdict(names[j], False, "p-value", float(fit.coefficients[j]), why)
    p = fit.estimates.p_values[1:]
    j = int(np.argmax(p))
    return Verdict(names[j], False, "p-value", float(p[j]), f"p-value {p[j]:.4f}, above 0.05") if p[j] > 0.05 else None


def _part(party: str, scored: list[tuple[str, BinnedColumn]], fit: LogisticFit) -> CardPart:
    own = [(j, c) for j, (p, c) in enumerate(scored) if p == party]
    errors = fit.estimates.standard_errors[1:]
    at_label = party == "bank"
    others = {p: sum(q == p for q, _ in scored) for p in PARTIES[1:]}
    return CardPart(
        model="ab" * 32 + "/scorecard.0",
        party=PartyId(party),
        label_party=PartyId("bank"),
        scale=SCALE,
        intercept=fit.intercept if at_label else None,
        base_points=round(SCALE.base_points(fit.intercept)) if at_label else None,
        others=tuple(OtherPart(PartyId(p), n) for p, n in others.items() if n) if at_label else (),
        columns=tuple(
            CardColumn.of(c.column, c.bins, c.rows, float(fit.coefficients[j]), float(errors[j]), SCALE) for j, c in own
        ),
        n_reasons=3,
    )


def _figures(
    whole: Sample,
    binned: dict[str, list[BinnedColumn]],
    scored: list[tuple[str, BinnedColumn]],
    X: np.ndarray,
    names: dict[tuple[str, str], str],
    selection: list[dict[str, Any]],
) -> dict[str, Any]:
    y, train, fit = whole.label, whole.train, whole.fit
    points = {p: part.points_of(whole.columns[p], y.size) for p, part in whole.parts.items()}
    totals = {p: part.totals(points[p]) for p, part in whole.parts.items()}
    score = np.sum(list(totals.values()), axis=0)
    alone = fit_logistic(X[train][:, : points["bank"].shape[1]], y[train], l2=1.0)
    risk = SCALE.probability(score.astype(np.float64))
    risk_alone = SCALE.probability(SCALE.score(alone.log_odds(X[:, : points["bank"].shape[1]])))
    figures = evaluate(y[train], risk[train], y[~train], risk[~train], risk_alone[~train])
    bands = ScoreBands.fit(score[train].astype(np.float64), 10)
    counts = bands.counts(y[~train], score[~train].astype(np.float64))
    foreign = [
        ForeignColumn(PartyId(p), k, c.bins.n_bins, None, c.iv) for p in PARTIES[1:] for k, c in enumerate(binned[p])
    ]
    base = whole.parts["bank"].base_points
    return figures | {
        "kind": "scorecard",
        "name": "scorecard.0",
        "params": {"method": "optimal", "max_bin": 6, "l2": 1.0, "max_features": 40},
        "seconds": 17.0,
        "parts": {"binning": 4.2, "selection": 1.1, "fit": 9.3, "evaluation": 2.4, "per_iteration": 0.6},
        "rows": int(train.sum()),
        "bads": int(y[train].sum()),
        "bytes": 48 << 20,
        "rounds": 143,
        "phases": [
            {"phase": "binning", "seconds": 4.2, "bytes_sent": 9 << 20, "bytes_received": 7 << 20, "rounds": 21},
            {"phase": "fit", "seconds": 9.3, "bytes_sent": 14 << 20, "bytes_received": 12 << 20, "rounds": 96},
            {"phase": "tally", "seconds": 2.4, "bytes_sent": 4 << 20, "bytes_received": 2 << 20, "rounds": 26},
        ],
        "columns": column_rows(PartyId("bank"), _PARAMS, binned["bank"], foreign),
        "selection": selection,
        "coefficients": _coefficients(fit, scored, X[train], names),
        "fit": {
            "rows": int(train.sum()),
            "bads": int(y[train].sum()),
            "log_likelihood": fit.log_likelihood,
            "aic": fit.aic,
            "fits": 3,
            "gradients": 9,
            "gap": 3.1e-7,
            "l2": 1.0,
            "series_error": 2.4e-6,
        },
        "scale": {
            "base_score": SCALE.base_score,
            "odds": SCALE.odds,
            "pdo": SCALE.pdo,
            "factor": SCALE.factor,
            "offset": SCALE.offset,
            "base_points": base,
        },
        "points": [_points_row("bank", c, part) for c, part in _with_parts(whole, scored, "bank")],
        "bands": bands.band_table(counts),
        "cutoffs": bands.cutoff_table(counts),
        "contribution": _contribution(whole, scored, totals),
        "column_stability": [
            {"party": p, "column": names[p, c.column.name]} | _moved(whole, p, c, "bank") for p, c in scored
        ],
        "periods": [
            {
                "party": party,
                "column": column,
                "periods": [
                    {"period": f"2024-{month:02}", "rows": 200 * month, "index": None if month == 1 else 0.03 * month}
                    for month in range(1, 5)
                ],
            }
            for party, column in ((None, None), ("bank", "age_years"))
        ],
        "card": {
            "intended_use": "Ranking applications for working-capital loans of small enterprises.",
            "purpose": "financing",
            "data": [{"party": p, "rows": int(train.sum()), "columns": len(whole.columns[p])} for p in PARTIES],
            "consent_basis": "authorisation of each enterprise for financing, checked before the intersection",
            "period": None,
            "limits": [
                "Fitted on enterprises that the bank lent to: it says less of those it refused.",
                "Not for the pricing of insurance, for employment or for any purpose but financing.",
            ],
            "leakage": ["binning.counts", "scorecard.significance", "scorecard.tally", "Asker.6bd61a2f"],
        },
    }


def _with_parts(
    whole: Sample, scored: list[tuple[str, BinnedColumn]], party: str
) -> list[tuple[BinnedColumn, CardColumn]]:
    return list(zip([c for p, c in scored if p == party], whole.parts[party].columns, strict=True))


def _points_row(party: str, binned: BinnedColumn, column: CardColumn, *, at_label: bool = True) -> dict[str, Any]:
    assert binned.table is not None
    rates = binned.table.counts.bad_rate.tolist()
    return {
        "party": party,
        "column": column.name,
        "bins": [
            {"bin": name, "rows": rows, "bad_rate": rate if at_label else None, "woe": woe, "points": worth}
            for name, rows, rate, woe, worth in zip(
                column.names, column.rows, rates, column.bins.evidence or (), column.points, strict=True
            )
        ],
    }


def _coefficients(
    fit: LogisticFit, scored: list[tuple[str, BinnedColumn]], X: np.ndarray, names: dict[tuple[str, str], str]
) -> list[dict[str, Any]]:
    estimates, spread = fit.estimates, X.std(axis=0)
    intervals = estimates.intervals()
    rows = [{"party": "bank", "column": "intercept", "standardised": None, "iv": None}]
    rows += [
        {"party": p, "column": names[p, c.column.name], "standardised": fit.coefficients[j] * spread[j], "iv": c.iv}
        for j, (p, c) in enumerate(scored)
    ]
    for k, row in enumerate(rows):
        known = row["party"] == "bank"
        row |= {
            "coefficient": estimates.values[k] if known else None,
            "standard_error": estimates.standard_errors[k] if known else None,
            "z": estimates.z[k],
            "p_value": estimates.p_values[k],
            "low": intervals[k, 0] if known else None,
            "high": intervals[k, 1] if known else None,
        }
    return [{key: float(v) if isinstance(v, np.floating) else v for key, v in row.items()} for row in rows]


def _contribution(
    whole: Sample,
    scored: list[tuple[str, BinnedColumn]],
    totals: dict[str, np.ndarray],
) -> list[dict[str, Any]]:
    y, test = whole.label, ~whole.train
    curve = rank_curve(y[test], -np.sum(list(totals.values()), axis=0)[test].astype(np.float64))
    rows = []
    for party in PARTIES:
        without = np.sum([t for p, t in totals.items() if p != party], axis=0)
        less = rank_curve(y[test], -without[test].astype(np.float64))
        rows.append(
            {
                "party": party,
                "columns": sum(p == party for p, _ in scored),
                "iv": sum(c.iv or 0.0 for p, c in scored if p == party),
                "auc_without": less.auc,
                "ks_without": less.ks,
                "auc_gain": curve.auc - less.auc,
                "ks_gain": curve.ks - less.ks,
            }
        )
    return rows


def _moved(whole: Sample, party: str, binned: BinnedColumn, at: str) -> dict[str, Any]:
    codes = binned.bins.codes(binned.column.values)
    expected, actual = (np.bincount(codes[rows], minlength=binned.bins.n_bins) for rows in (whole.train, ~whole.train))
    index = stability_index(expected.astype(np.float64), actual.astype(np.float64))
    column = next(c for c in whole.parts[party].columns if c.name == binned.column.name)
    shift = points_shift(expected, actual, np.array(column.points)) if party == at else None
    return {"index": index, "points_shift": shift}


def _own_page(whole: Sample, party: str) -> dict[str, Any]:
    part = whole.parts[party]
    binned = [_binned(whole.columns[party][c.name], whole.label, whole.train) for c in part.columns]
    told = [BinnedColumn(b.column, b.bins, None, b.iv, b.rows) for b in binned]
    foreign = [row for row in whole.figures["coefficients"] if row["party"] == party]
    model = {
        "kind": "scorecard",
        "name": "scorecard.0",
        "columns": column_rows(PartyId(party), _PARAMS, told),
        "coefficients": [
            {
                "party": party,
                "column": c.name,
                "coefficient": c.coefficient,
                "standard_error": c.standard_error,
                "standardised": None,
                "z": row["z"],
                "p_value": row["p_value"],
                "low": c.coefficient - 1.96 * (c.standard_error or 0.0),
                "high": c.coefficient + 1.96 * (c.standard_error or 0.0),
                "iv": None,
            }
            for c, row in zip(part.columns, foreign, strict=True)
        ],
        "points": [_points_row(party, b, c, at_label=False) for b, c in zip(binned, part.columns, strict=True)],
        "scale": {key: value for key, value in whole.figures["scale"].items() if key != "base_points"},
        "column_stability": [
            {"party": party, "column": b.column.name} | _moved(whole, party, b, party) for b in binned
        ],
        "card": whole.figures["card"]
        | {"data": [{"party": party, "rows": int(whole.train.sum()), "columns": len(part.columns)}]},
    }
    parties = [{"id": "bank", "role": "label"}, {"id": party, "role": "feature"}]
    return {"part_of": party, "job": {"name": "scorecard.0", "parties": parties}, "models": [model]}
