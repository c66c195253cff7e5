"""From weights of evidence to points: the scale of a scorecard, points per bin, and the reasons for a low score.

A higher score is a better risk, as in all scorecards: `metrics`, where a higher score is a higher risk, takes minus the
points. With the log-odds of a bad row ln(p / (1 - p)) = intercept + sum of coefficient x WOE over the columns,

    score = offset - factor ln(p / (1 - p)),   factor = pdo / ln 2,   offset = base_score - factor ln(odds)

of which each column's part is -factor x coefficient x WOE, and the rest are the base points.

Source: N. Siddiqi, Credit Risk Scorecards, Wiley 2006, chapter 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.woe import BinCounts
from fedcredit.errors import ConfigError, Problem

__all__ = ["PointScale", "Reference", "bin_points", "reason_codes", "reference_points", "rounded"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

Reference = Literal["neutral", "average", "best"]
"""What a row's points fall short of, in a column: those of WOE 0, the mean over all rows, or those of the best bin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointScale:
    """`base_score` points mean `odds` good rows to a bad one, and every `pdo` points more double these odds.

    Raises: ConfigError CONFIG_VALUE, listing every problem.
    """

    base_score: float = 600.0
    odds: float = 50.0
    pdo: float = 20.0

    def __post_init__(self) -> None:
        bounds = {
            "base_score": (math.isfinite(self.base_score), "must be a finite number"),
            "odds": (0 < self.odds < math.inf, "must be above 0: good rows to a bad one"),
            "pdo": (0 < self.pdo < math.inf, "must be above 0"),
        }
        if problems := [Problem("CONFIG_VALUE", name, what) for name, (fits, what) in bounds.items() if not fits]:
            raise ConfigError(problems)

    @property
    def factor(self) -> float:
        """Points of one unit of log-odds."""
        return self.pdo / math.log(2.0)

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return self.base_score - self.factor * math.log(self.odds)

    def base_points(self, intercept: float) -> float:
        """What every row gets. The coefficients times WOE being 0, it is the score of a row like all rows together."""
        return self.offset - self.factor * intercept

    def score(self, log_odds: F64) -> F64:
        """The score, not rounded, of rows with these log-odds of being bad. Shapes: (n,) in, (n,) out."""
        return self.offset - self.factor * log_odds

    def probability(self, score: F64) -> F64:
        """The probability of being bad that a score means. Shapes: (n,) in, (n,) out."""
        # Imported here: whoever reads a job file, as each command does, would wait for SciPy.
        from scipy.special import expit

        probability: F64 = expit((self.offset - score) / self.factor)
        return probability


def bin_points(woe: F64, coefficient: float, scale: PointScale, *, share: float = 0.0) -> F64:
    """The points of each bin of a column, not rounded.

    `share`: the column's share of the base points, for a card without base points of its own: those of `base_points`
    over the number of columns, as optbinning has it.

    Shapes: woe (b,); returns (b,).
    """
    return share - scale.factor * coefficient * woe


def rounded(points: F64) -> I64:
    """Whole points, halves to the even number. A score of f columns moves by at most (f + 1) / 2 points for it.

    Shapes: (b,) in, (b,) out. Raises: ValueError for points that are not finite, or beyond 10^9.
    """
    if not (np.abs(points) <= 1e9).all():
        raise ValueError("rounded: points are not finite, or beyond 10^9")
    return np.rint(points).astype(np.int64)


def reference_points(points: F64 | I64, counts: BinCounts | None, how: Reference, *, share: float = 0.0) -> float:
    """What the points of a column are measured against. "average" needs the counts of its bins; see `Reference`.

    Shapes: points (b,). Raises: ValueError without the counts that "average" needs, or with those of other bins.
    """
    if how == "neutral":
        return share
    if how == "best":
        return float(points.max())
    if counts is None or counts.rows.shape != points.shape or counts.rows.sum() == 0:
        raise ValueError("reference_points: the average needs the counts of these bins")
    return float(np.average(points, weights=counts.rows))


def reason_codes(points: F64 | I64, reference: F64, n_reasons: int) -> I64:
    """The columns in which a row falls shortest of the reference, the largest shortfall first.

    Equal shortfalls stand in the order of the columns. -1 where there is no further column that falls short.

    Shapes: points (n, f), reference (f,); returns (n, n_reasons). Raises: ValueError for other shapes.
    """
    if points.ndim != 2 or reference.shape != points.shape[1:] or n_reasons < 1 or not np.isfinite(reference).all():
        raise ValueError(f"reason_codes: points {points.shape}, reference {reference.shape}, {n_reasons} reasons")
    reasons = np.full((points.shape[0], n_reasons), -1, np.int64)
    short = reference - points
    rows = np.arange(points.shape[0])
    # One pass a reason and not a sort: there are few reasons and many columns.
    for k in range(min(n_reasons, points.shape[1])):
        first = short.argmax(axis=1)
        reasons[:, k] = np.where(short[rows, first] > 0, first, -1)
        short[rows, first] = -np.inf
    return reasons
