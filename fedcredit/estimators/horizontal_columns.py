"""What members of a horizontal job agree on about columns they all have: rows, cells, and the edges of bins.

Every member calls the same with its own rows, and all get the same. Of the rows of a member nobody else learns more
than is in the totals over all members; `docs/horizontal.md` says what those show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.agreed_bins import FIRST_CELLS, STEP_CELLS, Cells, sorted_keys
from fedcredit.credit.binning import MAX_BIN, Bins, counted_bins
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.horizontal_schema import Schema, agree_schema
from fedcredit.estimators.noised_counts import CellNoise
from fedcredit.ids import PartyId
from fedcredit.tables import Column

__all__ = [
    "FINER_THAN_BINS",
    "MIN_ROWS",
    "AgreedColumn",
    "Schema",
    "Summing",
    "Totals",
    "agree_schema",
    "agreed_bins",
    "agreed_cells",
    "agreed_cuts",
    "agreed_totals",
]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

MIN_ROWS: Final = 20
"""Rows of all members in a bin; a cell of no more is not looked into."""
FINER_THAN_BINS: Final = 4
"""Cells are divided until they hold this part of a bin's rows: bins are as equal as that."""
BOUND: Final = 1 << 62


class Summing(Protocol):
    """What is needed of `estimators.sums.Sums`."""

    @property
    def me(self) -> PartyId:
        """This member."""

    @property
    def members(self) -> tuple[PartyId, ...]:
        """All of them, the leader first."""

    async def integers(self, label: str, values: I64, *, bound: int) -> I64:
        """The exact total over all members."""

    async def reals(self, label: str, values: F64, *, bound: float) -> F64:
        """The total over all members in fixed point."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Rows of all members, and how many of them are bad; without a label `bad` is 0."""

    rows: int
    bad: int


async def agreed_totals(sums: Summing, n_rows: int, label: U8 | None = None, *, name: str = "totals") -> Totals:
    """How many rows all members have together. Shapes: label (n_rows,), 1 = bad.

    Reveals: to all members, these two numbers.
    """
    mine = np.array([n_rows, 0 if label is None else np.count_nonzero(label)], np.int64)
    rows, bad = (await sums.integers(name, mine, bound=BOUND)).tolist()
    return Totals(rows, bad)


@dataclass(frozen=True, slots=True, eq=False)
class AgreedColumn:
    """How the rows of all members are spread over a column's values.

    Shapes: missing (classes,); special, for each special value (classes,) rows that have it. Their rows are in no cell.
    """

    cells: Cells = field(repr=False)
    missing: I64 = field(repr=False)
    special: dict[float, I64] = field(repr=False)
    levels: int | None = None

    @property
    def rows(self) -> int:
        """Rows with a value that is neither missing nor special."""
        return int(self.cells.counts.sum())

    def edges(self, *, max_bin: int, min_rows: int) -> tuple[float, ...]:
        """Edges of bins: see `agreed_cuts`."""
        room = max(1, max_bin - int(self.missing.sum() >= min_rows) - len(self.special))
        return self.cells.edges(max_bin=room, min_rows=min_rows, levels=self.levels is not None)

    def bins(self, *, max_bin: int, min_rows: int) -> Bins:
        """Bins with these edges and one for missing values, if enough rows of all members have none."""
        edges = np.array(self.edges(max_bin=max_bin, min_rows=min_rows))
        at = np.searchsorted(edges, self.cells.high, side="left")
        rows = np.bincount(at, self.cells.rows, edges.size + 1).astype(np.int64)
        return counted_bins(rows, edges, int(self.missing.sum()), min_rows=min_rows, levels=self.levels)


