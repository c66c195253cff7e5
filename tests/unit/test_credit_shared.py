"""The centralised boosting on real records, beside LightGBM on the same bins."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from credit_oracle import differences, train_lightgbm, with_nan

from fedcredit.credit.binning import fit_bins
from fedcredit.credit.centralised import train_centralised
from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.metrics import auc
from fedcredit.credit.params import TreeParams

pytestmark = pytest.mark.shared

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def read(path: Path, key: str) -> dict[str, dict[str, str]]:
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    with path.open(newline="") as file:
        return {row.pop(key): row for row in csv.DictReader(file)}


def pooled(
    names: list[str], key: str, label: str, drop: set[str]
) -> tuple[list[tuple[np.ndarray, int | None]], np.ndarray]:
    """The columns of the rows that all files have, numbers as they are, texts as levels in alphabetical order."""
    files = [read(DATA / name, key) for name in names]
    ids = sorted(set.intersection(*(set(file) for file in files)))
    columns: list[tuple[np.ndarray, int | None]] = []
    for file in files:
        for name in [name for name in next(iter(file.values())) if name != label and name not in drop]:
            texts = [file[i][name] for i in ids]
            try:
                columns.append((np.array([float(t) if t else np.nan for t in texts]), None))
            except ValueError:
                levels = {t: k for k, t in enumerate(sorted({t for t in texts if t}))}
                columns.append((np.array([levels[t] if t else np.nan for t in texts], np.float64), len(levels)))
    return columns, np.array([int(files[0][i][label]) for i in ids], np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "key", "label", "drop", "params", "expected"),
    [
        (
            ["default_credit/default_credit_hetero_guest.csv", "default_credit/default_credit_hetero_host.csv"],
            "id",
            "y",
            set(),
            TreeParams(num_trees=30, max_depth=3, max_bin=32, learning_rate=0.3),
            (30_000, 0.76),
        ),
        (
            ["sba/bank.csv", "sba/registry.csv", "sba/employment.csv"],
            "uscc",
            "default",
            {"approval_year"},
            TreeParams(num_trees=50, max_depth=5, max_bin=32),
            (17_620, 0.94),
        ),
    ],
    ids=["default_credit", "sba"],
)
def test_real_records_score_as_with_lightgbm(
    names: list[str], key: str, label: str, drop: set[str], params: TreeParams, expected: tuple[int, float]
) -> None:
    columns, y = pooled(names, key, label, drop)
    assert y.size == expected[0]
    test = np.random.default_rng(0).random(y.size) < 0.2
    bins = [
        fit_bins(values[~test], max_bin=params.max_bin, min_rows=params.min_data_in_bin, levels=levels)
        for values, levels in columns
    ]
    codes = np.stack([b.codes(values) for b, (values, _) in zip(bins, columns, strict=True)], axis=1)
    n_bins, missing = np.array([b.n_bins for b in bins]), np.array([b.missing for b in bins])
    model = train_centralised(codes[~test], n_bins, missing, y[~test], params)
    fixed = train_centralised(codes[~test], n_bins, missing, y[~test], params, quantised=True)
    X = with_nan(codes, n_bins, missing)
    booster = train_lightgbm(X[~test], y[~test], params)
    scores = [model.predict(codes[test]), fixed.predict(codes[test]), booster.predict(X[test])]
    ours, ours_fixed, theirs = (auc(y[test], score) for score in scores)
    assert theirs > expected[1]
    assert abs(ours - theirs) < 0.003
    assert abs(ours_fixed - theirs) < 0.003
    assert differences(model, booster) == []
    figures = evaluate(y[~test], model.predict(codes[~test]), y[test], scores[0])
    assert figures["auc"] == ours
    assert figures["auc_train"] > ours
