"""Oblivious lookup in batches: who has an index reads one cell of a table that another has, who does not learn which.

A table has side^2 cells of a byte and goes up in steps: cell y of a row with an offset says how many edges the value
(y + offset) mod side^2 has reached, or OUTSIDE where it is past the last value. Points that come in are refused when
not canonical or the identity (`BadPoint`). Everything is constant time in indices, offsets, scalars and points, uses
all cores and releases the GIL; where AVX-512 IFMA is, eight points go side by side. `portable` takes one at a time.

Shapes: n rows; points (n, 64), scalars (n, 2, 32), tables (n, side^2), all uint8; indices and offsets (n,) uint32,
below side^2. Range: side a power of two from 2 to 256.
Source: M. Bellare, S. Micali, 1989; M. Naor, B. Pinkas, Efficient Oblivious Transfer Protocols, 2001.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit.kernels.digest import KEY_BYTES
from fedcredit.kernels.group import POINT_BYTES, SCALAR_BYTES, BadPoint

__all__ = ["CHOICE_BYTES", "DIGITS", "OUTSIDE", "BadPoint", "answer", "choose", "read"]

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]

DIGITS: Final = 2
CHOICE_BYTES: Final = DIGITS * POINT_BYTES
OUTSIDE: Final = 255
"""What a cell past the last value holds."""


def choose(base: bytes, side: int, scalars: U8, indices: U32, *, portable: bool = False) -> U8:
    """`k G - d C` of each digit d of each index: (n, 64). `base`: C, of which nobody knows the logarithm.

    Raises: BadPoint; ValueError.
    """
    return _native.lookup_choose(_of(base, POINT_BYTES, "base"), side, _scalars(scalars), _numbers(indices), portable)


def answer(
    base: bytes,
    secret: bytes,
    key: bytes,
    first: int,
    side: int,
    edges: Sequence[int],
    last: int,
    points: U8,
    offsets: U32,
    *,
    portable: bool = False,
) -> U8:
    """The tables of rows from `first` on, under pads that the `points` of `choose` let read one cell of: (n, side^2).

    `secret`: r, for this call alone; `key`: 32 public bytes that name the lookup, and r G.
    Range: less than 255 edges, each and `last` below 2^16. Raises: BadPoint, which counts points; ValueError.
    """
    _sized(points, len(offsets), CHOICE_BYTES, "points")
    if not all(0 <= number < 1 << 16 for number in (*edges, last)):
        raise ValueError("edges: they are not from 0 to 65535")
    return _native.lookup_answer(
        _of(base, POINT_BYTES, "base"),
        _of(secret, SCALAR_BYTES, "secret"),
        _of(key, KEY_BYTES, "key"),
        first,
        side,
        list(edges),
        last,
        np.ascontiguousarray(points).reshape(-1, POINT_BYTES),
        _numbers(offsets),
        portable,
    )


def read(
    point: bytes,
    key: bytes,
    first: int,
    side: int,
    scalars: U8,
    indices: U32,
    tables: U8,
    *,
    portable: bool = False,
) -> U8:
    """The cell of each row that its index is of: (n,). `point`: r G of the owner. Raises: BadPoint; ValueError."""
    _sized(tables, len(indices), side * side, "tables")
    return _native.lookup_read(
        _of(point, POINT_BYTES, "point"),
        _of(key, KEY_BYTES, "key"),
        first,
        side,
        _scalars(scalars),
        _numbers(indices),
        np.ascontiguousarray(tables),
        portable,
    )


def _of(data: bytes, length: int, what: str) -> bytes:
    if len(data) != length:
        raise ValueError(f"{what}: got {len(data)} bytes, not {length}")
    return data


def _sized(array: U8, rows: int, width: int, what: str) -> None:
    if array.dtype != np.uint8 or array.shape != (rows, width):
        raise ValueError(f"{what}: got {array.shape} {array.dtype}, not ({rows}, {width}) uint8")


def _scalars(scalars: U8) -> U8:
    if scalars.dtype != np.uint8 or scalars.ndim != 3 or scalars.shape[1:] != (DIGITS, SCALAR_BYTES):
        raise ValueError(f"scalars: got {scalars.shape} {scalars.dtype}, not (n, {DIGITS}, {SCALAR_BYTES}) uint8")
    return np.ascontiguousarray(scalars).reshape(-1, SCALAR_BYTES)


def _numbers(numbers: U32) -> U32:
    if numbers.dtype != np.uint32 or numbers.ndim != 1:
        raise ValueError(f"got {numbers.shape} {numbers.dtype}, not (n,) uint32")
    return np.ascontiguousarray(numbers)
