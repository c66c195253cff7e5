"""What each stage of a horizontal binning leaves behind, the same at every member: sums over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.woe import BinCounts
from fedcredit.errors import DataError
from fedcredit.runtime.state import StageState, state_invalid

__all__ = ["CellRows", "ClassRows", "CutColumns", "TotalRows"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TotalRows(StageState):
    """How many rows all members have to train on, and how many of them are bad."""

    schema = "horizontal-total-rows/1"
    rows: int
    bads: int


@dataclass(frozen=True, slots=True)
class CutColumns(StageState):
    """The edges that members agreed on, column by column. Shapes: sizes (columns,); edges (all edges,)."""

    schema = "horizontal-cut-columns/1"
    sizes: I64
    edges: F64

    @classmethod
    def of(cls, edges: Sequence[F64]) -> Self:
        """The record of these edges."""
        sizes = np.array([of_column.size for of_column in edges], np.int64)
        return cls(sizes, np.concatenate([np.empty(0), *edges]))

    def cuts(self, columns: int) -> list[F64]:
        """The edges of so many columns. Raises: FedcreditError (STATE_INVALID)."""
        if self.sizes.size != columns or (self.sizes < 0).any() or self.sizes.sum() != self.edges.size:
            raise state_invalid("edges of other columns")
        return np.split(self.edges, np.cumsum(self.sizes)[:-1]) if columns else []


@dataclass(frozen=True, slots=True)
class CellRows(StageState):
    """How many rows of all members each cell has, column by column. Shapes: rows (all cells,)."""

    schema = "horizontal-cell-rows/1"
    rows: I64

    def of_columns(self, sizes: Sequence[int]) -> list[I64]:
        """The rows of columns with so many cells. Raises: FedcreditError (STATE_INVALID)."""
        if self.rows.size != sum(sizes) or (self.rows < 0).any():
            raise state_invalid("rows of other columns")
        return np.split(self.rows, np.cumsum(np.array(sizes, np.int64))[:-1]) if sizes else []


@dataclass(frozen=True, slots=True)
class ClassRows(StageState):
    """How many good and bad rows each cell has, as noise lets it be known. Shapes: good, bad (all cells,)."""

    schema = "horizontal-class-rows/1"
    good: I64
    bad: I64

    def of_columns(self, sizes: Sequence[int]) -> list[BinCounts]:
        """The counts of columns with so many cells. Raises: FedcreditError (STATE_INVALID)."""
        if self.good.shape != (sum(sizes),) or self.bad.shape != (sum(sizes),):
            raise state_invalid("counts of other columns")
        ends = np.cumsum(np.array(sizes, np.int64))[:-1]
        sides = zip(np.split(self.good, ends), np.split(self.bad, ends), strict=True) if sizes else ()
        try:
            return [BinCounts(good, bad) for good, bad in sides]
        except DataError:
            raise state_invalid("no counts") from None
