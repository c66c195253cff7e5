"""A column of a scorecard at its owner: how a value becomes a bin, and what each bin is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.points import PointScale, Reference, bin_points, reference_points, rounded
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.woe import BinCounts
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.bin_documents import bin_names
from fedcredit.tables import OTHER, Column

__all__ = ["MAX_POINTS", "CardColumn", "model_invalid"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

MAX_POINTS: Final = 10**6
"""Points of a bin, and base points, are at most this in size."""
_MAX_PROBLEMS: Final = 20
_TRAIN_AGAIN: Final = "take the file as the job left it, or train the model again"


@dataclass(frozen=True, slots=True)
class CardColumn:
    """A column of the card at its owner: how a value becomes a bin, and what each bin is worth.

    `bins` know their weights of evidence. `names`, `rows`, `points`: of each bin, in the order of the codes; rows are
    those of the training sample. `standard_error`: of the coefficient, None where a fixed sign held it at 0.
    `reference`: the points that a row's are measured against for its reasons.

    Raises: DataError MODEL_INVALID when these do not fit together.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    levels: tuple[str, ...] = field(repr=False)
    bins: ScorecardBins = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    rows: tuple[int, ...] = field(repr=False)
    coefficient: float
    standard_error: float | None
    points: tuple[int, ...] = field(repr=False)
    reference: float

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise model_invalid(problems)

    def _problems(self) -> Iterator[tuple[str, str]]:
        for key, of_bins in (("names", self.names), ("rows", self.rows), ("points", self.points)):
            if len(of_bins) != self.bins.n_bins:
                yield key, f"has {len(of_bins)} entries for {self.bins.n_bins} bins"
        if self.bins.evidence is None:
            yield "bins", "have no weights of evidence"
        if min(self.rows, default=0) < 0:
            yield "rows", "are not numbers of rows"
        if any(abs(points) > MAX_POINTS for points in self.points):
            yield "points", f"go beyond {MAX_POINTS}"
        for key, value in (("coefficient", self.coefficient), ("reference", self.reference)):
            if not math.isfinite(value):
                yield key, "is not a finite number"
        error = self.standard_error
        if error is not None and not 0 <= error < math.inf:
            yield "standard_error", "is not a finite number, 0 or more"
        yield from self._problems_of_levels()

    def _problems_of_levels(self) -> Iterator[tuple[str, str]]:
        groups = self.bins.groups
        if (self.kind == "categorical") != (groups is not None):
            yield "bins", f"are not those of a {self.kind} column"
        elif groups is None and self.levels:
            yield "levels", "are there for a numeric column"
        elif len(set(self.levels)) != len(self.levels):
            yield "levels", "repeat one another"
        elif any(level >= len(self.levels) for group in groups or () for level in group):
            yield "bins", "have a level that is not listed"

    @classmethod
    def of(
        cls,
        column: Column,
        bins: ScorecardBins,
        rows: Sequence[int],
        coefficient: float,
        standard_error: float | None,
        scale: PointScale,
        *,
        reference: Reference = "neutral",
    ) -> Self:
        """The column with whole points for its bins, from what the fit found. `rows`: training rows of each bin.

        Raises: ValueError for bins without weights of evidence, or points beyond MAX_POINTS; DataError MODEL_INVALID.
        """
        if bins.evidence is None:
            raise ValueError(f"CardColumn.of: the bins of {column.name} have no weights of evidence yet")
        points = rounded(bin_points(np.array(bins.evidence), coefficient, scale))
        counted = np.array(rows, np.int64)
        against = reference_points(points, BinCounts(counted, np.zeros_like(counted)), reference)
        return cls(
            column.name,
            column.kind,
            column.levels if column.kind == "categorical" else (),
            bins,
            tuple(bin_names(column, bins)),
            tuple(counted.tolist()),
            coefficient,
            standard_error,
            tuple(points.tolist()),
            against,
        )

    @property
    def unseen(self) -> int:
        """The number of every level that training did not see: that of "(other)", which rare levels were called in
        the table, or where it has none the first number that no group can have."""
        return len(self.levels) - 1 if self.levels[-1:] == (OTHER,) else len(self.levels)

    def points_of(self, column: Column) -> I64:
        """The points of each row. Shapes: returns (n,). Raises: as `codes_of`."""
        return np.array(self.points, np.int64)[self.codes_of(column)]

    def woe_of(self, column: Column) -> F64:
        """The weight of evidence of each row. Shapes: returns (n,). Raises: as `codes_of`."""
        return self.bins.woe(self.codes_of(column))

    def codes_of(self, column: Column) -> U8:
        """The bin of each row. Levels are known by their names; for one that training did not see see `unseen`.

        Shapes: returns (n,). Raises: DataError COLUMN_KIND, VALUE_INFINITE, VALUE_LEVEL.
        """
        if column.kind != self.kind:
            what = f"is {column.kind}, and {self.kind} in the model"
            raise DataError(Problem("COLUMN_KIND", self.name, what, "declare it in the table's schema"))
        values = column.values
        if self.kind == "categorical" and column.levels != self.levels:
            number = {level: k for k, level in enumerate(self.levels)}
            to = np.array([*(number.get(level, self.unseen) for level in column.levels), np.nan])
            at = np.where(np.isnan(values), len(column.levels), values)
            if at.size and not (at.min() >= 0 and at.max() <= len(column.levels) and (at == np.floor(at)).all()):
                raise DataError(Problem("VALUE_LEVEL", self.name, "has values that are no numbers of levels"))
            values = to[at.astype(np.int64)]
        return self.bins.codes(values)


def model_invalid(problems: Sequence[tuple[str, str]]) -> DataError:
    """The error of a part in which these places are wrong; places are keys and numbers, never values."""
    shown = [Problem("MODEL_INVALID", where or "model part", what, _TRAIN_AGAIN) for where, what in problems]
    if (rest := len(shown) - _MAX_PROBLEMS) > 0:
        shown[_MAX_PROBLEMS:] = [Problem("MODEL_INVALID", "model part", f"has {rest} more problems", _TRAIN_AGAIN)]
    return DataError(shown)
