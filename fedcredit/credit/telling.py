"""What the owner of columns may be told of how bad its bins are: of which columns, and how finely.

Whoever learns the bad rows of each bin learns something of the labels that they were counted from, whatever the column
says: of so many rows each sum is one equation. Two things keep that away. A column whose bins differ by no more than
chance lets them is not spoken of at all; and of another the weight of evidence is rounded to about the size of
its own error, so that what is told is what the column says and not which rows happened to be there. Measured in
`docs/attacks.md`; why so, `docs/adr/0040-what-is-told-of-bins-is-beyond-chance.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import PrebinShape, SettledColumn, settle_column
from fedcredit.credit.woe import TELL_EVIDENCE, BinCounts, IvDisclosure, WoeTable

__all__ = [
    "OUT_OF_BAND",
    "SAYS_NOTHING",
    "Counted",
    "chance",
    "coarse_evidence",
    "few_enough",
    "tellable",
    "worth",
]

F64: TypeAlias = NDArray[np.float64]

ROWS_A_COUNT: Final = 20
"""Rows for each count of bad rows that the owner of columns is told of."""

CHANCE: Final = 0.01
"""In how many jobs over columns that say nothing their owner is told of any of them at all, at most."""

STEP_OF_ERROR: Final = 2.0
"""A coarse weight of evidence has steps of at least so many of its standard errors, and of less than twice as many."""

_MANY: Final = 500
"""Rows that a cell of two bins is expected to have, from which on chi-square is as good as counting ways."""

SAYS_NOTHING: Final = "BINS_WITHIN_CHANCE"
OUT_OF_BAND: Final = "IV_OUT_OF_BAND"


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """A column of another party as the label party knows it: pre-bins, their counts, and the bins that it settled."""

    shape: PrebinShape
    counts: BinCounts = field(repr=False)
    settled: SettledColumn = field(repr=False)

    @classmethod
    def settle(cls, shape: PrebinShape, counts: BinCounts, params: BinParams) -> Self:
        """What `settle_column` makes of these counts. Raises: as that does."""
        return cls(shape, counts, settle_column(shape, counts, params))


def tellable(
    columns: Sequence[Counted], how: IvDisclosure, n_rows: int, band: tuple[float, float] | None = None
) -> tuple[SettledColumn, ...]:
    """The columns of one party as it is told of them under `how`; those that it is not told of are refused.

    With "exact" it is told of as many bins as there are rows for (`few_enough`). With "coarse" first of all columns out
    of the `band` of information values are left out (OUT_OF_BAND: they are not asked for), and those whose bins differ
    by no more than chance lets them (SAYS_NOTHING). Other ways tell too little of a bin to leave any out.
    """
    found = [column.settled for column in columns]
    if how not in TELL_EVIDENCE:
        return tuple(found)
    if how == "coarse":
        likely = chance(columns)
        for f, column in enumerate(found):
            if column.table is None:
                continue
            if band is not None and not band[0] <= column.table.total_iv <= band[1]:
                found[f] = _refused(column, OUT_OF_BAND)
            elif likely[f] > CHANCE or not coarse_evidence(column.table).any():
                found[f] = _refused(column, SAYS_NOTHING)
    return few_enough(found, n_rows)


def few_enough(settled: Sequence[SettledColumn], n_rows: int) -> tuple[SettledColumn, ...]:
    """The columns of one party of which it may be told how bad each bin is; the others are refused (BINS_TOO_MANY).

    Bad rows of each bin are equations in the labels of all rows, one less than the bins of each column. Over so many
    columns that they come near the number of rows, labels can be solved for. So there are ROWS_A_COUNT rows for each of
    them; columns with the largest information values go first. What is left is measured in `docs/attacks.md`.
    """
    room, found = n_rows // ROWS_A_COUNT, list(settled)
    for f in sorted(range(len(found)), key=lambda f: -(found[f].iv or 0.0)):
        if found[f].n_bins - 1 > room:
            found[f] = _refused(found[f], "BINS_TOO_MANY")
        room -= max(found[f].n_bins - 1, 0)
    return tuple(found)


def chance(columns: Sequence[Counted]) -> F64:
    """How likely each column looks as it does where none of these columns says anything, at most.

    The least of the probabilities that three sorts of tests give, times how many there are: chi-square of the settled
    bins against that of as many degrees of freedom as there are *pre-bins* but one, since pre-bins are cut without
    labels, and bins, however they are joined, differ by no more than their pre-bins do; whether bad rates rise or fall
    along the pre-bins of numbers (Cochran and Armitage); whether the pre-bin of missing values, or of a special value,
    differs from all other rows (Fisher). Then Holm's correction for the number of columns, since the best of many that
    say nothing looks good. 1 for a column of one bin or none.

    Shapes: returns (columns,).
    """
    found = np.ones(len(columns))
    looked_at = [f for f, column in enumerate(columns) if column.settled.n_bins > 1]
    for f in looked_at:
        tests = list(_tests(columns[f]))
        found[f] = min(1.0, len(tests) * min(tests))
    least = 0.0
    for k, f in enumerate(sorted(looked_at, key=lambda f: found[f])):
        least = max(least, min(1.0, (len(looked_at) - k) * float(found[f])))
        found[f] = least
    return found


def coarse_evidence(table: WoeTable) -> F64:
    """Weights of evidence in steps of at least STEP_OF_ERROR of each bin's own standard error, sqrt(1/good + 1/bad).

    A step is a power of two, so that a weight says no more of the counts than its size does. 0 in a bin that has rows
    of one class only. Shapes: returns (bins,).
    """
    good, bad = table.counts.non_events.astype(np.float64), table.counts.events.astype(np.float64)
    both = (good > 0) & (bad > 0)
    error = np.sqrt(1.0 / np.where(both, good, 1.0) + 1.0 / np.where(both, bad, 1.0))
    step = np.exp2(np.ceil(np.log2(STEP_OF_ERROR * error)))
    # Adding 0 makes a zero of what would be -0.
    found: F64 = np.where(both, np.rint(table.woe / step) * step, 0.0) + 0.0
    return found


def worth(rows: Sequence[int], evidence: Sequence[float]) -> float:
    """About the information value of a column, from what its owner has: rows and coarse weights of evidence of bins.

    The sum of shares of rows times squared weights, which is the information value to second order.
    """
    counted, woe = np.array(rows, np.float64), np.array(evidence, np.float64)
    return float(counted @ woe**2 / max(counted.sum(), 1.0))


def _tests(column: Counted) -> Iterator[float]:
    shape, before = column.shape, column.counts
    assert column.settled.table is not None
    yield float(chdtrc(shape.n_bins - 1, _chi_square(column.settled.table.counts)))
    if shape.n_values > 2 and shape.style != "levels":
        yield _of_trend(before.taken(np.arange(shape.n_values)))
    for k in range(shape.n_values, shape.n_bins):
        yield _of_one(before.grouped((np.arange(shape.n_bins) == k).astype(np.int64)))


def _chi_square(counts: BinCounts) -> float:
    rows, bad = counts.rows.astype(np.float64), counts.events.astype(np.float64)
    rate = bad.sum() / rows.sum()
    return float(((bad - rows * rate) ** 2 / (rows * rate * (1.0 - rate))).sum())


def _of_trend(counts: BinCounts) -> float:
    rows, bad = counts.rows.astype(np.float64), counts.events.astype(np.float64)
    rate = bad.sum() / rows.sum()
    place = np.arange(rows.size) - rows @ np.arange(rows.size) / rows.sum()
    spread = rate * (1.0 - rate) * (rows @ place**2)
    return float(chdtrc(1, (bad @ place) ** 2 / spread)) if spread > 0 else 1.0


def _of_one(counts: BinCounts) -> float:
    """Fisher's test of two bins: twice the smaller tail of the hypergeometric distribution."""
    rows, bad = counts.rows.tolist(), int(counts.events.sum())
    n = sum(rows)
    if min(rows) * min(bad, n - bad) >= _MANY * n:
        return float(chdtrc(1, _chi_square(counts)))
    k = np.arange(max(0, rows[1] - (n - bad)), min(rows[1], bad) + 1, dtype=np.float64)
    logs = _choose(bad, k) + _choose(n - bad, rows[1] - k) - _choose(n, np.float64(rows[1]))
    likely, found = np.exp(logs), int(counts.events[1])
    return float(min(1.0, 2.0 * min(likely[k <= found].sum(), likely[k >= found].sum())))


def _choose(n: int, k: Any) -> Any:
    """The logarithm of n choose k."""
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _refused(column: SettledColumn, code: str) -> SettledColumn:
    return SettledColumn(np.zeros_like(column.labels), None, code)
