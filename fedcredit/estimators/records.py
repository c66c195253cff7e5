"""What each stage of boosting leaves behind at a party, so that training can go on from there.

A record holds what the stage gave this party and could not be had again without its peers: the public shape of
everybody's features, a tree with the leaf of every row, one's own splits. Secrets of a session (oblivious transfers,
masks) are in none: a new start of the job makes new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.trees import Tree
from fedcredit.ids import PartyId
from fedcredit.protocols.boosting import BinnedColumns, FeatureMap, GrownTree, LentTree, OwnSplit
from fedcredit.runtime.state import StageState, state_invalid

__all__ = ["FeatureSetup", "FeatureTree", "LabelSetup", "LabelTree", "Losses"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U16: TypeAlias = npt.NDArray[np.uint16]

Losses: TypeAlias = tuple[float, float | None]
"""With one more tree: the loss of the rows that are learnt from, and of those that decide when to stop."""


@dataclass(frozen=True, slots=True)
class LabelSetup(StageState):
    """The label party knows the shape of everybody's features.

    Shapes: columns (parties,) numbers of features; groups, missing (F,) of all features in their order.
    """

    schema = "gbdt-label-setup/1"
    columns: I64
    groups: U16
    missing: Bool
    initial: float

    @classmethod
    def of(cls, features: FeatureMap, initial: float) -> Self:
        """The record of a set-up."""
        counts = [len(groups) for groups in features.groups]
        return cls(np.array(counts, np.int64), features.n_bins.astype(np.uint16), features.has_missing, float(initial))

    def features(self, parties: tuple[PartyId, ...]) -> FeatureMap:
        """The features of `parties`. Raises: FedcreditError (STATE_INVALID)."""
        if self.columns.size != len(parties) or self.columns.sum() != self.groups.size:
            raise state_invalid("a set-up of other parties")
        ends = np.cumsum(self.columns)[:-1]
        groups = tuple(tuple(int(b) for b in of) for of in np.split(self.groups, ends))
        return FeatureMap(parties, groups, tuple(tuple(bool(m) for m in of) for of in np.split(self.missing, ends)))


@dataclass(frozen=True, slots=True)
class LabelTree(StageState):
    """One tree at the label party: see `GrownTree` and `Tree`. The losses are None where the tree has no split."""

    schema = "gbdt-label-tree/1"
    owner: I32
    feature: I32
    bin: I32
    missing_left: Bool
    left: I32
    right: I32
    gain: F64
    leaf_value: F64
    foreign: I64
    leaf_of_row: npt.NDArray[np.unsignedinteger[Any]]
    next_round: int
    keep: int | None
    train_loss: float | None
    valid_loss: float | None

    @classmethod
    def of(cls, grown: GrownTree, losses: Losses | None) -> Self:
        """The record of a tree. A row's leaf takes the fewest bytes that will do."""
        small = np.min_scalar_type(grown.tree.n_splits)
        return cls(
            **{name: getattr(grown.tree, name) for name in Tree.__slots__},
            foreign=grown.foreign,
            leaf_of_row=grown.leaf_of_row.astype(small),
            next_round=grown.next_round,
            keep=grown.keep,
            train_loss=None if losses is None else losses[0],
            valid_loss=None if losses is None else losses[1],
        )

    def grown(self, n_rows: int) -> GrownTree:
        """The tree. Raises: FedcreditError (STATE_INVALID)."""
        try:
            tree = Tree(**{name: getattr(self, name) for name in Tree.__slots__})
        except ValueError:
            raise state_invalid("a stage of boosting holds no tree") from None
        leaves = self.leaf_of_row
        if leaves.shape != (n_rows,) or (leaves > tree.n_splits).any() or self.foreign.size != tree.n_splits:
            raise state_invalid("a tree over other rows")
        return GrownTree(tree, leaves, self.foreign, self.next_round, self.keep)

    @property
    def losses(self) -> Losses | None:
        """The losses with this tree; None where it adds nothing."""
        return None if self.train_loss is None else (self.train_loss, self.valid_loss)


@dataclass(frozen=True, slots=True)
class FeatureSetup(StageState):
    """A feature party has declared its columns. Shapes: groups, missing (F,) of its own features."""

    schema = "gbdt-feature-setup/1"
    groups: U16
    missing: Bool

    @classmethod
    def of(cls, columns: BinnedColumns) -> Self:
        """The record of a set-up."""
        return cls(np.array(columns.groups, np.uint16), np.array(columns.missing, bool))

    def check(self, columns: BinnedColumns) -> None:
        """Raises: FedcreditError (STATE_INVALID) unless these are the columns that were declared."""
        same = self.groups.tolist() == list(columns.groups) and self.missing.tolist() == list(columns.missing)
        if not same:
            raise state_invalid("a set-up over other columns")


@dataclass(frozen=True, slots=True)
class FeatureTree(StageState):
    """One tree at a feature party: its own splits in it. Shapes: all (S,)."""

    schema = "gbdt-feature-tree/1"
    feature: I32
    bin: npt.NDArray[np.uint8]
    missing_left: Bool
    next_round: int
    more: bool
    keep: int

    @classmethod
    def of(cls, lent: LentTree) -> Self:
        """The record of a tree."""
        splits: Sequence[OwnSplit] = lent.splits
        return cls(
            np.array([s.feature for s in splits], np.int32),
            np.array([s.bin for s in splits], np.uint8),
            np.array([s.missing_left for s in splits], bool),
            lent.next_round,
            lent.more,
            lent.keep,
        )

    def lent(self, tree: int, columns: BinnedColumns) -> LentTree:
        """Tree number `tree`. Raises: FedcreditError (STATE_INVALID)."""
        splits = tuple(
            OwnSplit(tree, int(f), int(b), bool(m))
            for f, b, m in zip(self.feature, self.bin, self.missing_left, strict=True)
        )
        if any(not 0 <= s.feature < len(columns.groups) or s.bin >= columns.groups[s.feature] for s in splits):
            raise state_invalid("a split of a column that this party does not have")
        return LentTree(splits, self.next_round, self.more, self.keep)
