"""What a party should know about its own table. It stays with the party: counts, and of each column its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fedcredit.errors import Problem
from fedcredit.tables.spec import ColumnKind

__all__ = ["ColumnQuality", "Quality", "Range", "range_of"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BARS = 16
MOSTLY_ONE = 0.99
"""A column with one value in this share of its rows says little."""

_TOP_LEVELS = 5
_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Range:
    """How the values of a feature are spread; a date is days since 1970-01-01.

    `bars` are counts of values in parts of equal width between the smallest and the largest, or for a categorical
    feature the counts of its levels, `top`, the most frequent ones.
    """

    smallest: float | None
    quantiles: tuple[float, ...]
    largest: float | None
    bars: tuple[int, ...]
    top: tuple[str, ...]
    most_frequent: float  # share of the most frequent value among those that are there


@dataclass(frozen=True, slots=True)
class ColumnQuality:
    """A feature as it was found. `useless` says why a feature was dropped or kept although it says nothing."""

    name: str
    kind: ColumnKind
    missing: int  # cells
    invalid: int  # cells that are no value of the kind
    levels: int  # 0 unless categorical
    other: int  # cells with a value too rare or unknown, which became "(other)"
    useless: str | None
    range: Range | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Quality:
    """A table as it was found; `ids_blanks`, `_full_width` and `_lower_case` count identifiers that were normalised."""

    rows: int
    ids_blanks: int
    ids_full_width: int
    ids_lower_case: int
    ids_invalid: dict[str, int]  # by the rule that they break
    ids_duplicate: int  # rows that repeat an earlier one's
    positives: int | None  # rows with label 1
    newest: str | None  # day of the newest change, if the column `updated` is declared
    age_days: int | None
    columns: tuple[ColumnQuality, ...]
    warnings: tuple[Problem, ...]

    def with_ranges(self, ranges: Mapping[str, Range | None]) -> Quality:
        """This with the ranges of features by name, and a warning for each that is nearly constant."""
        columns = tuple(replace(c, range=ranges.get(c.name)) for c in self.columns)
        nearly = [
            Problem(
                "COLUMN_NEARLY_CONSTANT", f"column {c.name!r}", f"one value in {c.range.most_frequent:.1%} of its rows"
            )
            for c in columns
            if c.range is not None and c.useless is None and c.range.most_frequent >= MOSTLY_ONE
        ]
        return replace(self, columns=columns, warnings=(*self.warnings, *nearly))

    def counts(self) -> dict[str, int]:
        """In numbers for a log: no name, no value."""
        return {
            "rows": self.rows,
            "ids_invalid": sum(self.ids_invalid.values()),
            "ids_duplicate": self.ids_duplicate,
            "columns": len(self.columns),
            "cells_missing": sum(c.missing for c in self.columns),
            "warnings": len(self.warnings),
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


def range_of(kind: ColumnKind, levels: Sequence[str], values: npt.NDArray[np.float64]) -> Range | None:
    """The range of a feature's values, or None if there are none; they are sorted where they are.

    Shapes: values (n,), NaN where missing.
    """
    values.sort()  # NaN comes last
    present = values[: values.size - int(np.isnan(values).sum())]
    if present.size == 0:
        return None
    if kind == "categorical":
        counts = np.bincount(present.astype(np.int64), minlength=len(levels))
        frequent = np.argsort(-counts, kind="stable")[:_TOP_LEVELS]
        bars = tuple(int(n) for n in counts[frequent])
        return Range(None, (), None, bars, tuple(levels[int(k)] for k in frequent), float(counts.max() / present.size))
    smallest, largest = float(present[0]), float(present[-1])
    quantiles = tuple(float(present[int(q * (present.size - 1))]) for q in QUANTILES)
    # Halved first: the distance between two doubles may be more than one can hold.
    low, width = smallest / 2, (largest / 2 - smallest / 2) / BARS
    edges = np.searchsorted(present, [2 * (low + k * width) for k in range(1, BARS)])
    bars = tuple(int(n) for n in np.diff([0, *edges, present.size])) if width > 0 else (present.size,)
    return Range(smallest, quantiles, largest, bars, (), _longest_run(present) / present.size)


def _longest_run(ordered: npt.NDArray[np.float64]) -> int:
    """How often the most frequent of `ordered` values is there. Shapes: ordered (n,), n > 0."""
    longest = begun = 0
    for start in range(1, ordered.size, _ROWS_AT_ONCE):
        end = min(start + _ROWS_AT_ONCE, ordered.size)
        begins = start + np.flatnonzero(ordered[start:end] != ordered[start - 1 : end - 1])
        if begins.size:
            longest = max(longest, int(np.diff(begins, prepend=begun).max()))
            begun = int(begins[-1])
    return max(longest, ordered.size - begun)
