"""A party's own points of all subjects in its table, under one part of a card: what a score's part is looked up in.

They are reckoned for the whole table at once: then a score costs a search, whatever the card.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.node.scoring.subject_rows import SubjectRows, read_subjects
from fedcredit.tables import Resources, TableSpec

__all__ = ["PointsOfTable", "read_points"]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PointsOfTable(SubjectRows):
    """Shapes: codes (m,) of dtype S32, in order; columns (m, f), the points of each of the part's columns."""

    part: CardPart
    columns: I64 = field(repr=False)

    def look(self, codes: U8) -> tuple[I64, Bools]:
        """This party's part of each subject's score, and whether its table has the subject; 0 for who is not in it.

        Shapes: as `rows_of`.
        """
        rows, known = self.rows_of(codes)
        if not len(self.codes):
            return np.zeros(len(codes), np.int64), known
        return np.where(known, self.part.totals(self.columns[rows]), 0), known


def read_points(part: CardPart, spec: TableSpec, resources: Resources) -> PointsOfTable:
    """The points of every subject of the table that `spec` declares, with no more columns than the part's.

    Raises: DataError with all that is wrong with the table, COLUMN_MISSING, COLUMN_KIND; ConfigError.
    """
    order, codes, rows = read_subjects(spec, resources, [column.name for column in part.columns])
    return PointsOfTable(codes, part, part.points_of(rows, len(codes))[order])
