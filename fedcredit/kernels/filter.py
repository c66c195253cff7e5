"""Compact sets of pseudorandom values: what one party publishes once and another looks its own values up in.

The first `bits` bits of a value count. A set of n values takes at most `bits - log2 n + 2` bits a value; its size
follows from n and `bits` alone, and one set has one code. All functions release the GIL.

Shapes: values (n, 16) uint8, e.g. the first bytes of an OPRF's; a set (bytes,) uint8, which may be a mapped file.
Source: P. Elias 1974, R. Fano 1971 (quasi-succinct coding of monotone sequences).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit._native import BadFilter

__all__ = [
    "MAX_BITS",
    "VALUE_BYTES",
    "BadFilter",
    "Change",
    "apply",
    "check",
    "contains",
    "difference",
    "digest",
    "encode",
    "size",
]

U8: TypeAlias = npt.NDArray[np.uint8]
Bools: TypeAlias = npt.NDArray[np.bool_]

VALUE_BYTES: Final = 16
MAX_BITS: Final = 8 * VALUE_BYTES
MAX_ENTRIES: Final = 1 << 28


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What leads from one set to another of as many bits: the values that went, and those that came, as sets."""

    n_removed: int
    removed: U8 = field(repr=False)
    n_added: int
    added: U8 = field(repr=False)


def size(n: int, bits: int) -> int:
    """Bytes of a set of `n` values. Range: n from 0 to 2^28, bits from 1 to 128. Raises: ValueError."""
    if not 0 <= n <= MAX_ENTRIES or not 1 <= bits <= MAX_BITS:
        raise ValueError(f"filter: {n} values of {bits} bits are not in [0, 2^28] and [1, {MAX_BITS}]")
    return _native.filter_size(n, bits)


def encode(values: U8, bits: int, into: U8 | None = None) -> U8:
    """The set of `values`, which may repeat, written to `into` if that is given. Raises: ValueError."""
    rows = _rows(values)
    out = _room(into, size(len(rows), bits))
    _native.filter_encode(rows, bits, out)
    return out


def check(found: U8, n: int, bits: int) -> None:
    """Raise BadFilter unless `found` is the one code of a set of `n` values; ValueError if it has another size."""
    _native.filter_check(_set(found, n, bits), n, bits)


def contains(found: U8, n: int, bits: int, wanted: U8) -> Bools:
    """Which of `wanted` (m, 16) are in the set, by their first bits: (m,).

    In time linear in m and one pass over n bits; of the rest of the set only the pages around a wanted value are read.
    The bytes need not be a set; nothing else happens then than a wrong answer. Raises: ValueError.
    """
    return _native.filter_contains(_set(found, n, bits), n, bits, _rows(wanted))


def difference(old: U8, n_old: int, new: U8, n_new: int, bits: int) -> Change:
    """What leads from the set `old` to the set `new`. Raises: ValueError."""
    return Change(*_native.filter_difference(_set(old, n_old, bits), n_old, _set(new, n_new, bits), n_new, bits))


def apply(old: U8, n_old: int, change: Change, bits: int, into: U8 | None = None) -> U8:
    """The set that `change` leads to from `old`, written to `into` if that is given.

    Raises: BadFilter when the change holds no sets, or takes away what is not there; ValueError on sizes.
    """
    n_new = n_old - change.n_removed + change.n_added
    if n_new < 0:
        raise BadFilter("update: more goes than is there")
    out = _room(into, size(n_new, bits))
    removed, added = _set(change.removed, change.n_removed, bits), _set(change.added, change.n_added, bits)
    _native.filter_apply(_set(old, n_old, bits), n_old, removed, change.n_removed, added, change.n_added, bits, out)
    return out


def digest(found: U8) -> bytes:
    """BLAKE3 of a set, hashed where it lies: 32 bytes."""
    return _native.filter_digest(np.ascontiguousarray(found).reshape(-1))


def _rows(values: U8) -> U8:
    if values.dtype != np.uint8 or values.ndim != 2 or values.shape[1] != VALUE_BYTES:
        raise ValueError(f"values: got {values.shape} {values.dtype}, not (n, {VALUE_BYTES}) uint8")
    return np.ascontiguousarray(values)


def _set(found: U8, n: int, bits: int) -> U8:
    if found.dtype != np.uint8 or found.shape != (size(n, bits),):
        raise ValueError(f"filter: got {found.shape} {found.dtype}, not ({size(n, bits)},) uint8")
    return np.ascontiguousarray(found)


def _room(into: U8 | None, length: int) -> U8:
    if into is None:
        return np.empty(length, np.uint8)
    if into.dtype != np.uint8 or into.shape != (length,) or not into.flags.c_contiguous or not into.flags.writeable:
        raise ValueError(f"into: not a contiguous, writeable array of {length} bytes")
    return into
