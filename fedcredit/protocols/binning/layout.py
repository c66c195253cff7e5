"""Which counts travel together in one number: as digits of mixed radix.

The bad rows of a cell, one pre-bin of a column, are at most its rows, which both sides know. So a digit from 0 to the
rows of its cell holds them, and a number below the modulus of the encryption holds several: four where ten bins share
100,000 rows.

Reveals: nothing; it follows from numbers of rows that both sides know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.rlwe import PLAIN_MODULUS

__all__ = ["Layout"]

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The numbers that hold the counts of these cells, in their order.

    Shapes: rows, weights (cells,), what a cell's count is multiplied by; first (numbers + 1,), where each number's
    cells begin, and the end.
    """

    rows: I64
    weights: I64
    first: U32

    @classmethod
    def of(cls, rows: I64) -> Self:
        """As many cells to a number as it has room for. Shapes: rows (cells,), not negative, below the modulus."""
        weights, first, room = [], [], 0
        for cell, most in enumerate(rows.tolist()):
            if most + 1 > room:
                first.append(cell)
                weight, room = 1, PLAIN_MODULUS
            weights.append(weight)
            weight, room = weight * (most + 1), room // (most + 1)
        return cls(rows, np.array(weights, np.int64), np.array([*first, len(rows)], np.uint32))

    def __len__(self) -> int:
        return len(self.first) - 1

    def read(self, numbers: I64) -> I64:
        """The counts in these numbers. Shapes: numbers (numbers,) from 0 to below the modulus; returns (cells,).

        Raises: ValueError where a count is more than its cell has rows.
        """
        counts = np.zeros(len(self.rows), np.int64)
        rest, first = numbers.copy(), self.first.astype(np.int64)
        sizes = np.diff(first)
        for place in reversed(range(int(sizes.max(initial=0)))):
            at = np.flatnonzero(sizes > place)
            cells = first[:-1][at] + place
            counts[cells] = rest[at] // self.weights[cells]
            rest[at] -= counts[cells] * self.weights[cells]
        if (counts > self.rows).any():
            raise ValueError("Layout: a count is more than its cell has rows")
        return counts
