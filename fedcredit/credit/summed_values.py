"""A column of numbers as words that can be summed under masks, and its sums and spreads read back from them.

Sums are exact in units of the last decimal place that counts. For the spread a row's distance from the column's mean
is squared in units so small that all squares together stay below 2^62: to about a millionth of the largest distance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.statistics_groups import MISSING, Groups
from fedcredit.errors import DataError, Problem

__all__ = ["SummedColumn", "own_categories", "summed_column"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]

ROOM_BITS: Final = 62
"""All rows together stay below 2^62, so that a sum of them is a number with a sign."""

MOST_BITS: Final = 26
"""Of a distance from the mean: more than a double's square could tell apart."""


@dataclass(frozen=True, slots=True, eq=False)
class SummedColumn:
    """Words of each row: the value, and if the spread is asked for, the distance from `centre` and its square, both in
    units of `unit`. Shapes: words (n, 1 or 3); missing (n,), rows without a value, which count as nothing."""

    words: U64 = field(repr=False)
    missing: Bool = field(repr=False)
    scale: float
    unit: float

    def total(self, sums: U64, counts: I64) -> F64:
        """The sum of the values of each cell. Shapes: sums (.., words), counts (..)."""
        found: F64 = np.where(counts > 0, sums[..., 0].astype(np.int64) / self.scale, 0.0)
        return found

    def spread(self, sums: U64, counts: I64) -> F64:
        """The standard deviation of the values of each cell, of a sample (one less than its rows).

        Shapes: as `total`.
        """
        rows = np.maximum(counts, 2).astype(np.float64)
        first, second = (sums[..., k].astype(np.int64).astype(np.float64) for k in (1, 2))
        squares = np.maximum(second - first * first / rows, 0.0)
        found: F64 = np.where(counts > 1, np.sqrt(squares / (rows - 1)) * self.unit, 0.0)
        return found


def summed_column(where: str, values: F64, *, decimals: int, spread: bool) -> SummedColumn:
    """The words of a column. Shapes: values (n,), NaN where missing.

    Raises: DataError (VALUE_INFINITE; SUM_OVERFLOW where so many decimal places leave no room for the sum).
    """
    if np.isinf(values).any():
        fix = "declare them as missing, or take them out"
        raise DataError(Problem("VALUE_INFINITE", where, "has infinite values", fix))
    missing = np.isnan(values)
    plain = np.where(missing, 0.0, values)
    scale = 10.0**decimals
    if np.abs(plain).sum() * scale + values.size >= 2.0**ROOM_BITS:
        fix = "set fewer decimals, or a larger unit"
        raise DataError(Problem("SUM_OVERFLOW", where, f"has no room for its sum to {decimals} decimals", fix))
    words = [np.rint(plain * scale).astype(np.int64)]
    unit = 1.0
    if spread:
        known = plain[~missing]
        apart = np.where(missing, 0.0, plain - (known.mean() if known.size else 0.0))
        bits = min(MOST_BITS, (ROOM_BITS - max(1, values.size).bit_length()) // 2)
        unit = float(np.abs(apart).max(initial=0.0)) / 2.0**bits or 1.0
        steps = np.rint(apart / unit).astype(np.int64)
        words += [steps, steps * steps]
    return SummedColumn(np.stack(words, axis=1).view(np.uint64), missing, scale, unit)


def own_categories(own: Groups, gone: Bool) -> Groups:
    """The categories of `own`, and one more for the rows in `gone` if there are any. Categories without a row go.

    Shapes: gone (n,).
    """
    if not gone.any():
        return own
    codes = np.where(gone, len(own.names), own.codes).astype(np.int64)
    name = MISSING if MISSING not in own.names else f"{MISSING} value"
    names = [*(own.names if own.names != ("",) else ("with a value",)), name]
    kept = np.flatnonzero(np.bincount(codes, minlength=len(names)))
    to = np.zeros(len(names), np.int64)
    to[kept] = np.arange(kept.size)
    return Groups(tuple(names[k] for k in kept), to[codes].astype(np.uint8))
