"""The public frame of joint correlations, and one party's columns as they are multiplied.

Columns are put to mean 0 and mean square 1, in fixed point with 14 binary digits. By the inequality of Cauchy and
Schwarz a sum of products over n rows is at most n 2^28, so for n <= 2^20 it is below t / 2, and exact modulo t.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.rlwe import SLOTS
from fedcredit.crypto.rlwe_bunch import MAX_CIPHERTEXTS
from fedcredit.errors import DataError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.parties import refuse_parties
from fedcredit.wire.moments import BEYOND_ONE, MAX_COLUMNS, MAX_PARTIES, MAX_ROWS

__all__ = ["MomentsShape", "Pair", "StandardColumns"]

F64: TypeAlias = npt.NDArray[np.float64]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]

BITS: Final = 14
ROWS_A_COLUMN: Final = 20
"""A party needs so many rows for each of its columns: from fewer, another's column could be solved for."""
BATCH_NUMBERS: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Pair:
    """Two parties and who does what: `owner` encrypts its columns, `other` multiplies by its own."""

    owner: PartyId
    other: PartyId
    vectors: int
    """Columns of the owner."""
    columns: int
    """Columns of the other."""

    @property
    def entries(self) -> int:
        """Sums of the pair."""
        return self.vectors * self.columns


@dataclass(frozen=True, slots=True)
class MomentsShape:
    """What all parties know before they begin. `peers` are the feature parties.

    Reveals: nothing: all of it is public. Assumes: all parties were told the same.
    Raises: ConfigError CONFIG_VALUE, DataError ROWS_TOO_MANY.
    """

    label: PartyId
    peers: tuple[PartyId, ...]
    n_rows: int

    def __post_init__(self) -> None:
        parties = self.parties
        refuse_parties(parties, MAX_PARTIES)
        if not 1 <= self.n_rows <= MAX_ROWS:
            what = f"{self.n_rows} rows, where from 1 to {MAX_ROWS} can be summed exactly"
            raise DataError(Problem("ROWS_TOO_MANY", self.step, what, "correlate a sample of the rows"))

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """All of them, the label party first: the order of the matrix."""
        return (self.label, *self.peers)

    @property
    def step(self) -> str:
        """How errors name these correlations."""
        return f"correlations over {', '.join(self.peers)}"

    def refuse_columns(self, columns: Sequence[int]) -> None:
        """Check the numbers of columns of all parties, the label party first. Raises: DataError."""
        problems = [
            Problem("ROWS_TOO_FEW", party, f"{d} columns need {ROWS_A_COLUMN * d} rows", "bring fewer columns")
            for party, d in zip(self.parties, columns, strict=True)
            if self.n_rows < ROWS_A_COLUMN * d
        ]
        if sum(columns) > MAX_COLUMNS:
            what = f"{sum(columns)} columns of all parties, where {MAX_COLUMNS} can be correlated"
            problems.append(Problem("COLUMNS_TOO_MANY", self.step, what, "bring the best columns"))
        if problems:
            raise DataError(problems)

    def pairs(self, columns: Sequence[int]) -> Iterator[Pair]:
        """Which parties multiply their columns, in the order in which everybody goes through them.

        The one with fewer columns encrypts, the earlier one if both have as many. A party without columns is in none.
        """
        for (p, d), (q, e) in combinations(zip(self.parties, columns, strict=True), 2):
            if d and e:
                yield Pair(p, q, d, e) if d <= e else Pair(q, p, e, d)

    def groups(self, vectors: int) -> Iterator[slice]:
        """`vectors` columns of an owner, by how many are encrypted at a time: the same at all parties."""
        step = max(1, MAX_CIPHERTEXTS // -(-self.n_rows // SLOTS))
        for first in range(0, vectors, step):
            yield slice(first, min(first + step, vectors))

    def batches(self, columns: int) -> Iterator[slice]:
        """`columns` columns, by how many are multiplied at a time: the same at all parties."""
        step = max(1, BATCH_NUMBERS // self.n_rows)
        for first in range(0, columns, step):
            yield slice(first, min(first + step, columns))

    def correlations(self, sums: I64) -> F64 | None:
        """What sums of products of two parties' columns say; None if no columns have such sums. Shapes: any."""
        found: F64 = np.ldexp(sums.astype(np.float64), -2 * BITS) / self.n_rows
        # Rounding moves a number by 2^-15, and a sum of products by that times a column's mean size, at most 1, twice.
        if np.abs(found).max(initial=0) > BEYOND_ONE + 2.0**-BITS + 4.0**-BITS:
            return None
        return np.clip(found, -1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class StandardColumns:
    """One party's columns, put to mean 0 and mean square 1. A column of one value becomes zeros.

    Shapes: numbers (d, n), in fixed point; correlation (d, d).
    """

    numbers: I32 = field(repr=False)
    correlation: F64 = field(repr=False)

    @classmethod
    def of(cls, shape: MomentsShape, X: F64) -> Self:
        """The columns of X (n, d). Raises: DataError VALUE_INVALID; ValueError for another number of rows."""
        if X.ndim != 2 or X.shape[0] != shape.n_rows:
            raise ValueError(f"StandardColumns: columns {X.shape} of {shape.n_rows} rows")
        bad = np.flatnonzero(~np.isfinite(X).all(axis=0))
        if bad.size:
            what, fix = "has values that are no finite numbers", "drop the column, or bin it"
            raise DataError([Problem("VALUE_INVALID", f"column {j}", what, fix) for j in bad])
        # By the largest size first, so that no square overflows or vanishes.
        size = np.abs(X).max(axis=0, initial=0.0)
        scaled = (X / np.where(size > 0, size, 1.0)).T
        scaled = scaled - scaled.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.einsum("fn,fn->f", scaled, scaled) / shape.n_rows)
        flat = spread <= 1e-12
        scaled = np.where(flat[:, None], 0.0, scaled / np.where(flat, 1.0, spread)[:, None])
        correlation = np.clip(scaled @ scaled.T / shape.n_rows, -1.0, 1.0)
        np.fill_diagonal(correlation, 1.0)
        return cls(np.rint(np.ldexp(scaled, BITS)).astype(np.int32), correlation)

    def __len__(self) -> int:
        return len(self.numbers)

    def some(self, at: slice) -> I64:
        """Some of the columns, as the encryption takes them: (f, n)."""
        return self.numbers[at].astype(np.int64)
