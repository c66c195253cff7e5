"""A party's binned columns, and how features are numbered over all parties.

Reveals: nothing by itself; what is sent of it is said where it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.trees import goes_left
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8

__all__ = ["BinnedColumns", "FeatureMap", "pack_sides", "split_sides", "unpack_sides"]

Bool: TypeAlias = npt.NDArray[np.bool_]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BinnedColumns:
    """F columns of n rows as bin numbers. `missing[f]` says that the last bin of column f holds missing values.

    Shapes: codes (F, n), groups and missing (F,). Range: 2 <= groups[f] <= 256. Raises: ValueError.
    """

    codes: U8 = field(repr=False)
    groups: tuple[int, ...]
    missing: tuple[bool, ...]

    def __post_init__(self) -> None:
        if self.codes.dtype != np.uint8 or self.codes.ndim != 2:
            raise ValueError(f"BinnedColumns: codes are {self.codes.ndim}-dimensional {self.codes.dtype}")
        if not len(self.codes) == len(self.groups) == len(self.missing):
            raise ValueError("BinnedColumns: codes, groups and missing describe different numbers of columns")
        if any(not 2 <= b <= 256 for b in self.groups):
            raise ValueError("BinnedColumns: a column needs 2 to 256 bins")
        if self.codes.size and (self.codes.max(axis=1) >= np.array(self.groups)).any():
            raise ValueError("BinnedColumns: a code is out of range")

    @property
    def n_rows(self) -> int:
        """n."""
        return int(self.codes.shape[1])

    def sides(self, feature: int, at_bin: int, missing_left: bool) -> Bool:
        """Which rows go left at a split of column `feature`: (n,)."""
        missing_code = self.groups[feature] - 1 if self.missing[feature] else None
        return goes_left(self.codes[feature], at_bin, missing_left, missing_code)


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Features numbered over all parties: the label party's own first, then each feature party's in turn."""

    parties: tuple[PartyId, ...]
    groups: tuple[tuple[int, ...], ...]
    missing: tuple[tuple[bool, ...], ...]

    @property
    def n_bins(self) -> I64:
        """Bins of every feature."""
        return np.array([b for of_party in self.groups for b in of_party], np.int64)

    @property
    def has_missing(self) -> Bool:
        """Whether a feature's last bin holds missing values."""
        return np.array([m for of_party in self.missing for m in of_party], bool)

    @property
    def owner(self) -> I32:
        """Number of the party that owns each feature; the label party is 0."""
        return np.repeat(np.arange(len(self.parties), dtype=np.int32), [len(g) for g in self.groups])

    def first(self, party: int) -> int:
        """Number of the first feature of a party."""
        return sum(len(g) for g in self.groups[:party])

    def own(self, party: int, chosen: Bool) -> tuple[int, ...]:
        """Which of a party's own features are among the chosen ones, in its own numbers."""
        first = self.first(party)
        return tuple(int(f) for f in np.flatnonzero(chosen[first : first + len(self.groups[party])]))

    def cells(self, party: int, features: Sequence[int]) -> tuple[I64, I64]:
        """Where the cells of a party's group sums belong in histograms over all features: (feature, bin) of each."""
        groups = [self.groups[party][f] for f in features]
        feature = np.repeat(np.array(features, np.int64) + self.first(party), groups)
        return feature, np.concatenate([np.arange(b) for b in groups]) if groups else np.empty(0, np.int64)


def pack_sides(sides: Iterable[Bool]) -> U8:
    """Sides as bits, one row of bytes a split."""
    return np.packbits(np.stack(list(sides)), axis=1, bitorder="little")


def unpack_sides(bits: U8, n_rows: int) -> Bool:
    """The inverse of `pack_sides`: (splits, n_rows)."""
    return np.unpackbits(bits, axis=1, count=n_rows, bitorder="little").astype(bool)


def split_sides(n_splits: int, n_rows: int, chunk_bytes: int) -> list[slice]:
    """Runs of splits whose sides fit a chunk, at least one split each."""
    step = max(1, chunk_bytes // max(1, -(-n_rows // 8)))
    return [slice(start, min(start + step, n_splits)) for start in range(0, n_splits, step)]
