"""Optimal binning: of all ways to join neighbouring pre-bins, the one with the largest information value.

It works on how many good and bad rows each pre-bin has, so it runs where the column lives, on sums, and sees no label.
Exact dynamic programming over the number of bins, the first and last pre-bin of the last bin, and the direction of the
bad rate: whether a bin may follow another depends on these two alone, whatever came before.

Source of the problem and of its names: G. Navas-Palencia, Optimal binning: mathematical programming formulation,
arXiv 2001.08025, and optbinning, which hands it to a solver. docs/adr/0026 says why this one does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.joining import MIN_CLASS, MIN_ROWS
from fedcredit.credit.woe import BinCounts, log_odds_ratio
from fedcredit.errors import ConfigError, DataError, Problem

__all__ = ["MAX_BINS", "BinLimits", "OptimalBinning", "Trend", "optimal_binning"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

Trend = Literal["auto", "auto_asc_desc", "none", "ascending", "descending", "peak", "valley"]
"""How the bad rate goes from bin to bin. A peak rises and then falls, a valley falls and then rises; either part may be
missing. `auto_asc_desc` is the better of ascending and descending. `auto` is that too, unless a turn is worth it."""

MAX_BINS = 64
_ALMOST = 1e-12
"""Information values that differ by less than this part are equal but for rounding: the fewer bins then win."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinLimits:
    """What the bins have to keep. optbinning's name, where it is another, in brackets.

    `trend` (monotonic_trend); `min_bins`, `max_bins` (min_n_bins, max_n_bins); `min_share` of all rows, missing ones
    among them (min_bin_size); `min_rows`, a number of rows; `min_events`, `min_non_events` (min_bin_n_event,
    min_bin_n_nonevent); `min_rate_diff` between neighbours (min_event_rate_diff); `max_p_value` of a two-sided z-test
    between neighbours (max_pvalue, policy "consecutive"), none if 1; `turn_gain`: `auto` takes a peak or a valley only
    if its information value is larger by more than this part, since a turn has to be explained.

    Raises: ConfigError CONFIG_VALUE, listing every problem.
    """

    trend: Trend = "auto"
    min_bins: int = 1
    max_bins: int = 10
    min_share: float = 0.05
    min_rows: int = MIN_ROWS
    min_events: int = MIN_CLASS
    min_non_events: int = MIN_CLASS
    min_rate_diff: float = 0.0
    max_p_value: float = 1.0
    turn_gain: float = 0.1

    def __post_init__(self) -> None:
        known = self.trend in get_args(Trend)
        bounds = {
            "trend": (known, f"must be one of {', '.join(get_args(Trend))}"),
            "max_bins": (1 <= self.max_bins <= MAX_BINS, f"must be from 1 to {MAX_BINS}"),
            "min_bins": (1 <= self.min_bins <= self.max_bins, "must be from 1 to max_bins"),
            "min_share": (0 <= self.min_share <= 0.5, "must be from 0 to 0.5"),
            "min_rows": (self.min_rows >= 1, "must be at least 1"),
            "min_events": (self.min_events >= 1, "must be at least 1"),
            "min_non_events": (self.min_non_events >= 1, "must be at least 1"),
            "min_rate_diff": (0 <= self.min_rate_diff <= 1, "must be from 0 to 1"),
            "max_p_value": (0 < self.max_p_value <= 1, "must be above 0 to 1"),
            "turn_gain": (0 <= self.turn_gain < math.inf, "must be at least 0"),
        }
        if problems := [Problem("CONFIG_VALUE", name, what) for name, (fits, what) in bounds.items() if not fits]:
            raise ConfigError(problems)


@dataclass(frozen=True, slots=True, eq=False)
class OptimalBinning:
    """Which pre-bins are joined. Shapes: `ends` (m,), the last pre-bin of each bin, ascending.

    `trend` is the one that was kept, also where `auto` was asked for. `iv` is that of the bins of values among
    themselves, which was made as large as can be; missing and special values are not in it.
    """

    ends: I64
    trend: Trend
    iv: float


