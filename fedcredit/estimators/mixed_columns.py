"""The banks' common columns while a scorecard is made of them: rows are a bank's own, figures are over all banks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.metrics import stability_index
from fedcredit.estimators.card_columns import CardColumns
from fedcredit.estimators.sums import Sums
from fedcredit.estimators.training import Stages
from fedcredit.protocols.mixed import PooledMoments
from fedcredit.runtime.state import StageState

__all__ = ["BankColumns", "Pooled"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

BOUND: Final = 1 << 48


@dataclass(frozen=True, slots=True)
class Pooled(StageState):
    """What banks have added up of their common columns: rows to train on and held out, of these by bin, and sums of
    products of weights of evidence. Shapes: held (bins of all columns,); products (columns (columns + 1) / 2,).
    """

    schema = "mixed-pooled/1"
    held_rows: int
    held: I64
    products: F64


@dataclass(frozen=True, slots=True, eq=False)
class BankColumns(CardColumns):
    """A bank's rows of the common columns. Shapes: index (F,); moments over all F columns, zeros without bins."""

    index: F64 = field(repr=False)
    moments: PooledMoments = field(repr=False)
    held_rows: int
    """Rows held out of all banks together."""

    @classmethod
    async def pooled(cls, own: CardColumns, missing: F64, rows: int, sums: Sums, stages: Stages) -> BankColumns:
        """These columns with figures over the `rows` of all banks. Every bank calls it at once.

        Reveals: to every bank, of the common columns over all banks, rows held out in each bin and correlations.
        """
        own = replace(own, missing=missing)
        binned = [f for f, column in enumerate(own.columns) if column.bins is not None]
        woe = await asyncio.to_thread(own.woe, np.array(binned, np.int64))
        evidence = [np.array(own.bins(f).evidence, np.float64) for f in binned]
        most = max((float(np.abs(of).max()) for of in evidence), default=0.0)

        async def add() -> Pooled:
            counted = [np.bincount(own.test[f], minlength=own.bins(f).n_bins) for f in binned]
            held = np.concatenate([np.array([own.test.shape[1]]), *counted]).astype(np.int64)
            held = await sums.integers(stages.channel("held"), held, bound=BOUND)
            products = (woe.T @ woe)[np.triu_indices(len(binned))]
            if products.size:
                bound = max(most**2, 1e-9) * rows * 2
                products = await sums.reals(stages.channel("products"), products, bound=bound)
            return Pooled(int(held[0]), held[1:], products)

        record = await stages.run("pooled", Pooled, add)
        means = np.array([_mean(own.columns[f].rows, of) for f, of in zip(binned, evidence, strict=True)], np.float64)
        covariance = np.zeros((len(binned), len(binned)))
        above = np.triu_indices(len(binned))
        covariance[above] = record.products / rows
        covariance = np.triu(covariance) + np.triu(covariance, 1).T - np.outer(means, means)
        mean, whole = np.zeros(len(own.columns)), np.zeros((len(own.columns), len(own.columns)))
        mean[binned], whole[np.ix_(binned, binned)] = means, covariance
        index = np.full(len(own.columns), -1.0)
        if record.held_rows:
            sizes = [own.bins(f).n_bins for f in binned]
            for f, counted in zip(binned, np.split(record.held, np.cumsum(sizes)[:-1]), strict=False):
                index[f] = stability_index(np.array(own.columns[f].rows, np.float64), counted.astype(np.float64))
        moments = PooledMoments(mean, whole)
        return cls(own.columns, own.train, own.test, own.missing, index, moments, record.held_rows)

    def stability(self) -> F64:
        """(F,) the stability index of each column over all banks; -1 where there is none."""
        return self.index

    def correlations(self, numbers: I64) -> F64:
        """Correlations of weights of evidence over all banks; 0 with a column of one value. Shapes: returns (d, d)."""
        return self.moments_of(numbers).correlation

    def moments_of(self, numbers: I64) -> PooledMoments:
        """Means and second moments of some columns over all banks."""
        return PooledMoments(self.moments.mean[numbers], self.moments.covariance[np.ix_(numbers, numbers)])


def _mean(rows: Sequence[int], evidence: F64) -> float:
    counted = np.array(rows, np.float64)
    return float(counted @ evidence / counted.sum())
