"""The comparison that says what the others' columns are worth: LightGBM itself on the label party's own columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.params import TreeParams
from fedcredit.protocols.boosting import BinnedColumns

__all__ = ["Alone", "train_lightgbm"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Alone:
    """A LightGBM model over bins. `booster` is LightGBM's own object."""

    booster: Any = field(repr=False)

    def predict(self, columns: BinnedColumns) -> F64:
        """Probability of default: (n,)."""
        result: F64 = self.booster.predict(_as_lightgbm(columns))
        return result

    def text(self) -> bytes:
        """LightGBM's own model file, over bin numbers."""
        return str(self.booster.model_to_string()).encode()


def train_lightgbm(columns: BinnedColumns, y: U8, params: TreeParams, valid: Bool | None = None) -> Alone:
    """Train LightGBM on the same bins with the same parameters; `valid` rows only decide when to stop.

    Shapes: columns of n rows; y, valid (n,). Missing values go in as NaN, bins as numbers, one LightGBM bin each.
    """
    import lightgbm

    table = _as_lightgbm(columns)
    settings: dict[str, Any] = {
        "objective": "binary",
        "learning_rate": params.learning_rate,
        "max_depth": params.max_depth,
        "num_leaves": params.max_leaves,
        "min_data_in_leaf": params.min_data_in_leaf,
        "min_sum_hessian_in_leaf": params.min_sum_hessian_in_leaf,
        "min_gain_to_split": params.min_gain_to_split,
        "lambda_l1": params.lambda_l1,
        "lambda_l2": params.lambda_l2,
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": params.bagging_freq,
        "scale_pos_weight": params.scale_pos_weight,
        "seed": params.seed,
        "max_bin": 255,
        "min_data_in_bin": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    held = np.zeros(y.size, bool) if valid is None else valid
    train = lightgbm.Dataset(table[~held], y[~held], params=settings)
    stopping: dict[str, Any] = {}
    if params.early_stopping_round and held.any():
        stopping = {
            "valid_sets": [lightgbm.Dataset(table[held], y[held], reference=train)],
            "callbacks": [lightgbm.early_stopping(params.early_stopping_round, verbose=False)],
        }
    return Alone(lightgbm.train(settings, train, params.num_trees, **stopping))


def _as_lightgbm(columns: BinnedColumns) -> F64:
    table = columns.codes.T.astype(np.float64)
    for f, (groups, missing) in enumerate(zip(columns.groups, columns.missing, strict=True)):
        if missing:
            table[table[:, f] == groups - 1, f] = np.nan
    return table
