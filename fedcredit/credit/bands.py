"""Bands of a score, and what a bank decides by: how many are approved at a cut-off, and how many of those are bad.

A higher score is a better risk here, as in `points`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.metrics import stability_index
from fedcredit.credit.woe import BinCounts
from fedcredit.errors import DataError, Problem

__all__ = ["ScoreBands", "points_shift"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

MAX_BANDS = 256


@dataclass(frozen=True, slots=True)
class ScoreBands:
    """Bands of a score, fixed on one sample and applied to others: band k has cutoffs[k - 1] <= score < cutoffs[k].

    Band 0 has the lowest scores, the worst risks. Raises: DataError BANDS_INVALID for cut-offs that do not ascend.
    """

    cutoffs: tuple[float, ...]

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.cutoffs, self.cutoffs[1:], strict=False))
        if not (ascending and all(map(math.isfinite, self.cutoffs)) and self.n_bands <= MAX_BANDS):
            what = f"are not ascending numbers, at most {MAX_BANDS - 1}"
            raise DataError(Problem("BANDS_INVALID", "cut-offs", what))

    @classmethod
    def fit(cls, score: F64, n_bands: int = 10) -> ScoreBands:
        """At most `n_bands` bands of about equal numbers of rows; equal scores share a band.

        Raises: DataError SCORE_INVALID; ValueError for a number of bands outside 2..MAX_BANDS or no rows.
        """
        if not 2 <= n_bands <= MAX_BANDS or score.size == 0:
            raise ValueError(f"ScoreBands.fit: {n_bands} bands of {score.size} rows")
        _check(score)
        ordered = np.sort(score)
        cuts = np.unique(ordered[np.arange(1, n_bands) * score.size // n_bands])
        # A cut-off at the least score would leave nothing below it.
        return cls(tuple(cuts[cuts > ordered[0]].tolist()))

    @property
    def n_bands(self) -> int:
        """Number of bands."""
        return len(self.cutoffs) + 1

    def bands(self, score: F64) -> U8:
        """The band of each row. Shapes: (n,) in, (n,) out. Raises: DataError SCORE_INVALID."""
        _check(score)
        return np.searchsorted(np.array(self.cutoffs), score, side="right").astype(np.uint8)

    def counts(self, y: U8, score: F64) -> BinCounts:
        """Good and bad rows of each band. Shapes: y (n,), 1 = bad; score (n,). Raises: DataError SCORE_INVALID."""
        return BinCounts.of(self.bands(score), y, self.n_bands)

    def band_table(self, counts: BinCounts) -> list[dict[str, Any]]:
        """One row a band, the worst first, ready for JSON.

        `from`, `to`: scores of the band, null at the open ends; `rows`, `good`, `bad`, `share` of all rows, `bad_rate`
        (null without rows), `lift` over the bad rate of all rows, `cum_rows_share`, `cum_bad_share` from the worst on.

        Raises: DataError LABEL_ONE_CLASS; ValueError for counts of other bands.
        """
        rows, all_rows, all_bad = self._totals(counts)
        overall = all_bad / all_rows
        bounds = [None, *self.cutoffs, None]
        cum_rows, cum_bad = np.cumsum(rows) / all_rows, np.cumsum(counts.events) / all_bad
        table = []
        for k in range(self.n_bands):
            rate = float(counts.events[k] / rows[k]) if rows[k] else None
            table.append(
                {
                    "from": bounds[k],
                    "to": bounds[k + 1],
                    "rows": int(rows[k]),
                    "good": int(counts.non_events[k]),
                    "bad": int(counts.events[k]),
                    "share": float(rows[k] / all_rows),
                    "bad_rate": rate,
                    "lift": None if rate is None else rate / overall,
                    "cum_rows_share": float(cum_rows[k]),
                    "cum_bad_share": float(cum_bad[k]),
                }
            )
        return table

    def cutoff_table(self, counts: BinCounts) -> list[dict[str, Any]]:
        """One row a cut-off, ascending, ready for JSON: who scores at least `cutoff` is approved.

        `approval_rate`; `bad_rate` of the approved and `rejected_bad_rate` (null if there are none); `lift`, the bad
        rate of the rejected over that of all rows; `bad_rejected`, `good_rejected`: shares of all bad and good rows.

        Raises: DataError LABEL_ONE_CLASS; ValueError for counts of other bands.
        """
        rows, all_rows, all_bad = self._totals(counts)
        overall, all_good = all_bad / all_rows, all_rows - all_bad
        out_rows, out_bad = np.cumsum(rows).tolist(), np.cumsum(counts.events).tolist()
        table = []
        for cutoff, rejected, bad in zip(self.cutoffs, out_rows[:-1], out_bad[:-1], strict=True):
            rate = bad / rejected if rejected else None
            approved = all_rows - rejected
            table.append(
                {
                    "cutoff": cutoff,
                    "approval_rate": approved / all_rows,
                    "bad_rate": (all_bad - bad) / approved if approved else None,
                    "rejected_bad_rate": rate,
                    "lift": None if rate is None else rate / overall,
                    "bad_rejected": bad / all_bad,
                    "good_rejected": (rejected - bad) / all_good,
                }
            )
        return table

    def stability(self, expected: F64, actual: F64) -> float:
        """The stability index of the score between two samples, by these bands; see `stability_index`.

        Shapes: scores (n,), (m,). Raises: DataError SCORE_INVALID; ValueError without rows.
        """
        counted = [np.bincount(self.bands(s), minlength=self.n_bands).astype(np.float64) for s in (expected, actual)]
        return stability_index(counted[0], counted[1])

    def _totals(self, counts: BinCounts) -> tuple[I64, int, int]:
        if counts.rows.size != self.n_bands:
            raise ValueError("ScoreBands: counts of other bands")
        all_rows, all_bad = int(counts.rows.sum()), int(counts.events.sum())
        if all_bad in (0, all_rows):
            raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only"))
        return counts.rows, all_rows, all_bad


def points_shift(expected: I64, actual: I64, points: F64 | I64) -> float:
    """By how many points a column moves the mean score from one sample to another (characteristic analysis).

    Shapes: expected, actual (b,), rows of each bin; points (b,). Raises: ValueError for other shapes or no rows.
    """
    if not expected.shape == actual.shape == points.shape or expected.sum() <= 0 or actual.sum() <= 0:
        raise ValueError("points_shift: two non-empty distributions over the bins with these points are needed")
    return float(np.sum((actual / actual.sum() - expected / expected.sum()) * points))


def _check(score: F64) -> None:
    if np.isnan(score).any():
        raise DataError(Problem("SCORE_INVALID", "score", "has values that are not numbers"))
