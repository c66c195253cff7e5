"""The leaf hashes of a whole audit log, and everything that follows from them: trees, heads' roots, proofs.

For logs of millions of entries: hashes stay in one array, and large levels are computed natively. What a proof is and
how it is checked stands in `fedcredit.governance.merkle`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

import numpy as np
import numpy.typing as npt

from fedcredit.governance.merkle import HASH_BYTES, ProofInvalid, Tree, consistency_path, inclusion_path, levels_of
from fedcredit.kernels import log

__all__ = ["Leaves"]

U8: TypeAlias = npt.NDArray[np.uint8]

BULK_ROWS = 1024
"""A level of more nodes than these is hashed natively; below, starting the threads for it takes longer."""


@dataclass(frozen=True, slots=True, eq=False)
class Leaves:
    """Leaf hashes in order. Shapes: rows (n, 32) uint8."""

    rows: U8

    @classmethod
    def of(cls, lines: bytes) -> Leaves:
        """Those of lines, each with its line feed."""
        return cls(log.leaves(lines))

    @classmethod
    def joined(cls, parts: Sequence[Leaves]) -> Leaves:
        """One after the other."""
        return cls(np.concatenate([np.empty((0, HASH_BYTES), np.uint8), *(part.rows for part in parts)]))

    def __len__(self) -> int:
        return len(self.rows)

    def tree(self, size: int | None = None) -> Tree:
        """The tree over the first `size`, or over all. Raises: ProofInvalid if there are not that many."""
        size = self._size(size)
        # The complete subtree of 2^h leaves that a set bit h of the size stands for is a node of level h.
        peaks = [
            level[(size >> height) - 1].tobytes()
            for height, level in enumerate(_levels(self.rows[:size]))
            if size >> height & 1
        ]
        return Tree(size, tuple(reversed(peaks)))

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """The proof that leaf `index` is in the tree over the first `size`, or over all. Raises: ProofInvalid."""
        return inclusion_path([_Level(level) for level in _levels(self.rows[: self._size(size)])], index)

    def consistency(self, first: int, size: int | None = None) -> tuple[bytes, ...]:
        """The proof that the tree over the first `size`, or over all, extends the one over the first `first`.

        Raises: ProofInvalid.
        """
        return consistency_path([_Level(level) for level in _levels(self.rows[: self._size(size)])], first)

    def _size(self, size: int | None) -> int:
        if size is None:
            return len(self.rows)
        if not 0 <= size <= len(self.rows):
            raise ProofInvalid(f"no tree of {size} over {len(self.rows)} leaves")
        return size


@dataclass(frozen=True, slots=True)
class _Level(Sequence[bytes]):
    rows: U8

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> _Level: ...
    def __getitem__(self, index: int | slice) -> bytes | _Level:
        found = self.rows[index]
        return _Level(found) if isinstance(index, slice) else found.tobytes()


def _levels(rows: U8) -> list[U8]:
    levels = [rows]
    while len(levels[-1]) > max(BULK_ROWS, 1):
        levels.append(log.level_up(levels[-1]))
    few = levels_of([row.tobytes() for row in levels[-1]])
    return levels + [_rows(level) for level in few[1:]]


def _rows(hashes: Iterable[bytes]) -> U8:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH_BYTES)
