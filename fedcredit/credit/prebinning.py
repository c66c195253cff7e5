"""Pre-bins (the field's "fine classing"): many small bins, made from a column alone, that binning then joins.

None of it sees a label, but `by_event_rate`, which takes counts. A bin that fewer than `min_rows` rows would be in is
never made, since its sums are shown to whoever brings the labels, and theirs to whoever brings the column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.binning import MAX_BIN, Bins, counted_bins, cut_bins, fit_bins
from fedcredit.credit.scorecard_bins import MAX_SPECIAL, ScorecardBins
from fedcredit.credit.woe import BinCounts
from fedcredit.errors import DataError, Problem, RefusedError

__all__ = [
    "by_event_rate",
    "counted_levels",
    "counted_numbers",
    "in_order",
    "level_bins",
    "manual_bins",
    "quantile_bins",
    "split_edges",
    "width_bins",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def quantile_bins(values: F64, *, max_bin: int, min_rows: int, special: Sequence[float] = ()) -> ScorecardBins:
    """At most `max_bin` bins of about equal numbers of rows, besides one for each special value: see `fit_bins`.

    A special value (a code, not an amount) has a bin of its own if at least `min_rows` rows have it, and else goes
    where missing values go.

    Shapes: values (n,), NaN = missing.
    Raises: DataError VALUE_INFINITE; ValueError for a `max_bin` outside 2..256 or `min_rows` below 1.
    """
    _check_ask(max_bin, min_rows)
    plain, own = _apart(values, special, min_rows)
    max_bin = min(max_bin, MAX_BIN - len(own))
    return _with_special(fit_bins(plain, max_bin=max_bin, min_rows=min_rows), special, own)


def width_bins(values: F64, *, max_bin: int, min_rows: int, special: Sequence[float] = ()) -> ScorecardBins:
    """At most `max_bin` bins of equal width between the least and the largest value, small ones joined to a neighbour.

    A value on a split point is above it. Special and missing values, shapes and errors as in `quantile_bins`.
    """
    _check_ask(max_bin, min_rows)
    plain, own = _apart(values, special, min_rows)
    present = plain[~np.isnan(plain)]
    missing = plain.size - present.size >= min_rows
    max_bin = min(max_bin, MAX_BIN - 1 - len(own)) - int(missing)
    edges = np.empty(0)
    if present.size and np.isfinite(present).all():
        # Halves, so that the width of a column from -1e308 to 1e308 is a number.
        splits = 2 * np.linspace(present.min() / 2, present.max() / 2, max_bin + 1)[1:-1]
        edges = np.unique(np.nextafter(splits, -np.inf))
    return _with_special(cut_bins(plain, edges, min_rows=min_rows), special, own)


def manual_bins(
    values: F64,
    splits: Sequence[float],
    *,
    min_rows: int,
    special: Sequence[float] = (),
    small: Literal["refuse", "merge"] = "refuse",
) -> ScorecardBins:
    """The bins that somebody has decided on: splits[k - 1] <= value < splits[k], as optbinning reads them too.

    `small` says what is done where fewer than `min_rows` rows would be in a bin: to refuse, or to join neighbours.

    Raises: DataError SPLITS_INVALID, VALUE_INFINITE; RefusedError BIN_TOO_SMALL.
    """
    edges = split_edges(splits, len(special))
    plain, own = _apart(values, special, min_rows)
    bins = cut_bins(plain, edges, min_rows=min_rows)
    if small == "refuse":
        _refuse_joined(bins, edges, min_rows)
    return _with_special(bins, special, own)


def level_bins(values: F64, *, max_bin: int, min_rows: int) -> ScorecardBins:
    """A bin for each of the most frequent levels of a categorical column, and one for all others together.

    A level needs `min_rows` rows for a bin of its own. The others share one if they have as many together, and else
    the largest level's; a level that training never saw goes there too.

    Shapes: values (n,), level numbers, NaN = missing.
    Raises: DataError VALUE_LEVEL; ValueError for a `max_bin` outside 2..256 or `min_rows` below 1.
    """
    _check_ask(max_bin, min_rows)
    gone = np.isnan(values)
    levels, counts = np.unique(values[~gone], return_counts=True)
    if levels.size and (levels[0] < 0 or levels[-1] >= 2**31 or (levels != np.floor(levels)).any()):
        raise DataError(Problem("VALUE_LEVEL", "column", "has values that are no numbers of levels"))
    return counted_levels(levels, counts, int(np.count_nonzero(gone)), max_bin=max_bin, min_rows=min_rows)


def counted_levels(levels: F64, rows: I64, n_missing: int, *, max_bin: int, min_rows: int) -> ScorecardBins:
    """The bins of `level_bins` from how many rows each level has, wherever the rows are.

    Shapes: levels (d,), numbers of the levels that have any rows, ascending; rows (d,).
    """
    room = min(max_bin, MAX_BIN - 1) - int(n_missing >= min_rows)
    often = np.flatnonzero(rows >= min_rows)
    often = often[np.argsort(-rows[often], kind="stable")]
    if often.size < levels.size or often.size > room:
        often = often[: max(room - 1, 0)]
    often = np.sort(often)
    each = rows[often]
    rest = int(rows.sum() - each.sum())
    groups: tuple[tuple[int, ...], ...] = tuple((int(level),) for level in levels[often])
    other = int(np.argmax(each)) if groups else 0
    if rest >= min_rows or not groups:
        groups, other, each = (*groups, ()), len(groups), np.r_[each, 0]
    each[other] += rest
    edges: F64 = np.arange(len(groups) - 1, dtype=np.float64) + 0.5
    values = counted_bins(each, edges, n_missing, min_rows=min_rows, levels=len(groups))
    return ScorecardBins(values, groups=groups, other=other)


def counted_numbers(
    rows: I64,
    edges: F64,
    n_missing: int,
    special_rows: Sequence[int],
    *,
    min_rows: int,
    special: Sequence[float] = (),
    small: Literal["refuse", "merge"] = "merge",
) -> ScorecardBins:
    """The bins of numbers cut at these edges, from how many rows lie between them, wherever the rows are.

    As `manual_bins` has them. Shapes: edges (m,), ascending; rows (m + 1,), without special values, of which
    `special_rows` are. Raises: RefusedError BIN_TOO_SMALL.
    """
    own = tuple(value for value, n in zip(special, special_rows, strict=True) if n >= min_rows)
    n_missing += sum(n for n in special_rows if n < min_rows)
    bins = counted_bins(rows, edges, n_missing, min_rows=min_rows)
    if small == "refuse":
        _refuse_joined(bins, edges, min_rows)
    return _with_special(bins, special, own)


def split_edges(splits: Sequence[float], n_special: int) -> F64:
    """The edges of bins that begin at these split points. Raises: DataError SPLITS_INVALID."""
    points = np.array(splits, np.float64)
    with np.errstate(over="ignore"):
        edges = np.nextafter(points, -np.inf)
    finite = edges.ndim == 1 and bool(np.isfinite(points).all() and np.isfinite(edges).all())
    if not finite or (np.diff(edges) <= 0).any() or edges.size + 2 + n_special > MAX_BIN:
        what = f"are not ascending numbers that make at most {MAX_BIN} bins"
        raise DataError(Problem("SPLITS_INVALID", "split points", what))
    return edges


def by_event_rate(bins: ScorecardBins, counts: BinCounts) -> tuple[ScorecardBins, BinCounts]:
    """The groups of a categorical column in the order of their bad rates, lowest first, so that neighbours are alike.

    What follows may then join neighbours, as with a numeric column whose risk rises.

    Raises: ValueError for bins that are not those of `level_bins`, or counts of other bins.
    """
    n = bins.n_values
    if bins.groups is None or (n and n != len(bins.groups)) or counts.rows.size != bins.n_bins:
        raise ValueError("by_event_rate: takes the bins of level_bins and their counts")
    if n == 0:
        return bins, counts
    order = np.argsort(counts.bad_rate[:n], kind="stable")
    return in_order(bins, order), counts.taken(np.r_[order, np.arange(n, bins.n_bins)])


def in_order(bins: ScorecardBins, order: I64) -> ScorecardBins:
    """The same groups of levels, with those of place order[k] at place k. Shapes: order (n_values,), a permutation.

    Raises: ValueError for bins that are not those of `level_bins`.
    """
    n = bins.n_values
    if bins.groups is None or n != len(bins.groups):
        if n == 0:
            return bins
        raise ValueError("in_order: takes the bins of level_bins")
    place = np.argsort(order)
    values = bins.values
    if not values.missing:
        values = replace(values, missing_code=int(place[values.missing_code]))
    groups = tuple(bins.groups[k] for k in order)
    return replace(bins, values=values, groups=groups, other=int(place[bins.other]), evidence=None)


def _refuse_joined(bins: Bins, edges: F64, min_rows: int) -> None:
    if bins.n_values and bins.edges != tuple(edges.tolist()):
        what = f"leave fewer than {min_rows} rows in a bin"
        raise RefusedError(Problem("BIN_TOO_SMALL", "split points", what, "choose others, or have small bins merged"))


def _check_ask(max_bin: int, min_rows: int) -> None:
    if not 2 <= max_bin <= MAX_BIN or min_rows < 1:
        raise ValueError(f"bins: max_bin {max_bin}, min_rows {min_rows}")


def _apart(values: F64, special: Sequence[float], min_rows: int) -> tuple[F64, tuple[float, ...]]:
    """The values with all special ones missing, but those that get a bin gone altogether; and which ones get a bin."""
    if len(set(special)) != len(special) or len(special) > MAX_SPECIAL or not np.isfinite(special).all():
        raise ValueError(f"special values are at most {MAX_SPECIAL} different numbers")
    plain, own, keep = values, [], np.ones(values.size, bool)
    for value in special:
        there = values == value
        if np.count_nonzero(there) >= min_rows:
            own.append(value)
            keep &= ~there
        else:
            plain = np.where(there, np.nan, plain)
    return plain[keep], tuple(own)


def _with_special(values: Bins, special: Sequence[float], own: tuple[float, ...]) -> ScorecardBins:
    new = {value: values.n_bins + k for k, value in enumerate(own)}
    return ScorecardBins(values, tuple(special), tuple(new.get(value, values.missing_code) for value in special))
