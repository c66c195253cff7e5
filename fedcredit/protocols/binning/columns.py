"""A party's pre-binned columns, in which batches they are counted, and what their owner is told of them.

Reveals: nothing by itself; what is sent of it is said where it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.settling import PrebinShape, SettledColumn, Style
from fedcredit.credit.telling import coarse_evidence
from fedcredit.credit.woe import IV_DIGITS, TELL_EVIDENCE, IvDisclosure, told_iv
from fedcredit.kernels.onehot import MAX_GROUPS, U8
from fedcredit.protocols.groupsum import Backend

__all__ = [
    "I64",
    "NOT_TOLD",
    "REFUSALS",
    "STYLES",
    "Batches",
    "Counting",
    "PrebinnedColumns",
    "ToldColumn",
    "keeps",
    "told_columns",
]

I64: TypeAlias = npt.NDArray[np.int64]

Counting: TypeAlias = Literal["rlwe"] | Backend
"""How bad rows are counted: under ring-LWE (`counts`), or by a group-by-sum."""

STYLES: tuple[Style, ...] = ("numbers", "levels", "by_hand")
"""The style of a column, by its number in a message."""

NOT_TOLD = "BINS_NOT_TOLD"
REFUSALS = (None, "BIN_TOO_SMALL", "BINNING_INFEASIBLE", "BINS_TOO_MANY", NOT_TOLD)
"""Why a column has no bins at its owner, by its number in a message. With "coarse" all reasons are the last one."""

BATCH_BYTES = 256 << 20
"""Memory that a batch may take at the holder of its columns, as far as it grows with them."""

TREE_BYTES = 16 * 8 + 1
"""Backend `onehot`, of one row and column at most: a key a level of a tree of 256 groups, and the group."""

CODE_BYTES = 1
"""Under ring-LWE, of one row and column: the group."""

SUMS_BYTES = 2 * 768 * MAX_GROUPS
"""Backend `paillier`, of a column at most: a ciphertext for each group, and what it is merged into."""


@dataclass(frozen=True, slots=True)
class PrebinnedColumns:
    """F columns of n rows as numbers of their pre-bins. Shapes: codes (F, n), shapes (F,). Raises: ValueError."""

    codes: U8 = field(repr=False)
    shapes: tuple[PrebinShape, ...]

    def __post_init__(self) -> None:
        if self.codes.dtype != np.uint8 or self.codes.ndim != 2 or len(self.codes) != len(self.shapes):
            raise ValueError(f"PrebinnedColumns: codes are {self.codes.shape} {self.codes.dtype}")
        if self.codes.size and (self.codes.max(axis=1) >= np.array([shape.n_bins for shape in self.shapes])).any():
            raise ValueError("PrebinnedColumns: a code is out of range")

    @property
    def n_rows(self) -> int:
        """n."""
        return int(self.codes.shape[1])


@dataclass(frozen=True, slots=True)
class Batches:
    """Which columns of a party are counted together: as many as fit the memory that both sides spend on a batch.

    A column of one pre-bin is not counted: whoever has the labels knows its counts. Both sides work this out from the
    shapes, the number of rows and the backend, which both know.
    """

    shapes: tuple[PrebinShape, ...]
    n_rows: int
    backend: Counting = "rlwe"

    @property
    def counted(self) -> tuple[int, ...]:
        """Numbers of the columns that are counted."""
        return tuple(f for f, shape in enumerate(self.shapes) if shape.n_bins > 1)

    def __len__(self) -> int:
        return -(-len(self.counted) // self._at_once)

    def __getitem__(self, number: int) -> tuple[int, ...]:
        """The columns of batch `number`; none if there is no such batch."""
        return self.counted[number * self._at_once : (number + 1) * self._at_once]

    def groups(self, number: int) -> tuple[int, ...]:
        """How many pre-bins each column of a batch has."""
        return tuple(self.shapes[f].n_bins for f in self[number])

    @property
    def _at_once(self) -> int:
        a_row = CODE_BYTES if self.backend == "rlwe" else TREE_BYTES
        each = SUMS_BYTES if self.backend == "paillier" else a_row * self.n_rows
        return max(1, BATCH_BYTES // each)


@dataclass(frozen=True, slots=True, eq=False)
class ToldColumn:
    """What the owner of a column is told. Shapes: labels (pre-bins,).

    `iv` is the information value, or its rank among the owner's columns (1 the largest), or None; `woe` the weight of
    evidence of each bin, or None. `refused` is the code of the error that keeps the column from having bins.
    """

    labels: I64
    refused: str | None
    iv: float | None = None
    woe: tuple[float, ...] | None = None


def told_columns(settled: Sequence[SettledColumn], how: IvDisclosure) -> tuple[ToldColumn, ...]:
    """What the owner of these columns is told under `how`: with "none", of each that its pre-bins stay as they are.

    The rank is among the columns that have bins. "rounded" is rounded to IV_DIGITS decimal places. "coarse" says of all
    columns that have no bins the same.
    """
    if how == "none":
        return tuple(ToldColumn(np.arange(column.labels.size, dtype=np.int64), None) for column in settled)
    with_bins = [column for column in settled if column.table is not None]
    values = iter(told_iv([float(column.iv or 0.0) for column in with_bins], how))
    told = []
    for column in settled:
        iv = None if column.table is None else next(values)
        woe = None
        if column.table is not None and how in TELL_EVIDENCE:
            woe = tuple((column.table.woe if how == "exact" else coarse_evidence(column.table)).tolist())
        refused = NOT_TOLD if how == "coarse" and column.refused else column.refused
        told.append(ToldColumn(column.labels, refused, None if iv is None else float(iv), woe))
    return tuple(told)


def keeps(iv: float, how: IvDisclosure, n_columns: int) -> bool:
    """Whether `iv` is a number that somebody may be told under `how`."""
    if how == "rank":
        return iv == int(iv) and 1 <= iv <= n_columns
    return how == "exact" or (how == "rounded" and round(iv, IV_DIGITS) == iv)