async def agreed_cells(
    sums: Summing,
    columns: Mapping[str, Column],
    *,
    few: Callable[[int], int],
    least: int = MIN_ROWS,
    shares: F64 | None = None,
    special: Mapping[str, Sequence[float]] | None = None,
    classes: U8 | Mapping[str, U8] | None = None,
    n_classes: int = 1,
    label: str = "cells",
    noise: CellNoise | None = None,
) -> dict[str, AgreedColumn]:
    """How the rows of all members are spread over the values of these columns, without a range or a sample of anyone.

    `few(n)`: how many rows, of n with a value, a cell may hold and is not divided any more; a cell that is wider than a
    power of two to the next is, down to `least` rows. With `shares` only cells are divided in which these shares of the
    rows end. `special`: codes that are no amounts, by column; by default what the columns say. All columns of a round
    are in one vector; there are at most ten rounds. `classes` counts rows apart by class, of all columns or of each.
    With `noise`, which sums then, counts are the nearest to noised ones that could be some, and cells whose rows noise
    would hide are not divided.

    Shapes: columns of n rows each; classes (n,) below n_classes, of columns that have their own the same length.
    Reveals: to all members, the totals over all members of: rows missing, rows with each special value, rows of each
    level of a categorical column; rows in each of 256 cells over all numbers; and rows in each sixteenth of every cell
    that is divided, down to a relative width of 2^-32. So a count may be 1: it says that some row of some member lies
    in that cell, which is a sixteenth of one with more than `few` rows, or a power of two to the next.
    Raises: DataError VALUE_INFINITE, VALUE_LEVEL, SUM_INCONSISTENT; PeerLost; PeerError.
    """
    names = tuple(columns)
    codes = {name: tuple(columns[name].special if special is None else special.get(name, ())) for name in names}
    of = {name: classes[name] if isinstance(classes, Mapping) else classes for name in names}
    sides = {name: await asyncio.to_thread(_Side.of, columns[name], codes[name], of[name], n_classes) for name in names}
    shapes = [(sides[name].apart.shape[0] + sides[name].n_first, n_classes) for name in names]
    mine = _joined([np.concatenate([sides[name].apart, sides[name].first()]) for name in names])
    found: dict[str, AgreedColumn] = {}
    totals = await _summed(sums, noise, f"{label}.0", mine)
    for name, total in zip(names, _parted(totals, shapes), strict=True):
        found[name] = sides[name].begin(total if noise is None else noise.first(total), codes[name])
    enough = {name: few(column.rows) for name, column in found.items()}
    if noise is not None:
        enough, least = {name: noise.few(rows) for name, rows in enough.items()}, noise.few(least)
    number = 0
    while True:
        asked = {name: found[name].cells.asking(enough[name], least, shares) for name in names}
        number += 1
        if not any(places.size for places in asked.values()) or (noise is not None and number >= noise.rounds):
            return found
        counted = [found[name].cells.count_within(asked[name], sides[name].keys) for name in names]
        totals = await _summed(sums, noise, f"{label}.{number}", _joined(counted))
        parts = _parted(totals, [(asked[name].size, STEP_CELLS, n_classes) for name in names])
        for name, part in zip(names, parts, strict=True):
            old = found[name]
            if noise is not None:
                part = noise.within(old.cells.counts[asked[name]], part)
            found[name] = AgreedColumn(old.cells.divide(asked[name], part), old.missing, old.special, old.levels)


async def agreed_cuts(
    sums: Summing,
    columns: Mapping[str, Column],
    *,
    max_bin: int,
    min_rows: int = MIN_ROWS,
    special: Mapping[str, Sequence[float]] | None = None,
    label: str = "cuts",
) -> dict[str, tuple[float, ...]]:
    """Edges of bins of about equal numbers of rows of all members: bin k is edges[k - 1] < value <= edges[k].

    At most `max_bin` bins a column, the ones of special values and of missing values (if `min_rows` rows have none)
    counted among them; each has at least `min_rows` rows. What a bin holds differs from what equal bins would by at
    most a quarter; a value that a bin's share of the rows have has a bin of its own. An edge lies half-way, to the
    fewest digits, between the cells that it parts: between 0 and 1 at 0.5. No edge lies beyond the outermost `min_rows`
    rows.

    Reveals: see `agreed_cells`, where `few` is a quarter of a bin's share of the rows, and at least `min_rows`.
    Raises: as `agreed_cells`; ValueError for a `max_bin` outside 2..256 or `min_rows` below 1.
    """
    found = await _for_bins(sums, columns, max_bin, min_rows, special, label)
    return {name: column.edges(max_bin=max_bin, min_rows=min_rows) for name, column in found.items()}


