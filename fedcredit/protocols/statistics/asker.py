"""The asker's side of a table: it has values and categories, and learns the cells that are large enough.

A -> P   TableAsk           how many categories and words a cell
P -> A   TableGroups        what P's groups are called
block    group-by-sum of a row's words, put where its category is, settled as shares
both     which cells are too small, if there is more than one category        `comparing`
P -> A   OpenedCells        P's shares of the cells that are shown
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8, U64, Assignment
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import Asker, Backend, Grouping, onehot, paillier, plain
from fedcredit.protocols.statistics.cells import MAX_COMPARED, CellShape, OpenedTable
from fedcredit.protocols.statistics.comparing import help_find_small
from fedcredit.wire.statistics import OpenedCells, TableAsk, TableGroups, names_of

__all__ = ["StatisticsAsker"]


@dataclass(frozen=True, slots=True)
class StatisticsAsker:
    """Learns rows and sums of its own values by categories of its own and groups of `holder`.

    Shapes: categories (n,), numbers below `n_categories`; values (n, V) besides the rows of a cell, modulo 2^64.

    Reveals: to this party, what the holder's groups are called; of each cell that is shown its number of rows, at
    least `min_cell`, and the sum of each of this party's values over them; which cells are not shown. What follows for
    the others from totals are sums of at least `min_cell` rows. To the holder: see `StatisticsHolder`.
    Assumes: semi-honest parties that do not collude; what `groupsum` assumes; values that were not chosen to be told
    apart in a sum: an asker that made them powers of two would learn whose rows are in a cell. A value far above all
    others shows in which cell its row is.
    """

    me: PartyId
    holder: PartyId
    categories: U8 = field(repr=False)
    n_categories: int
    values: U64 = field(repr=False)
    min_cell: int
    backend: Backend = "onehot"
    insecure_plain: bool = False
    key: paillier.OwnKey | None = field(repr=False, default=None)

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"statistics over {self.holder}"

    def decline(self) -> Steps[None]:
        """Tell the holder that this party asks for nothing."""
        yield from send(self.holder, TableAsk(0, 0))

    def steps(self, session: bytes, randomness: Randomness) -> Steps[OpenedTable | None]:
        """The table; None where the holder's column has no two groups that are large enough, or there are too many
        cells to compare. Raises: PeerError."""
        yield from send(self.holder, TableAsk(self.n_categories, 1 + self.values.shape[1]))
        got = yield from recv(self.holder, TableGroups)
        names = names_of("TableGroups", got.sizes, got.text)
        n_rows = self.categories.size
        shape = CellShape(n_rows, self.n_categories, 1 + self.values.shape[1], len(names), self.min_cell)
        if not names or shape.compared > MAX_COMPARED:
            return None
        ours = yield from self._sums(shape, session, randomness)
        if shape.crosses:
            least = self.min_cell
            counts = np.ascontiguousarray(ours[:, :, 0]).ravel()
            yield from help_find_small(self.holder, self.step, session, counts, least, randomness)
        opened = yield from recv(self.holder, OpenedCells)
        return self._opened(shape, names, opened, ours)

    def _sums(self, shape: CellShape, session: bytes, randomness: Randomness) -> Steps[U64]:
        """Our shares of all cells: (K, B, values)."""
        grouping = Grouping(session, self.me, self.holder, shape.n_rows, (shape.groups,))
        asker: Asker
        if self.backend == "plain":
            asker = yield from plain.set_up_asker(grouping, insecure_plain=self.insecure_plain)
        elif self.backend == "paillier":
            asker = yield from paillier.set_up_asker(grouping, self.key or paillier.OwnKey.fresh(randomness))
        else:
            asker = yield from onehot.set_up_asker(grouping, randomness)
        total = np.zeros((1, shape.categories * shape.values, shape.groups), np.uint64)
        for number, block in enumerate(shape.blocks()):
            shared = yield from asker.share(number, (0,), self._words(shape, block), block, keep=False)
            total += yield from asker.settle(shared, shared.sums)
        return shape.table(total)

    def _words(self, shape: CellShape, block: Assignment) -> U64:
        """A row's words where its category is, and 0 everywhere else: (m, K values)."""
        rows = block.rows
        words = np.zeros((rows.size, shape.categories, shape.values), np.uint64)
        place = np.arange(rows.size), self.categories[rows].astype(np.intp)
        words[(*place, 0)] = 1
        words[:, :, 1:][place] = self.values[rows]
        return words.reshape(rows.size, -1)

    def _opened(self, shape: CellShape, names: tuple[str, ...], got: OpenedCells, ours: U64) -> OpenedTable:
        hidden = got.hidden.astype(bool)
        if hidden.shape != (shape.categories, shape.groups) or got.words.shape[1:] != (shape.values,):
            raise self._broke("opened cells of another table", "SHAPE")
        if hidden.any() and not shape.crosses:
            raise self._broke("hides cells of a table that has no small ones")
        words = np.zeros_like(ours)
        words[~hidden] = got.words - ours[~hidden]
        counts = words[:, :, 0]
        own = np.bincount(self.categories, minlength=shape.categories).astype(np.uint64)
        # Each count is bounded by its row before they are summed, so no sum overflows.
        if (counts > own[:, None]).any() or (counts[~hidden] < shape.min_cell).any():
            raise self._broke("counted other rows than there are")
        rest = own.astype(np.int64) - counts.sum(axis=1).astype(np.int64)
        some, whole = hidden.any(axis=1), hidden.all(axis=1)
        if (rest[~some] != 0).any() or (rest[some & ~whole] < shape.min_cell).any():
            raise self._broke("counted other rows than there are")
        return OpenedTable(names, hidden, words)

    def _broke(self, how: str, code: str = "COUNTS_INVALID") -> PeerError:
        return PeerError(self.holder, self.step, how, code)
