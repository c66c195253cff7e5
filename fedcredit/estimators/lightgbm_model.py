"""LightGBM's model files as text: trees over bin numbers in, an ordinary model with real thresholds out.

A tree is kept as LightGBM writes it, without its number: lines `num_leaves=` to `shrinkage=`. Its thresholds are
between the numbers of two bins; in a model they are the edge between these bins, and rows go the same way.

Source: LightGBM 4.7, src/boosting/gbdt_model_text.cpp and src/io/tree.cpp (`Tree::ToString`).
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence

from fedcredit.credit.params import TreeParams
from fedcredit.errors import FedcreditError

__all__ = ["coded_model", "feature_name", "model_text", "tree_of", "with_leaf_count"]

_FIRST, _END = "Tree=0\n", "\n\nend of trees"
_LARGEST = sys.float_info.max


def tree_of(text: str) -> str:
    """The one tree of a model file. Raises: FedcreditError where the file is not as expected."""
    begin, end = text.find(_FIRST), text.find(_END)
    tree = text[begin + len(_FIRST) : end]
    if begin < 0 or end < 0 or not tree.startswith("num_leaves=") or "num_cat=0\n" not in tree or _FIRST in tree:
        raise FedcreditError("LightGBM writes models in another way than expected")
    return tree.rstrip("\n") + "\n"


def with_leaf_count(tree: str, rows: int) -> str:
    """A tree of one leaf as if it had been grown on `rows` rows: LightGBM notes a member's own there. Others stay."""
    if _field(tree, "num_leaves") != "1":
        return tree
    return "".join(
        f"leaf_count={rows}\n" if line.startswith("leaf_count=") else line for line in tree.splitlines(keepends=True)
    )


def coded_model(trees: Sequence[str], n_features: int) -> str:
    """A model of `trees` that predicts from bin numbers, missing ones NaN."""
    names = [f"Column_{f}" for f in range(n_features)]
    return _file(trees, names, ["[0:0]"] * n_features, {})


def model_text(trees: Sequence[str], edges: Mapping[str, Sequence[float]], params: TreeParams) -> str:
    """The model as LightGBM would have written it after training on raw columns cut at `edges`, equal at all members.

    It loads with `lightgbm.Booster(model_str=...)`. Rows are columns in the order of `edges`, missing values NaN.
    """
    cuts = list(edges.values())
    names = [feature_name(name) for name in edges]
    infos = [f"[{_number(of[0])}:{_number(of[-1])}]" if of else "none" for of in cuts]
    settings = {
        "boosting": "gbdt",
        "objective": "binary",
        "tree_learner": "data",
        **{field.name: getattr(params, field.name) for field in dataclasses.fields(params)},
        "num_leaves": params.max_leaves,
    }
    settings["num_iterations"] = settings.pop("num_trees")
    return _file([_with_edges(tree, cuts) for tree in trees], names, infos, settings)


def feature_name(name: str) -> str:
    """A column's name as LightGBM writes it: blanks would end it."""
    return "_".join(name.split())


def _with_edges(tree: str, cuts: Sequence[Sequence[float]]) -> str:
    features = [int(f) for f in _field(tree, "split_feature").split()]
    thresholds = [float(t) for t in _field(tree, "threshold").split()]
    real = [_edge(cuts[f], t) for f, t in zip(features, thresholds, strict=True)]
    line = f"threshold={' '.join(map(_number, real))}\n"
    return "".join(line if row.startswith("threshold=") else row for row in tree.splitlines(keepends=True))


def _edge(cuts: Sequence[float], threshold: float) -> float:
    """Bin k holds what is above edge k - 1 and not above edge k. Above all edges is what LightGBM writes for no end."""
    if threshold >= len(cuts):
        return min(threshold, _LARGEST)  # the last bin has no edge, which LightGBM may also write as infinite
    return cuts[math.floor(threshold)]


def _file(trees: Sequence[str], names: Sequence[str], infos: Sequence[str], settings: Mapping[str, object]) -> str:
    blocks = [f"Tree={number}\n{tree}\n\n" for number, tree in enumerate(trees)]
    head = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={len(names) - 1}",
        "objective=binary sigmoid:1",
        f"feature_names={' '.join(names)}",
        f"feature_infos={' '.join(infos)}",
        f"tree_sizes={' '.join(str(len(block.encode())) for block in blocks)}",
    ]
    parameters = [f"[{name}: {value}]" for name, value in settings.items()]
    tail = ["end of trees", "", "feature_importances:", *_importances(trees, names), "", "parameters:", *parameters]
    return "\n".join(
        [*head, "", "".join(blocks) + tail[0], *tail[1:], "", "end of parameters", "", "pandas_categorical:null", ""]
    )


def _importances(trees: Sequence[str], names: Sequence[str]) -> list[str]:
    """In how many splits each feature is, most first."""
    counts = [0] * len(names)
    for tree in trees:
        for feature in _field(tree, "split_feature").split():
            counts[int(feature)] += 1
    ranked = sorted((f for f in range(len(names)) if counts[f]), key=lambda f: -counts[f])
    return [f"{names[f]}={counts[f]}" for f in ranked]


def _field(tree: str, name: str) -> str:
    for line in tree.splitlines():
        if line.startswith(f"{name}="):
            return line.partition("=")[2]
    raise FedcreditError("LightGBM writes trees in another way than expected")


def _number(value: float) -> str:
    return f"{value:.17g}"
