"""Where the rows of a column are counted before it has bins, when every member of a job has rows of it.

A column's cells are the same at all members: between agreed edges or for each level, then missing values, then each
special value. Rows of all cells together say which pre-bins there are, as the rows themselves do where one party has
them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.prebinning import counted_levels, counted_numbers, split_edges
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.errors import DataError, Problem
from fedcredit.tables import Column

__all__ = ["Cells", "declared", "is_cut"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells of one column. Shapes: edges (m,), ascending, of numbers; none of levels."""

    column: Column
    edges: F64 = field(repr=False)

    @classmethod
    def of(cls, column: Column, cuts: F64) -> Self:
        """Cells between `cuts`, or between the split points that its owners have declared.

        Raises: DataError SPLITS_INVALID.
        """
        if column.kind == "categorical":
            return cls(column, np.empty(0))
        return cls(column, split_edges(column.splits, len(column.special)) if column.splits else cuts)

    @property
    def n_values(self) -> int:
        """Cells of values, which come first."""
        return len(self.column.levels) if self.column.kind == "categorical" else self.edges.size + 1

    @property
    def n_cells(self) -> int:
        """All cells."""
        return self.n_values + 1 + len(self.column.special)

    def rows(self) -> I64:
        """This member's rows in each cell.

        Shapes: returns (n_cells,). Raises: DataError VALUE_INFINITE, VALUE_LEVEL.
        """
        values, found = self.column.values, np.zeros(self.n_cells, np.int64)
        if np.isinf(values).any():
            fix = "declare them as missing or special"
            raise DataError(Problem("VALUE_INFINITE", self.column.name, "has infinite values", fix))
        for k, special in enumerate(self.column.special):
            there = values == special
            found[self.n_values + 1 + k] = np.count_nonzero(there)
            values = values[~there]
        gone = np.isnan(values)
        found[self.n_values] = np.count_nonzero(gone)
        known = values[~gone]
        if self.column.kind == "categorical":
            if known.size and not (known.min() >= 0 and known.max() < self.n_values and (known == known // 1).all()):
                what = f"has values that are none of its {self.n_values} levels"
                raise DataError(Problem("VALUE_LEVEL", self.column.name, what))
            found[: self.n_values] = np.bincount(known.astype(np.int64), minlength=self.n_values)
        else:
            found[: self.n_values] = np.bincount(np.searchsorted(self.edges, known), minlength=self.n_values)
        return found

    def prebins(self, rows: I64, params: BinParams) -> ScorecardBins:
        """The pre-bins by the rows of all members in each cell: those of `settling.prebins_of` where split points or
        levels say what is cut.

        Shapes: rows (n_cells,). Raises: RefusedError BIN_TOO_SMALL.
        """
        n, missing = self.n_values, int(rows[self.n_values])
        if self.column.kind == "categorical":
            seen = np.flatnonzero(rows[:n])
            return counted_levels(
                seen.astype(np.float64), rows[seen], missing, max_bin=params.cuts, min_rows=params.min_rows
            )
        return counted_numbers(
            rows[:n],
            self.edges,
            missing,
            rows[n + 1 :].tolist(),
            min_rows=params.min_rows,
            special=self.column.special,
            small=params.small if self.column.splits else "merge",
        )

    def missing(self, rows: I64) -> float:
        """The share of rows that is missing. Shapes: rows (n_cells,)."""
        return float(rows[self.n_values] / max(int(rows.sum()), 1))


def is_cut(column: Column) -> bool:
    """Whether a column is of numbers that nobody has cut by hand, so that edges have to be agreed on."""
    return column.kind == "numeric" and not column.splits


def declared(columns: Sequence[Column]) -> int:
    """63 bits that differ where names, kinds, levels, special values or split points do, or their order."""
    known = repr([(c.name, c.kind, c.levels, c.special, c.splits) for c in columns])
    return int.from_bytes(sha256(known.encode()).digest()[:8], "little") >> 1
