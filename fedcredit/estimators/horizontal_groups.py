"""Columns of members as groups of rows, the same at all of them, each with enough rows of all members together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binning import counted_bins
from fedcredit.credit.statistics_groups import MISSING, Groups, intervals, joined_groups
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.horizontal_columns import BOUND, FINER_THAN_BINS, AgreedColumn, Summing, agreed_cells
from fedcredit.tables import Column

__all__ = ["agreed_groups"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Fine:
    """Groups before small ones are joined. Shapes: codes (n,), numbers of `names`."""

    names: list[str]
    codes: I64 = field(repr=False)


async def agreed_groups(
    sums: Summing, columns: Mapping[str, Column], *, min_rows: int, quantiles: int, label: str = "groups"
) -> dict[str, Groups]:
    """The groups of `credit.statistics_groups.groups_of`, by the rows of all members instead of one party's.

    Levels; numbers between split points, which all members have to state alike; or as many quantiles as are asked for,
    which are values by themselves if there are no more different ones.

    Reveals: to all members, rows of all members by level, special value and missing, small numbers among them; and what
    `agreed_cells` shows of columns that are cut into quantiles.
    Raises: DataError VALUE_INFINITE, VALUE_LEVEL; PeerLost; PeerError.
    """
    cut = {name: column for name, column in columns.items() if column.kind == "numeric" and not column.splits}
    few = partial(_few, min_rows=min_rows, quantiles=quantiles)
    spread = await agreed_cells(sums, cut, few=few, least=min_rows, label=f"{label}.cells") if cut else {}
    fine: dict[str, _Fine] = {}
    for name, column in columns.items():
        if column.splits:
            fine[name] = await _by_splits(sums, column, min_rows, f"{label}.{len(fine)}")
        else:
            fine[name] = await asyncio.to_thread(_by_cells, column, spread.get(name), min_rows, quantiles)
    own = [np.bincount(of.codes, minlength=len(of.names)).astype(np.int64) for of in fine.values()]
    total = await sums.integers(f"{label}.rows", np.concatenate(own), bound=BOUND)
    sizes = np.split(total, np.cumsum([part.size for part in own])[:-1])
    found = {}
    for (name, of), rows in zip(fine.items(), sizes, strict=True):
        names, to = joined_groups(of.names, rows, min_rows)
        found[name] = Groups(names, to[of.codes])
    return found


def _few(rows: int, *, min_rows: int, quantiles: int) -> int:
    return max(min_rows, rows // (FINER_THAN_BINS * quantiles))


def _by_cells(column: Column, spread: AgreedColumn | None, min_rows: int, quantiles: int) -> _Fine:
    if spread is None:
        if np.isinf(column.values).any():
            raise DataError(Problem("VALUE_INFINITE", column.name, "has infinite values"))
        return _with_apart(column, list(column.levels), column.values)
    cells = spread.cells
    if 0 < cells.first.size <= quantiles and cells.single.all():
        edges = np.array(cells.edges(max_bin=quantiles, min_rows=1))
        at = cells.quantiles((np.cumsum(cells.rows) - 0.5) / max(1, spread.rows))
        names = [f"{value:.6g}" for value in at.tolist()]
    else:
        edges = np.array(cells.edges(max_bin=quantiles, min_rows=min_rows))
        # Which part of all it is says enough, as where one party has the column.
        names = [f"part {k + 1} of {edges.size + 1}" for k in range(edges.size + 1)]
    return _with_apart(column, names, np.searchsorted(edges, column.values, side="left").astype(np.float64))


async def _by_splits(sums: Summing, column: Column, min_rows: int, label: str) -> _Fine:
    # A bin ends with its edge, a group before its split point.
    edges = np.nextafter(np.array(column.splits, np.float64), -np.inf)
    plain = column.values[~(np.isnan(column.values) | np.isin(column.values, column.special))]
    own = np.bincount(np.searchsorted(edges, plain, side="left"), minlength=edges.size + 1).astype(np.int64)
    bins = counted_bins(await sums.integers(label, own, bound=BOUND), edges, 0, min_rows=min_rows)
    kept = set(bins.edges)
    points = [f"{point:.6g}" for point, edge in zip(column.splits, edges.tolist(), strict=True) if edge in kept]
    at = np.searchsorted(np.array(bins.edges), column.values, side="left")
    return _with_apart(column, intervals(points), at.astype(np.float64))


def _with_apart(column: Column, names: list[str], codes: F64) -> _Fine:
    """Groups of numbers or levels, and one for each special value and for missing ones."""
    found = np.full(column.values.size, len(names) + len(column.special), np.int64)
    known = ~np.isnan(column.values)
    found[known] = codes[known].astype(np.int64)
    for k, value in enumerate(column.special):
        found[column.values == value] = len(names) + k
    return _Fine([*names, *(f"{value:g}" for value in column.special), MISSING], found)