def optimal_binning(counts: BinCounts, limits: BinLimits, *, n_rows: int | None = None) -> OptimalBinning:
    """The best bins within the limits. `counts` are of pre-bins in order, missing and special values left out.

    `n_rows`: all rows of the column, of which `min_share` is a part; those of `counts` if not given.

    Shapes: counts (n,). Time: (number of bins) n^3 steps, vectorised: half a millisecond for 10 pre-bins.
    Raises: DataError BINNING_INFEASIBLE if no bins keep the limits, LABEL_ONE_CLASS.
    """
    rows = int(counts.rows.sum())
    good, bad = int(counts.non_events.sum()), int(counts.events.sum())
    if good == 0 or bad == 0:
        raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only among the values of the column"))
    min_rows = max(limits.min_rows, math.ceil(limits.min_share * (rows if n_rows is None else n_rows)))
    span = _Spans.of(counts)
    allowed = (span.rows >= min_rows) & (span.bad >= limits.min_events) & (span.good >= limits.min_non_events)
    with np.errstate(invalid="ignore"):
        ratio = log_odds_ratio(span.good.astype(np.float64), span.bad.astype(np.float64), good, bad)
        iv = np.where(allowed, (span.good / good - span.bad / bad) * ratio, -np.inf)
    most = min(limits.max_bins, rows // min_rows, bad // limits.min_events, good // limits.min_non_events, span.n)
    if most < limits.min_bins:
        raise _infeasible()
    tables = _Tables(span, iv, limits, most)
    found = {trend: tables.best(trend) for trend in _candidates(limits.trend)}
    trend = _chosen(limits, {trend: best.iv for trend, best in found.items()})
    if found[trend].iv == -math.inf:
        raise _infeasible()
    return found[trend]


def _candidates(trend: Trend) -> tuple[Trend, ...]:
    both: tuple[Trend, ...] = ("ascending", "descending")
    return {"auto": (*both, "peak", "valley"), "auto_asc_desc": both}.get(trend, (trend,))


def _chosen(limits: BinLimits, iv: dict[Trend, float]) -> Trend:
    """The trend to keep. The first of equals is the simpler one."""
    straight = {trend: value for trend, value in iv.items() if trend not in ("peak", "valley")}
    best = max(iv, key=lambda trend: iv[trend])
    if not straight or best in straight:
        return best
    steady = max(straight, key=lambda trend: straight[trend])
    return best if iv[best] > straight[steady] * (1 + limits.turn_gain) + _ALMOST else steady


@dataclass(frozen=True, slots=True, eq=False)
class _Spans:
    """Rows of the bin that pre-bins i to j make. Shapes: (n, n), 0 below the diagonal."""

    good: I64
    bad: I64

    @classmethod
    def of(cls, counts: BinCounts) -> _Spans:
        def spans(c: I64) -> I64:
            to = np.r_[0, np.cumsum(c)]
            return np.triu(to[None, 1:] - to[:-1, None])

        return cls(spans(counts.non_events), spans(counts.events))

    @property
    def n(self) -> int:
        return int(self.bad.shape[0])

    @property
    def rows(self) -> I64:
        return self.good + self.bad


class _Tables:
    """The largest information value of every beginning: k + 1 bins, the last of which is pre-bins i to j.

    `straight[0]` has bad rates that rise so far, `straight[1]` such that fall; `turned[0]` those that rose and now
    fall, `turned[1]` the other way round. Without a trend, `straight` knows no direction. Shapes: (2, bins, n, n).
    """

    def __init__(self, span: _Spans, iv: F64, limits: BinLimits, bins: int) -> None:
        n = span.n
        self._limits = limits
        self._turns = limits.trend in ("auto", "peak", "valley")
        self.straight = np.full((2, bins, n, n), -np.inf)
        self.turned = np.full((2, bins, n, n), -np.inf)
        self._from = np.zeros((2, bins, n, n), np.int16)
        self._from_turned = np.zeros((2, bins, n, n), np.int16)
        self.straight[:, 0, 0] = iv[0]
        for i in range(1, n if bins > 1 else 0):
            rises, falls, may = self._steps(span, i)
            straight = self.straight[:, :-1, :i, i - 1, None]
            self._enter(
                self.straight, self._from, i, iv, np.where(np.stack([rises, falls])[:, None], straight, -np.inf)
            )
            if self._turns:
                # The step at which the bad rate turns may go either way: it is the last of one part or the first of
                # the other.
                turned = np.where(np.stack([falls, rises])[:, None], self.turned[:, :-1, :i, i - 1, None], -np.inf)
                both = np.concatenate([turned, np.where(may, straight, -np.inf)], axis=2)
                self._enter(self.turned, self._from_turned, i, iv, both)

    def _steps(self, span: _Spans, i: int) -> tuple[Mask, Mask, Mask]:
        """For bins h to i - 1 and i to j: whether bad rates do not fall, do not rise, are far enough apart."""
        bad_h, rows_h = span.bad[:i, i - 1, None], span.rows[:i, i - 1, None]
        bad_j, rows_j = span.bad[None, i, i:], span.rows[None, i, i:]
        may = np.ones((i, span.n - i), bool)
        limits = self._limits
        if limits.min_rate_diff > 0 or limits.max_p_value < 1:
            some = (rows_h > 0) & (rows_j > 0)
            apart = np.abs(bad_h / np.maximum(rows_h, 1) - bad_j / np.maximum(rows_j, 1))
            pooled = (bad_h + bad_j) / np.maximum(rows_h + rows_j, 1)
            # Imported here: whoever reads a job file, as each command does, would wait for SciPy.
            from scipy.special import ndtri

            least = float(ndtri(1 - limits.max_p_value / 2))
            # Of bins without rows, which may not stand beside another anyway, the error is no number.
            with np.errstate(divide="ignore", invalid="ignore"):
                error = np.sqrt(pooled * (1 - pooled) * (1 / rows_h + 1 / rows_j))
                may = some & (apart >= limits.min_rate_diff) & ~(apart < least * error)
        if limits.trend == "none":
            return may, may, may
        # Exact: both products are below MAX_ROWS squared.
        left, right = bad_h * rows_j, bad_j * rows_h
        return may & (left <= right), may & (left >= right), may

    @staticmethod
    def _enter(table: F64, came_from: NDArray[np.int16], i: int, iv: F64, before: F64) -> None:
        """Put in the bins that begin at pre-bin i. Shapes: before (2, bins - 1, places before, n - i)."""
        h = before.argmax(axis=2)
        table[:, 1:, i, i:] = np.take_along_axis(before, h[:, :, None], axis=2)[:, :, 0] + iv[i, i:]
        came_from[:, 1:, i, i:] = h

    def best(self, trend: Trend) -> OptimalBinning:
        """The best bins of this trend; of almost equal ones the fewest. `iv` is -inf if there are none."""
        way = 1 if trend in ("descending", "valley") else 0
        last = self.straight[way, :, :, -1]
        if trend in ("peak", "valley"):
            last = np.concatenate([last, self.turned[way, :, :, -1]], axis=1)
        of_bins = last.max(axis=1)
        of_bins[: self._limits.min_bins - 1] = -np.inf
        most = float(of_bins.max())
        if most == -math.inf:
            return OptimalBinning(np.empty(0, np.int64), trend, most)
        k = int(np.flatnonzero(of_bins >= most - _ALMOST * max(1.0, most))[0])
        at = int(last[k].argmax())
        return OptimalBinning(self._ends(way, k, at), trend, float(of_bins[k]))

    def _ends(self, way: int, k: int, at: int) -> I64:
        """The way back from k + 1 bins. The last begins at pre-bin `at`; n more if the bad rate has turned."""
        turned, i = divmod(at, self.straight.shape[-1])
        ends = [self.straight.shape[-1] - 1]
        for k_bins in range(k, 0, -1):
            came_from = self._from_turned if turned else self._from
            h = int(came_from[way, k_bins, i, ends[-1]])
            ends.append(i - 1)
            # Of the places before a turned bin, the first i are of turned ones, the next i are not.
            turned, i = int(bool(turned) and h < i), h % i
        return np.array(ends[::-1], np.int64)


def _infeasible() -> DataError:
    fix = "ask for fewer bins, or smaller ones, or another trend"
    return DataError(Problem("BINNING_INFEASIBLE", "column", "has no bins that keep the limits", fix))