async def agreed_bins(
    sums: Summing,
    columns: Mapping[str, Column],
    *,
    max_bin: int,
    min_rows: int = MIN_ROWS,
    special: Mapping[str, Sequence[float]] | None = None,
    label: str = "bins",
) -> dict[str, Bins]:
    """The bins of `agreed_cuts`, with the one that missing values go to. Rows with special values are left out.

    Reveals, Raises: as `agreed_cuts`.
    """
    found = await _for_bins(sums, columns, max_bin, min_rows, special, label)
    return {name: column.bins(max_bin=max_bin, min_rows=min_rows) for name, column in found.items()}


async def _summed(sums: Summing, noise: CellNoise | None, label: str, values: I64) -> I64:
    if noise is not None:
        return await noise.integers(label, values, bound=BOUND)
    return await sums.integers(label, values, bound=BOUND)


async def _for_bins(
    sums: Summing,
    columns: Mapping[str, Column],
    max_bin: int,
    min_rows: int,
    special: Mapping[str, Sequence[float]] | None,
    label: str,
) -> dict[str, AgreedColumn]:
    if not 2 <= max_bin <= MAX_BIN or min_rows < 1:
        raise ValueError(f"agreed bins: max_bin {max_bin}, min_rows {min_rows}")
    few = partial(_few, max_bin=max_bin, min_rows=min_rows)
    return await agreed_cells(sums, columns, few=few, least=min_rows, special=special, label=label)


def _few(rows: int, *, max_bin: int, min_rows: int) -> int:
    return max(min_rows, rows // (FINER_THAN_BINS * max_bin))


@dataclass(frozen=True, slots=True)
class _Side:
    """This member's rows of a column, in order. Shapes: apart (1 + special values, classes)."""

    keys: tuple[U64, ...] = field(repr=False)
    apart: I64 = field(repr=False)
    levels: int | None

    @property
    def n_first(self) -> int:
        """Cells of the first round."""
        return FIRST_CELLS if self.levels is None else self.levels

    @classmethod
    def of(cls, column: Column, special: tuple[float, ...], classes: U8 | None, n_classes: int) -> _Side:
        values, of = column.values, np.zeros(column.values.size, np.uint8) if classes is None else classes
        held = [np.isnan(values), *(values == code for code in special)]
        apart = np.stack([np.bincount(of[rows], minlength=n_classes) for rows in held]).astype(np.int64)
        plain = ~np.any(held, axis=0)
        levels = len(column.levels) if column.kind == "categorical" else None
        if levels is not None:
            _check_levels(column.name, values[plain], levels)
        try:
            return cls(sorted_keys(values[plain], of[plain], n_classes), apart, levels)
        except DataError as error:
            raise DataError([Problem(p.code, column.name, p.what, p.fix) for p in error.problems]) from None

    def first(self) -> I64:
        if self.levels is None:
            return Cells.count_first(self.keys)
        return Cells.count_levels(self.keys, self.levels)

    def begin(self, totals: I64, special: tuple[float, ...]) -> AgreedColumn:
        apart, counts = totals[: len(self.apart)], totals[len(self.apart) :]
        cells = Cells.begin(counts) if self.levels is None else Cells.of_levels(counts)
        return AgreedColumn(cells, apart[0], dict(zip(special, apart[1:], strict=True)), self.levels)


def _check_levels(name: str, values: F64, levels: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= levels or (values != np.floor(values)).any()):
        raise DataError(Problem("VALUE_LEVEL", name, f"has values that are none of its {levels} levels"))


def _joined(parts: Sequence[I64]) -> I64:
    return np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0, np.int64)


def _parted(whole: I64, shapes: Sequence[tuple[int, ...]]) -> list[I64]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(whole, ends[:-1]), shapes, strict=True)]
