"""A party's own binned columns while a scorecard is made of them: weights of evidence, figures, correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.metrics import stability_index
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.credit.telling import worth
from fedcredit.estimators.binning import BinnedColumn
from fedcredit.estimators.card_column import CardColumn
from fedcredit.tables import Column

__all__ = ["CardColumns"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class CardColumns:
    """Columns by number, those without bins among them. `train`, `test`: the rows to train on and those held out.

    Shapes: train (F, n), test (F, m): the bin of each row; zeros where a column has no bins.
    """

    columns: tuple[BinnedColumn, ...]
    train: U8 = field(repr=False)
    test: U8 = field(repr=False)
    missing: F64 = field(repr=False)
    """(F,) share of rows to train on that is missing."""

    @classmethod
    def of(cls, columns: Sequence[BinnedColumn], held_out: Mapping[str, Column], n_rows: int, n_test: int) -> Self:
        """Code both samples. Raises: DataError VALUE_INFINITE, VALUE_LEVEL."""
        train, test = np.zeros((len(columns), n_rows), np.uint8), np.zeros((len(columns), n_test), np.uint8)
        missing = np.zeros(len(columns))
        for f, column in enumerate(columns):
            values = column.column.values
            missing[f] = float(np.isnan(values).mean()) if n_rows else 0.0
            if column.bins is not None:
                train[f] = column.bins.codes(values)
                if n_test:
                    test[f] = column.bins.codes(held_out[column.column.name].values)
        return cls(tuple(columns), train, test, missing)

    @property
    def iv(self) -> F64:
        """(F,) information values, 0 where there is none; about these where coarse weights of evidence are known."""
        return np.array([_iv(column) for column in self.columns], np.float64)

    def bins(self, number: int) -> ScorecardBins:
        """The bins of a column that has any."""
        found = self.columns[number].bins
        assert found is not None, "a column without bins is never chosen"
        return found

    def stability(self) -> F64:
        """(F,) the stability index of each column between both samples; -1 where there is none."""
        found = np.full(len(self.columns), -1.0)
        if self.test.shape[1] == 0:
            return found
        for f, column in enumerate(self.columns):
            if column.bins is not None:
                counted = [np.bincount(codes[f], minlength=column.bins.n_bins) for codes in (self.train, self.test)]
                found[f] = stability_index(counted[0].astype(np.float64), counted[1].astype(np.float64))
        return found

    def in_card(self, numbers: I64, values: F64, errors: F64, params: ScorecardParams) -> tuple[CardColumn, ...]:
        """Some columns as they stand in the card, by their coefficients and the errors of these. Shapes: all (d,)."""
        return tuple(
            CardColumn.of(
                self.columns[f].column,
                self.bins(f),
                self.columns[f].rows,
                value,
                error,
                params.scale,
                reference=params.reference,
            )
            for f, value, error in zip(numbers.tolist(), values.tolist(), errors.tolist(), strict=True)
        )

    def woe(self, numbers: I64, *, test: bool = False) -> F64:
        """Weights of evidence of some columns. Shapes: numbers (d,); returns (rows, d)."""
        codes = self.test if test else self.train
        woe = np.empty((codes.shape[1], numbers.size))
        for j, f in enumerate(numbers.tolist()):
            woe[:, j] = self.bins(f).woe(codes[f])
        return woe

    def points(self, points: Mapping[int, I64], *, test: bool = False) -> I64:
        """Points of every row, over columns by number. Shapes: of each column (bins,); returns (rows,)."""
        codes = self.test if test else self.train
        total = np.zeros(codes.shape[1], np.int64)
        for f, of_bins in points.items():
            total += of_bins[codes[f]]
        return total

    def correlations(self, numbers: I64) -> F64:
        """Correlations of weights of evidence; 0 with a column of one value. Shapes: returns (d, d)."""
        woe = self.woe(numbers)
        woe -= woe.mean(axis=0)
        spread = np.sqrt(np.einsum("nf,nf->f", woe, woe))
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
        found: F64 = np.clip((woe.T @ woe) * scale[:, None] * scale, -1.0, 1.0)
        np.fill_diagonal(found, 1.0)
        return found


def _iv(column: BinnedColumn) -> float:
    if column.iv is not None:
        return column.iv
    evidence = None if column.bins is None else column.bins.evidence
    return 0.0 if evidence is None else worth(column.rows, evidence)
