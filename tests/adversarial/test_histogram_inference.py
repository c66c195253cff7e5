"""What the label party can work out, without deviating, from the histograms that joint boosting shows it.

For one bin of a foreign column let x_i say whether row i is in it. Every histogram cell of that bin is the sum of
g_i x_i over a node whose rows the label party knows, with gradients that are its own: one linear equation. The same x
serves all trees, so the equations add up. The column that is attacked is never split on here, so nothing comes from
sides. `docs/protocols/boosting.md` states what follows; this keeps the statement honest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedcredit.credit.binary import gradients, initial_score
from fedcredit.credit.centralised import histograms
from fedcredit.credit.growth import TreeGrowth
from fedcredit.credit.params import TreeParams
from fedcredit.credit.quantise import pack, unpack
from fedcredit.credit.trees import goes_left

BINS, FEATURES = 32, 6
TARGET = FEATURES - 1
"""The column that is attacked."""


def table(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, FEATURES))
    weights = rng.normal(size=FEATURES) / np.sqrt(FEATURES)
    y = (rng.random(n) < 1 / (1 + np.exp(2 - 2 * (X @ weights)))).astype(np.uint8)
    return (X.argsort(axis=0).argsort(axis=0) * BINS // n).astype(np.uint8), y


def equations(codes: Any, y: Any, params: TreeParams) -> tuple[Any, Any]:
    """What the label party sees of the target column while it trains: left sides (e, n), right sides (e, BINS)."""
    n = y.size
    allowed = np.arange(FEATURES) != TARGET
    score = np.full(n, initial_score(y))
    known: list[Any] = []
    shown: list[Any] = []
    for _ in range(params.num_trees):
        g, h = unpack(*pack(*gradients(y, score)))
        growth = TreeGrowth(
            totals=(float(g.sum()), float(h.sum())),
            n_rows=n,
            n_bins=np.full(FEATURES, BINS),
            missing=np.zeros(FEATURES, bool),
            owner=np.zeros(FEATURES, np.int32),
            params=params,
            allowed=allowed,
        )
        while (plan := growth.plan) is not None:
            G, H = (histograms(codes, plan.slot_of_row, len(plan.summed), BINS, values) for values in (g, h))
            for slot in range(len(plan.summed)):
                inside = plan.slot_of_row == slot
                known += [np.where(inside, g, 0.0), np.where(inside, h, 0.0)]
                shown += [G[slot, TARGET], H[slot, TARGET]]
            if planned := growth.absorb(G, H):
                growth.split([goes_left(codes[:, s.feature], s.bin, s.missing_left, None) for s in planned])
        tree, leaf_of_row = growth.finish()
        score = score + tree.leaf_value[leaf_of_row]
    left, right = np.array(known), np.array(shown)
    scale = np.linalg.norm(left, axis=1, keepdims=True)
    return left / scale, right / scale


def share_found(n: int, trees: int) -> float:
    """The share of rows whose exact bin least squares finds."""
    codes, y = table(n)
    left, right = equations(codes, y, TreeParams(num_trees=trees, max_bin=BINS))
    if len(left) < n:
        # The shortest solution, by way of the small side: the same, in less time.
        values, vectors = np.linalg.eigh(left @ left.T)
        kept = values > values.max() * 1e-13
        x = left.T @ ((vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ right))
    else:
        x = np.linalg.lstsq(left, right, rcond=1e-13)[0]
    return float((x.argmax(axis=1) == codes[:, TARGET]).mean())


def test_histograms_of_many_trees_determine_the_bins_of_a_small_table() -> None:
    assert share_found(300, 40) > 0.95


def test_histograms_of_few_trees_do_not_determine_the_bins_of_a_larger_table() -> None:
    """Not by least squares, that is: an attacker who uses that x is 0 or 1 will find more."""
    assert share_found(4000, 2) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("n", "least"), [(2000, 0.99), (10_000, 0.5)])
def test_a_hundred_trees_determine_the_bins_of_thousands_of_rows(n: int, least: float) -> None:
    """A guess would find one in 32."""
    assert share_found(n, 100) > least
