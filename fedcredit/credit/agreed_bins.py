"""Where the values of a column lie that several parties have rows of, found from summed counts alone.

Nobody shows a value, a range or a sample. All parties look at the same cells: first 256 of them over all numbers, and
then, round after round, sixteen within each cell that still holds many rows. They say how many of their rows lie in
each, and only the sum over all parties is ever seen. A cell is left as it is once it holds few rows, or is narrower
than 2^-32 of what is in it, which for amounts, rates and counts is a single value. What comes out is the table of
`Cells`: the leaves of this search with their rows. Bins, quantiles and distributions are made from it at every party
alike.

A double becomes a key, an unsigned number in the same order: the sign bit of a positive number is set, all bits of a
negative one are turned over. A cell is all keys that begin with the same bits. The first 8 bits are the sign and the
upper part of the exponent, 4 more complete the exponent, so that a cell is a power of two to the next; the other 32 are
of the mantissa.

A far extreme value lies in a cell of few rows, and such a cell is not looked into: of the least and the largest value
no more is known than the cell that holds it, which is a power of two to the next or wider.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.binning import bin_ends
from fedcredit.errors import DataError, Problem

__all__ = ["DEPTH", "FIRST_CELLS", "STEP_CELLS", "Cells", "keys_of", "numbers_of", "sorted_keys"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

FIRST: Final = 8
STEP: Final = 4
EXPONENT: Final = 12
"""Bits of a key until the exponent is complete."""
DEPTH: Final = FIRST + 9 * STEP
"""Bits of a key that are looked at: sign, exponent and 32 of the mantissa."""
FIRST_CELLS: Final = 1 << FIRST
STEP_CELLS: Final = 1 << STEP

_SIGN: Final = np.uint64(1 << 63)
_LARGEST: Final = float(np.finfo(np.float64).max)


def keys_of(values: F64) -> U64:
    """Keys in the order of the numbers; both zeros have one. Shapes: (n,) without NaN."""
    bits = (np.ascontiguousarray(values, np.float64) + 0.0).view(np.uint64)
    keys: U64 = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return keys


def numbers_of(keys: U64) -> F64:
    """The numbers that have these keys, those beyond all finite ones as the largest. Shapes: (n,)."""
    bits = np.where(keys & _SIGN, keys & ~_SIGN, ~keys)
    numbers = np.ascontiguousarray(bits).view(np.float64)
    beyond = np.where(keys & _SIGN, _LARGEST, -_LARGEST)
    found: F64 = np.where(np.isfinite(numbers), numbers, beyond)
    return found


def sorted_keys(values: F64, classes: U8 | None = None, n_classes: int = 1) -> tuple[U64, ...]:
    """This party's side of the search: the keys of its known values, class by class, in order.

    Shapes: values (n,), NaN left out; classes (n,), below n_classes. Raises: DataError VALUE_INFINITE.
    """
    if np.isinf(values).any():
        fix = "declare them as missing or special"
        raise DataError(Problem("VALUE_INFINITE", "column", "has infinite values", fix))
    known = ~np.isnan(values)
    if classes is None:
        return (np.sort(keys_of(values[known])),)
    return tuple(np.sort(keys_of(values[known & (classes == k)])) for k in range(n_classes))


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells of a column that hold rows, ascending, and how many rows of each class.

    Shapes: first (m,) the least key of each; bits (m,) how many bits of a key are fixed; counts (m, classes).
    """

    first: U64 = field(repr=False)
    bits: U8 = field(repr=False)
    counts: I64 = field(repr=False)

    @classmethod
    def begin(cls, totals: I64) -> Self:
        """From the counts of the first round. Shapes: totals (FIRST_CELLS, classes)."""
        held = np.flatnonzero(totals.any(axis=1))
        first = held.astype(np.uint64) << np.uint64(64 - FIRST)
        return cls(first, np.full(held.size, FIRST, np.uint8), totals[held])

    @classmethod
    def of_levels(cls, totals: I64) -> Self:
        """Of a categorical column, whose values are level numbers. Shapes: totals (levels, classes)."""
        held = np.flatnonzero(totals.any(axis=1))
        return cls(keys_of(held.astype(np.float64)), np.full(held.size, 64, np.uint8), totals[held])

    @staticmethod
    def count_first(keys: tuple[U64, ...]) -> I64:
        """This party's counts for the first round, of the keys of `sorted_keys`. Shapes: (FIRST_CELLS, classes)."""
        lower = np.arange(FIRST_CELLS, dtype=np.uint64) << np.uint64(64 - FIRST)
        return _between(keys, lower)

    @staticmethod
    def count_levels(keys: tuple[U64, ...], levels: int) -> I64:
        """This party's counts of each level of a categorical column. Shapes: (levels, classes)."""
        return _between(keys, keys_of(np.arange(levels, dtype=np.float64)))

    @property
    def rows(self) -> I64:
        """(m,) rows of each cell."""
        total: I64 = self.counts.sum(axis=1)
        return total

    @property
    def low(self) -> F64:
        """(m,) the least number that a cell has room for."""
        return numbers_of(self.first)

    @property
    def high(self) -> F64:
        """(m,) the largest one."""
        return numbers_of(self.first + _last(self.bits))

    @property
    def single(self) -> NDArray[np.bool_]:
        """(m,) whether a cell is as narrow as they get."""
        return self.bits >= DEPTH

    def asking(self, few: int, least: int, shares: F64 | None = None) -> I64:
        """Which cells are looked into next: those of more than `few` rows, or, where a cell is wider than a power of
        two to the next, `least`; with `shares` only those where these shares of the rows end.

        Shapes: shares (q,) in [0, 1]; returns (a,) places.
        """
        wanted = (self.rows > np.where(self.bits < EXPONENT, min(few, least), few)) & ~self.single
        if shares is not None and self.first.size:
            ends = np.zeros(self.first.size, bool)
            ends[self._at(shares)] = True
            wanted &= ends
        return np.flatnonzero(wanted)

    def count_within(self, asked: I64, keys: tuple[U64, ...]) -> I64:
        """This party's counts within the cells of these places. Shapes: (a, STEP_CELLS, classes)."""
        lower = _children(self.first[asked], self.bits[asked])
        width = np.repeat(_last(self.bits[asked] + np.uint8(STEP)), STEP_CELLS)
        found = _between(keys, lower.ravel(), width)
        return found.reshape(asked.size, STEP_CELLS, len(keys))

    def divide(self, asked: I64, totals: I64) -> Cells:
        """With the cells of these places divided. Shapes: totals (a, STEP_CELLS, classes) over all parties.

        Raises: DataError SUM_INCONSISTENT if a cell's parts are not what the cell held: a party's rows have changed.
        """
        if totals.min(initial=0) < 0 or (totals.sum(axis=1) != self.counts[asked]).any():
            what = "within a cell are not those that the cell held before"
            raise DataError(Problem("SUM_INCONSISTENT", "counts", what, "run the job again on unchanged tables"))
        kept = np.ones(self.first.size, bool)
        kept[asked] = False
        bits = np.repeat(self.bits[asked] + np.uint8(STEP), STEP_CELLS)
        first = np.r_[self.first[kept], _children(self.first[asked], self.bits[asked]).ravel()]
        all_bits = np.r_[self.bits[kept], bits]
        counts = np.concatenate([self.counts[kept], totals.reshape(-1, self.counts.shape[1])])
        held = counts.any(axis=1)
        order = np.flatnonzero(held)[np.argsort(first[held], kind="stable")]
        return Cells(first[order], all_bits[order], counts[order])

    def edges(self, *, max_bin: int, min_rows: int, levels: bool = False) -> tuple[float, ...]:
        """Edges of at most `max_bin` bins of about equal numbers of rows, none with fewer than `min_rows`.

        As `fit_bins` has them: a bin holds what is above one edge and at most the next. Between two cells an edge is
        the number of fewest digits; between levels, which are whole numbers, half-way.
        """
        if self.first.size == 0:
            return ()
        ends = bin_ends(self.rows, max_bin=max_bin, min_rows=min_rows)[:-1]
        pairs = zip(self.high[ends].tolist(), self.low[ends + 1].tolist(), strict=True)
        if levels:
            return tuple(math.floor((low + high) / 2) + 0.5 for low, high in pairs)
        return tuple(_shortest(low, high) for low, high in pairs)

    def quantiles(self, shares: F64) -> F64:
        """The values below which these shares of the rows lie, each within `spread` of the true one.

        The value of the row of rank ceil(share n), as `numpy.quantile(..., method="inverted_cdf")` has it; within a
        cell rows count as evenly spread.

        Shapes: shares (q,) in [0, 1]; returns (q,), NaN without rows.
        """
        if self.first.size == 0:
            return np.full(shares.size, np.nan)
        to, rank, at = np.cumsum(self.rows), self._ranks(shares), self._at(shares)
        within = (rank - (to[at] - self.rows[at]) - 0.5) / self.rows[at]
        low, high = self.low[at], self.high[at]
        spread = low * (1 - within) + high * within
        single = [_shortest_in(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
        found: F64 = np.where(self.single[at], single, spread)
        return found

    def spread(self, shares: F64) -> tuple[F64, F64]:
        """The ends of the cells that the quantiles lie in. Shapes: (q,) each."""
        at = self._at(shares)
        return self.low[at], self.high[at]

    @property
    def bound(self) -> float:
        """No value is larger than this, nor less than its negative. 0 without rows."""
        if self.first.size == 0:
            return 0.0
        return float(max(abs(self.low[0]), abs(self.high[0]), abs(self.low[-1]), abs(self.high[-1])))

    def _ranks(self, shares: F64) -> F64:
        n = float(self.rows.sum())
        # A share that is a number of rows is that number, and not the next one for its last digit's sake.
        ranks: F64 = np.clip(np.ceil(shares * n * (1 - 1e-15)), 1, n)
        return ranks

    def _at(self, shares: F64) -> NDArray[np.intp]:
        return np.searchsorted(np.cumsum(self.rows), self._ranks(shares), side="left")


def _last(bits: U8) -> U64:
    """The part of a key after its first `bits`, all ones."""
    last: U64 = (np.uint64(1) << (np.uint64(64) - bits.astype(np.uint64))) - np.uint64(1)
    return last


def _children(first: U64, bits: U8) -> U64:
    """The least keys of the cells within cells. Shapes: (a,) in; (a, STEP_CELLS) out."""
    shift = np.uint64(64 - STEP) - bits.astype(np.uint64)
    children: U64 = first[:, None] + (np.arange(STEP_CELLS, dtype=np.uint64) << shift[:, None])
    return children


def _between(keys: tuple[U64, ...], lower: U64, width: U64 | None = None) -> I64:
    """How many keys of each class lie from `lower` on: `width` further, or up to the next. Shapes: (m, classes)."""
    columns = []
    for each in keys:
        start = np.searchsorted(each, lower, side="left")
        end = np.r_[start[1:], each.size] if width is None else np.searchsorted(each, lower + width, side="right")
        columns.append(end - start)
    return np.stack(columns, axis=1).astype(np.int64)


def _shortest(low: float, high: float) -> float:
    """The number of fewest digits that is at least `low` and below `high`, zero before all, near their middle."""
    if low <= 0 < high:
        return 0.0
    middle = low / 2 + high / 2
    for digits in range(17):
        found = float(f"{middle:.{digits}e}")
        if low <= found < high:
            return found
    return low


def _shortest_in(low: float, high: float) -> float:
    """The number of fewest digits from `low` to `high`, both included."""
    return low if low == high else _shortest(low, math.nextafter(high, math.inf))
