"""Columns as bins of roughly equal numbers of rows, the way LightGBM cuts them.

Bins are fitted by the owner of a column on its own values and never leave it; others see bin numbers at most.

Source: LightGBM 4.7, src/io/bin.cpp (`GreedyFindBin`). Different here: zero is a value like any other (LightGBM gives
it a bin of its own, which suits sparse tables and not credit files), and `min_rows` is kept by every bin, also the last
and the missing one, since the sums of a bin are shown to another party (LightGBM's `min_data_in_bin` is a target).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import DataError, Problem

__all__ = ["MAX_BIN", "Bins", "bin_ends", "counted_bins", "cut_bins", "fit_bins"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

MAX_BIN = 256
"""A code fits a byte."""


@dataclass(frozen=True, slots=True)
class Bins:
    """How a column becomes codes: code k for edges[k - 1] < value <= edges[k].

    Fields: `edges`, ascending and finite, one less than there are bins of values. `missing`: whether missing values
    have a bin; it is then the last one. `missing_code`: where a missing value goes: to that bin, or, if too few were
    seen to have one, to the bin of values with the most rows, so that they decide nothing. `levels`: number of levels
    of a categorical column, whose values are level numbers; None for a numeric column.

    Raises: DataError MODEL_INVALID when these do not fit together.
    """

    edges: tuple[float, ...] = field(repr=False)
    missing: bool
    missing_code: int
    levels: int | None = None

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
        last = self.n_bins - 1
        where = self.missing_code == last if self.missing else 0 <= self.missing_code <= last
        levels = self.levels is None or self.levels >= 1
        sound = ascending and all(map(math.isfinite, self.edges)) and not (self.edges and self.n_values == 0)
        if not (sound and where and levels and 1 <= self.n_bins <= MAX_BIN):
            raise _invalid()

    @property
    def n_bins(self) -> int:
        """Number of codes, the missing bin included."""
        return self.n_values + int(self.missing)

    @property
    def n_values(self) -> int:
        """Number of bins of values, without the missing one; 0 for a column without any value."""
        if self.missing_code == 0 and self.missing:
            return 0
        return len(self.edges) + 1

    def codes(self, values: F64) -> U8:
        """The code of each value; NaN is missing.

        Shapes: values (n,); returns (n,) uint8 below `n_bins`.
        Raises: DataError VALUE_INFINITE, or VALUE_LEVEL for a level number that is not one of `levels`.
        """
        _check(values, self.levels)
        codes = np.searchsorted(np.array(self.edges), values, side="left").astype(np.uint8)
        codes[np.isnan(values)] = self.missing_code
        if self.n_values == 0:
            # Nothing but missing values was seen in training, so a value can only be treated as one.
            codes[:] = self.missing_code
        return codes

    def threshold(self, at_bin: int) -> float:
        """The largest value that still goes left at a split after `at_bin`; infinity if all values do."""
        return self.edges[at_bin] if at_bin < len(self.edges) else math.inf

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, from which `from_json` makes equal bins."""
        return {
            "edges": list(self.edges),
            "missing": self.missing,
            "missing_code": self.missing_code,
            "levels": self.levels,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The bins of `to_json`. Raises: DataError MODEL_INVALID."""
        if set(data) != {"edges", "missing", "missing_code", "levels"}:
            raise _invalid()
        edges, missing, code, levels = data["edges"], data["missing"], data["missing_code"], data["levels"]
        numbers = isinstance(edges, list) and all(type(edge) in (int, float) for edge in edges)
        if not numbers or type(missing) is not bool or type(code) is not int or type(levels) not in (int, type(None)):
            raise _invalid()
        try:
            return cls(tuple(map(float, edges)), missing, code, levels)
        except OverflowError:
            raise _invalid() from None  # a whole number with more digits than a float has


def fit_bins(values: F64, *, max_bin: int, min_rows: int, levels: int | None = None) -> Bins:
    """At most `max_bin` bins, each of at least `min_rows` of these values, as equal in size as the values allow.

    Up to `max_bin` distinct values get a bin each; edges lie half-way between neighbours. Otherwise a value with more
    rows than a bin's share gets its own bin, and the others fill bins greedily. Missing values are the last bin, and
    one of the `max_bin`; fewer than `min_rows` of them join the largest bin instead. If all values together are fewer
    than `min_rows`, there is one bin. Categorical columns (`levels` given) hold level numbers and are cut in their
    order, between level numbers.

    Shapes: values (n,), NaN = missing.
    Raises: DataError VALUE_INFINITE or VALUE_LEVEL; ValueError for a `max_bin` outside 2..256 or `min_rows` below 1.
    """
    if not 2 <= max_bin <= MAX_BIN or min_rows < 1:
        raise ValueError(f"fit_bins: max_bin {max_bin}, min_rows {min_rows}")
    _check(values, levels)
    gone = np.isnan(values)
    n_missing = int(np.count_nonzero(gone))
    distinct, counts = np.unique(values[~gone], return_counts=True)
    if distinct.size == 0:
        return Bins((), missing=True, missing_code=0, levels=levels)
    # An end is the index of the last distinct value of a bin.
    ends = _greedy_ends(counts, max_bin - int(n_missing >= min_rows), min_rows)
    ends = _merge_small(np.cumsum(counts), ends, min_rows)
    edges = _edges_between(distinct, ends[:-1], levels)
    return _beside_missing(edges, np.diff(np.cumsum(counts)[ends], prepend=0), n_missing, min_rows, levels)


def cut_bins(values: F64, edges: F64, *, min_rows: int, levels: int | None = None) -> Bins:
    """Bins with these edges, without those that leave fewer than `min_rows` of these values in a bin.

    The smallest bin joins its smaller neighbour until every bin has `min_rows`; missing values as in `fit_bins`.

    Shapes: values (n,), NaN = missing; edges (m,), ascending, finite, at most MAX_BIN - 2.
    Raises: DataError VALUE_INFINITE, VALUE_LEVEL; ValueError for other edges or `min_rows` below 1.
    """
    ascending = edges.ndim == 1 and np.isfinite(edges).all() and bool((np.diff(edges) > 0).all())
    if not ascending or edges.size > MAX_BIN - 2 or min_rows < 1:
        raise ValueError(f"cut_bins: {edges.shape} edges, min_rows {min_rows}")
    _check(values, levels)
    gone = np.isnan(values)
    rows = np.bincount(np.searchsorted(edges, values[~gone], side="left"), minlength=edges.size + 1)
    return counted_bins(rows, edges, int(np.count_nonzero(gone)), min_rows=min_rows, levels=levels)


def counted_bins(rows: I64, edges: F64, n_missing: int, *, min_rows: int, levels: int | None = None) -> Bins:
    """The bins of `cut_bins` from how many rows lie between these edges, wherever the rows are.

    Shapes: edges (m,), as there; rows (m + 1,).
    """
    if not rows.any():
        return Bins((), missing=True, missing_code=0, levels=levels)
    to = np.cumsum(rows)
    ends = _merge_small(to, np.arange(to.size), min_rows)
    return _beside_missing(tuple(edges[ends[:-1]].tolist()), np.diff(to[ends], prepend=0), n_missing, min_rows, levels)


def bin_ends(counts: I64, *, max_bin: int, min_rows: int) -> I64:
    """Where the bins of `fit_bins` end when values are known by their counts alone: the last value of each bin.

    Shapes: counts (d,) of ascending values, d at least 1; returns (bins,), the last of them d - 1.
    """
    return _merge_small(np.cumsum(counts), _greedy_ends(counts, max_bin, min_rows), min_rows)


def _beside_missing(edges: tuple[float, ...], sizes: I64, n_missing: int, min_rows: int, levels: int | None) -> Bins:
    """The bins of values with these edges and sizes, and where `n_missing` missing values go."""
    # With too few values in all of the bins together, they cannot stand beside the missing ones.
    missing = n_missing >= min_rows and int(sizes.min()) >= min_rows
    return Bins(edges, missing, sizes.size if missing else int(np.argmax(sizes)), levels)


def _greedy_ends(counts: I64, max_bin: int, min_rows: int) -> I64:
    """LightGBM's greedy search, one step a bin instead of one a distinct value. Shapes: counts (d,), ascending values.

    Its rule: close a bin at value i if i is big (has a bin's share alone), or the bin is full, or i + 1 is big and the
    bin is at least half full.
    """
    d = counts.size
    if d <= max_bin:
        return _fill(counts, min_rows)
    total = int(counts.sum())
    max_bin = max(1, min(max_bin, total // min_rows))
    big = counts >= total / max_bin
    rest_bins = max_bin - int(np.count_nonzero(big))
    small_to = np.cumsum(np.where(big, 0, counts))  # rows of small values up to and including i
    rest_rows, to = int(small_to[-1]), np.cumsum(counts)
    share = rest_rows / rest_bins if rest_bins else math.inf
    before_big = np.flatnonzero(big[1:])
    bigs = np.flatnonzero(big)
    ends: list[int] = []
    start = 0
    while len(ends) < max_bin - 1:
        done = int(to[start - 1]) if start else 0
        half = before_big[before_big >= start]
        half = half[to[half] - done >= max(1.0, share * 0.5)]
        here = bigs[bigs >= start]
        full = max(start, int(np.searchsorted(to, done + math.ceil(share)))) if math.isfinite(share) else d
        end = min(full, int(here[0]) if here.size else d, int(half[0]) if half.size else d)
        if end >= d - 1:
            break
        ends.append(end)
        start = end + 1
        if not big[end]:
            rest_bins -= 1
            share = (rest_rows - int(small_to[end])) / rest_bins if rest_bins else math.inf
    return np.array([*ends, d - 1])


def _fill(counts: I64, min_rows: int) -> I64:
    """Ends of bins that are closed as soon as they hold `min_rows`; the last takes what is left. At most 255 steps."""
    ends, held = [], 0
    for i, count in enumerate(counts[:-1]):
        held += int(count)
        if held >= min_rows:
            ends.append(i)
            held = 0
    return np.array([*ends, counts.size - 1])


def _merge_small(to: I64, ends: I64, min_rows: int) -> I64:
    """Merge the smallest bin with its smaller neighbour until every bin has `min_rows`. At most 255 steps."""
    while ends.size > 1:
        sizes = np.diff(to[ends], prepend=0)
        k = int(np.argmin(sizes))
        if sizes[k] >= min_rows:
            break
        left = k > 0 and (k == ends.size - 1 or sizes[k - 1] <= sizes[k + 1])
        ends = np.delete(ends, k - 1 if left else k)
    return ends


def _edges_between(distinct: F64, ends: I64, levels: int | None) -> tuple[float, ...]:
    """The edge above each end: LightGBM's half-way point, one step up so that a value on it is below."""
    low, high = distinct[ends], distinct[ends + 1]
    if levels is not None:
        edges: F64 = np.floor((low + high) / 2) + 0.5
    else:
        # Of two neighbouring floats the half-way point may be the upper one; the edge must stay below it.
        middle = np.nextafter(low / 2 + high / 2, np.inf)
        edges = np.where(middle < high, middle, low)
    return tuple(float(edge) for edge in edges)


def _check(values: F64, levels: int | None) -> None:
    if np.isinf(values).any():
        raise DataError(
            Problem("VALUE_INFINITE", "column", "has infinite values", "declare them as missing or special")
        )
    if levels is None:
        return
    known = values[~np.isnan(values)]
    if known.size and (known.min() < 0 or known.max() >= levels or (known != np.floor(known)).any()):
        raise DataError(Problem("VALUE_LEVEL", "column", f"has values that are none of its {levels} levels"))


def _invalid() -> DataError:
    return DataError(Problem("MODEL_INVALID", "bins", "are not bins of this version", "train the model again"))
