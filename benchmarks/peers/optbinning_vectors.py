"""Write what optbinning makes of counts and of the real data sets: the file `tests/vectors/optbinning.json`.

    benchmarks/peers/.oracle/bin/python benchmarks/peers/optbinning_vectors.py DATA > tests/vectors/optbinning.json

optbinning needs an older protobuf than fedcredit, so it has an environment of its own (README.md) and the suite reads
what it said. DATA is the folder of the data sets; without it, the vectors of real columns are left out.
"""

from __future__ import annotations

import csv
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optbinning
from numpy.typing import NDArray
from optbinning import OptimalBinning

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
TRENDS = ["ascending", "descending", "peak", "valley", None]


def rows_of(good: I64, bad: I64) -> tuple[F64, I64]:
    """A column whose value is the number of its pre-bin, and its labels."""
    places = np.arange(good.size)
    x = np.r_[np.repeat(places, good), np.repeat(places, bad)].astype(float)
    return x, np.r_[np.zeros(good.sum(), np.int64), np.ones(bad.sum(), np.int64)]


def optimal(seed: int) -> dict[str, Any]:
    """Bins of random pre-bins under random limits, every trend in turn."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 13))
    rows = rng.integers(40, 400, n)
    shape = [np.linspace(-1, 1, n), np.linspace(1, -1, n), np.sin(np.linspace(0, np.pi, n)) * 2 - 1]
    logit = shape[seed % 3] * rng.choice([1, -1]) * rng.uniform(0.2, 1.2) + rng.normal(0, 0.35, n) - 1.2
    bad = np.clip(rng.binomial(rows, 1 / (1 + np.exp(-logit))), 1, rows - 1)
    good = rows - bad
    trend = TRENDS[seed // 3 % len(TRENDS)]
    options: dict[str, Any] = {
        "max_n_bins": int(rng.integers(3, 9)),
        "min_bin_size": float(rng.choice([0.05, 0.1, 0.2])),
        "min_bin_n_event": int(rng.choice([1, 10, 60])),
        "min_bin_n_nonevent": int(rng.choice([1, 10, 60])),
        # Above 0 so that optbinning does not rule out splits between two pre-bins that are against the trend, which
        # is right only without limits; and below its resolution of 1e-6, so that it asks nothing.
        "min_event_rate_diff": float(rng.choice([1e-9, 1e-9, 0.02])),
        "max_pvalue": [None, None, 0.05][int(rng.integers(3))],
    }
    x, y = rows_of(good, bad)
    splits = (np.arange(n - 1) + 0.5).tolist()
    found = {}
    for name, method in (("kept", trend), ("auto", "auto")):
        fit = OptimalBinning(monotonic_trend=method, user_splits=splits, **options).fit(x, y)
        fit.binning_table.build()
        ends = [*(int(split) for split in fit.splits), n - 1]
        found[name] = {"status": fit.status, "ends": ends, "iv": float(fit.binning_table.iv)}
    return {"good": good.tolist(), "bad": bad.tolist(), "trend": trend or "none", "options": options, **found}


def table(fit: OptimalBinning) -> dict[str, Any]:
    """A binning table, without its last row."""
    rows = fit.binning_table.build(add_totals=False)
    names = {"good": "Non-event", "bad": "Event", "rate": "Event rate", "woe": "WoE", "iv": "IV"}
    return {name: rows[column].tolist() for name, column in names.items()} | {"total_iv": float(fit.binning_table.iv)}


def columns(data: Path) -> list[tuple[str, str, F64, I64]]:
    """Numeric columns of the real data sets, as file and name, with the labels of the rows that both files have."""
    sets = [
        (
            "default_credit/default_credit_hetero_guest.csv",
            "id",
            "y",
            ["default_credit/default_credit_hetero_host.csv"],
        ),
        ("sba/bank.csv", "uscc", "default", ["sba/employment.csv"]),
    ]
    found = []
    for first, key, label, others in sets:
        tables = {name: read(data / name, key) for name in (first, *others)}
        ids = sorted(set.intersection(*(set(rows) for rows in tables.values())))
        y = np.array([int(tables[first][i][label]) for i in ids])
        for file, rows in tables.items():
            for name in [name for name in next(iter(rows.values())) if name != label]:
                values = np.array([float(rows[i][name] or "nan") for i in ids])
                found.append((file, name, values, y))
    return found


def read(path: Path, key: str) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row.pop(key): row for row in csv.DictReader(file)}


def real(file: str, name: str, values: F64, y: I64) -> dict[str, Any]:
    """optbinning's own bins of a column, 0 a special value in every other one, and those of given pre-bins."""
    special = [0.0] if len(name) % 2 and (values == 0).sum() >= 50 else []
    fit = OptimalBinning(special_codes=special or None).fit(values, y)
    plain = values[~np.isnan(values) & ~np.isin(values, special)]
    prebins = np.unique(np.quantile(plain, np.linspace(0, 1, 13)[1:-1]))
    prebins = prebins[(prebins > plain.min()) & (prebins < plain.max())].tolist()
    trends = {}
    # optbinning 1.0 fails on a column that no pre-bins are given for.
    for trend in ("ascending", "descending", "peak", "valley") if prebins else ():
        limits = {"max_n_bins": 8, "min_bin_size": 0.05, "min_bin_n_event": 10, "min_bin_n_nonevent": 10}
        bins = OptimalBinning(
            user_splits=prebins,
            monotonic_trend=trend,
            special_codes=special or None,
            min_event_rate_diff=1e-9,
            **limits,
        ).fit(values, y)
        trends[trend] = {"status": bins.status, "splits": bins.splits.tolist(), **table(bins)}
    splits = {"splits": fit.splits.tolist(), **table(fit)}
    return {"file": file, "name": name, "special": special, "own": splits, "prebins": prebins, "trends": trends}


def categorical(seed: int) -> dict[str, Any]:
    """Groups of levels."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(60, 300, 9)
    bad = np.clip(rng.binomial(rows, rng.uniform(0.05, 0.5, 9)), 1, rows - 1)
    x, y = rows_of(rows - bad, bad)
    fit = OptimalBinning(dtype="categorical", min_event_rate_diff=1e-9, max_n_bins=5, max_n_prebins=9).fit(
        np.array([f"level {int(level)}" for level in x], dtype=object), y
    )
    groups = [[int(level.split()[1]) for level in group] for group in fit.splits]
    return {"good": (rows - bad).tolist(), "bad": bad.tolist(), "groups": groups, "kept": table(fit)}


def main() -> None:
    warnings.simplefilter("ignore")
    vectors: dict[str, Any] = {
        "source": f"optbinning {optbinning.__version__}, by benchmarks/peers/optbinning_vectors.py",
        "optimal": [optimal(seed) for seed in range(90)],
        "categorical": [categorical(seed) for seed in range(6)],
    }
    if len(sys.argv) > 1:
        vectors["real"] = [real(*column) for column in columns(Path(sys.argv[1]))]
    json.dump(vectors, sys.stdout, indent=None, separators=(",", ":"))


if __name__ == "__main__":
    main()
