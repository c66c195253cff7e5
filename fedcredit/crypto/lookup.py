"""Oblivious lookup: a reader with an index learns one cell of each table that an owner has, and the owner not which.

Of one computation, which a context names, both derive a point C of which nobody knows the logarithm. The reader sends
two points for each index (`choose`), which are uniform whatever the index is. The owner answers with a point r G and
every table whole, each cell under two pads (`answer`), of which the reader can compute those of one line and one column
(`read`).

Tables go up in steps: cell y of a row with an offset says how many edges the value (y + offset) modulo the number of
cells has reached, or OUTSIDE where it is past the last value. So with a mask y that only the owner's offset undoes, the
reader learns of a number in which step it is, and nobody the number.

Reveals: to the owner nothing, whatever it does, but through what the reader does later; to the reader of each row one
cell, of an index of its choice, whatever it does; to others, sizes.
Assumes: for the owner's side, gap Diffie-Hellman in ristretto255 and BLAKE3 as a random oracle, so nothing of it holds
against quantum computers; for the reader's side nothing. Tables are not authenticated: an owner can answer with any.
Shapes: n rows; indices and offsets (n,) uint32; points (n, 64), tables (n, cells) uint8.
Source: M. Bellare, S. Micali, 1989; M. Naor, B. Pinkas, Efficient Oblivious Transfer Protocols, 2001.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.kernels import digest, group, lookup
from fedcredit.kernels.lookup import CHOICE_BYTES, OUTSIDE, BadPoint

__all__ = ["CHOICE_BYTES", "MAX_CELLS", "OUTSIDE", "BadPoint", "Choice", "Lookup", "cells_for"]

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]

MAX_CELLS: Final = 1 << 16
_BASE_DST: Final = b"fedcredit v1 lookup base"


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Of rows from `first` on: what a reader sends, and what it keeps to read by."""

    first: int
    points: U8 = field(repr=False)
    _indices: U32 = field(repr=False)
    _scalars: U8 = field(repr=False)


class Lookup:
    """One computation, at either side. `values`: how many a table goes up by steps of, 2 to 2^16 of them.

    Raises: ValueError.
    """

    def __init__(self, context: bytes, values: int) -> None:
        self.cells = cells_for(values)
        self._side, self._context = round(self.cells**0.5), digest.derive("fedcredit v1 lookup context", context)
        named = np.frombuffer(self._context, np.uint8)[None]
        self._base = group.hash_to_group(named, dst=_BASE_DST).tobytes()

    def choose(self, indices: U32, first: int, randomness: Randomness) -> Choice:
        """What to send for rows from `first` on. Each row is chosen for once. Range: indices below `cells`."""
        n = len(indices)
        scalars = randomness.scalars(n * lookup.DIGITS).reshape(n, lookup.DIGITS, -1)
        points = lookup.choose(self._base, self._side, scalars, indices)
        return Choice(first, points, indices, scalars)

    def answer(
        self, points: U8, offsets: U32, edges: Sequence[int], last: int, first: int, randomness: Randomness
    ) -> tuple[bytes, U8]:
        """A point and the tables of rows from `first` on. Each row is answered once. `last`: the last value.

        Range: offsets, edges and `last` below `cells`; less than 255 edges. Raises: BadPoint; ValueError.
        """
        secret = randomness.scalar()
        own = group.multiply_base(np.frombuffer(secret, np.uint8)[None]).tobytes()
        key = self._key(own)
        return own, lookup.answer(self._base, secret, key, first, self._side, edges, last, points, offsets)

    def read(self, choice: Choice, point: bytes, tables: U8) -> U8:
        """The cell of each row that its index is of: (n,). Raises: BadPoint; ValueError."""
        key, kept = self._key(point), (choice._scalars, choice._indices)
        return lookup.read(point, key, choice.first, self._side, *kept, tables)

    def _key(self, point: bytes) -> bytes:
        """What pads are hashed under: no two answers have one."""
        return digest.derive("fedcredit v1 lookup pads", self._context + point)

    def __repr__(self) -> str:
        return "Lookup(...)"


def cells_for(values: int) -> int:
    """Cells of a table for so many values: the least power of four that is not less. Raises: ValueError."""
    if not 2 <= values <= MAX_CELLS:
        raise ValueError(f"lookup: {values} values are not from 2 to {MAX_CELLS}")
    return 1 << 2 * -(-(values - 1).bit_length() // 2)
