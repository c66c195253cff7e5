"""Logistic regressions by statsmodels' GLM: what `fedcredit.credit.glm` is held against.

    python benchmarks/peers/statsmodels_vectors.py DATA > tests/vectors/statsmodels.json

Random tables are written out; of the data sets in DATA the weights of evidence are those of the bins in
`tests/vectors/optbinning.json` with optbinning's own splits, so that the suite can make the same table again.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import statsmodels
import statsmodels.api as sm

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"default_credit": ("id", "y"), "sba": ("uscc", "default")}
LEFT_OUT = {"approval_year"}


def fitted(X: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None, offset: np.ndarray | None = None) -> dict:
    """What statsmodels says of a table, whose first column is the constant if it has one."""
    family = sm.families.Binomial()
    result = sm.GLM(y, X, family=family, freq_weights=weights, offset=offset).fit(tol=1e-12, maxiter=100)
    return {
        "coefficients": result.params.tolist(),
        "standard_errors": result.bse.tolist(),
        "z": result.tvalues.tolist(),
        "p_values": result.pvalues.tolist(),
        "intervals": result.conf_int(0.05).tolist(),
        "log_likelihood": float(result.llf),
        "aic": float(result.aic),
    }


def random_case(seed: int, n: int, d: int, *, intercept: bool, weighted: bool, offset: bool) -> dict[str, Any]:
    """A small table of round numbers, and its fit."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), 3)
    z = np.round(rng.normal(size=n), 2) if offset else np.zeros(n)
    y = (rng.random(n) < 1 / (1 + np.exp(0.5 - z - X @ rng.normal(size=d) / d))).astype(int)
    weights = rng.integers(0, 6, n) if weighted else None
    full = sm.add_constant(X, has_constant="add") if intercept else X
    found = fitted(full, y, weights, z if offset else None)
    return {
        "X": X.tolist(),
        "y": y.tolist(),
        "weights": None if weights is None else weights.tolist(),
        "offset": z.tolist() if offset else None,
        "intercept": intercept,
        **found,
    }


def real_case(data: Path, folder: str, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """The fit of a data set's table of weights of evidence."""
    key, label = KEYS[folder]
    wanted = [case for case in cases if case["file"].startswith(folder) and case["name"] not in LEFT_OUT]
    files = {}
    for name in {case["file"] for case in wanted}:
        with (data / name).open(newline="") as file:
            files[name] = {row[key]: row for row in csv.DictReader(file)}
    ids = sorted(set.intersection(*(set(rows) for rows in files.values())))
    columns = []
    for case in wanted:
        values = np.array([float(files[case["file"]][i][case["name"]] or "nan") for i in ids])
        own = case["own"]
        codes = np.digitize(values, own["splits"])
        codes[np.isnan(values)] = len(own["woe"]) - 1
        for special in case["special"]:
            codes[values == special] = len(own["woe"]) - 2
        columns.append(np.array(own["woe"])[codes])
    first = files[wanted[0]["file"]]
    y = np.array([int(first[i][label]) for i in ids])
    found = fitted(sm.add_constant(np.stack(columns, axis=1)), y)
    return {"columns": [[case["file"], case["name"]] for case in wanted], "rows": len(ids), **found}


def main() -> int:
    """Write all cases to standard output."""
    optbinning = json.loads((ROOT / "tests" / "vectors" / "optbinning.json").read_text())["real"]
    shapes = [(seed, *shape) for seed, shape in enumerate([(40, 1), (60, 3), (80, 5), (60, 2)])]
    kinds = [(True, False, False), (True, True, False), (True, True, True), (False, False, True)]
    cases = [
        random_case(seed + 10 * k, n, d, intercept=i, weighted=w, offset=o)
        for k, (i, w, o) in enumerate(kinds)
        for seed, n, d in shapes
    ]
    real = {folder: real_case(Path(sys.argv[1]), folder, optbinning) for folder in KEYS}
    source = f"statsmodels {statsmodels.__version__}, by benchmarks/peers/statsmodels_vectors.py"
    json.dump({"source": source, "random": cases, "real": real}, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
