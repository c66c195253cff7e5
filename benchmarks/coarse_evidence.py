"""What coarse weights of evidence cost a scorecard: the same rules on the same splits, with `coarse` and with `exact`.

    python benchmarks/coarse_evidence.py [--splits N] > benchmarks/results/coarse_evidence.json

On the real data sets beside the checkout, pooled, since neither transport nor encryption changes what is fitted: the
first table is the label party's, whose own columns are exact either way. Columns within the band of information
values that are told, the better one of two that correlate, then without those that are not significant or turn against
their evidence. Prints one JSON object a data set and number of rows to train on: means, and least and largest changes,
of AUC and KS over random splits of which four fifths, or `train` rows, are trained on.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from alignment import describe

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.metrics import rank_curve
from fedcredit.credit.selection import by_correlation, correlations
from fedcredit.credit.settling import PrebinShape, prebins_of, taken
from fedcredit.credit.telling import Counted, coarse_evidence, tellable
from fedcredit.credit.woe import BinCounts, IvDisclosure

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
SETS: dict[str, tuple[tuple[str, ...], str, str, frozenset[str]]] = {
    "sba": (("bank", "registry", "employment"), "uscc", "default", frozenset({"approval_year"})),
    "default_credit": (("default_credit_hetero_guest", "default_credit_hetero_host"), "id", "y", frozenset()),
}
BAND = (0.02, 10.0)
Table = dict[tuple[int, str], tuple[Any, bool]]


def read(name: str) -> tuple[Table, Any]:
    """Columns by party and name, with whether they are levels; labels; of the rows that all files have."""
    files, key, label, left_out = SETS[name]
    rows = []
    for file in files:
        with (DATA / name / f"{file}.csv").open(newline="") as lines:
            rows.append({row[key]: row for row in csv.DictReader(lines)})
    common = sorted(set.intersection(*(set(of) for of in rows)))
    columns: Table = {}
    for party, of in enumerate(rows):
        for column in of[common[0]]:
            if column == key or column in left_out:
                continue
            cells = [of[row][column] for row in common]
            try:
                columns[party, column] = np.array([float(cell or "nan") for cell in cells]), False
            except ValueError:
                number = {level: k for k, level in enumerate(sorted(set(cells)))}
                columns[party, column] = np.array([number[cell] for cell in cells], np.float64), True
    y = columns.pop((0, label))[0].astype(np.uint8)
    return columns, y


def card(columns: Table, y: Any, train: Any, test: Any, how: IvDisclosure) -> tuple[float, float]:
    """AUC and KS of the card on the rows held out."""
    params = BinParams(iv_disclosure=how)
    names, woe, held, worth = [], [], [], []
    for party in sorted({party for party, _ in columns}):
        mine = {name: of for (owner, name), of in columns.items() if owner == party}
        for name, evidence, codes in told(mine, y, train, test, params, own=party == 0):
            names.append(f"{party}.{name}")
            woe.append(evidence[0][codes[0]])
            held.append(evidence[0][codes[1]])
            worth.append(evidence[1])
    X, Z = np.column_stack(woe), np.column_stack(held)
    with_ones = np.column_stack([np.ones(len(X)), X])
    keep = by_correlation(names, correlations(with_ones.T @ with_ones), worth, 0.7).places()
    X, Z = X[:, keep], Z[:, keep]
    while True:
        fit = fit_logistic(X, y[train])
        p, coefficients = fit.estimates.p_values[1:], fit.coefficients
        gone = (coefficients > 0) | (p > 0.1)
        if not gone.any():
            curve = rank_curve(y[test], fit.log_odds(Z))
            return curve.auc, curve.ks
        worst = int(np.argmax(np.where(gone, p, -1.0)))
        X, Z = np.delete(X, worst, 1), np.delete(Z, worst, 1)


def told(mine: Mapping[str, Any], y: Any, train: Any, test: Any, params: BinParams, *, own: bool) -> Sequence[Any]:
    """Of a party's columns that it is told of: name, (evidence, information value), codes of both samples."""
    counted, bins = [], []
    for values, levels in mine.values():
        cut = prebins_of(values[train], params, levels=levels)
        counts = BinCounts.of(cut.codes(values[train]), y[train], cut.n_bins)
        counted.append(Counted.settle(PrebinShape.of(cut), counts, params))
        bins.append(cut)
    settled = [c.settled for c in counted] if own else tellable(counted, params.iv_disclosure, train.size, BAND)
    found = []
    for (name, (values, _)), cut, column in zip(mine.items(), bins, settled, strict=True):
        if column.table is None or column.n_bins < 2 or not BAND[0] <= column.table.total_iv <= BAND[1]:
            continue
        final = taken(cut, column.labels)
        coarse = params.iv_disclosure == "coarse" and not own
        evidence = coarse_evidence(column.table) if coarse else column.table.woe
        codes = final.codes(values[train]), final.codes(values[test])
        found.append((name, (evidence, column.table.total_iv), codes))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=10)
    splits = parser.parse_args().splits
    for name in SETS:
        columns, y = read(name)
        for rows in (None, 3000, 1000):
            both = []
            for seed in range(splits):
                order = np.random.default_rng(seed).permutation(y.size)
                fifth = int(0.8 * y.size)
                train, test = order[: rows or fifth], order[fifth:]
                both.append([card(columns, y, train, test, how) for how in ("exact", "coarse")])
            figures = np.array(both)
            change = figures[:, 1] - figures[:, 0]
            print(
                json.dumps(
                    {
                        "bench": "coarse_evidence",
                        "case": {"data": name, "train": train.size, "test": test.size, "splits": splits},
                        "exact": dict(zip(("auc", "ks"), figures[:, 0].mean(axis=0).round(4).tolist(), strict=True)),
                        "coarse": dict(zip(("auc", "ks"), figures[:, 1].mean(axis=0).round(4).tolist(), strict=True)),
                        "auc_change": {
                            "mean": round(float(change[:, 0].mean()), 5),
                            "least": round(float(change[:, 0].min()), 5),
                            "largest": round(float(change[:, 0].max()), 5),
                        },
                        "ks_change": {"mean": round(float(change[:, 1].mean()), 5)},
                    }
                    | describe()
                ),
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
