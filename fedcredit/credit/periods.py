"""Stability by period: how far a spread over bins or points has moved, month by month.

Months come from a column that says when a row is from: numbers such as 202403 or 20240315, whole years, or text that
begins with the month, such as 2024-03 or 2024-03-15. Each period is held against the rows to train on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.metrics import stability_index
from fedcredit.errors import DataError, Problem

__all__ = ["MAX_PERIODS", "MIN_ROWS", "PeriodIndex", "Periods", "banded", "by_period", "index_of"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

MAX_PERIODS: Final = 24
MIN_ROWS: Final = 50
"""Over fewer rows an index says more of chance than of change, and totals would be those of single rows."""

_MONTHS: Final = 7
"""Characters of a year and a month."""
_DAY: Final = 10_000_000
"""Numbers from here on are days: 20240315."""
_BANDS: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """Which period each row is from: the latest ones that have rows. Shapes: codes (n,), -1 for none of them."""

    names: tuple[str, ...]
    codes: I64 = field(repr=False)

    @classmethod
    def of(cls, name: str, values: F64, levels: tuple[str, ...], most: int) -> Self:
        """Periods of a column: numbers, or codes of `levels`, NaN for none. Raises: DataError VALUE_INVALID."""
        known = np.isfinite(values)
        months: list[str | None]
        if levels:
            # What is no month, such as the name of levels that are too rare, is no period.
            months = [level[:_MONTHS] if level[:4].isdigit() else None for level in levels]
            at = values[known].astype(np.int64)
        else:
            numbers = values[known]
            if (numbers != np.rint(numbers)).any() or (np.abs(numbers) > 1e8).any():
                what = "has values that are no month such as 202403, no day such as 20240315 and no year"
                raise DataError(Problem("VALUE_INVALID", f"time: {name}", what, "bring months as text: 2024-03"))
            distinct, at = np.unique(np.where(numbers >= _DAY, numbers // 100, numbers), return_inverse=True)
            months = [str(int(month)) for month in distinct.tolist()]
        said = {month for place in np.unique(at).tolist() if (month := months[place]) is not None}
        names = tuple(sorted(said, key=lambda month: (len(month), month))[-most:])
        codes = np.full(values.size, -1, np.int64)
        place_of = np.array([names.index(month) if month in names else -1 for month in months], np.int64)
        codes[known] = place_of[at]
        return cls(names, codes)

    @property
    def rows(self) -> I64:
        """Rows of each period: (periods,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))


@dataclass(frozen=True, slots=True)
class PeriodIndex:
    """A period, its rows, and how far they are from those to train on; None where there are too few rows."""

    period: str
    rows: int
    index: float | None


def by_period(expected: I64, bins: I64, periods: Periods) -> tuple[PeriodIndex, ...]:
    """The index of each period's rows over bins. Shapes: expected (bins,) rows to train on; bins (n,) codes."""
    found = []
    for place, (name, rows) in enumerate(zip(periods.names, periods.rows.tolist(), strict=True)):
        actual = np.bincount(bins[periods.codes == place], minlength=expected.size)
        found.append(PeriodIndex(name, rows, index_of(expected, actual)))
    return tuple(found)


def banded(expected: I64, *actual: I64) -> tuple[I64, ...]:
    """Counts by level of points as counts by band, of which each has about a tenth of the expected rows.

    Shapes: all (levels,); returns the expected ones first, then the others.
    """
    before = np.cumsum(expected) - expected
    band = np.minimum(_BANDS * before // max(int(expected.sum()), 1), _BANDS - 1)
    return tuple(np.bincount(band, counts, _BANDS).astype(np.int64) for counts in (expected, *actual))


def index_of(expected: I64, actual: I64) -> float | None:
    """The index between two counts over the same bands; None where one has too few rows. Shapes: (bands,) each."""
    if min(expected.sum(), actual.sum()) < MIN_ROWS:
        return None
    used = (expected > 0) | (actual > 0)
    return stability_index(expected[used].astype(np.float64), actual[used].astype(np.float64))
