"""How well a model does over the rows of all members, of which nobody shows a score: from sums over cells of scores."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.agreed_bins import Cells
from fedcredit.credit.evaluation import BANDS
from fedcredit.credit.histogram_metrics import ScoreCells, band_figures, cell_figures, log_odds_of
from fedcredit.credit.points import PointScale
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.horizontal_columns import AgreedColumn, Summing, agreed_cells
from fedcredit.runtime.state import StageState
from fedcredit.tables import Column

__all__ = ["MemberScores", "MembersEvaluation", "evaluate_members"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

MIN_ROWS: Final = 10
"""A cell of no more rows of all members is not divided."""
CELLS: Final = 2048
"""Cells are divided until each holds at most this part of the rows."""
_SHORTEST: Final = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1 in the log-loss, as `metrics.log_loss` keeps them."""


@dataclass(frozen=True, slots=True, eq=False)
class MemberScores:
    """Labels and predicted probabilities of this member's rows. Shapes: label, probability (n,); n may be 0."""

    label: U8 = field(repr=False)
    probability: F64 = field(repr=False)

    def __post_init__(self) -> None:
        if self.label.shape != self.probability.shape or self.label.ndim != 1:
            raise ValueError(f"scores: {self.label.shape} labels, {self.probability.shape} probabilities")
        if not ((self.probability >= 0) & (self.probability <= 1)).all():
            raise DataError(Problem("SCORE_INVALID", "score", "has values that are no probabilities"))


@dataclass(frozen=True, slots=True, eq=False)
class MembersEvaluation(StageState):
    """What all members learn: `figures` for `metrics.json`, and the cells that they are from.

    Shapes: `sizes` (samples,), how many cells each of train, test and alone has; first, bits (all cells,); counts
    (all cells, 2), good and bad rows.
    """

    schema = "horizontal-evaluation/1"
    figures: dict[str, Any] = field(repr=False)
    sizes: I64
    first: U64 = field(repr=False)
    bits: U8 = field(repr=False)
    counts: I64 = field(repr=False)

    @classmethod
    def of(cls, figures: dict[str, Any], cells: list[Cells]) -> Self:
        """These figures, from these cells."""
        sizes = np.array([of.first.size for of in cells], np.int64)
        first, bits, counts = (
            np.concatenate([getattr(of, key) for of in cells]) for key in ("first", "bits", "counts")
        )
        return cls(figures, sizes, first, bits, counts)

    @property
    def train(self) -> ScoreCells:
        """The cells of rows to train on."""
        return self._sample(0)

    @property
    def test(self) -> ScoreCells:
        """The cells of rows held out."""
        return self._sample(1)

    def bands(self, scale: PointScale, n_bands: int) -> dict[str, Any]:
        """`bands` and `cutoffs` of points on this scale: see `band_figures`."""
        return band_figures(self.train, self.test, scale, n_bands)

    def _sample(self, number: int) -> ScoreCells:
        ends = np.cumsum(self.sizes)
        part = slice(int(ends[number] - self.sizes[number]), int(ends[number]))
        return ScoreCells(Cells(self.first[part], self.bits[part], self.counts[part]))


async def evaluate_members(
    sums: Summing,
    train: MemberScores,
    test: MemberScores,
    alone: MemberScores | None = None,
    *,
    label: str = "evaluation",
) -> MembersEvaluation:
    """The figures of `credit.evaluation.evaluate` over the rows of all members, the same at all of them.

    `alone`: the test rows of each member under the model that it makes of its own rows alone; all members give it or
    none does. Beside the keys of `evaluate` there are `auc_resolution` and `ks_resolution` (by how much these figures
    may be off; also with `_train`, `_alone`), and `brier`, `brier_train`, `brier_alone`. Log-loss, Brier score and the
    mean prediction of each risk band are summed row by row. At most twelve rounds.

    Reveals: to all members, how many good and bad rows of all members lie in each cell of the log-odds, where a cell of
    at most 10 rows, or a 2048th of the rows, is not divided; log-loss and Brier score in total; the sum of predictions
    of each tenth of the test rows.
    Raises: DataError LABEL_ONE_CLASS, SUM_INCONSISTENT; PeerLost; PeerError.
    """
    samples = {"train": train, "test": test} | ({} if alone is None else {"alone": alone})
    found = await agreed_cells(
        sums,
        {name: Column(name, "numeric", log_odds_of(of.probability)) for name, of in samples.items()},
        few=lambda rows: max(MIN_ROWS, rows // CELLS),
        least=MIN_ROWS,
        classes={name: (of.label > 0).astype(np.uint8) for name, of in samples.items()},
        n_classes=2,
        label=f"{label}.cells",
    )
    losses = await _losses(sums, samples, found, f"{label}.losses")
    cells = {name: ScoreCells(column.cells) for name, column in found.items()}
    predicted = await _predicted(sums, test, cells["test"], f"{label}.predicted")
    figures = await asyncio.to_thread(
        partial(cell_figures, cells["train"], cells["test"], cells.get("alone"), losses, predicted)
    )
    return MembersEvaluation.of(figures, [column.cells for column in found.values()])


async def _losses(
    sums: Summing, samples: Mapping[str, MemberScores], found: Mapping[str, AgreedColumn], label: str
) -> dict[str, float]:
    own = []
    for of in samples.values():
        bad, p = of.label > 0, np.clip(of.probability, _SHORTEST, 1.0 - _SHORTEST)
        own += [-np.where(bad, np.log(p), np.log1p(-p)).sum(), ((of.probability - bad) ** 2).sum()]
    rows = [max(1, column.rows) for column in found.values()]
    # The logarithm of the least probability is above -37.
    total = await sums.reals(label, np.array(own, np.float64), bound=37.0 * max(rows))
    losses: dict[str, float] = {}
    for k, (name, n) in enumerate(zip(samples, rows, strict=True)):
        suffix = "" if name == "test" else f"_{name}"
        losses |= {f"logloss{suffix}": float(total[2 * k] / n), f"brier{suffix}": float(total[2 * k + 1] / n)}
    return losses


async def _predicted(sums: Summing, test: MemberScores, cells: ScoreCells, label: str) -> F64:
    """The mean prediction of each risk band of the test rows, NaN without rows. Shapes: (BANDS,)."""
    if cells.cells.first.size == 0:
        return np.full(BANDS, np.nan)
    band, rows = cells.bands(), cells.cells.rows
    places = cells.places(log_odds_of(test.probability))
    own = np.bincount(band[places], test.probability, BANDS).astype(np.float64)
    total = await sums.reals(label, own, bound=float(rows.sum()))
    n = np.bincount(band, rows, BANDS)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)
