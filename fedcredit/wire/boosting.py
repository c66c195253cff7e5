"""Messages of joint gradient boosting: `docs/protocols/boosting.md`. Histograms travel as group-by-sums.

The label party L has labels and may have columns; feature parties P have columns. Features and bins of P are opaque
numbers to L.
Assumes: all parties are semi-honest; the link authenticates them; P answers for its true columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fedcredit.kernels.onehot import MAX_GROUPS, U8, U16, U32
from fedcredit.wire._gen import boosting_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, count, flag

__all__ = [
    "LEFT_OUT",
    "MAX_FEATURES",
    "MAX_NODES",
    "MAX_SLOTS",
    "MAX_TREES",
    "FeatureBins",
    "NodeSlots",
    "Sides",
    "SplitQueries",
    "SumNodes",
    "TreeEnd",
    "TreeStart",
]

MAX_FEATURES: Final = 100_000
MAX_TREES: Final = 10_000
MAX_NODES: Final = 1024
MAX_SPLITS: Final = MAX_TREES * MAX_NODES
MAX_ROWS: Final = 1 << 27
MAX_SLOTS: Final = 1 << 19
MAX_BITS_BYTES: Final = 7 << 20
LEFT_OUT: Final = 0xFFFF
"""The slot of a row that a level does not sum."""


@dataclass(frozen=True, slots=True, repr=False)
class FeatureBins(Message, tag=0x40, proto=pb.FeatureBins):
    """P's columns, by opaque number: how many bins each has, and whether the last one holds missing values.

    Reveals: to L, the number of P's usable columns, of their bins, and which have missing values.
    Assumes: see the module.
    """

    groups: U16 = array("u2", 1, MAX_FEATURES)
    missing: U8 = array("u1", 1, MAX_FEATURES)

    def validate(self) -> None:
        if self.groups.shape != self.missing.shape:
            raise MessageInvalid("FeatureBins", "groups and missing differ in length", "ARRAY_INVALID")
        if ((self.groups < 2) | (self.groups > MAX_GROUPS)).any() or (self.missing > 1).any():
            raise MessageInvalid("FeatureBins", "a column has fewer than 2 or more than 256 bins", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class TreeStart(Message, tag=0x41, proto=pb.TreeStart):
    """L begins tree number `tree` over these of P's features.

    Reveals: nothing that the job's public seed does not say. Assumes: see the module.
    """

    tree: int = count(MAX_TREES)
    features: U32 = array("u4", 1, MAX_FEATURES)


@dataclass(frozen=True, slots=True, repr=False)
class SumNodes(Message, tag=0x42, proto=pb.SumNodes):
    """L asks for the histograms of `n_nodes` nodes; 0 ends the tree.

    Reveals: to P, how many nodes of the level are summed. Assumes: see the module.
    """

    n_nodes: int = count(MAX_NODES)


@dataclass(frozen=True, slots=True, repr=False)
class NodeSlots(Message, tag=0x46, proto=pb.NodeSlots):
    """Which of the nodes each training row lies in, for a run of rows from number `first` on; never with `hide_nodes`.

    Reveals: to P, which training rows lie in each summed node. Assumes: see the module.
    """

    first: int = count(MAX_ROWS)
    slots: U16 = array("u2", 1, MAX_SLOTS)


@dataclass(frozen=True, slots=True, repr=False)
class SplitQueries(Message, tag=0x43, proto=pb.SplitQueries):
    """L asks which rows go left at these splits of P's features; may be empty.

    Reveals: to P, which of its features and bins split. Assumes: see the module.
    """

    features: U32 = array("u4", 1, MAX_NODES)
    bins: U8 = array("u1", 1, MAX_NODES)
    missing_left: U8 = array("u1", 1, MAX_NODES)

    def validate(self) -> None:
        if self.features.shape != self.bins.shape or self.features.shape != self.missing_left.shape:
            raise MessageInvalid("SplitQueries", "arrays differ in length", "ARRAY_INVALID")
        if (self.missing_left > 1).any():
            raise MessageInvalid("SplitQueries.missing_left", "not a boolean", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class Sides(Message, tag=0x44, proto=pb.Sides):
    """P's answer for splits `first ...`: one bit a row, 1 = left: (splits, ceil(rows / 8)).

    Reveals: to L, for every row, on which side of each of P's splits it falls. Assumes: see the module.
    """

    first: int = count(MAX_SPLITS)
    bits: U8 = array("u1", 2, MAX_BITS_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class TreeEnd(Message, tag=0x45, proto=pb.TreeEnd):
    """L ends a tree: which of P's splits in it are in the model, by number in the order asked; is there another tree?

    If not, `trees` is the number of trees that the model keeps: early stopping may drop the last ones.
    Reveals: to P, which of its splits the model uses, and the number of trees. Assumes: see the module.
    """

    more: bool = flag()
    trees: int = count(MAX_TREES)
    kept: U32 = array("u4", 1, MAX_NODES)

    def validate(self) -> None:
        if np.unique(self.kept).size != self.kept.size:
            raise MessageInvalid("TreeEnd.kept", "a split is named twice", "ARRAY_INVALID")
