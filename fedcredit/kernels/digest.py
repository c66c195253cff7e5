"""BLAKE3: one digest for checksums and commitments, and keyed functions over batches of items.

Shapes: n rows, w bytes a row. Items are the rows of a (n, w) uint8 array, or of a (n,) `S` array, whose padding of
trailing NULs does not belong to them.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = ["DIGEST_BYTES", "KEY_BYTES", "blake3", "derive", "find_repeat", "keyed", "keyed_xor", "lookup"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
Items: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.bytes_]

KEY_BYTES: Final = 32
DIGEST_BYTES: Final = 16
"""Bytes of an entry of `lookup` and `find_repeat`."""


def blake3(data: bytes, start: int = 0) -> bytes:
    """BLAKE3 of `data` from byte `start` on, hashed where it lies; 32 bytes. Releases the GIL."""
    return _native.blake3(data, start)


def derive(context: str, material: bytes, length: int = KEY_BYTES) -> bytes:
    """`length` bytes derived from the secret `material` for the use that `context` names.

    `context` is a constant of the program, e.g. "fedcredit v1 intersect pad"; what varies belongs into `material`,
    encoded so that no two inputs collide. Source: BLAKE3, section 2.6 (derive_key).
    """
    if length < 1:
        raise ValueError(f"derive: length {length} is not positive")
    return _native.blake3_derive(context, material, length)


def keyed(key: bytes, items: Items, width: int = DIGEST_BYTES) -> U8:
    """A pseudorandom function of every item under `key`: keyed BLAKE3, cut to `width` bytes.

    Shapes: key 32 bytes; items (n, w) uint8 or (n,) S; returns (n, width). Raises: ValueError.
    """
    rows, strip = _rows(items)
    if width < 1:
        raise ValueError(f"keyed: width {width} is not positive")
    return _native.blake3_keyed(_key(key), rows, strip, width)


def keyed_xor(key: bytes, items: Items, into: U8) -> None:
    """XOR `keyed(key, items, into.shape[1])` into `into`, in place.

    Shapes: items (n, w) uint8 or (n,) S; into (n, width), contiguous. Raises: ValueError.
    """
    rows, strip = _rows(items)
    _native.blake3_keyed_xor(_key(key), rows, strip, _accumulator(into, len(rows)))


def lookup(table: U8, wanted: U8) -> I64:
    """The row of `table` that equals each row of `wanted`, or -1; the first such row.

    In time linear in n + m and 8 bytes of memory a row, on all cores.
    Shapes: table (n, 16), n and m below 2^32; wanted (m, 16); returns (m,). Raises: ValueError.
    """
    return _native.digest_lookup(_entries(table), _entries(wanted))


def find_repeat(table: U8) -> int | None:
    """The first row of `table` that repeats an earlier one; None when all rows are distinct.

    In time linear in n and 8 bytes of memory a row, on all cores. Shapes: table (n, 16), n below 2^32.
    """
    return _native.digest_find_repeat(_entries(table))


def _rows(items: Items) -> tuple[U8, bool]:
    if items.dtype.kind == "S" and items.ndim == 1 and items.dtype.itemsize:
        return np.ascontiguousarray(items).view(np.uint8).reshape(len(items), items.dtype.itemsize), True
    if items.dtype != np.uint8 or items.ndim != 2 or items.shape[1] == 0:
        raise ValueError(f"items: got {items.shape} {items.dtype}, not (n, w) uint8 or (n,) S")
    return np.ascontiguousarray(items, dtype=np.uint8), False


def _key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"key: got {len(key)} bytes, not {KEY_BYTES}")
    return key


def _entries(table: U8) -> U8:
    if table.dtype != np.uint8 or table.ndim != 2 or table.shape[1] != DIGEST_BYTES:
        raise ValueError(f"entries: got {table.shape} {table.dtype}, not (n, {DIGEST_BYTES}) uint8")
    return np.ascontiguousarray(table)


def _accumulator(into: U8, n: int) -> U8:
    if into.dtype != np.uint8 or into.ndim != 2 or len(into) != n or into.shape[1] == 0:
        raise ValueError(f"into: got {into.shape} {into.dtype}, not ({n}, width) uint8")
    if not into.flags.c_contiguous or not into.flags.writeable:
        raise ValueError("into: not a contiguous, writeable array")
    return into
