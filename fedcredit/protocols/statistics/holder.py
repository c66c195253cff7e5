"""The holder's side of a table: it has groups of rows, and opens the cells that are large enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedcredit.credit.cell_hiding import hidden_cells
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U64
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import Backend, Grouping, Holder, onehot, paillier, plain
from fedcredit.protocols.statistics.cells import MAX_COMPARED, Bool, CellShape, LentColumn
from fedcredit.protocols.statistics.comparing import find_small
from fedcredit.wire.statistics import OpenedCells, TableAsk, TableGroups, text_of

__all__ = ["StatisticsHolder"]


@dataclass(frozen=True, slots=True)
class StatisticsHolder:
    """Lends a column, whose groups have at least `min_cell` rows each, to be counted by `asker`.

    What stays hidden is decided here, where the groups are, and not by the party that would learn it. `values` is how
    many words a cell has by what was agreed, and `most_categories` how many categories may be asked for.

    Reveals: to this party, how many categories the asker counts by, how many sums it makes, and which of its cells
    have fewer than `min_cell` rows, by the opaque number of the category; not how many they have, and no value.
    Assumes: semi-honest parties that do not collude; what `groupsum` assumes; decisional Diffie-Hellman in
    ristretto255, and a random oracle.
    """

    me: PartyId
    asker: PartyId
    column: LentColumn
    min_cell: int
    values: int
    most_categories: int
    backend: Backend = "onehot"
    insecure_plain: bool = False

    def __post_init__(self) -> None:
        rows = self.column.rows
        if rows.size > 1 and (rows.size != len(self.column.names) or rows.min() < self.min_cell):
            raise ValueError("StatisticsHolder: a group is smaller than a cell may be")

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"statistics of {self.asker} over {self.me}"

    def steps(self, session: bytes, randomness: Randomness) -> Steps[bool]:
        """Lend the column; gives whether it was counted. Raises: PeerError."""
        asked = yield from recv(self.asker, TableAsk)
        if asked.categories == 0:
            return False
        if asked.values != self.values or asked.categories > self.most_categories:
            # More than the job says would be more than this party's policy has let in.
            raise PeerError(self.asker, self.step, "asks for other sums than were agreed", "SHAPE")
        names = self.column.names if len(self.column.names) > 1 else ()
        yield from send(self.asker, TableGroups(*text_of(names)))
        shape = CellShape(self.column.codes.size, asked.categories, asked.values, len(names), self.min_cell)
        if not names or shape.compared > MAX_COMPARED:
            return False
        mine = yield from self._sums(shape, session, randomness)
        hidden: Bool = np.zeros((shape.categories, shape.groups), bool)
        if shape.crosses:
            counts = np.ascontiguousarray(mine[:, :, 0]).ravel()
            small = yield from find_small(self.asker, self.step, session, counts, self.min_cell, randomness)
            hidden = hidden_cells(small.reshape(hidden.shape), self.column.rows)
        yield from send(self.asker, OpenedCells(hidden.astype(np.uint8), np.ascontiguousarray(mine[~hidden])))
        return True

    def _sums(self, shape: CellShape, session: bytes, randomness: Randomness) -> Steps[U64]:
        """Our shares of all cells: (K, B, values)."""
        grouping = Grouping(session, self.asker, self.me, shape.n_rows, (shape.groups,))
        codes = self.column.codes[None, :]
        holder: Holder
        if self.backend == "plain":
            holder = yield from plain.set_up_holder(grouping, codes, insecure_plain=self.insecure_plain)
        elif self.backend == "paillier":
            holder = yield from paillier.set_up_holder(grouping, codes, randomness)
        else:
            holder = yield from onehot.set_up_holder(grouping, codes, randomness)
        total = np.zeros((1, shape.categories * shape.values, shape.groups), np.uint64)
        for number, block in enumerate(shape.blocks()):
            held = yield from holder.take(number, (0,), shape.categories * shape.values, block, keep=False)
            total += yield from holder.settle(held, held.sums)
        return shape.table(total)
