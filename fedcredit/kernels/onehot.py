"""Correlated transfers, one-hot sharing and sums per group: the kernels under the group-by-sum protocol.

Letters: n rows, F features, B_f groups of feature f, d_f = ceil(log2 B_f) levels of its tree, K values summed at once,
q nodes (sets of rows). Blocks of 128 bits are pairs of uint64, low word first.

Sums come as one array (q, K, sum of B_f): the groups of the round's features, one feature after the other.
Source: Roy, CRYPTO 2022 (transfers); Guo et al., EUROCRYPT 2023 (trees). The slow twins are in `reference_onehot`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = [
    "KEY_BYTES",
    "MAX_GROUPS",
    "NIBBLES",
    "STREAMS",
    "Assignment",
    "Forest",
    "Round",
    "asker_sums",
    "bin_sums",
    "choice_words",
    "holder_sums",
    "level_sums",
    "transfer_receive",
    "transfer_send",
    "vector_sums",
]

U8: TypeAlias = npt.NDArray[np.uint8]
U16: TypeAlias = npt.NDArray[np.uint16]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
S = TypeVar("S", bound=np.generic)

KEY_BYTES: Final = 16
MAX_GROUPS: Final = 256
NIBBLES: Final = 32
STREAMS: Final = 16
COLUMN: Final = 128
"""Transfers are made in columns of this many."""


@dataclass(frozen=True, slots=True)
class Forest:
    """The public shape of a session's trees: one for each of `n_rows` rows and each feature of `groups` (F,) groups.

    Range: 1 <= n_rows < 2^32; 2 <= groups[f] <= 256. Raises: ValueError.
    """

    n_rows: int
    groups: tuple[int, ...]
    expand_key: bytes

    def __post_init__(self) -> None:
        if not 1 <= self.n_rows < 1 << 32:
            raise ValueError(f"Forest: {self.n_rows} rows are not in [1, 2^32)")
        if not self.groups or not all(2 <= b <= MAX_GROUPS for b in self.groups):
            raise ValueError(f"Forest: groups must be 2 to {MAX_GROUPS}, of at least one feature")
        if len(self.expand_key) != KEY_BYTES:
            raise ValueError(f"Forest: the expansion key has {len(self.expand_key)} bytes, not {KEY_BYTES}")

    @property
    def bins(self) -> U16:
        """`groups` as the kernels take it."""
        return np.array(self.groups, np.uint16)

    @property
    def depths(self) -> tuple[int, ...]:
        """Levels of each feature's trees."""
        return tuple((b - 1).bit_length() for b in self.groups)


@dataclass(frozen=True, slots=True)
class Round:
    """One round of sums: its features, K, and ceil(K / 2) public mask keys of 16 bytes, concatenated."""

    features: tuple[int, ...]
    n_values: int
    mask_keys: bytes

    def cells(self, groups: Sequence[int]) -> int:
        """Groups of the round's features together."""
        return sum(groups[f] for f in self.features)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The rows to sum and the node of each: rows (m,) uint32, nodes (m,) uint32 below n_nodes."""

    rows: U32
    nodes: U32
    n_nodes: int

    @classmethod
    def whole(cls, n_rows: int) -> Assignment:
        """All rows in one node."""
        return cls(np.arange(n_rows, dtype=np.uint32), np.zeros(n_rows, np.uint32), 1)


def transfer_receive(seeds: U8, first: int, choices: U64) -> tuple[U64, U64]:
    """The receiver's blocks of transfers `128 * first ...`, and what it sends.

    Shapes: seeds (32, 16, 16); choices (c, 2), 128 choice bits a row; returns t (128 c, 2) and corrections (32, c, 2).
    """
    _shape("seeds", seeds, (NIBBLES, STREAMS, KEY_BYTES), np.uint8)
    _shape("choices", choices, (len(choices), 2), np.uint64)
    t, corrections = _native.cot_receive(_flat(seeds), first, _flat(choices))
    return t.reshape(-1, 2), corrections.reshape(NIBBLES, -1, 2)


def transfer_send(seeds: U8, delta: int, first: int, corrections: U64) -> U64:
    """The sender's blocks of transfers `128 * first ...`: q = t xor choice * delta.

    Shapes: seeds (32, 16, 16), number 0 of each nibble unused; corrections (32, c, 2); returns (128 c, 2).
    """
    _shape("seeds", seeds, (NIBBLES, STREAMS, KEY_BYTES), np.uint8)
    _shape("corrections", corrections, (NIBBLES, corrections.shape[1] if corrections.ndim == 3 else 0, 2), np.uint64)
    return _native.cot_send(_flat(seeds), _words(delta), first, _flat(corrections)).reshape(-1, 2)


def choice_words(codes: U8, depth: int) -> U64:
    """The choice bits of a holder's rows, level by level: the inverse of each bit of its group, upper bit first.

    Shapes: codes (m,), returns (ceil(m depth / 128), 2); bits beyond are zero.
    """
    shifts = np.arange(depth - 1, -1, -1, dtype=np.uint8)
    bits = ~(codes[:, None] >> shifts) & np.uint8(1)
    packed = np.packbits(bits.reshape(-1), bitorder="little")
    columns = -(-bits.size // COLUMN)
    padded = np.zeros(columns * COLUMN // 8, np.uint8)
    padded[: packed.size] = packed
    return padded.view("<u8").reshape(columns, 2)


def level_sums(forest: Forest, delta: int, feature: int, first: int, q: U64) -> U64:
    """The asker's blocks to send for rows `first ...` of `feature`. Shapes: q (m, d_f, 2); returns (m, d_f - 1, 2)."""
    depth = forest.depths[feature]
    _shape("q", q, (len(q), depth, 2), np.uint64)
    flat = _native.onehot_level_sums(
        forest.n_rows, forest.bins, forest.expand_key, _words(delta), feature, first, _flat(q)
    )
    return flat.reshape(len(q), depth - 1, 2)


