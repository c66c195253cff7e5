"""One party's columns as the fit sees them: each of mean 0 and mean square 1, in fixed point.

Coefficients, gradients and standard errors on the way are those of such columns; `OwnColumns` takes them back.

Reveals: nothing: all of it happens at the owner of the columns. Assumes: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.glm import independent
from fedcredit.crypto import rlwe
from fedcredit.errors import DataError, Problem
from fedcredit.protocols.linear.shape import LinearShape

__all__ = ["ALL", "OwnColumns", "from_limbs"]

F64: TypeAlias = npt.NDArray[np.float64]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]

ALL: Final = slice(None)

PREPARED_BYTES: Final = 512 << 20
"""What columns may take that are held ready for every gradient; where they would take more, they are not."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnColumns:
    """Columns in fixed point, what they were before, and how they correlate. The label party has ones before them.

    Shapes: numbers (d, n), with ones (1 + d, n); mean, spread (d,); moments as numbers has rows.
    """

    shape: LinearShape
    numbers: I32 = field(repr=False)
    mean: F64 = field(repr=False)
    spread: F64 = field(repr=False)
    moments: F64 = field(repr=False)
    """Mean products of the columns, ones on its diagonal."""
    summed: rlwe.Limbs = field(repr=False)
    """The columns as they are summed over: in limbs, of a column one after the other, the highest first."""

    @classmethod
    def of(cls, shape: LinearShape, X: F64, *, ones: bool, dependent: bool = False) -> Self:
        """The columns of X (n, d). `dependent` allows columns that others make up, which a penalty then decides.

        Raises: DataError VALUE_INVALID, COLUMN_CONSTANT, COLUMN_DEPENDENT; ValueError for another number of rows.
        """
        if X.ndim != 2 or X.shape[0] != shape.n_rows:
            raise ValueError(f"OwnColumns: columns {X.shape} of {shape.n_rows} rows")
        _refuse(np.asarray(~np.isfinite(X).all(axis=0)), "VALUE_INVALID", "has values that are no finite numbers")
        mean = X.mean(axis=0)
        scaled = (X - mean).T
        spread = np.sqrt(np.einsum("fn,fn->f", scaled, scaled) / shape.n_rows)
        size = np.maximum(X.max(axis=0, initial=0.0), -X.min(axis=0, initial=0.0))
        _refuse(spread <= 1e-12 * np.maximum(size, 1e-300), "COLUMN_CONSTANT", "has one value only")
        # Where they are: a copy of many columns is all the memory that a fit needs beside them.
        scaled /= spread[:, None]
        if ones:
            scaled = np.concatenate([np.ones((1, shape.n_rows)), scaled])
        moments = scaled @ scaled.T / shape.n_rows
        if not dependent:
            _refuse(~independent(moments)[int(ones) :], "COLUMN_DEPENDENT", "follows from columns before it")
        numbers = np.empty(scaled.shape, np.int32)
        for at in shape.blocks():
            numbers[:, at] = np.rint(np.ldexp(scaled[:, at], shape.bits.column))
        del scaled
        summed = rlwe.Limbs(numbers, shape.bits.limbs, shape.bits.limb)
        if summed.prepared_bytes <= PREPARED_BYTES:
            summed = summed.prepare()
        return cls(shape, numbers, mean, spread, moments, summed)

    def __len__(self) -> int:
        return len(self.numbers)

    def scores(self, values: F64) -> F64:
        """The sum of columns times coefficients, of each row. Shapes: values (len,); returns (n,)."""
        total = np.zeros(self.shape.n_rows)
        for batch in self.shape.batches(len(self)):
            total += values[batch] @ self.numbers[batch].astype(np.float64)
        return np.ldexp(total, -self.shape.bits.column)

    def limbs(self, at: slice, rows: slice = ALL) -> I64:
        """Limbs of columns in whole numbers, some of all, in the order of `summed`. Shapes: returns (limbs, rows)."""
        places = np.arange(len(self) * self.shape.bits.limbs)[at]
        column, limb = np.divmod(places, self.shape.bits.limbs)
        return _limb(self.numbers[column, rows].astype(np.int64), limb, self.shape.bits.limbs, self.shape.bits.limb)

    @property
    def pairs(self) -> rlwe.Limbs:
        """Products of two columns each, j <= l, as they are summed over: in limbs that are twice as long."""
        return rlwe.Limbs(self.numbers, self.shape.bits.limbs, self.shape.bits.limb, pairs=True)


def from_limbs(numbers: I64, limbs: int, bits: int) -> F64:
    """Sums over limbs put together along the last axis. Shapes: (..., limbs f); returns (..., f)."""
    parts = numbers.astype(np.float64).reshape(*numbers.shape[:-1], numbers.shape[-1] // limbs, limbs)
    together: F64 = parts @ np.ldexp(1.0, bits * np.arange(limbs)[::-1])
    return together


def _limb(numbers: I64, limb: I64, limbs: int, bits: int) -> I64:
    """Of each row one of two limbs, or all of it. The lower one is signed, so that both are as small as can be."""
    if limbs == 1:
        return numbers
    upper = (numbers + (1 << (bits - 1))) >> bits
    return np.where(limb[:, None] == 0, upper, numbers - (upper << bits))


def _refuse(bad: npt.NDArray[np.bool_], code: str, what: str) -> None:
    if bad.any():
        fix = "drop the column, or bin it"
        raise DataError([Problem(code, f"column {j}", what, fix) for j in np.flatnonzero(bad)])
