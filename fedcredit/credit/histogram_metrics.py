"""How well a score tells bad from good, where of the scores no more is known than how many rows lie in which cell.

Cells are of log-odds (`agreed_bins.Cells`, good rows in class 0, bad ones in class 1). Within a cell rows count as
tied. A cut between two cells is exact; so are all counts, and shares, at such cuts. What is not known is the order of
good and bad rows that share a cell: AUC is off by at most half their share of all pairs, KS by the largest share of a
cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from fedcredit.credit.agreed_bins import Cells, keys_of
from fedcredit.credit.bands import ScoreBands
from fedcredit.credit.evaluation import BANDS, evaluate
from fedcredit.credit.metrics import risk_bands
from fedcredit.credit.points import PointScale
from fedcredit.credit.woe import BinCounts

__all__ = ["ScoreCells", "band_figures", "cell_figures", "log_odds_of"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

EXTREME: Final = 36.0
"""Log-odds beyond this are this: a double has no probability closer to 1."""


def log_odds_of(probability: F64) -> F64:
    """Log-odds that cells are of. Shapes: (n,)."""
    with np.errstate(divide="ignore"):
        z: F64 = np.clip(logit(probability), -EXTREME, EXTREME)
    return z


@dataclass(frozen=True, slots=True, eq=False)
class ScoreCells:
    """Good and bad rows of a sample by cells of their log-odds."""

    cells: Cells = field(repr=False)

    @property
    def low(self) -> F64:
        """(m,) the least probability of each cell."""
        return np.asarray(expit(self.cells.low))

    @property
    def high(self) -> F64:
        """(m,) the largest probability of each cell."""
        return np.asarray(expit(self.cells.high))

    @property
    def middle(self) -> F64:
        """(m,) the probability that stands for a cell."""
        return np.asarray(expit((self.cells.low + self.cells.high) / 2))

    @property
    def auc_resolution(self) -> float:
        """By how much AUC may be off: half the share of pairs of a good and a bad row within one cell.

        In the narrowest cells, 2^-32 of the log-odds wide, rows are ties and not unknown.
        """
        good, bad = self.cells.counts.T.astype(np.float64)
        unknown = (good * bad)[~self.cells.single].sum()
        return float(0.5 * unknown / max(good.sum() * bad.sum(), 1.0))

    @property
    def ks_resolution(self) -> float:
        """By how much KS may be too small: the largest share that a cell has of all good, or all bad, rows."""
        wide = self.cells.counts[~self.cells.single].astype(np.float64)
        shares = wide / np.maximum(self.cells.counts.sum(axis=0), 1)
        return float(shares.max(initial=0.0))

    def places(self, z: F64) -> I64:
        """The cell that each of these rows, which were counted, is in. Shapes: (n,) log-odds in; (n,) out."""
        return (np.searchsorted(self.cells.first, keys_of(z), side="right") - 1).astype(np.int64)

    def rows(self, score: F64) -> tuple[U8, F64]:
        """As many rows as were counted, with this score for each cell. Shapes: score (m,); returns labels, scores."""
        counts = self.cells.counts
        labels = np.repeat(np.tile(np.array([0, 1], np.uint8), len(counts)), counts.ravel())
        return labels, np.repeat(np.repeat(score, 2), counts.ravel())

    def bands(self) -> I64:
        """The risk band of each cell, as `risk_bands` has them; 0 is the riskiest. Shapes: (m,)."""
        rows = self.cells.rows
        _, score = self.rows(self.middle)
        found: I64 = risk_bands(score, BANDS)[np.cumsum(rows) - rows]
        return found


def cell_figures(
    train: ScoreCells,
    test: ScoreCells,
    alone: ScoreCells | None,
    losses: dict[str, float],
    predicted: F64,
) -> dict[str, Any]:
    """The figures of `evaluate`, and how exact they are: `auc_resolution`, `ks_resolution`, so too `_train`, `_alone`.

    Cut-offs are the lower ends of cells, so that their counts are those of the rows at or above them. `losses` replace
    those of cells: log-loss and Brier score, summed row by row. `predicted`: the mean probability of each risk band of
    the test rows, riskiest first, NaN for a band without rows.

    Raises: DataError LABEL_ONE_CLASS.
    """
    (y_train, s_train), (y_test, s_test) = (of.rows(of.middle) for of in (train, test))
    y_alone, s_alone = (None, None) if alone is None else alone.rows(alone.middle)
    figures = evaluate(y_train, s_train, y_test, s_test, s_alone, y_alone=y_alone)
    lower, upper = _by_middle(test, test.low), _by_middle(test, test.high)
    for row in figures["confusion"]:
        row["cutoff"] = lower[row["cutoff"]]
    for row in figures["lift"]:
        row["score_min"], row["score_max"] = lower[row["score_min"]], upper[row["score_max"]]
    figures["ks_curve"]["score"] = [upper[score] for score in figures["ks_curve"]["score"]]
    known = predicted[~np.isnan(predicted)][::-1].tolist()
    for row, mean in zip(figures["calibration"], known, strict=True):
        row["predicted"] = mean
    samples = {"": test, "_train": train} | ({} if alone is None else {"_alone": alone})
    for suffix, of in samples.items():
        figures[f"auc_resolution{suffix}"] = of.auc_resolution
        figures[f"ks_resolution{suffix}"] = of.ks_resolution
    return figures | losses


def band_figures(train: ScoreCells, test: ScoreCells, scale: PointScale, n_bands: int) -> dict[str, Any]:
    """`bands` and `cutoffs` of points, as `ScoreBands` has them: fixed on the train rows, counted on the test rows.

    A cut-off is the least number of points of a cell of the train rows. Test rows whose cell lies across it count where
    the least of their points are.
    """
    # Many points are little risk: the upper end of a cell of log-odds is the lower one of its points.
    of_train, of_test = (scale.score(of.cells.high) for of in (train, test))
    bands = ScoreBands.fit(train.rows(of_train)[1], n_bands)
    y, points = test.rows(of_test)
    counts: BinCounts = bands.counts(y, points)
    return {"bands": bands.band_table(counts), "cutoffs": bands.cutoff_table(counts)}


def _by_middle(of: ScoreCells, values: F64) -> dict[float, float]:
    """What stands in for a cell, to what is true of it."""
    return dict(zip(of.middle.tolist(), values.tolist(), strict=True))
