"""Statistics over the rows of members that have the same columns: tables, means, quantiles, correlations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.cell_hiding import hidden_cells
from fedcredit.credit.statistics_groups import Groups
from fedcredit.credit.statistics_params import LABEL, StatisticsParams, TableParams
from fedcredit.credit.summed_values import own_categories
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.horizontal_columns import BOUND, MIN_ROWS, Summing, agreed_cells
from fedcredit.estimators.horizontal_groups import agreed_groups
from fedcredit.estimators.horizontal_moments import SQUARE_BITS, SQUARE_PARTS, exact_sums, moments
from fedcredit.estimators.statistics import TableFigures
from fedcredit.estimators.training import Stages
from fedcredit.runtime.state import StageRunner, StageState, run_at_once
from fedcredit.tables import Column

__all__ = ["ColumnFigures", "HorizontalStatistics", "correlations", "describe_columns"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, eq=False)
class ColumnFigures(StageState):
    """Of numeric columns over the rows of all members. Shapes: (f,), quantiles (f, q), each in [low, high].

    `rows` have a value that is neither missing nor special.
    """

    schema = "horizontal-columns/1"
    names: list[str]
    shares: list[float]
    rows: I64
    missing: I64
    mean: F64
    std: F64
    quantiles: F64
    low: F64
    high: F64


async def describe_columns(
    sums: Summing,
    columns: Mapping[str, Column],
    *,
    shares: tuple[float, ...] = SHARES,
    min_rows: int = MIN_ROWS,
    label: str = "describe",
) -> ColumnFigures:
    """Rows, missing values, means, deviations and quantiles of numeric columns; categorical ones are left out.

    A quantile lies between the ends of a cell of at most `min_rows` rows, or is exact to 2^-32 of itself. There are no
    extremes: they are single rows' values. Special values count as missing in means.

    Reveals: as `agreed_cells` and `moments`.
    Raises: DataError VALUE_INFINITE, VALUE_RANGE; PeerLost; PeerError.
    """
    numeric = {name: column for name, column in columns.items() if column.kind == "numeric"}
    at = np.array(shares, np.float64)
    found = await agreed_cells(sums, numeric, few=lambda _: min_rows, least=min_rows, shares=at, label=f"{label}.cells")
    of = await moments(sums, _plain(numeric), names=tuple(numeric), label=f"{label}.moments")
    nothing = np.full(at.size, np.nan)
    cells = [column.cells for column in found.values()]
    ends = [of_column.spread(at) if of_column.first.size else (nothing, nothing) for of_column in cells]
    return ColumnFigures(
        list(numeric),
        list(shares),
        np.array([column.rows for column in found.values()], np.int64),
        np.array([int(column.missing.sum()) for column in found.values()], np.int64),
        of.mean,
        of.std,
        np.array([of_column.quantiles(at) for of_column in cells]).reshape(len(cells), at.size),
        np.array([low for low, _ in ends]).reshape(len(cells), at.size),
        np.array([high for _, high in ends]).reshape(len(cells), at.size),
    )


async def correlations(sums: Summing, columns: Mapping[str, Column], *, label: str = "correlations") -> F64:
    """Pearson's correlations of numeric columns over the rows of all members, missing values at the mean.

    Shapes: returns (f, f) in the order of the columns; 0 beside a column of one value.
    Reveals: to all members, this, and what `moments` shows.
    Raises: DataError COLUMN_KIND, VALUE_INFINITE, VALUE_RANGE; PeerLost; PeerError.
    """
    if found := [name for name, column in columns.items() if column.kind == "categorical"]:
        raise DataError([Problem("COLUMN_KIND", name, "is categorical", "leave it out") for name in found])
    X = _plain(columns)
    of = await moments(sums, X, names=tuple(columns), label=label)
    # By Cauchy and Schwarz no sum of products of scaled columns is larger than the sum of squares, the number of rows.
    scale = np.where(of.std > 0, of.std, 1.0)
    scaled = np.where(np.isnan(X), 0.0, (X - of.mean) / scale)
    bound = 1.001 * float(max(1, of.rows.max(initial=1)))
    products = await sums.reals(f"{label}.products", scaled.T @ scaled, bound=bound)
    size = np.sqrt(np.diag(products))
    size = np.where(size > 0, size, 1.0)
    found_r: F64 = np.clip(products / size[:, None] / size, -1.0, 1.0)
    return found_r


class HorizontalStatistics:
    """Counts, sums and means by groups of columns that all members have, without cells of few rows.

    Parameters are those of the vertical `Statistics`. `PARTY.COLUMN` names a column that all members have, and the
    party in it says which side of a table it is: the leader's are the rows, another member's the columns.

    Learned, after `fit`, the same at all members: `tables_`; and `seconds_`.

    Reveals: to all members, the rows of each group and of each cell **before small ones are hidden**, and sums of cells
    that are large enough alone. What is written down or shown to anybody else has no cell of fewer than `min_cell`
    rows, nor one that would follow from the others.
    """

    def __init__(self, params: StatisticsParams) -> None:
        self.params = params

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8 | None = None,
        *,
        sums: Summing,
        name: str = "statistics",
        run_stage: StageRunner = run_at_once,
        progress: Callable[[str, int, int], None] = lambda _phase, _done, _all: None,
    ) -> Self:
        """Make all tables with the other members, who call it with the same parameters.

        Shapes: columns of n rows each; label (n,) if the table has one.
        Raises: DataError (COLUMN_MISSING, COLUMN_KIND, VALUE_*); PeerLost; PeerError.
        """
        stages = Stages(federation, name, run_stage)
        self.seconds_ = stages.seconds
        tables = self.params.table
        self.tables_: tuple[TableFigures, ...] = ()
        for number, table in enumerate(tables):
            side = _Side(self.params, table, sums, federation.label_party, columns, label)
            record = await stages.run(f"table.{number}", _Table, partial(side.make, stages.channel(f"table.{number}")))
            self.tables_ += (record.figures(table),)
            progress("table", number + 1, len(tables))
        return self


@dataclass(frozen=True, slots=True, eq=False)
class _Table(StageState):
    """A finished table. Shapes: hidden, counts (K, B); sums, spreads (columns, K, B)."""

    schema = "horizontal-table/1"
    refused: str | None
    rows: list[str]
    columns: list[str]
    hidden: U8
    counts: I64
    sums: F64
    spreads: F64
    missing: list[int]

    def figures(self, params: TableParams) -> TableFigures:
        if self.refused is not None:
            return TableFigures.none(params, self.refused)
        names = tuple(self.rows), tuple(self.columns)
        hidden = self.hidden > 0
        return TableFigures(params, None, *names, hidden, self.counts, self.sums, self.spreads, tuple(self.missing))


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """This member's part in a table."""

    params: StatisticsParams
    table: TableParams
    sums: Summing
    leader: str
    columns: Mapping[str, Column] = field(repr=False)
    label: U8 | None = field(repr=False)

    async def make(self, stage: str) -> _Table:
        params, table = self.params, self.table
        named = {key: self._column(key) for key in (table.lent(self.leader), table.own(self.leader)) if key is not None}
        groups = await agreed_groups(
            self.sums, named, min_rows=params.min_cell, quantiles=params.quantiles, label=f"{stage}.groups"
        )
        columns, values = groups[table.lent(self.leader)], self._values()
        own = table.own(self.leader)
        gone: Bool = np.asarray(np.isnan(values).any(axis=1))
        lost = [int(n) for n in await self._add(f"{stage}.missing", np.isnan(values).sum(axis=0))]
        n_gone = int((await self._add(f"{stage}.gone", np.array([np.count_nonzero(gone)])))[0])
        rows = Groups(("",), np.zeros(gone.size, np.uint8)) if own is None else groups[own]
        if table.missing == "apart" and n_gone:
            rows = _apart(rows, gone)
        if len(columns.names) < 2 or not rows.names:
            return _none("GROUPS_TOO_SMALL", len(table.sum))
        shape = len(rows.names), len(columns.names)
        places = rows.codes.astype(np.int64) * shape[1] + columns.codes
        own_counts = np.bincount(places, minlength=shape[0] * shape[1]).astype(np.int64)
        counts = (await self._add(f"{stage}.cells", own_counts)).reshape(shape)
        used: Bool = np.asarray(counts.any(axis=1))
        hidden = np.ones(shape, bool)
        hidden[used] = hidden_cells(counts[used] < params.min_cell, counts.sum(axis=0))
        totals, spreads = await self._summed(f"{stage}.sums", values, places, counts, hidden)
        shown = np.where(hidden, 0, counts)
        names = [name for name, has in zip(rows.names, used, strict=True) if has]
        return _Table(
            None,
            names,
            list(columns.names),
            hidden[used].astype(np.uint8),
            shown[used],
            totals[:, used],
            spreads[:, used],
            lost,
        )

    async def _add(self, label: str, values: npt.NDArray[Any]) -> I64:
        return await self.sums.integers(label, values.astype(np.int64), bound=BOUND)

    async def _summed(self, label: str, values: F64, places: I64, counts: I64, hidden: Bool) -> tuple[F64, F64]:
        """Sums and deviations of cells that are shown; of the others nothing is added up."""
        k, n = values.shape[1], counts.size
        if k == 0:
            return np.zeros((0, *counts.shape)), np.zeros((0, *counts.shape))
        shown = ~hidden.ravel()
        known = np.where(np.isnan(values), 0.0, np.round(values, self.params.decimals))
        own = _by_cell(places, known, n) * shown
        totals = await exact_sums(self.sums, label, own)
        size = np.maximum(counts.ravel(), 1)
        spreads = np.zeros_like(totals)
        if self.table.spread:
            apart = known - (totals / size)[:, places].T
            squares = _by_cell(places, apart**2, n) * shown
            found = await exact_sums(self.sums, f"{label}.squares", squares, bits=SQUARE_BITS, parts=SQUARE_PARTS)
            spreads = np.sqrt(found / np.maximum(size - 1, 1))
        return totals.reshape(k, *counts.shape), spreads.reshape(k, *counts.shape)

    def _column(self, name: str) -> Column:
        if name not in self.columns:
            what = "is no column that members may count by"
            raise DataError(Problem("COLUMN_MISSING", name, what, "name another, or give it to the job"))
        return self.columns[name]

    def _values(self) -> F64:
        """(n, columns that are summed), NaN without a value; special values are none."""
        n = next(iter(self.columns.values())).values.size
        found = np.empty((n, len(self.table.sum)))
        for j, column in enumerate(self.table.sum):
            if column.column == LABEL and self.label is not None:
                found[:, j] = self.label
                continue
            of = self._column(column.column)
            if of.kind == "categorical":
                raise DataError(Problem("COLUMN_KIND", of.name, "is categorical", "sum a column of numbers"))
            if np.isinf(of.values).any():
                raise DataError(Problem("VALUE_INFINITE", of.name, "has infinite values"))
            found[:, j] = np.where(np.isin(of.values, of.special), np.nan, of.values)
        return found


def _by_cell(places: I64, values: F64, n_cells: int) -> F64:
    """Sums of each column's values by cell. Shapes: values (n, k); returns (k, cells)."""
    return np.stack([np.bincount(places, column, n_cells).astype(np.float64) for column in values.T])


def _apart(rows: Groups, gone: Bool) -> Groups:
    """With a category for rows without a value, at members that have none as well."""
    # One row more, so that the category is there; and one of every other, so that none goes.
    codes = np.r_[rows.codes, np.arange(len(rows.names) + 1).clip(max=len(rows.names) - 1).astype(np.uint8)]
    found = own_categories(Groups(rows.names, codes), np.r_[gone, np.zeros(len(rows.names), bool), True])
    return Groups(found.names, found.codes[: gone.size])


def _none(refused: str, n_sums: int) -> _Table:
    flat, deep = np.zeros((0, 0), np.int64), np.zeros((n_sums, 0, 0))
    return _Table(refused, [], [], flat.astype(np.uint8), flat, deep, deep, [])


def _plain(columns: Mapping[str, Column]) -> F64:
    """(n, f), NaN for missing and special values."""
    return np.stack([np.where(np.isin(c.values, c.special), np.nan, c.values) for c in columns.values()], axis=1)
