"""The same boosting with all columns in one place: what the federated model is measured against.

Not meant to be fast; meant to be plainly right, and equal to LightGBM on the same bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.binary import gradients, initial_score, log_loss
from fedcredit.credit.growth import TreeGrowth
from fedcredit.credit.params import TreeParams
from fedcredit.credit.quantise import pack, unpack
from fedcredit.credit.schedule import EarlyStopping, features_of_tree, rows_of_tree
from fedcredit.credit.trees import Ensemble, Tree, goes_left

__all__ = ["histograms", "train_centralised"]

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]


def train_centralised(
    codes: U8,
    n_bins: I64,
    missing: Bool,
    y: U8,
    params: TreeParams,
    *,
    quantised: bool = False,
    valid: tuple[U8, U8] | None = None,
) -> Ensemble:
    """Train on pooled codes. Stops early when a tree finds no split, or by the loss on `valid` (codes, y).

    `quantised`: gradients go through the fixed point of `quantise.pack`, as they do between parties.

    Shapes: codes (n, F); n_bins, missing (F,); y (n,), 1 = bad. Raises: DataError LABEL_ONE_CLASS.
    """
    n, F = codes.shape
    model = Ensemble(initial_score(y), (), n_bins, missing)
    raw = np.full(n, model.initial)
    raw_valid = np.full(valid[1].size, model.initial) if valid else np.empty(0)
    stopping = EarlyStopping(params.early_stopping_round if valid else 0)
    trees: list[Tree] = []
    for t in range(params.num_trees):
        in_bag = rows_of_tree(n, params, t)
        g, h = gradients(y, raw, scale_pos_weight=params.scale_pos_weight)
        if in_bag is not None:
            g, h = np.where(in_bag, g, 0.0), np.where(in_bag, h, 0.0)
        if quantised:
            g, h = unpack(*pack(g, h))
        growth = TreeGrowth(
            totals=(float(g.sum()), float(h.sum())),
            n_rows=n,
            n_bins=n_bins,
            missing=missing,
            owner=np.zeros(F, np.int32),
            params=params,
            allowed=features_of_tree(F, params, t),
            in_bag=in_bag,
        )
        tree, leaf_of_row = _grow(growth, codes, g, h, n_bins, missing)
        if tree.n_splits == 0:
            break
        trees.append(tree)
        raw += tree.leaf_value[leaf_of_row]
        if valid:
            raw_valid += tree.leaf_value[tree.leaf_of(model.sides(tree, valid[0]))]
            if stopping.update(log_loss(valid[1], raw_valid)):
                break
    if stopping.patience:
        trees = trees[: stopping.best_tree]
    return Ensemble(model.initial, tuple(trees), n_bins, missing)


def histograms(codes: U8, slot_of_row: I32, n_slots: int, n_bins: int, values: F64) -> F64:
    """Sums of `values` by slot, feature and bin; rows of slot -1 are left out.

    Shapes: codes (n, F); slot_of_row, values (n,); returns (n_slots, F, n_bins).
    """
    rows = np.flatnonzero(slot_of_row >= 0)
    first_cell = slot_of_row[rows].astype(np.int64) * n_bins
    sums = np.empty((n_slots, codes.shape[1], n_bins))
    for f in range(codes.shape[1]):
        cells = first_cell + codes[rows, f]
        sums[:, f] = np.bincount(cells, values[rows], n_slots * n_bins).reshape(n_slots, n_bins)
    return sums


def _grow(growth: TreeGrowth, codes: U8, g: F64, h: F64, n_bins: I64, missing: Bool) -> tuple[Tree, I32]:
    widest = int(n_bins.max())
    while (plan := growth.plan) is not None:
        G, H = (histograms(codes, plan.slot_of_row, len(plan.summed), widest, values) for values in (g, h))
        planned = growth.absorb(G, H)
        if planned:
            growth.split(
                [
                    goes_left(
                        codes[:, p.feature],
                        p.bin,
                        p.missing_left,
                        int(n_bins[p.feature]) - 1 if missing[p.feature] else None,
                    )
                    for p in planned
                ]
            )
    return growth.finish()
