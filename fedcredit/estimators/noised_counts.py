"""Counts with noise, made into counts again: none below 0, and together as many as there are. The same at all members.

Noise makes counts negative, and the parts of a cell another number than the cell. The nearest counts that could be
some, in the Euclidean norm, are found by taking the same off all of them, until those that stay above 0 add up: where
nothing is, noise vanishes, and large counts lose what noise added to the empty ones. It is worked out in whole numbers,
so that no two machines differ. What follows from noised sums alone costs no privacy.

Source: J. Duchi et al., Efficient Projections onto the l1-Ball, ICML 2008, figure 1 (the projection on a simplex).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.estimators.sums import Sums

__all__ = ["ABOVE_NOISE", "CellNoise", "cells_sensitivity", "consistent"]

I64: TypeAlias = npt.NDArray[np.int64]

ABOVE_NOISE: Final = 3.0
"""A count is taken for one if it is so many sigmas above what it has to be."""

_DIVIDED: Final = 8.0
# A cell of fewer sigmas is not looked into: where in it rows lie would be told by noise.


def cells_sensitivity(columns: int) -> float:
    """How far one row that is replaced moves counts of cells: of each column one more and one less."""
    return math.sqrt(2 * columns)


def consistent(noisy: I64, totals: I64) -> I64:
    """The nearest counts that add up. Shapes: noisy (a, m), totals (a,), none below 0; returns (a, m).

    Range: |noisy| m < 2^62.
    """
    if not noisy.size:
        return noisy
    order = np.argsort(-noisy, axis=1, kind="stable")
    sorted_ = np.take_along_axis(noisy, order, axis=1)
    many = np.arange(1, noisy.shape[1] + 1, dtype=np.int64)
    over = np.cumsum(sorted_, axis=1) - totals[:, None]
    stay = np.maximum(np.count_nonzero(sorted_ * many > over, axis=1), 1)[:, None]
    off = np.take_along_axis(over, stay - 1, axis=1)
    kept = np.where(many <= stay, np.maximum((sorted_ * stay - off) // stay, 0), 0)
    # All that stay have the same part of one left: the largest get them.
    kept += many <= totals[:, None] - kept.sum(axis=1, keepdims=True)
    found = np.empty_like(noisy)
    np.put_along_axis(found, order, kept, axis=1)
    return found


@dataclass(frozen=True, slots=True)
class CellNoise:
    """How `horizontal_columns.agreed_cells` counts where its sums have noise.

    `rows`: of all members, as far as is known. `columns` are counted, of which each row is in one cell. `rounds`: how
    many sums there are at most; the plan of what is spent has as many.
    """

    sums: Sums
    rows: int
    columns: int
    rounds: int
    label: str

    async def integers(self, label: str, values: I64, *, bound: int) -> I64:
        """The noised sum. Raises: as `Sums.integers`."""
        return await self.sums.integers(label, values, bound=bound, sensitivity=cells_sensitivity(self.columns))

    def few(self, rows: int) -> int:
        """How many rows a cell has at least that is looked into, where without noise it were `rows`."""
        assert self.sums.noise is not None, "who counts with noise has some"
        sigma = self.sums.noise.sigma(f"{self.label}.0", cells_sensitivity(self.columns))
        return max(rows, math.ceil(_DIVIDED * sigma * math.sqrt(len(self.sums.members))))

    def first(self, counts: I64) -> I64:
        """Counts of all cells of a column, which have all rows together. Shapes: (cells, 1) in and out."""
        return consistent(counts.T, np.array([self.rows], np.int64)).T

    def within(self, held: I64, parts: I64) -> I64:
        """Counts of the parts of cells. Shapes: held (a, 1), parts (a, parts, 1); returns parts' shape."""
        return consistent(parts[:, :, 0], held[:, 0])[:, :, None]
