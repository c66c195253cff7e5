"""LightGBM as the oracle of the boosting in `fedcredit.credit`: the same bins in, the same trees out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.params import TreeParams
from fedcredit.credit.trees import Ensemble

if TYPE_CHECKING:
    import lightgbm

Table = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_], NDArray[np.uint8]]


def table(seed: int, n: int = 3000, features: int = 6, max_values: int = 20) -> Table:
    """Random codes (missing ones in every other column, once a column of one value and missing), bins and labels."""
    rng = np.random.default_rng(seed)
    codes = np.empty((n, features), np.uint8)
    n_bins, missing = np.empty(features, np.int64), np.zeros(features, bool)
    logit = np.full(n, -1.5)
    for f in range(features):
        values = 1 if f == features - 2 else int(rng.integers(2, max_values))
        column = rng.integers(0, values, n)
        column[:values] = np.arange(values)
        logit += rng.normal() * (column / values - 0.5) * 2
        missing[f] = f % 2 == 0
        if missing[f]:
            gone = rng.random(n) < 0.1
            gone[: values + 1] = np.arange(values + 1) == values
            logit += gone * rng.normal()
            column[gone] = values
        codes[:, f], n_bins[f] = column, values + int(missing[f])
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
    return codes, n_bins, missing, y


def with_nan(codes: NDArray[np.uint8], n_bins: NDArray[np.int64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Codes as LightGBM is fed them: its bins are then ours, in our order."""
    X = codes.astype(np.float64)
    X[missing & (codes == n_bins - 1)] = np.nan
    return X


def train_lightgbm(X: NDArray[np.float64], y: NDArray[np.uint8], params: TreeParams) -> lightgbm.Booster:
    """LightGBM with the same parameters, and nothing that would change bins or add randomness."""
    # Imported here: it takes a second, which each process that collects the tests would wait.
    import lightgbm

    settings = {
        "objective": "binary",
        "boost_from_average": True,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "min_data_in_bin": 1,
        "max_bin": 255,
        "bin_construct_sample_cnt": 10_000_000,
        "feature_pre_filter": False,
        "enable_bundle": False,
        "zero_as_missing": False,
        "verbosity": -1,
        "num_leaves": params.max_leaves,
    }
    same = ("learning_rate", "max_depth", "min_data_in_leaf", "min_sum_hessian_in_leaf", "min_gain_to_split")
    settings |= {name: getattr(params, name) for name in (*same, "lambda_l1", "lambda_l2", "scale_pos_weight")}
    return lightgbm.train(settings, lightgbm.Dataset(X, y), params.num_trees)


def differences(model: Ensemble, booster: lightgbm.Booster) -> list[str]:
    """Where the two models are not the same tree, split by split, or differ in a leaf by more than 1e-6."""
    found: list[str] = []
    dump = booster.dump_model()["tree_info"]
    if len(dump) != len(model.trees):
        return [f"{len(dump)} and {len(model.trees)} trees"]
    for t, tree in enumerate(model.trees):
        # LightGBM adds the initial score to the leaves of its first tree.
        shift = model.initial if t == 0 else 0.0

        def walk(node: dict[str, Any], t: int = t, tree: Any = tree, shift: float = shift) -> None:
            if "leaf_value" in node:
                leaf = node["leaf_index"]
                if abs(node["leaf_value"] - shift - tree.leaf_value[leaf]) > 1e-6:
                    found.append(f"tree {t} leaf {leaf}")
                return
            s, f = node["split_index"], node["split_feature"]
            highest = int(model.n_bins[f]) - 1 - int(model.missing[f])
            theirs = (f, int(min(node["threshold"], highest)), node["default_left"])
            ours = (int(tree.feature[s]), int(tree.bin[s]), bool(tree.missing_left[s]))
            if theirs != ours and (theirs[:2] != ours[:2] or model.missing[f]):
                found.append(f"tree {t} split {s}: {theirs} and {ours}")
            if not np.isclose(node["split_gain"], tree.gain[s], rtol=1e-4):
                found.append(f"tree {t} split {s}: gain {node['split_gain']} and {tree.gain[s]}")
            walk(node["left_child"])
            walk(node["right_child"])

        if dump[t]["num_leaves"] != tree.leaf_value.size:
            found.append(f"tree {t}: {dump[t]['num_leaves']} and {tree.leaf_value.size} leaves")
        else:
            walk(dump[t]["tree_structure"])
    return found
