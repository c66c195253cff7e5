"""A column's bins in three steps that may run at two parties: cut it, settle the bins by counts, take what was settled.

    bins = prebins_of(values, params, ...)                the owner of the column, who needs no label
    settled = settle_column(PrebinShape.of(bins), counts, params)     whoever may see counts; no value of the column
    bins = taken(bins, settled.labels)                    the owner again, who needs no counts

What goes from the first to the second are numbers of bins and counts; what comes back is which pre-bins are one bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.binning import MAX_BIN, Bins
from fedcredit.credit.joining import chi_merge, settle
from fedcredit.credit.optimal import optimal_binning
from fedcredit.credit.prebinning import by_event_rate, in_order, level_bins, manual_bins, quantile_bins, width_bins
from fedcredit.credit.scorecard_bins import MAX_SPECIAL, ScorecardBins
from fedcredit.credit.woe import BinCounts, WoeTable, woe_table
from fedcredit.errors import DataError, FedcreditError, Problem

__all__ = ["PrebinShape", "SettledColumn", "Style", "canonical", "prebins_of", "settle_column", "taken"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

Style = Literal["numbers", "levels", "by_hand"]
"""Bins of numbers in their order; of levels, which have none; of numbers, as somebody has cut them, to be kept."""


@dataclass(frozen=True, slots=True)
class PrebinShape:
    """All that others need to know of a column's pre-bins to settle them: how many of which sort.

    First `n_values` of values, then one of missing values if `missing`, then `n_special` of special values.

    Raises: DataError MODEL_INVALID for what no column is like.
    """

    n_values: int
    missing: bool
    n_special: int
    style: Style

    def __post_init__(self) -> None:
        whole = self.n_values >= 0 and 0 <= self.n_special <= MAX_SPECIAL and 1 <= self.n_bins <= MAX_BIN
        if not whole or (self.style == "levels" and self.n_special) or (self.n_values == 0 and not self.missing):
            raise DataError(Problem("MODEL_INVALID", "pre-bins", "are those of no column"))

    @classmethod
    def of(cls, bins: ScorecardBins, *, by_hand: bool = False) -> Self:
        """The shape of these bins."""
        style: Style = "levels" if bins.groups is not None else "by_hand" if by_hand else "numbers"
        return cls(bins.n_values, bins.values.missing, bins.n_bins - bins.values.n_bins, style)

    @property
    def n_bins(self) -> int:
        """All pre-bins."""
        return self.n_values + int(self.missing) + self.n_special

    def stand_in(self) -> tuple[ScorecardBins, F64]:
        """Bins of this shape over made-up values, and one value for each of them, in their order."""
        n = self.n_values
        levels = n if self.style == "levels" and n else None
        edges = tuple(k + 0.5 for k in range(n - 1))
        values = Bins(edges, self.missing, n if self.missing else 0, levels)
        special = tuple(-1.0 - k for k in range(self.n_special))
        codes = tuple(values.n_bins + k for k in range(self.n_special))
        groups = tuple((k,) for k in range(n)) if levels else None
        each: F64 = np.array([*range(n), *([np.nan] if self.missing else []), *special], np.float64)
        return ScorecardBins(values, special, codes, groups), each


@dataclass(frozen=True, slots=True, eq=False)
class SettledColumn:
    """What became of a column's pre-bins. Shapes: `labels` (pre-bins,), the bin that each is part of, `canonical`.

    `refused` is the code of the error that keeps the column from having bins; then all labels are 0, `table` is None.
    """

    labels: I64
    table: WoeTable | None = field(repr=False)
    refused: str | None = None

    @property
    def n_bins(self) -> int:
        """How many bins there are; 0 if the column is refused."""
        return 0 if self.table is None else self.table.woe.size

    @property
    def iv(self) -> float | None:
        """The information value, None if the column is refused."""
        return None if self.table is None else self.table.total_iv


def prebins_of(
    values: F64, params: BinParams, *, levels: bool = False, special: Sequence[float] = (), splits: Sequence[float] = ()
) -> ScorecardBins:
    """The pre-bins of a column: at `splits` if somebody has given any, else as `params` say.

    None has fewer than `params.min_rows` rows, but a column that has fewer altogether.

    Shapes: values (n,), NaN = missing; level numbers if `levels`.
    Raises: DataError VALUE_INFINITE, SPLITS_INVALID; RefusedError BIN_TOO_SMALL for split points, with small "refuse".
    """
    if splits:
        return manual_bins(values, splits, min_rows=params.min_rows, special=special, small=params.small)
    if levels:
        return level_bins(values, max_bin=params.cuts, min_rows=params.min_rows)
    cut = width_bins if params.method == "width" else quantile_bins
    return cut(values, max_bin=params.cuts, min_rows=params.min_rows, special=special)


def settle_column(shape: PrebinShape, counts: BinCounts, params: BinParams) -> SettledColumn:
    """Join pre-bins until none is below the floor, then as the method says. Bins cut by hand are joined for the floor
    alone.

    Shapes: counts (n_bins,). Raises: DataError LABEL_ONE_CLASS; ValueError for counts of other bins.
    """
    bins, each = shape.stand_in()
    if counts.rows.size != bins.n_bins:
        raise ValueError("settle_column: counts of other bins")
    before = counts
    if int(counts.events.sum()) == 0 or int(counts.non_events.sum()) == 0:
        woe_table(counts)  # which says what is wrong
    try:
        if shape.style == "levels" and shape.n_values:
            bins, counts = by_event_rate(bins, counts)
        bins, counts = settle(bins, counts, params.floor, small=params.small)
        if bins.n_values > 1 and shape.style != "by_hand":
            bins = _joined(bins, counts, params, levels=shape.style == "levels")
    except FedcreditError as refused:
        if refused.code not in ("BIN_TOO_SMALL", "BINNING_INFEASIBLE"):
            raise
        return SettledColumn(np.zeros(shape.n_bins, np.int64), None, refused.code)
    labels = canonical(bins.codes(each).astype(np.int64))
    return SettledColumn(labels, woe_table(before.grouped(labels)))


def canonical(labels: I64) -> I64:
    """The same partition with its parts numbered in the order in which they first appear: no other order shows."""
    _, first, to = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[to].astype(np.int64)


def taken(bins: ScorecardBins, labels: I64) -> ScorecardBins:
    """Pre-bins joined as somebody else has settled them, bin k being all pre-bins with label k.

    Shapes: labels (n_bins,). Raises: DataError LABELS_INVALID, unless labels are canonical and join neighbours alone
    where values have an order.
    """
    n = bins.n_values
    if labels.shape != (bins.n_bins,) or (labels < 0).any() or (canonical(labels) != labels).any():
        raise _invalid()
    if bins.groups is not None:
        order = np.argsort(labels[:n], kind="stable")
        bins, labels = in_order(bins, order), np.r_[labels[:n][order], labels[n:]]
    elif (np.diff(labels[:n]) < 0).any():
        raise _invalid()
    joined, _ = bins.joined(labels)
    return joined


def _joined(bins: ScorecardBins, counts: BinCounts, params: BinParams, *, levels: bool) -> ScorecardBins:
    values = counts.taken(np.arange(bins.n_values))
    if params.method == "optimal":
        limits = params.limits(levels=levels)
        return bins.cut(optimal_binning(values, limits, n_rows=int(counts.rows.sum())).ends)[0]
    if params.method == "chimerge":
        least = min(params.min_bins, params.max_bin)
        return bins.cut(chi_merge(values, p_value=params.p_value, max_bins=params.max_bin, min_bins=least))[0]
    return bins


def _invalid() -> DataError:
    return DataError(Problem("LABELS_INVALID", "bins", "are not a way to join these pre-bins"))
