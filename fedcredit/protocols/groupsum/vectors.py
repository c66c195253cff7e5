"""Memory for the vectors of an open round, so that its further sums cost additions and no cryptography.

A level of a tree sums the same values over other sets of rows. Whoever has room for the round's vectors, one word a row
and group, adds them up again; whoever has not derives them again from the trees.
Reveals: nothing; what is on the wire does not tell which.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.kernels import onehot as kernels
from fedcredit.kernels.onehot import U64, Assignment

__all__ = ["BLOCK_ROWS", "VectorStore", "blocks"]

I64: TypeAlias = npt.NDArray[np.int64]

BLOCK_ROWS = 4096
"""Rows of a kernel call: enough to keep all cores busy, few enough that the peer need not wait for its first ones."""


def blocks(at: Assignment) -> Iterator[tuple[int, Assignment]]:
    """The rows in runs that a kernel is called for, each with the place of its first row."""
    for first in range(0, len(at.rows), BLOCK_ROWS):
        run = slice(first, first + BLOCK_ROWS)
        yield first, Assignment(at.rows[run], at.nodes[run], at.n_nodes)


class VectorStore:
    """The vectors of the round that was opened last, if they fit `budget_bytes`; the memory serves round after round.

    As secret as what it holds: the asker's masks, or the holder's vectors.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._round: int | None = None
        self._memory: list[U64] = []
        self._groups: tuple[int, ...] = ()
        self._n_values = 0
        self._position: I64 | None = None
        self._n_rows = 0

    def open(self, number: int, at: Assignment, n_rows: int, groups: tuple[int, ...], n_values: int) -> bool:
        """Make room for round `number` over the rows of `at`, of `n_rows` in all; False where there is none."""
        self._round = None
        words_a_row = n_values * sum(groups)
        if 8 * words_a_row * len(at.rows) > self._budget_bytes:
            self._memory = []
            return False
        sizes = [words_a_row * len(block.rows) for _, block in blocks(at)]
        for place, size in enumerate(sizes):
            if place == len(self._memory):
                self._memory.append(np.empty(size, np.uint64))
            elif self._memory[place].size < size:
                self._memory[place] = np.empty(size, np.uint64)
        self._groups, self._n_values, self._n_rows = groups, n_values, len(at.rows)
        self._position = np.full(n_rows, -1, np.int64)
        self._position[at.rows] = np.arange(len(at.rows))
        self._round = number
        return True

    def block(self, first: int, n_rows: int) -> U64:
        """Where the vectors of the block that begins at place `first` go."""
        return self._memory[first // BLOCK_ROWS][: n_rows * self._n_values * sum(self._groups)]

    def sums(self, number: int, at: Assignment) -> U64 | None:
        """The sums of round `number` over rows that it was opened with; None where its vectors are not here."""
        if number != self._round or self._position is None:
            return None
        places = self._position[at.rows]
        if (places < 0).any():
            raise ValueError("VectorStore: a row was not part of the round")
        order = np.argsort(places, kind="stable")
        places, nodes = places[order], at.nodes[order]
        total = np.zeros((at.n_nodes, self._n_values, sum(self._groups)), np.uint64)
        for first in range(0, self._n_rows, BLOCK_ROWS):
            n_rows = min(BLOCK_ROWS, self._n_rows - first)
            run = slice(*np.searchsorted(places, (first, first + n_rows)))
            if run.start == run.stop:
                continue
            piece = Assignment((places[run] - first).astype(np.uint32), nodes[run], at.n_nodes)
            vectors = self.block(first, n_rows)
            total += kernels.vector_sums(vectors, n_rows, self._groups, self._n_values, piece)
        return total
