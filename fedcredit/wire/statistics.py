"""Messages of statistics over the rows in common: `docs/protocols/statistics.md`. Sums travel as group-by-sums.

The asker A has values and, if it likes, categories of its own; the holder P has a column as groups of rows.
Assumes: both are semi-honest; the link authenticates them; P answers for its true column, A for its true categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedcredit.kernels.onehot import U8, U16, U64
from fedcredit.wire._gen import statistics_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, count

__all__ = [
    "MAX_CATEGORIES",
    "MAX_VALUES",
    "POINTS_PER_CHUNK",
    "CellPoints",
    "CellPointsAgain",
    "OpenedCells",
    "SharedTable",
    "SmallPoints",
    "TableAsk",
    "TableGroups",
    "names_of",
    "text_of",
]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MAX_CATEGORIES: Final = 64
"""Rows of a table, and columns."""

MAX_VALUES: Final = 25
"""Words of a cell: its rows, and of each summed column its sum, distances from a centre, and their squares."""

MAX_TABLES: Final = 32
MAX_CELLS: Final = MAX_CATEGORIES * MAX_CATEGORIES
MAX_TEXT: Final = 512
"""Bytes of a name."""

POINT_BYTES: Final = 32
CHUNK_BYTES: Final = 1 << 20
POINTS_PER_CHUNK: Final = CHUNK_BYTES // POINT_BYTES
MAX_POINTS: Final = 1 << 30


@dataclass(frozen=True, slots=True, repr=False)
class TableAsk(Message, tag=0xC0, proto=pb.TableAsk):
    """How many categories of its own A counts by, and how many words a cell has; 0 of both if A asks for none.

    Reveals: to P, these two numbers. Assumes: see the module.
    """

    categories: int = count(MAX_CATEGORIES)
    values: int = count(MAX_VALUES)

    def validate(self) -> None:
        """See `Message.validate`."""
        if (self.categories == 0) != (self.values == 0):
            raise MessageInvalid("TableAsk", "asks for cells without words, or the other way round")


@dataclass(frozen=True, slots=True, repr=False)
class TableGroups(Message, tag=0xC1, proto=pb.TableGroups):
    """What the groups of P's column are called; none if there are not two that are large enough.

    Shapes: sizes (groups,), bytes of each name; text, the names in UTF-8, one behind the other.
    Reveals: to A, these names, each of a group of enough rows. Assumes: see the module.
    """

    sizes: U16 = array("u2", 1, MAX_CATEGORIES)
    text: U8 = array("u1", 1, MAX_CATEGORIES * MAX_TEXT)

    def validate(self) -> None:
        """See `Message.validate`."""
        names_of("TableGroups", self.sizes, self.text)
        if self.sizes.size == 1:
            raise MessageInvalid("TableGroups.sizes", "one group is no table", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class CellPoints(Message, tag=0xC2, proto=pb.CellPoints):
    """P's share of the rows of each cell, hashed to the group and masked, from cell `first` on. Shapes: points (c, 32).

    Reveals: nothing. Assumes: decisional Diffie-Hellman, a random oracle; the mask is fresh.
    """

    first: int = count(MAX_CELLS)
    points: U8 = array("u1", 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _points("CellPoints.points", self.points)


@dataclass(frozen=True, slots=True, repr=False)
class CellPointsAgain(Message, tag=0xC3, proto=pb.CellPointsAgain):
    """The same points under A's mask too, in their order. Shapes: points (c, 32).

    Reveals: nothing without the points of `SmallPoints`. Assumes: decisional Diffie-Hellman, a random oracle.
    """

    first: int = count(MAX_CELLS)
    points: U8 = array("u1", 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _points("CellPointsAgain.points", self.points)


@dataclass(frozen=True, slots=True, repr=False)
class SmallPoints(Message, tag=0xC4, proto=pb.SmallPoints):
    """Of each cell all shares that P has if it is too small, under A's mask, in random order. Shapes: points (c, 32).

    Reveals: to P, which cells are too small; not how many rows one has, for the order says nothing.
    Assumes: decisional Diffie-Hellman, a random oracle; the mask is fresh.
    """

    first: int = count(MAX_POINTS)
    points: U8 = array("u1", 2, CHUNK_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _points("SmallPoints.points", self.points)


@dataclass(frozen=True, slots=True, repr=False)
class OpenedCells(Message, tag=0xC5, proto=pb.OpenedCells):
    """Which cells stay hidden, and P's share of all words of the others. Shapes: hidden (K, B), words (cells, values).

    Reveals: to A, the rows and sums of cells with enough rows, and which others there are. Assumes: see the module.
    """

    hidden: U8 = array("u1", 2, MAX_CELLS)
    words: U64 = array("u8", 2, MAX_CELLS * MAX_VALUES)

    def validate(self) -> None:
        """See `Message.validate`."""
        _mask("OpenedCells.hidden", self.hidden)
        if len(self.words) != self.hidden.size - int(self.hidden.sum()):
            raise MessageInvalid("OpenedCells.words", "not of the cells that are shown", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class SharedTable(Message, tag=0xC6, proto=pb.SharedTable):
    """A finished table, for a party that did not ask for it: `refused` says why there is none.

    Shapes: row_sizes, column_sizes and texts as in `TableGroups`; hidden, counts (K, B); sums, spreads (S, K, B), with
    0 where a cell is hidden. spreads of no column where the job asks for none.
    Reveals: to the receiver, rows and sums of cells with enough rows, and which others there are.
    Assumes: see the module.
    """

    number: int = count(MAX_TABLES)
    refused: int = count(3)
    row_sizes: U16 = array("u2", 1, MAX_CATEGORIES)
    row_text: U8 = array("u1", 1, MAX_CATEGORIES * MAX_TEXT)
    column_sizes: U16 = array("u2", 1, MAX_CATEGORIES)
    column_text: U8 = array("u1", 1, MAX_CATEGORIES * MAX_TEXT)
    hidden: U8 = array("u1", 2, MAX_CELLS)
    counts: I64 = array("i8", 2, MAX_CELLS)
    sums: F64 = array("f8", 3, MAX_CELLS * MAX_VALUES)
    spreads: F64 = array("f8", 3, MAX_CELLS * MAX_VALUES)

    def validate(self) -> None:
        """See `Message.validate`."""
        rows = names_of("SharedTable.rows", self.row_sizes, self.row_text)
        columns = names_of("SharedTable.columns", self.column_sizes, self.column_text)
        _mask("SharedTable.hidden", self.hidden)
        shape = (len(rows), len(columns))
        if self.refused and shape != (0, 0):
            raise MessageInvalid("SharedTable", "a table that there is none of has cells", "ARRAY_INVALID")
        if self.hidden.shape != shape or self.counts.shape != shape:
            raise MessageInvalid("SharedTable", "cells and names differ in number", "ARRAY_INVALID")
        if self.sums.shape[1:] != shape or self.spreads.shape[1:] != shape:
            raise MessageInvalid("SharedTable", "sums of other cells", "ARRAY_INVALID")
        gone = self.hidden > 0
        if (
            (self.counts < 0).any()
            or self.counts[gone].any()
            or self.sums[:, gone].any()
            or self.spreads[:, gone].any()
        ):
            raise MessageInvalid("SharedTable", "counts that are none, or of a hidden cell", "ARRAY_INVALID")


def text_of(names: Sequence[str]) -> tuple[U16, U8]:
    """Names as they travel."""
    encoded = [name.encode() for name in names]
    return np.array([len(name) for name in encoded], np.uint16), np.frombuffer(b"".join(encoded), np.uint8)


def names_of(where: str, sizes: U16, text: U8) -> tuple[str, ...]:
    """The names that travelled. Raises: MessageInvalid unless they are different, printable texts."""
    if int(sizes.sum(dtype=np.int64)) != text.size or (sizes == 0).any() or (sizes > MAX_TEXT).any():
        raise MessageInvalid(where, "names of other lengths", "ARRAY_INVALID")
    data, names, at = text.tobytes(), [], 0
    for size in sizes.tolist():
        try:
            names.append(data[at : at + size].decode())
        except UnicodeDecodeError:
            raise MessageInvalid(where, "a name is not UTF-8", "ARRAY_INVALID") from None
        at += size
    if len(set(names)) != len(names) or not all(name.isprintable() for name in names):
        raise MessageInvalid(where, "names that are the same, or cannot be printed", "ARRAY_INVALID")
    return tuple(names)


def _points(where: str, points: U8) -> None:
    if points.shape[1] != POINT_BYTES or len(points) == 0:
        raise MessageInvalid(where, "not points", "ARRAY_INVALID")


def _mask(where: str, hidden: U8) -> None:
    if hidden.size and int(hidden.max()) > 1:
        raise MessageInvalid(where, "a mark is neither 0 nor 1", "ARRAY_INVALID")
