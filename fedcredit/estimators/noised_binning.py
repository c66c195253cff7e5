"""Binning over members whose sums have noise: what is released, and how counts are taken that noise has been added to.

There are three kinds of release: rows and bad rows of all; in some rounds, rows of cells, by which members agree on
edges; good and bad rows of each cell between them. Rows of pre-bins, pre-bins and bins follow from those. A pre-bin or
a bin that is not above the floors by three sigmas is joined to others, as one below a floor is.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.woe import BinCounts
from fedcredit.estimators.horizontal_binning_cells import Cells
from fedcredit.estimators.horizontal_binning_records import ClassRows, TotalRows
from fedcredit.estimators.noised_counts import ABOVE_NOISE, cells_sensitivity, consistent
from fedcredit.estimators.sums import Sums

__all__ = ["ROUNDS", "TOTAL_SENSITIVITY", "NoisedBinning", "binning_releases", "counts_in", "total_of"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

BOUND: Final = 1 << 48
ROUNDS: Final = 7
"""Sums by which edges are agreed on: they part values to 20 bits of the mantissa, a millionth of a value."""

TOTAL_SENSITIVITY: Final = math.sqrt(2)
"""How far one row moves rows and bad rows: it may be there or not, and bad or not."""

# Hundredths of what a binning may spend. Counts are what is kept; edges may lie a few rows off.
_TOTAL, _CUTS, _COUNTS = 2, 28, 70


def binning_releases(name: str) -> dict[str, int]:
    """The labels of all sums of the binning `name`, and the weight of each in what is spent."""
    cuts = {f"{name}/cuts.{number}": _CUTS for number in range(ROUNDS)}
    return {f"{name}/total": _TOTAL * ROUNDS, **cuts, f"{name}/counts": _COUNTS * ROUNDS}


def total_of(rows: int, bads: int) -> TotalRows:
    """Rows and bad rows that could be some, from noised ones."""
    rows = max(rows, 0)
    return TotalRows(rows, min(max(bads, 0), rows))


@dataclass(frozen=True, slots=True)
class NoisedBinning:
    """How the counts of one binning are taken. `columns` are counted; `label` is that of the sum of their counts."""

    sums: Sums
    columns: int
    label: str

    @property
    def sensitivity(self) -> float:
        """How far one row moves good and bad rows of all cells."""
        return cells_sensitivity(self.columns)

    @property
    def sigma(self) -> float:
        """The noise in the good, or the bad, rows of one cell over all members."""
        assert self.sums.noise is not None, "who counts with noise has some"
        return self.sums.noise.sigma(self.label, self.sensitivity) * math.sqrt(len(self.sums.members))

    def floors(self, params: BinParams) -> BinParams:
        """The parameters with floors that are above noise."""
        one, both = math.ceil(ABOVE_NOISE * self.sigma), math.ceil(ABOVE_NOISE * math.sqrt(2) * self.sigma)
        return replace(
            params,
            min_rows=params.min_rows + both,
            min_events=params.min_events + one,
            min_non_events=params.min_non_events + one,
        )

    def figures(self) -> dict[str, Any]:
        """What stands in the figures of a binning with noise."""
        assert self.sums.noise is not None, "who counts with noise has some"
        plan = self.sums.noise.spend.plan
        return {"epsilon": plan.epsilon, "delta": plan.delta, "sigma": self.sigma}

    async def count(self, cells: Sequence[Cells], label: U8, total: TotalRows) -> ClassRows:
        """Good and bad rows of each cell of every column: the nearest to the noised ones that could be some.

        Shapes: label (n,). Raises: as `Sums.integers`, `Cells.rows`.
        """
        own = [await asyncio.to_thread(_by_class, of, label) for of in cells]
        values = np.concatenate([np.zeros((2, 0), np.int64), *own], axis=1)
        noisy = await self.sums.integers(self.label, values, bound=BOUND, sensitivity=self.sensitivity)
        ends = np.cumsum([of.n_cells for of in cells])[:-1]
        classes = np.array([total.rows - total.bads, total.bads], np.int64)
        good, bad = np.concatenate(
            [np.zeros((2, 0), np.int64), *(consistent(part, classes) for part in np.split(noisy, ends, axis=1))], axis=1
        )
        return ClassRows(good, bad)


def counts_in(cells: Cells, counts: BinCounts, prebins: ScorecardBins) -> BinCounts:
    """Good and bad rows of pre-bins, each of which is made of whole cells."""
    codes = prebins.codes(_values_in(cells)).astype(np.int64)
    both = [np.bincount(codes, of, prebins.n_bins).astype(np.int64) for of in (counts.non_events, counts.events)]
    return BinCounts(*both)


def _by_class(cells: Cells, label: U8) -> I64:
    column = cells.column
    sides = (replace(cells, column=replace(column, values=column.values[label == k])) for k in (0, 1))
    return np.stack([of.rows() for of in sides])


def _values_in(cells: Cells) -> F64:
    """A value in each cell. Shapes: (n_cells,)."""
    column = cells.column
    if column.kind == "categorical":
        inside = np.arange(len(column.levels), dtype=np.float64)
    else:
        # An edge is the largest value below it; above the last one there is always another.
        inside = np.r_[cells.edges, np.nextafter(cells.edges[-1], np.inf)] if cells.edges.size else np.zeros(1)
        while (taken := np.isin(inside, column.special)).any():
            inside[:-1][taken[:-1]] = np.nextafter(inside[:-1][taken[:-1]], -np.inf)
            inside[-1:][taken[-1:]] = np.nextafter(inside[-1:][taken[-1:]], np.inf)
    found: F64 = np.r_[inside, np.nan, np.array(column.special, np.float64)]
    return found
