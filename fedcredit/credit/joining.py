"""Which neighbouring bins to join, by their counts alone: ChiMerge, and no bin with too few rows of either class.

Source: R. Kerber, ChiMerge: Discretization of Numeric Attributes, AAAI 1992. Kerber puts a small value in the place of
an expected count of 0; here a class that neither of two neighbours has tells them apart by nothing, which joins the
same bins first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.woe import BinCounts
from fedcredit.errors import Problem, RefusedError

__all__ = ["MIN_CLASS", "MIN_ROWS", "Floor", "chi_merge", "chi_square", "settle"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

MIN_ROWS = 50
MIN_CLASS = 10
"""A bin with fewer rows, or fewer good or bad ones, says too much of single subjects (threat model, bin statistics)."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What a bin has at least: so many rows, so many good ones, so many bad ones. Raises: ValueError below 0."""

    rows: int = MIN_ROWS
    events: int = MIN_CLASS
    non_events: int = MIN_CLASS

    def __post_init__(self) -> None:
        if min(self.rows, self.events, self.non_events) < 0:
            raise ValueError("Floor: numbers of rows are not negative")

    def below(self, counts: BinCounts) -> NDArray[np.bool_]:
        """Which bins have less. Shapes: (b,)."""
        few = counts.rows < self.rows
        return few | (counts.events < self.events) | (counts.non_events < self.non_events)


def chi_square(counts: BinCounts) -> F64:
    """Pearson's statistic (one degree of freedom) of each bin and the next one: 0 where their bad rates are equal.

    Shapes: (b,) in, (b - 1,) out.
    """
    good, bad = counts.non_events.astype(np.float64), counts.events.astype(np.float64)
    rows = good + bad
    a, b, c, d = bad[:-1], good[:-1], bad[1:], good[1:]
    below = rows[:-1] * rows[1:] * (a + c) * (b + d)
    above = (rows[:-1] + rows[1:]) * (a * d - b * c) ** 2
    return np.divide(above, below, out=np.zeros(below.shape), where=below > 0)


def chi_merge(counts: BinCounts, *, p_value: float = 0.05, max_bins: int | None = None, min_bins: int = 1) -> I64:
    """Join the two neighbours whose bad rates differ least, until all neighbours differ and there are few enough bins.

    Neighbours differ if a chi-square as large as theirs comes of chance with at most `p_value`. `counts` are of bins in
    their order, missing and special ones left out.

    Shapes: returns (m,), the index of the last old bin in each new one, ascending.
    Raises: ValueError for a `p_value` outside (0, 1), bounds below 1 or out of order.
    """
    if not 0 < p_value < 1 or min_bins < 1 or (max_bins is not None and max_bins < min_bins):
        raise ValueError(f"chi_merge: p_value {p_value}, {min_bins} to {max_bins} bins")
    # Imported here: whoever reads a job file, as each command does, would wait for SciPy.
    from scipy.special import chdtri

    least = float(chdtri(1, p_value))
    ends = np.arange(counts.rows.size)
    while ends.size > min_bins:
        statistic = chi_square(counts)
        k = int(np.argmin(statistic))
        if statistic[k] > least and (max_bins is None or ends.size <= max_bins):
            break
        ends, counts = _join(ends, counts, k)
    return ends


def settle(
    bins: ScorecardBins, counts: BinCounts, floor: Floor, *, small: Literal["merge", "refuse"] = "merge"
) -> tuple[ScorecardBins, BinCounts]:
    """The bins without any below the floor, and their counts.

    "merge": a small bin of values joins the neighbour that it differs least from by chi-square. Small bins of missing
    and special values join each other, and if that is not enough, the bin with the most rows, where they decide
    nothing; so do values that are too few all together. "refuse": nothing is joined.

    Raises: RefusedError BIN_TOO_SMALL, where bins may not be joined, or all of them together are below the floor;
    ValueError for counts of other bins.
    """
    if counts.rows.size != bins.n_bins:
        raise ValueError("settle: counts of other bins")
    if small == "refuse" and floor.below(counts).any():
        raise _too_small(floor, "have small bins merged, or choose other split points")
    n = bins.n_values
    if n:
        values = counts.taken(np.arange(n))
        ends = np.arange(n)
        while ends.size > 1 and (few := floor.below(values)).any():
            k = int(np.argmin(np.where(few, values.rows, np.iinfo(np.int64).max)))
            statistic = chi_square(values)
            left = k == ends.size - 1 or (k > 0 and statistic[k - 1] <= statistic[k])
            ends, values = _join(ends, values, k - 1 if left else k)
        bins, counts = _applied(counts, *bins.cut(ends))
    labels = np.arange(bins.n_bins)
    few = floor.below(counts)
    few[: bins.n_values] = False
    labels[few] = bins.n_bins
    bins, counts = _applied(counts, *bins.joined(labels))
    while counts.rows.size > 1 and (few := floor.below(counts)).any():
        k = int(np.argmin(np.where(few, counts.rows, np.iinfo(np.int64).max)))
        rows = counts.rows
        rows[k] = -1
        labels = np.arange(bins.n_bins)
        labels[k] = int(np.argmax(rows))
        bins, counts = _applied(counts, *bins.joined(labels))
    if floor.below(counts).any():
        raise _too_small(floor, "leave the column out")
    return bins, counts


def _applied(counts: BinCounts, bins: ScorecardBins, to: I64) -> tuple[ScorecardBins, BinCounts]:
    return bins, counts.grouped(to)


def _join(ends: I64, counts: BinCounts, k: int) -> tuple[I64, BinCounts]:
    """Bins k and k + 1 as one."""
    to = np.arange(ends.size)
    to[k + 1 :] -= 1
    return np.delete(ends, k), counts.grouped(to)


def _too_small(floor: Floor, fix: str) -> RefusedError:
    what = f"has fewer than {floor.rows} rows, {floor.non_events} good or {floor.events} bad ones"
    return RefusedError(Problem("BIN_TOO_SMALL", "bin", what, fix))
