"""What each stage of statistics leaves behind at a party, so that a job can go on from there.

A record holds what the stage gave this party and could not be had again without its peers. Secrets of a session are in
none: a new start of the job makes new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.protocols.statistics import OpenedTable
from fedcredit.runtime.state import StageState, state_invalid
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.statistics import SharedTable

__all__ = ["REFUSALS", "AskedTable", "HeardTables", "LentTable", "Told"]

U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

REFUSALS = (None, "GROUPS_TOO_SMALL", "TABLES_TOO_CLOSE")
"""Why there is no table, by its number in a message."""


@dataclass(frozen=True, slots=True)
class AskedTable(StageState):
    """A table at the party that asked for it. Shapes: hidden (K, B), words (K, B, values), 0 where hidden."""

    schema = "statistics-asked/1"
    refused: str | None
    names: list[str]
    hidden: U8
    words: U64

    @classmethod
    def of(cls, table: OpenedTable) -> Self:
        """The record of a table."""
        return cls(None, list(table.names), table.hidden.astype(np.uint8), table.words)

    @classmethod
    def none(cls, refused: str) -> Self:
        """The record of a table that there is not."""
        return cls(refused, [], np.zeros((0, 0), np.uint8), np.zeros((0, 0, 0), np.uint64))

    def opened(self, categories: int, values: int) -> OpenedTable:
        """The table. Raises: FedcreditError (STATE_INVALID) unless it is of so many categories and words a cell."""
        names: Any = self.names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise state_invalid("a table without names")
        shape = (categories, len(names))
        if self.hidden.shape != shape or self.words.shape != (*shape, values):
            raise state_invalid("a table of other cells")
        return OpenedTable(tuple(names), self.hidden > 0, self.words)


@dataclass(frozen=True, slots=True)
class LentTable(StageState):
    """This party has lent a column to a table, or had nothing to do with it; it was told nothing."""

    schema = "statistics-lent/1"
    counted: bool


@dataclass(frozen=True, slots=True)
class Told(StageState):
    """All other parties have been shown the finished tables."""

    schema = "statistics-told/1"


@dataclass(frozen=True, slots=True)
class HeardTables(StageState):
    """The finished tables at a party that did not ask for them, as they were sent. Shapes: sizes (tables,)."""

    schema = "statistics-heard/1"
    sizes: npt.NDArray[np.int64]
    body: U8

    @classmethod
    def of(cls, tables: Sequence[SharedTable]) -> Self:
        """The record of these tables."""
        bodies = [table.encode() for table in tables]
        return cls(np.array([len(body) for body in bodies], np.int64), np.frombuffer(b"".join(bodies), np.uint8))

    def tables(self, number: int) -> tuple[SharedTable, ...]:
        """The tables. Raises: FedcreditError (STATE_INVALID) unless there are so many."""
        if self.sizes.shape != (number,) or (self.sizes < 0).any() or self.sizes.sum() != self.body.size:
            raise state_invalid("other tables")
        data, ends = self.body.tobytes(), np.cumsum(self.sizes).tolist()
        pieces = [data[end - size : end] for end, size in zip(ends, self.sizes.tolist(), strict=True)]
        try:
            return tuple(SharedTable.decode(piece) for piece in pieces)
        except MessageInvalid:
            raise state_invalid("no tables") from None
