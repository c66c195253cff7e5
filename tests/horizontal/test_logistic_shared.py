"""Loans of the SBA by year of approval: members' models and figures beside those of the pooled rows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from horizontal.plain_sums import PlainSums, together
from scorecard_cases import numbers

from fedcredit.credit.metrics import auc, ks
from fedcredit.estimators.horizontal_columns import agreed_cuts
from fedcredit.estimators.horizontal_evaluation import MemberScores, MembersEvaluation, evaluate_members
from fedcredit.estimators.horizontal_logistic import HorizontalLogisticRegression, alone
from fedcredit.tables import Column

BANK = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "sba" / "bank.csv"
NAMES = ("term_months", "disbursed_usd", "guaranteed_usd", "revolving", "low_doc")

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not BANK.exists(), reason="the data sets are not beside the checkout"),
]


def table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with BANK.open(newline="") as file:
        rows = list(csv.DictReader(file))
    X = np.array([[float(row[name] or "nan") for name in NAMES] for row in rows])
    y = np.array([int(row["default"]) for row in rows], np.uint8)
    return X, y, np.array([int(row["approval_year"]) for row in rows])


def owners(years: np.ndarray, n: int, how: str) -> np.ndarray:
    """By year, in n parts of about equal numbers of rows, or by a hash of the row."""
    if how == "hash":
        return (np.arange(years.size) * 2_654_435_761 % 2**32) * n // 2**32
    cuts = np.quantile(years, np.arange(1, n) / n)
    return np.searchsorted(cuts, years, side="left")


@pytest.mark.parametrize(("members", "how"), [(3, "year"), (5, "hash"), (10, "year")])
def test_members_fit_and_judge_what_pooled_rows_would_give(members: int, how: str) -> None:
    X, y, years = table()
    owner = owners(years, members, how)
    held = np.arange(y.size) % 4 == 0

    def columns(rows: np.ndarray) -> dict[str, Column]:
        return {name: numbers(name, X[rows, j]) for j, name in enumerate(NAMES)}

    async def work(sums: PlainSums, k: int) -> tuple[HorizontalLogisticRegression, MembersEvaluation, Any]:
        train, test = np.flatnonzero((owner == k) & ~held), np.flatnonzero((owner == k) & held)
        model = HorizontalLogisticRegression()
        await model.fit(sums.federation, columns(train), y[train], sums=sums)
        cuts = await agreed_cuts(sums, columns(train), max_bin=32)
        own = alone(model.params, columns(train), y[train], columns(test), test.size)
        scores = [MemberScores(y[rows], model.predict_proba(columns(rows), rows.size)) for rows in (train, test)]
        return model, await evaluate_members(sums, *scores, MemberScores(y[test], own)), cuts

    model, judged, cuts = together(members, work)[0]
    filled = np.where(np.isnan(X), np.nanmean(X[~held], axis=0), X)
    mean, spread = filled[~held].mean(axis=0), filled[~held].std(axis=0)
    by_name = [NAMES.index(name) for name in model.names_]
    scaled = sm.add_constant(((filled - mean) / spread)[:, by_name])
    oracle = sm.GLM(y[~held], scaled[~held], family=sm.families.Binomial()).fit(tol=1e-14)
    assert np.abs(model.fit_.estimates.values - oracle.params).max() < 1e-8
    assert np.abs(model.fit_.estimates.standard_errors - oracle.bse).max() < 1e-8
    p = 1 / (1 + np.exp(-(scaled[held] @ oracle.params)))
    found = judged.figures
    assert abs(found["auc"] - auc(y[held], p)) < 0.001
    assert found["auc_resolution"] < 0.001
    assert abs(found["ks"] - ks(y[held], p)) <= found["ks_resolution"] + 1e-9
    assert found["logloss"] == pytest.approx(-oracle_loss(y[held], p), rel=1e-9)
    assert 0.5 < found["auc_alone"] < 1

    async def pooled(sums: PlainSums, k: int) -> Any:
        return await agreed_cuts(sums, columns(np.flatnonzero(~held)), max_bin=32)

    assert cuts == together(1, pooled)[0]
    assert cuts["low_doc"] == (0.5,)
    rows = np.bincount(np.searchsorted(cuts["disbursed_usd"], X[~held, 1]))
    assert rows.size > 24
    # But for an amount that many loans are of.
    most = np.unique(X[~held, 1], return_counts=True)[1].max()
    assert rows.max() < most + 1.5 * (~held).sum() / 32


def oracle_loss(y: np.ndarray, p: np.ndarray) -> float:
    return float(np.where(y == 1, np.log(p), np.log1p(-p)).mean())
