"""20,734 loans of one bank, as if 3, 5 or 10 had given them: split by the year of approval, and by a hash."""

from __future__ import annotations

import csv
import functools
import hashlib
from pathlib import Path

import numpy as np
import pytest
from horizontal.boosting_cases import fit_all, leaf_difference, pooled_model, same_structure, trees_of

from fedcredit.credit.metrics import auc
from fedcredit.credit.params import TreeParams
from fedcredit.tables import Column

BANK = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "sba" / "bank.csv"
FEATURES = ("term_months", "disbursed_usd", "approved_usd", "guaranteed_usd", "revolving", "low_doc")
PARAMS = TreeParams(num_trees=5, max_depth=5, max_bin=32, min_data_in_leaf=1, min_sum_hessian_in_leaf=5.0)

pytestmark = [pytest.mark.shared, pytest.mark.slow]


@functools.cache
def loans() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Columns, labels, years, and a hash of the identifier."""
    if not BANK.exists():
        pytest.skip("../shared/data is not beside this checkout")
    with BANK.open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = {name: np.array([float(row[name] or "nan") for row in rows]) for name in FEATURES}
    y = np.array([int(row["default"]) for row in rows], np.uint8)
    hashed = [int.from_bytes(hashlib.sha256(row["uscc"].encode()).digest()[:4]) for row in rows]
    return values, y, np.array([float(row["approval_year"] or "nan") for row in rows]), np.array(hashed)


def owners(how: str, members: int) -> np.ndarray:
    """By year: members that came one after the other, of the same size, with years in common where two meet."""
    _, y, years, hashed = loans()
    if how == "hash":
        return hashed % members
    owner = np.empty(y.size, int)
    owner[np.lexsort((hashed, years))] = np.arange(y.size) * members // y.size
    return owner


@pytest.mark.parametrize("how", ["year", "hash"])
@pytest.mark.parametrize("members", [3, 5, 10])
def test_trees_are_those_of_lightgbm_on_all_loans(members: int, how: str) -> None:
    values, y, _, _ = loans()
    owner = owners(how, members)
    assert np.unique(owner).size == members
    models = fit_all(PARAMS, values, y, owner)
    alone = pooled_model(PARAMS, models[0].edges_, values, y)
    assert {model.model_ for model in models} == {models[0].model_}
    assert len(trees_of(alone)) == PARAMS.num_trees
    assert same_structure(models[0].model_, alone)
    assert leaf_difference(models[0].model_, alone) < 1e-8
    columns = {name: Column(name, "numeric", column) for name, column in values.items()}
    assert auc(y, models[0].predict(columns)) > 0.9
