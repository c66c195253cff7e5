"""On which side of its splits each subject of a party's table falls, under one part of boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.estimators.columns import ColumnBins
from fedcredit.node.scoring.subject_rows import SubjectRows, read_subjects
from fedcredit.protocols.boosting import BinnedColumns
from fedcredit.tables import Resources, TableSpec

__all__ = ["Cut", "SidesOfTable", "read_sides"]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

Cut: TypeAlias = tuple[int, int, bool]
"""A split of one's own: the number of the column, the last bin on the left, whether missing values go left."""


@dataclass(frozen=True, slots=True)
class SidesOfTable(SubjectRows):
    """Shapes: codes (m,) of dtype S32, in order; `columns` of the same m rows in that order."""

    cuts: tuple[Cut, ...] = field(repr=False)
    columns: BinnedColumns = field(repr=False)

    def sides(self, rows: I64) -> Bools:
        """Which of some rows go left at each cut. Shapes: rows (n,); returns (cuts, n)."""
        codes: U8 = np.ascontiguousarray(self.columns.codes[:, rows])
        some = BinnedColumns(codes, self.columns.groups, self.columns.missing)
        found = [some.sides(*cut) for cut in self.cuts]
        return np.stack(found) if found else np.zeros((0, len(rows)), np.bool_)


def read_sides(bins: ColumnBins, cuts: Sequence[Cut], spec: TableSpec, resources: Resources) -> SidesOfTable:
    """Every subject of the table that `spec` declares, in the bins of a part.

    Raises: DataError with all that is wrong with the table, COLUMN_MISSING; ConfigError.
    """
    order, codes, columns = read_subjects(spec, resources, bins.names)
    binned = bins.code(columns, len(codes))
    ordered = BinnedColumns(np.ascontiguousarray(binned.codes[:, order]), binned.groups, binned.missing)
    return SidesOfTable(codes, tuple(cuts), ordered)
