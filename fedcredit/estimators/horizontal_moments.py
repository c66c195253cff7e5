"""Means and spreads of columns over the rows of all members, without a bound that would say how large values are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, Problem
from fedcredit.estimators.horizontal_columns import BOUND, Summing
from fedcredit.runtime.state import StageState

__all__ = ["Moments", "exact_sums", "moments"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

PART_BITS: Final = 48
"""Bits of a number in one word of a sum; the others of the word are for members and signs."""
SUM_BITS: Final = 128
"""A sum of a column's values is below 2^this, and known to 2^-160."""
SUM_PARTS: Final = 6
SQUARE_BITS: Final = 256
SQUARE_PARTS: Final = 12


async def exact_sums(
    sums: Summing, label: str, values: F64, *, bits: int = SUM_BITS, parts: int = SUM_PARTS, names: tuple[str, ...] = ()
) -> F64:
    """The totals of doubles whose size nobody states: exact, then rounded to a double.

    A number is cut into `parts` words of 48 bits, from 2^`bits` down, and the words are summed. `names`: of the columns
    that the last axis of `values` is of, for errors.

    Reveals: to all members, the exact total and, of the sums of its words, the carries: less than the logarithm of the
    number of members in bits, for each word.
    Raises: DataError VALUE_RANGE for a number that is not below 2^bits in size; PeerLost; PeerError.
    """
    large = ~(np.abs(values) < 2.0**bits)
    if large.any():
        columns = np.flatnonzero(large.reshape(-1, large.shape[-1]).any(axis=0)).tolist()
        what, fix = "has values whose sum is too large", "look for wrong values, or scale the column"
        where = [names[j] if names else f"column {j}" for j in columns]
        raise DataError([Problem("VALUE_RANGE", name, what, fix) for name in where])
    words = np.empty((parts, *values.shape), np.int64)
    # Every step is exact: a power of two, the nearest whole number, and what is left of it.
    rest = np.ldexp(values, PART_BITS - bits)
    for k in range(parts):
        whole = np.rint(rest)
        words[k] = whole.astype(np.int64)
        rest = np.ldexp(rest - whole, PART_BITS)
    total = await sums.integers(label, words, bound=BOUND)
    whole_numbers = np.zeros(values.shape, object)
    for word in total:
        whole_numbers = whole_numbers * (1 << PART_BITS) + word.astype(object)
    unit = 1 << (PART_BITS * parts - bits)
    found: F64 = np.array([whole / unit for whole in whole_numbers.ravel()], np.float64).reshape(values.shape)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Moments(StageState):
    """Of each column, over the rows of all members where it has a value: how many, and their mean, and mean square
    distance from it. Shapes: (f,) each; without any row the mean and the variance are 0.
    """

    schema = "horizontal-moments/1"
    rows: I64 = field(repr=False)
    mean: F64 = field(repr=False)
    variance: F64 = field(repr=False)

    @property
    def std(self) -> F64:
        """(f,) standard deviations, of the rows themselves and not an estimate for more."""
        std: F64 = np.sqrt(self.variance)
        return std


async def moments(sums: Summing, X: F64, *, names: tuple[str, ...] = (), label: str = "moments") -> Moments:
    """Mean and spread of each column over the rows of all members; missing values are left out. Two rounds.

    Shapes: X (n, f), NaN = missing.
    Reveals: to all members, for each column the exact total of rows, of values and of squared distances from the mean.
    Raises: DataError VALUE_INFINITE, VALUE_RANGE; PeerLost; PeerError.
    """
    names = names or tuple(f"column {j}" for j in range(X.shape[1]))
    infinite = np.isinf(X).any(axis=0)
    if infinite.any():
        fix = "declare them as missing or special"
        where = [names[j] for j in np.flatnonzero(infinite)]
        raise DataError([Problem("VALUE_INFINITE", name, "has infinite values", fix) for name in where])
    known = ~np.isnan(X)
    rows = await sums.integers(f"{label}.rows", known.sum(axis=0).astype(np.int64), bound=BOUND)
    with np.errstate(over="ignore"):
        own = np.where(known, X, 0.0).sum(axis=0)
    total = await exact_sums(sums, f"{label}.sum", own, names=names)
    count = np.maximum(rows, 1)
    mean = total / count
    with np.errstate(over="ignore"):
        apart = np.where(known, X - mean, 0.0)
        own_apart = np.stack([apart.sum(axis=0), (apart**2).sum(axis=0)])
    left, squares = await exact_sums(
        sums, f"{label}.squares", own_apart, bits=SQUARE_BITS, parts=SQUARE_PARTS, names=names
    )
    # What rounding of the mean has left is taken out again.
    return Moments(rows, mean + left / count, np.maximum(squares / count - (left / count) ** 2, 0.0))
