"""Trees as scores of them need them: slots for their leaves, and what each party has to know of a slot.

A leaf is reached where all splits on its path go its way. Leaves with the same conditions at providers share a slot:
two of one tree then differ in the bank's own splits, of which at most one leaf's hold; those of several trees are
reached together. A leaf that depends on own splits alone needs no slot. So a subject's score is a sum of weights that
follow from own splits, over the slots whose conditions hold at all providers.

No role of its own. Reveals: nothing by itself; `wire.score_trees.TreesMap` says what a provider's conditions tell it.
Assumes: nothing. Shapes: S slots; n rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.trees import Tree
from fedcredit.crypto.rlwe_chain import Conditions
from fedcredit.kernels import digest

__all__ = ["LeafMap", "OwnCut"]

Bools: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

Condition: TypeAlias = tuple[int, int, bool]
"""Whose split, its number at its owner, and whether left is the side."""


@dataclass(frozen=True, slots=True)
class OwnCut:
    """A split of the bank's own, numbered by its place in `LeafMap.cuts`: see `credit.trees.Tree`."""

    feature: int
    bin: int
    missing_left: bool


@dataclass(frozen=True, slots=True, eq=False)
class LeafMap:
    """The slots of a model's trees. Made by `of`; the bank's alone, but for each provider's `conditions`.

    `conditions[p]`: when provider p keeps a slot. `cuts`: the bank's own splits. `base`: a constant of every score, so
    that weights are as small as can be. `spread`: the most that all weights can add up to in size. `trees`: those that
    have slots.
    """

    conditions: tuple[Conditions, ...] = field(repr=False)
    cuts: tuple[OwnCut, ...] = field(repr=False)
    base: float = field(repr=False)
    spread: float
    trees: int
    _slot: I64 = field(repr=False)
    """Of each leaf, in order, leaves without one last."""
    _value: F64 = field(repr=False)
    _own: I64 = field(repr=False)
    """(leaves, longest path): own splits on a leaf's path, and past its end `len(cuts)`."""
    _left: Bools = field(repr=False)

    @classmethod
    def of(cls, trees: Sequence[Tree], foreign: Sequence[I64], providers: int, key: bytes) -> LeafMap:
        """That of `trees`, whose owner 0 is the bank, and owner p >= 1 a provider that numbers its splits by `foreign`.

        `key`: 32 bytes, the bank's secret of this version, by which slots are ordered: the same map for the same key.
        Raises: ValueError where trees are of other parties or no provider has a split in them.
        """
        cuts: list[OwnCut] = []
        leaves: list[tuple[str, float, list[tuple[int, bool]]]] = []
        base = spread = 0.0
        shared = 0
        for tree, numbers in zip(trees, foreign, strict=True):
            if ((tree.owner < 0) | (tree.owner > providers)).any():
                raise ValueError("LeafMap: a split of a party that is none of the providers")
            paths = _paths(tree, numbers, cuts)
            theirs = ["" if all(not c[0] for c in path) else _signature(path) for path in paths]
            middle = half = 0.0
            if any(theirs):
                middle = float(tree.leaf_value.min() + tree.leaf_value.max()) / 2
                half, shared = float(np.ptp(tree.leaf_value)) / 2, shared + 1
            base, spread = base + middle, spread + half
            for text, path, value in zip(theirs, paths, tree.leaf_value, strict=True):
                leaves.append((text, float(value) - middle, [(number, left) for p, number, left in path if not p]))
        slots = _ordered({text for text, *_ in leaves if text}, key)
        if not slots:
            raise ValueError("LeafMap: no provider has a split in the trees")
        place = {text: slot for slot, text in enumerate(slots)} | {"": len(slots)}
        leaves.sort(key=lambda leaf: place[leaf[0]])
        longest = max(len(own) for *_, own in leaves)
        number, left = np.full((len(leaves), longest), len(cuts), np.int64), np.ones((len(leaves), longest), np.bool_)
        for row, (*_, own) in enumerate(leaves):
            for column, (cut, side) in enumerate(own):
                number[row, column], left[row, column] = cut, side
        return cls(
            _conditions([json.loads(text) for text in slots], providers),
            tuple(cuts),
            base,
            spread,
            shared,
            np.array([place[text] for text, *_ in leaves], np.int64),
            np.array([value for _, value, _ in leaves]),
            number,
            left,
        )

    def __len__(self) -> int:
        """S."""
        return len(self.conditions[0])

    def weights(self, sides: Bools, scale: float) -> tuple[I64, F64]:
        """What each slot is worth to each row, in units of 1 / `scale`, and what a row scores without any provider.

        Shapes: sides (own splits, n), true where the row goes left; returns (n, S), (n,).
        """
        n = sides.shape[1]
        if sides.shape != (len(self.cuts), n) or sides.dtype != np.bool_:
            raise ValueError(f"LeafMap: sides {sides.shape} {sides.dtype} of {len(self.cuts)} own splits")
        every = np.concatenate([sides, np.ones((1, n), np.bool_)])
        reached = np.ones((len(self._slot), n), np.bool_)
        for number, left in zip(self._own.T, self._left.T, strict=True):
            reached &= every[number] == left[:, None]
        end = int(np.searchsorted(self._slot, len(self)))
        units = np.rint(self._value[:end] * scale).astype(np.int64)
        starts = np.searchsorted(self._slot[:end], np.arange(len(self)))
        weights: I64 = np.add.reduceat(np.where(reached[:end], units[:, None], 0), starts, axis=0)
        own = self._value[end:] @ reached[end:] if end < len(self._slot) else np.zeros(n)
        return np.ascontiguousarray(weights.T), self.base + own


def _paths(tree: Tree, numbers: I64, cuts: list[OwnCut]) -> list[list[Condition]]:
    """The conditions of each leaf; own splits are added to `cuts`."""
    paths: list[list[Condition]] = [[] for _ in range(tree.n_splits + 1)]
    above: list[list[Condition]] = [[] for _ in range(tree.n_splits)]
    for split in range(tree.n_splits):
        owner, number = int(tree.owner[split]), int(numbers[split])
        if owner == 0:
            number = len(cuts)
            cuts.append(OwnCut(int(tree.feature[split]), int(tree.bin[split]), bool(tree.missing_left[split])))
        # A child comes after its parent.
        for child, left in ((int(tree.left[split]), True), (int(tree.right[split]), False)):
            (paths if child < 0 else above)[~child if child < 0 else child] = [*above[split], (owner, number, left)]
    return paths


def _signature(path: list[Condition]) -> str:
    return json.dumps(sorted(condition for condition in path if condition[0]))


def _ordered(texts: set[str], key: bytes) -> list[str]:
    """In an order that says nothing to who has not the key."""
    known = sorted(texts)
    digests = [digest.keyed(key, np.frombuffer(text.encode(), np.uint8).reshape(1, -1)).tobytes() for text in known]
    return [text for _, text in sorted(zip(digests, known, strict=True))]


def _conditions(slots: list[list[Condition]], providers: int) -> tuple[Conditions, ...]:
    found = []
    for provider in range(1, providers + 1):
        own = [[(number, left) for owner, number, left in slot if owner == provider] for slot in slots]
        first = np.cumsum([0, *map(len, own)]).astype(np.uint32)
        flat = [condition for slot in own for condition in slot]
        bit = np.array([number for number, _ in flat], np.uint32)
        found.append(Conditions(first, bit, np.array([left for _, left in flat], np.uint8)))
    return tuple(found)
