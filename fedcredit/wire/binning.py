"""Messages of federated binning: `docs/protocols/binning.md`. Counts travel under ring-LWE, or as group-by-sums.

The label party L has labels and may have columns; feature parties P have columns. Columns and bins of P are opaque
numbers to L.
Assumes: all parties are semi-honest; the link authenticates them; P answers for its true columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedcredit.kernels.onehot import MAX_GROUPS, U8, U16, U32
from fedcredit.wire._gen import binning_pb2 as pb
from fedcredit.wire.encryption import MAX_CHUNK_BYTES
from fedcredit.wire.message import Message, MessageInvalid, array, blob, count

__all__ = [
    "COLUMNS_AT_ONCE",
    "MAX_BATCHES",
    "MAX_CHUNK_WORDS",
    "MAX_FEATURES",
    "CountKey",
    "CountPlan",
    "Prebins",
    "RowCounts",
    "SealedCounts",
    "SealedLabels",
    "SettledBins",
]

F64 = npt.NDArray[np.float64]

MAX_FEATURES: Final = 100_000
MAX_BATCHES: Final = MAX_FEATURES
MAX_SPECIAL: Final = 64
COLUMNS_AT_ONCE: Final = 256
"""Columns of one `SettledBins`, so that it stays below a mebibyte."""
MAX_CHUNK_WORDS: Final = 1 << 17
MAX_KEY_BYTES: Final = 1 << 20
MAX_STREAM: Final = 1 << 40


@dataclass(frozen=True, slots=True, repr=False)
class Prebins(Message, tag=0x60, proto=pb.Prebins):
    """P's columns, by opaque number: pre-bins of values, whether missing ones have one, those of special values, and
    the style: 0 numbers, 1 levels, 2 cut by hand.

    Reveals: to L, the number of P's columns and of their pre-bins, which have missing and special values, are
    categorical, or were cut by hand. Assumes: see the module.
    """

    values: U16 = array("u2", 1, MAX_FEATURES)
    missing: U8 = array("u1", 1, MAX_FEATURES)
    special: U8 = array("u1", 1, MAX_FEATURES)
    style: U8 = array("u1", 1, MAX_FEATURES)

    def validate(self) -> None:
        if not self.values.shape == self.missing.shape == self.special.shape == self.style.shape:
            raise MessageInvalid("Prebins", "arrays differ in length", "ARRAY_INVALID")
        bins = self.values.astype(np.int64) + self.missing + self.special
        wrong = (self.missing > 1) | (self.special > MAX_SPECIAL) | (self.style > 2)
        wrong |= (bins > MAX_GROUPS) | ((self.values == 0) & (self.missing == 0))
        if (wrong | ((self.style == 1) & (self.special > 0))).any():
            raise MessageInvalid("Prebins", "a column is like none", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class CountPlan(Message, tag=0x61, proto=pb.CountPlan):
    """In how many batches of columns L counts, over all parties.

    Reveals: to P, roughly how many columns the party with the most columns has. Assumes: see the module.
    """

    batches: int = count(MAX_BATCHES)


@dataclass(frozen=True, slots=True, repr=False)
class SettledBins(Message, tag=0x62, proto=pb.SettledBins):
    """What became of a run of P's columns, from number `first` on, and what P is told of them.

    `refused` of each: 0 no, 1 below the floor, 2 no bins within the limits, 3 more bins than there are rows for, 4 not
    told. `labels` of each pre-bin of these columns: the bin that it is part of. `iv` of each column, a rank or a value,
    and `woe` of each bin; empty if P is not told.

    Reveals: to P, what the job's `iv_disclosure` says: nothing, where it is "none"; else which of its pre-bins were
    joined, which columns have no bins, and of information values and weights of evidence. Assumes: see the module.
    """

    first: int = count(MAX_FEATURES)
    refused: U8 = array("u1", 1, COLUMNS_AT_ONCE)
    labels: U8 = array("u1", 1, COLUMNS_AT_ONCE * MAX_GROUPS)
    iv: F64 = array("f8", 1, COLUMNS_AT_ONCE)
    woe: F64 = array("f8", 1, COLUMNS_AT_ONCE * MAX_GROUPS)

    def validate(self) -> None:
        if (self.refused > 4).any() or (self.iv < 0).any():
            raise MessageInvalid("SettledBins", "no such outcome or information value", "ARRAY_INVALID")
        if self.iv.size not in (0, self.refused.size):
            raise MessageInvalid("SettledBins.iv", "not one for each column", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class CountKey(Message, tag=0x63, proto=pb.CountKey):
    """L's public key, for one batch.

    Reveals: nothing. Assumes: ring learning with errors.
    """

    key: bytes = blob(1, MAX_KEY_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class SealedLabels(Message, tag=0x64, proto=pb.SealedLabels):
    """A run of bytes of L's labels, encrypted.

    Reveals: nothing. Assumes: ring learning with errors.
    """

    first: int = count(MAX_STREAM)
    data: bytes = blob(1, MAX_CHUNK_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class RowCounts(Message, tag=0x65, proto=pb.RowCounts):
    """How many rows a run of P's pre-bins has, all columns of the batch one after the other.

    Reveals: to L, these numbers, by opaque number of column and pre-bin. Assumes: see the module.
    """

    first: int = count(MAX_FEATURES * MAX_GROUPS)
    rows: U32 = array("u4", 1, MAX_CHUNK_WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class SealedCounts(Message, tag=0x66, proto=pb.SealedCounts):
    """A run of bytes of encrypted counts of bad rows, several pre-bins in one number.

    Reveals: to L, the bad rows of each pre-bin, by opaque number of column and pre-bin. Assumes: ring learning with
    errors; the noise of an answer is drowned.
    """

    first: int = count(MAX_STREAM)
    data: bytes = blob(1, MAX_CHUNK_BYTES)
