"""From a party's columns to bins: fitted where the column lives, on its own training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binning import Bins, fit_bins
from fedcredit.credit.params import TreeParams
from fedcredit.errors import DataError, Problem
from fedcredit.protocols.boosting import BinnedColumns
from fedcredit.tables import Column

__all__ = ["ColumnBins"]

U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ColumnBins:
    """The bins of a party's usable columns, in the order that gives them their opaque numbers.

    A column with a single bin can split nothing and is left out; it is not even counted to the others.
    """

    names: tuple[str, ...]
    bins: tuple[Bins, ...]

    @classmethod
    def fit(cls, columns: Mapping[str, Column], params: TreeParams) -> Self:
        """Bins of about equal numbers of rows, at least `min_data_in_bin` each. Raises: DataError."""
        fitted = {
            name: fit_bins(
                column.values,
                max_bin=params.max_bin,
                min_rows=min(params.min_data_in_bin, max(1, column.values.size // 2)),
                levels=len(column.levels) if column.kind == "categorical" else None,
            )
            for name, column in columns.items()
        }
        usable = {name: bins for name, bins in fitted.items() if bins.n_bins >= 2}
        return cls(tuple(usable), tuple(usable.values()))

    def code(self, columns: Mapping[str, Column], n_rows: int) -> BinnedColumns:
        """The codes of rows. Raises: DataError (COLUMN_MISSING) when a column of the model is not there."""
        if absent := [name for name in self.names if name not in columns]:
            raise DataError(
                [Problem("COLUMN_MISSING", name, "the model has a column that the table lacks") for name in absent]
            )
        codes = np.empty((len(self.names), n_rows), np.uint8)
        for f, (name, bins) in enumerate(zip(self.names, self.bins, strict=True)):
            codes[f] = bins.codes(columns[name].values)
        groups, missing = tuple(b.n_bins for b in self.bins), tuple(b.missing for b in self.bins)
        return BinnedColumns(codes, groups, missing)

    def to_json(self) -> list[dict[str, Any]]:
        """Names and bins, for this party's part of a model."""
        return [{"name": n, "bins": b.to_json()} for n, b in zip(self.names, self.bins, strict=True)]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> Self:
        """The inverse of `to_json`. Raises: DataError (MODEL_INVALID)."""
        try:
            names = tuple(str(entry["name"]) for entry in data)
            return cls(names, tuple(Bins.from_json(entry["bins"]) for entry in data))
        except (KeyError, TypeError):
            raise DataError(Problem("MODEL_INVALID", "model part", "columns are not those of a model")) from None
