"""A grown tree over bins, and a sum of such trees.

A tree says, for each split, who owns the feature and at which bin it cuts; thresholds in the units of the column stay
in the owner's `Bins`. So a tree can be evaluated by parties that each answer only for their own splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.binary import probability
from fedcredit.errors import DataError, Problem

__all__ = ["Ensemble", "Tree", "goes_left"]

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A binary tree of S splits and L = S + 1 leaves, numbered as LightGBM numbers them.

    Split 0 is the root; splits are in the order in which they were made, so a child comes after its parent. Rows with
    code <= `bin` of column `feature` at party `owner` go to `left`, missing ones if `missing_left`. A child >= 0 is a
    split, a negative one the leaf `~child`. With S = 0 there is one leaf.

    Shapes: leaf_value (L,), all others (S,). Units: `leaf_value` is in raw score (log-odds), learning rate included.
    Raises: ValueError if it is not a tree.
    """

    owner: I32
    feature: I32
    bin: I32
    missing_left: Bool
    left: I32
    right: I32
    gain: F64
    leaf_value: F64

    def __post_init__(self) -> None:
        S = self.feature.size
        if any(getattr(self, name).shape != (S,) for name in _PER_SPLIT) or self.leaf_value.shape != (S + 1,):
            raise ValueError("Tree: arrays of different lengths")
        children = np.concatenate([self.left, self.right])
        parents = np.concatenate([np.arange(S), np.arange(S)])
        each_once = np.array_equal(np.sort(children), np.r_[-S - 1 : 0, 1:S] if S else [])
        if not each_once or not ((children < 0) | (children > parents)).all():
            raise ValueError("Tree: every split but the root and every leaf is the child of one earlier split")

    @property
    def n_splits(self) -> int:
        """S."""
        return self.feature.size

    def leaf_of(self, sides: Bool) -> I32:
        """The leaf of each row. Shapes: sides (S, n), true where the row goes left at that split; returns (n,)."""
        S, n = sides.shape
        if self.n_splits != S:
            raise ValueError(f"leaf_of: sides of {S} splits for a tree of {self.n_splits}")
        node = np.zeros(n, np.int32) if S else np.full(n, -1, np.int32)
        moving = np.arange(n) if S else np.empty(0, np.int64)
        while moving.size:
            here = node[moving]
            there = np.where(sides[here, moving], self.left[here], self.right[here])
            node[moving] = there
            moving = moving[there >= 0]
        return ~node

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, from which `from_json` makes an equal tree."""
        return {name: getattr(self, name).tolist() for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The tree of `to_json`. Raises: DataError MODEL_INVALID."""
        try:
            if set(data) != set(cls.__slots__):
                raise ValueError("Tree: other keys than a tree has")
            arrays = {name: np.array(data[name], dtype=_DTYPES[name], ndmin=1) for name in cls.__slots__}
            if not all(np.array_equal(arrays[name], np.asarray(data[name])) for name in cls.__slots__):
                raise ValueError("Tree: numbers of the wrong type")
            return cls(**arrays)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                Problem("MODEL_INVALID", "tree", "is not a tree of this version", "train the model again")
            ) from None


_PER_SPLIT = ("owner", "feature", "bin", "missing_left", "left", "right", "gain")
_DTYPES: dict[str, type[np.generic]] = {
    "owner": np.int32,
    "feature": np.int32,
    "bin": np.int32,
    "missing_left": np.bool_,
    "left": np.int32,
    "right": np.int32,
    "gain": np.float64,
    "leaf_value": np.float64,
}


def goes_left(codes: U8, at_bin: int, missing_left: bool, missing_code: int | None) -> Bool:
    """Which rows go left at a split of their column.

    Shapes: codes (n,); returns (n,). `missing_code`: the column's missing bin, None if it has none.
    """
    left: Bool = codes <= at_bin
    if missing_left and missing_code is not None:
        left |= codes == missing_code
    return left


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """A boosted model over one table of codes: `initial` plus the leaf of every tree.

    Shapes: n_bins, missing (F,), the columns' bins as in training; features of all trees number these columns.
    """

    initial: float
    trees: tuple[Tree, ...]
    n_bins: I64 = field(repr=False)
    missing: Bool = field(repr=False)

    def raw_score(self, codes: U8) -> F64:
        """Log-odds of default for each row. Shapes: codes (n, F); returns (n,)."""
        score = np.full(codes.shape[0], self.initial)
        for tree in self.trees:
            score += tree.leaf_value[tree.leaf_of(self.sides(tree, codes))]
        return score

    def predict(self, codes: U8) -> F64:
        """Probability of default for each row. Shapes: codes (n, F); returns (n,)."""
        return probability(self.raw_score(codes))

    def sides(self, tree: Tree, codes: U8) -> Bool:
        """Which rows go left at each split of `tree`. Shapes: codes (n, F); returns (S, n)."""
        sides = np.empty((tree.n_splits, codes.shape[0]), bool)
        for split, f in enumerate(tree.feature):
            missing_code = int(self.n_bins[f]) - 1 if self.missing[f] else None
            sides[split] = goes_left(codes[:, f], int(tree.bin[split]), bool(tree.missing_left[split]), missing_code)
        return sides