def asker_sums(
    forest: Forest,
    delta: int,
    roots: U64,
    round_: Round,
    at: Assignment,
    values: U64 | None = None,
    *,
    keep: U64 | None = None,
) -> tuple[U64, U64]:
    """The asker's sums of its masks and, with `values`, the corrections to send; `keep` takes the masks.

    Shapes: roots (F, n, 2); values (m, K); keep (m K cells,), contents do not matter; returns sums (q, K, cells) and
    corrections (features, m, K), empty without values. Raises: ValueError.
    """
    _shape("roots", roots, (len(forest.groups), forest.n_rows, 2), np.uint64)
    if values is not None:
        _shape("values", values, (len(at.rows), round_.n_values), np.uint64)
    flat = np.zeros(at.n_nodes * round_.n_values * round_.cells(forest.groups), np.uint64)
    corrections = _native.onehot_asker_sums(
        forest.n_rows,
        forest.bins,
        forest.expand_key,
        _words(delta),
        _flat(roots),
        np.array(round_.features, np.uint32),
        round_.mask_keys,
        round_.n_values,
        at.rows,
        at.nodes,
        at.n_nodes,
        None if values is None else _flat(values),
        keep,
        flat,
    )
    shape = (len(round_.features), len(at.rows) if values is not None else 0, round_.n_values)
    return _by_node(flat, forest.groups, round_.features, at.n_nodes, round_.n_values), corrections.reshape(shape)


def holder_sums(
    forest: Forest,
    keys: U64,
    codes: U8,
    round_: Round,
    at: Assignment,
    corrections: U64,
    *,
    by_position: bool = False,
    keep: U64 | None = None,
) -> U64:
    """The holder's sums of its vectors: minus the asker's, they are the sums of the values per group; `keep` takes
    the vectors, (m K cells,).

    Shapes: keys (sum of n d_f, 2), feature by feature, row by row; codes (F, n) below B_f; corrections (features, n, K)
    by row number, or `by_position` (features, m, K) in the order of `at.rows`; returns (q, K, cells).
    Raises: ValueError.
    """
    _shape("keys", keys, (forest.n_rows * sum(forest.depths), 2), np.uint64)
    _shape("codes", codes, (len(forest.groups), forest.n_rows), np.uint8)
    places = len(at.rows) if by_position else forest.n_rows
    _shape("corrections", corrections, (len(round_.features), places, round_.n_values), np.uint64)
    flat = np.zeros(at.n_nodes * round_.n_values * round_.cells(forest.groups), np.uint64)
    _native.onehot_holder_sums(
        forest.n_rows,
        forest.bins,
        forest.expand_key,
        _flat(keys),
        _flat(codes),
        np.array(round_.features, np.uint32),
        round_.mask_keys,
        round_.n_values,
        at.rows,
        at.nodes,
        at.n_nodes,
        _flat(corrections),
        by_position,
        keep,
        flat,
    )
    return _by_node(flat, forest.groups, round_.features, at.n_nodes, round_.n_values)


def vector_sums(vectors: U64, n_rows: int, groups: Sequence[int], n_values: int, at: Assignment) -> U64:
    """The sums of kept vectors of `n_rows` rows over another assignment; `at.rows` are positions among them.

    Shapes: vectors (n_rows K cells,) as a kernel kept them for features of these `groups`; returns (q, K, cells).
    Raises: ValueError.
    """
    flat = np.zeros(at.n_nodes * n_values * sum(groups), np.uint64)
    _native.vector_sums(vectors, n_rows, np.array(groups, np.uint16), n_values, at.rows, at.nodes, at.n_nodes, flat)
    return _by_node(flat, groups, range(len(groups)), at.n_nodes, n_values)


def bin_sums(codes: U8, groups: Sequence[int], features: Sequence[int], at: Assignment, values: U64) -> U64:
    """Sums per group in the clear, modulo 2^64. Shapes: codes (F, n), values (m, K); returns (q, K, cells)."""
    _shape("codes", codes, (len(groups), codes.shape[-1]), np.uint8)
    _shape("values", values, (len(at.rows), values.shape[-1]), np.uint64)
    n_values = values.shape[1]
    flat = np.zeros(at.n_nodes * n_values * sum(groups[f] for f in features), np.uint64)
    _native.bin_sums(
        _flat(codes),
        codes.shape[1],
        np.array(groups, np.uint16),
        np.array(features, np.uint32),
        at.rows,
        at.nodes,
        at.n_nodes,
        _flat(values),
        flat,
    )
    return _by_node(flat, groups, features, at.n_nodes, n_values)


def _by_node(flat: U64, groups: Sequence[int], features: Sequence[int], n_nodes: int, n_values: int) -> U64:
    # The kernels write feature by feature, so that threads share no memory; callers want all features of a node.
    parts, start = [], 0
    for f in features:
        stop = start + n_nodes * n_values * groups[f]
        parts.append(flat[start:stop].reshape(n_nodes, n_values, groups[f]))
        start = stop
    return np.concatenate(parts, axis=2) if parts else np.zeros((n_nodes, n_values, 0), np.uint64)


def _flat(array: npt.NDArray[S]) -> npt.NDArray[S]:
    return np.ascontiguousarray(array).reshape(-1)


def _words(delta: int) -> tuple[int, int]:
    return delta & ((1 << 64) - 1), delta >> 64


def _shape(name: str, array: npt.NDArray[np.generic], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name}: got {array.shape} {array.dtype}, not {shape} {np.dtype(dtype)}")
