"""What both sides of a table know: its size, and how its cells lie in the sums that are made of it.

Reveals: nothing that is not in it already. Assumes: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.kernels import digest
from fedcredit.kernels.onehot import U8, U64, Assignment

__all__ = ["MAX_COMPARED", "Bool", "CellShape", "LentColumn", "OpenedTable"]

Bool: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]

BLOCK_WORDS: Final = 1 << 22
"""Words that the asker has at once of its rows, before they are masked: 32 MiB."""

MAX_COMPARED: Final = 1 << 20
"""Points that are made to tell which cells of a table are too small: about two minutes of two cores."""


@dataclass(frozen=True, slots=True)
class CellShape:
    """A table of `categories` rows by `groups` columns; each cell has `values` words, the first its number of rows."""

    n_rows: int
    categories: int
    values: int
    groups: int
    min_cell: int

    @property
    def crosses(self) -> bool:
        """Whether a cell may be too small: by one column alone none is, since its owner has joined small groups."""
        return self.categories > 1

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.categories * self.groups

    @property
    def compared(self) -> int:
        """Points that tell which cells are too small."""
        return self.cells * self.min_cell if self.crosses else 0

    def blocks(self) -> list[Assignment]:
        """The rows in runs, each a round of the group-by-sum, so that memory is bounded."""
        step = max(1024, BLOCK_WORDS // (self.categories * self.values))
        runs = [range(first, min(first + step, self.n_rows)) for first in range(0, self.n_rows, step)]
        return [Assignment(np.array(run, np.uint32), np.zeros(len(run), np.uint32), 1) for run in runs]

    def table(self, words: U64) -> U64:
        """The parts of sums (1, categories * values, groups) as parts of cells (categories, groups, values)."""
        by_cell = words.reshape(self.categories, self.values, self.groups).transpose(0, 2, 1)
        return np.ascontiguousarray(by_cell)


@dataclass(frozen=True, slots=True)
class LentColumn:
    """A column as groups of enough rows each; fewer than two of them cannot be lent. Shapes: codes (n,)."""

    names: tuple[str, ...]
    codes: U8 = field(repr=False)

    @property
    def rows(self) -> I64:
        """Rows of each group. Shapes: (groups,)."""
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedTable:
    """What the asker learns. Shapes: hidden (K, B); words (K, B, values), 0 where hidden."""

    names: tuple[str, ...]
    hidden: Bool = field(repr=False)
    words: U64 = field(repr=False)


def items_of(session: bytes, cells: I64, words: U64) -> U8:
    """What stands for share `words[i]` of cell `cells[i]`. Shapes: both (m,); returns (m, 44)."""
    key = digest.derive("fedcredit v1 statistics cell", session)
    items = np.empty((words.size, len(key) + 12), np.uint8)
    items[:, : len(key)] = np.frombuffer(key, np.uint8)
    items[:, len(key) : len(key) + 4] = cells.astype("<u4")[:, None].view(np.uint8)
    items[:, len(key) + 4 :] = words.astype("<u8")[:, None].view(np.uint8)
    return items
