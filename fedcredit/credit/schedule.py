"""What changes from tree to tree: which features and rows take part, and when to stop.

The draws are a function of (seed, tree) alone, from raw Philox words and not from numpy's samplers, whose streams may
change between versions. They are not LightGBM's draws, whose generator is its own; sizes and rules are LightGBM's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.params import TreeParams

__all__ = ["EarlyStopping", "features_of_tree", "rows_of_tree"]

Bool = NDArray[np.bool_]

_FEATURES, _ROWS = 1, 2


def features_of_tree(n_features: int, params: TreeParams, tree: int) -> Bool:
    """Which features tree number `tree` may use (`feature_fraction`; at least two). Shapes: returns (n_features,)."""
    if params.feature_fraction >= 1.0:
        return np.ones(n_features, bool)
    wanted = max(int(n_features * params.feature_fraction + 0.5), min(2, n_features))
    draws = _words(n_features, params.seed, _FEATURES, tree)
    mask = np.zeros(n_features, bool)
    mask[np.argsort(draws, kind="stable")[:wanted]] = True
    return mask


def rows_of_tree(n_rows: int, params: TreeParams, tree: int) -> Bool | None:
    """Which rows tree number `tree` is grown on; None for all. A new bag every `bagging_freq` trees.

    Shapes: returns (n_rows,), each row in the bag with probability `bagging_fraction` on its own.
    """
    if params.bagging_fraction >= 1.0 or params.bagging_freq == 0:
        return None
    draws = _words(n_rows, params.seed, _ROWS, tree // params.bagging_freq)
    return draws < np.uint64(int(params.bagging_fraction * 2.0**64))


@dataclass(slots=True)
class EarlyStopping:
    """Stops when the loss on other rows has not fallen for `early_stopping_round` trees.

    `best_tree` is the number of trees to keep.
    """

    patience: int
    best_loss: float = float("inf")
    best_tree: int = 0
    seen: int = 0

    def update(self, loss: float) -> bool:
        """Take the loss after one more tree; True when growing should stop. Never stops with a patience of 0."""
        self.seen += 1
        if loss < self.best_loss:
            self.best_loss, self.best_tree = loss, self.seen
        return 0 < self.patience <= self.seen - self.best_tree


def _words(n: int, seed: int, purpose: int, index: int) -> NDArray[np.uint64]:
    generator = np.random.Philox(key=np.array([seed, purpose], np.uint64), counter=[0, 0, 0, index])
    return generator.random_raw(n)
