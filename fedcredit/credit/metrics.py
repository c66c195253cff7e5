"""How well a score tells bad from good: AUC, Gini, Kolmogorov-Smirnov, log-loss, stability index.

A higher score means a higher risk. All of it is from one pass over the sorted scores; equal scores count as ties.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import DataError, Problem

__all__ = [
    "RankCurve",
    "auc",
    "gini",
    "ks",
    "log_loss",
    "rank_curve",
    "risk_bands",
    "stability_index",
    "stability_reading",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

_TINY = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1 in the log-loss, as scikit-learn keeps them."""

_STABLE_BELOW: Final = 0.10
_WATCH_BELOW: Final = 0.25


@dataclass(frozen=True, slots=True)
class RankCurve:
    """How many good and bad rows score at least `score[k]`, from the riskiest score down.

    Shapes: (m,) each for the m distinct scores, `score` descending.
    """

    score: F64 = field(repr=False)
    bad: I64 = field(repr=False)
    good: I64 = field(repr=False)

    @property
    def tpr(self) -> F64:
        """Share of all bad rows at or above each score."""
        share: F64 = self.bad / self.bad[-1]
        return share

    @property
    def fpr(self) -> F64:
        """Share of all good rows at or above each score."""
        share: F64 = self.good / self.good[-1]
        return share

    @property
    def auc(self) -> float:
        """Probability that a bad row scores above a good one, ties counted half."""
        bad = np.concatenate([[0], self.bad]).astype(np.float64)
        good = np.concatenate([[0], self.good]).astype(np.float64)
        return float(np.sum(np.diff(good) * (bad[1:] + bad[:-1])) / (2.0 * bad[-1] * good[-1]))

    @property
    def ks(self) -> float:
        """Largest distance between the score distributions of bad and good rows, in [0, 1]."""
        return float(np.max(np.abs(self.tpr - self.fpr)))


def rank_curve(y: U8, score: F64) -> RankCurve:
    """Cumulative counts over the distinct scores.

    Shapes: y (n,), 1 = bad; score (n,).
    Raises: DataError LABEL_ONE_CLASS, SCORE_INVALID for NaN; ValueError for other shapes.
    """
    if y.ndim != 1 or y.shape != score.shape:
        raise ValueError(f"rank_curve: got {y.shape} labels and {score.shape} scores")
    if np.isnan(score).any():
        raise DataError(Problem("SCORE_INVALID", "score", "has values that are not numbers"))
    n_bad = int(np.count_nonzero(y))
    if n_bad in (0, y.size):
        fix = "take more rows, or another split, so that both good and bad rows are in each part"
        raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only", fix))
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.r_[np.flatnonzero(ranked[1:] != ranked[:-1]), y.size - 1]
    bad = np.cumsum(y[order] > 0, dtype=np.int64)[ends]
    return RankCurve(ranked[ends], bad, ends + 1 - bad)


def auc(y: U8, score: F64) -> float:
    """Area under the ROC curve. Shapes and Raises: as `rank_curve`."""
    return rank_curve(y, score).auc


def gini(y: U8, score: F64) -> float:
    """Gini coefficient (accuracy ratio), 2 AUC - 1. Shapes and Raises: as `rank_curve`."""
    return 2.0 * auc(y, score) - 1.0


def ks(y: U8, score: F64) -> float:
    """Kolmogorov-Smirnov statistic between bad and good rows. Shapes and Raises: as `rank_curve`."""
    return rank_curve(y, score).ks


def log_loss(y: U8, probability: F64) -> float:
    """Mean negative log-likelihood of predicted probabilities. Shapes: y, probability (n,), in [0, 1]."""
    p = np.clip(probability, _TINY, 1.0 - _TINY)
    return float(-np.mean(np.where(y > 0, np.log(p), np.log1p(-p))))


def risk_bands(score: F64, n_bands: int = 10) -> I64:
    """Which of `n_bands` bands of about equal size each row is in; 0 is the riskiest. Equal scores share a band.

    A group of ties belongs where its middle rank is, so that the order of rows does not matter; a large group may
    leave bands empty.

    Shapes: score (n,); returns (n,).
    """
    _, group, sizes = np.unique(-score, return_inverse=True, return_counts=True)
    middle = np.cumsum(sizes) - (sizes + 1) / 2  # mean rank of each group, from 0
    bands: I64 = (middle * n_bands / score.size).astype(np.int64)[group]
    return bands


def stability_index(expected: F64, actual: F64) -> float:
    """Population stability index between two distributions over the same bands: sum (a - e) ln(a / e).

    `stability_reading` says what it comes to. An empty band counts as half a row, for the logarithm's sake.

    Shapes: expected, actual (bands,), counts of rows. Raises: ValueError if either is empty altogether.
    """
    if expected.shape != actual.shape or expected.sum() <= 0 or actual.sum() <= 0:
        raise ValueError("stability_index: two non-empty distributions over the same bands are needed")
    e, a = np.maximum(expected, 0.5) / expected.sum(), np.maximum(actual, 0.5) / actual.sum()
    return float(np.sum((a - e) * np.log(a / e)))


def stability_reading(index: float) -> Literal["stable", "watch", "shifted"]:
    """The customary reading of a stability index: below 0.1 stable, from there on to watch, from 0.25 on shifted."""
    if index < _STABLE_BELOW:
        return "stable"
    return "watch" if index < _WATCH_BELOW else "shifted"
