"""Silent vector oblivious linear evaluation: c = a Delta + b, with a and c at one party, Delta and b at the other.

A piece of it is made in two steps. With correlated transfers (`kernels.onehot`) and punctured trees both sides make a
sparse instance, noise in one secret place of each tree; then a public linear code compresses it to half its length,
where it looks uniform (LPN). Protocol, parameters and sources: `docs/protocols/vole.md`. Slow twin: `reference_vole`.

Letters: m elements to make, t trees of l leaves, d = ceil(log2 l) levels. Blocks are pairs of uint64, low word first;
elements are 16 bytes, see `kernels.gf128`. Cells are scratch memory of 16 or 32 bytes for each leaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit.kernels.gf128 import flat_rows

__all__ = [
    "COLUMN",
    "MAX_ELEMENTS",
    "PIECE_KEY_BYTES",
    "TREES",
    "Offer",
    "Piece",
    "choice_words",
    "receiver_cells",
    "receiver_share",
    "sender_cells",
    "sender_share",
]

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]

TREES: Final = 768
"""Weight of the noise: 128 bits at the distance of a random code; the table is in `docs/protocols/vole.md`."""

MIN_LEAVES: Final = 32
MIN_CELLS: Final = 7
"""The code reads one cell in each seventh."""

MAX_ELEMENTS: Final = 1 << 21
"""Elements of one piece; beside its result it takes 32 bytes for each of them at the sender, 64 at the receiver."""

COLUMN: Final = 128
PIECE_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Piece:
    """The public shape of one piece of `count` elements. No two pieces have the same `key`, which is public too.

    Range: 1 <= count <= 2^21; trees other than 768 are for tests. Raises: ValueError.
    """

    key: bytes
    count: int
    trees: int = TREES
    min_leaves: int = MIN_LEAVES

    def __post_init__(self) -> None:
        if len(self.key) != PIECE_KEY_BYTES:
            raise ValueError(f"Piece: the key has {len(self.key)} bytes, not {PIECE_KEY_BYTES}")
        if not 1 <= self.count <= MAX_ELEMENTS or self.trees < 1 or self.min_leaves < 2:
            raise ValueError(f"Piece: {self.count} elements from {self.trees} trees")
        if self.cells < MIN_CELLS:
            raise ValueError(f"Piece: {self.cells} leaves are fewer than {MIN_CELLS}")

    @property
    def leaves(self) -> int:
        """Leaves of a tree: all trees together have at least twice as many as there are elements."""
        return max(self.min_leaves, -(-2 * self.count // self.trees))

    @property
    def depth(self) -> int:
        """Levels of a tree below its root."""
        return (self.leaves - 1).bit_length()

    @property
    def cells(self) -> int:
        """Leaves of all trees."""
        return self.trees * self.leaves

    @property
    def columns(self) -> int:
        """Columns of 128 transfers that the piece takes: one for each tree's noise, and `depth` bits for its place."""
        return self.trees + -(-self.trees * self.depth // COLUMN)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the sender sends. Shapes: levels (t, d, 2, 2) and totals (t, 2), both uint64."""

    levels: U64
    totals: U64


def choice_words(piece: Piece, noise: U64, places: U32) -> U64:
    """The receiver's choice bits for a piece. Shapes: noise (t, 2), places (t,); returns (columns, 2)."""
    _shape("noise", noise, (piece.trees, 2), np.uint64)
    _shape("places", places, (piece.trees,), np.uint32)
    shifts = np.arange(piece.depth - 1, -1, -1, dtype=np.uint32)
    bits = (~(places[:, None] >> shifts) & np.uint32(1)).astype(np.uint8)
    words = np.zeros((piece.columns, 2), np.uint64)
    words[: piece.trees] = noise
    packed = np.packbits(bits.reshape(-1), bitorder="little")
    words[piece.trees :].reshape(-1).view(np.uint8)[: packed.size] = packed
    return words


def sender_cells(piece: Piece, delta: int, q: U64, roots: U64, scratch: U64 | None = None) -> tuple[U64, Offer]:
    """Grow the sender's trees: its cells, and what to send. The cells lie in `scratch`, if that is given.

    Shapes: q (128 columns, 2) blocks of the transfers; roots (t, 2), secret and uniform; scratch (at least t l, 2);
    returns cells (t l, 2). Raises: ValueError.
    """
    _shape("q", q, (COLUMN * piece.columns, 2), np.uint64)
    _shape("roots", roots, (piece.trees, 2), np.uint64)
    cells = _room(piece, 2, scratch)
    words = (delta & ((1 << 64) - 1), delta >> 64)
    levels, totals = _native.vole_plant(
        piece.key, piece.trees, piece.leaves, words, _flat(q), _flat(roots), cells.reshape(-1)
    )
    return cells, Offer(levels.reshape(piece.trees, piece.depth, 2, 2), totals.reshape(piece.trees, 2))


def sender_share(piece: Piece, cells: U64, b: U8) -> None:
    """Compress the sender's cells, which are used up. Shapes: b (m, 16), overwritten. Raises: ValueError."""
    _shape("cells", cells, (piece.cells, 2), np.uint64)
    _native.vole_compress_sender(
        piece.key, piece.trees, piece.leaves, cells.reshape(-1), flat_rows("b", b, piece.count)
    )


def receiver_cells(piece: Piece, t: U64, places: U32, noise: U64, offer: Offer, scratch: U64 | None = None) -> U64:
    """Grow the receiver's trees around its places. The cells lie in `scratch`, if that is given.

    Shapes: t (128 columns, 2) blocks of the transfers; places (t,) below l; noise (t, 2); scratch (at least t l, 4);
    returns cells (t l, 4). Raises: ValueError.
    """
    _shape("t", t, (COLUMN * piece.columns, 2), np.uint64)
    _shape("places", places, (piece.trees,), np.uint32)
    _shape("noise", noise, (piece.trees, 2), np.uint64)
    _shape("levels", offer.levels, (piece.trees, piece.depth, 2, 2), np.uint64)
    _shape("totals", offer.totals, (piece.trees, 2), np.uint64)
    cells = _room(piece, 4, scratch)
    _native.vole_regrow(
        piece.key,
        piece.trees,
        piece.leaves,
        _flat(t),
        np.ascontiguousarray(places),
        _flat(noise),
        _flat(offer.levels),
        _flat(offer.totals),
        cells.reshape(-1),
    )
    return cells


def receiver_share(piece: Piece, cells: U64, a: U8, c: U8) -> None:
    """Compress the receiver's cells, which are used up. Shapes: a, c (m, 16), overwritten. Raises: ValueError."""
    _shape("cells", cells, (piece.cells, 4), np.uint64)
    rows = (flat_rows("a", a, piece.count), flat_rows("c", c, piece.count))
    _native.vole_compress_receiver(piece.key, piece.trees, piece.leaves, cells.reshape(-1), *rows)


def _room(piece: Piece, words: int, scratch: U64 | None) -> U64:
    if scratch is None:
        return np.empty((piece.cells, words), np.uint64)
    # Memory that is used again is not cleared again by the system, which costs as much as growing the trees.
    _shape("scratch", scratch, (max(len(scratch), piece.cells), words), np.uint64)
    return scratch[: piece.cells]


def _flat(array: U64) -> U64:
    return np.ascontiguousarray(array).reshape(-1)


def _shape(name: str, array: npt.NDArray[np.generic], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name}: got {array.shape} {array.dtype}, not {shape} {np.dtype(dtype)}")
