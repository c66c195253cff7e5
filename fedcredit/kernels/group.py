"""ristretto255 in batches: hash-to-group, multiplication, and the OPRF of RFC 9497 (mode 0).

Points and scalars travel as their 32-byte encodings, a batch as a contiguous (n, 32) uint8 array. Points that come in
are refused when not canonical or the identity (`BadPoint`, naming the row); scalars when not canonical or zero.
Everything is constant time in scalars, and uses all cores, and where AVX-512 IFMA is, eight points at a time on each.

Shapes: n rows; items (n, w) uint8, each the whole row or, given `lengths` (n,) uint32, its first `lengths[i]` bytes.
Source: RFC 9496; RFC 9380, section 5.3.1; RFC 9497, sections 3.3.1 and 4.1.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit._native import BadPoint

__all__ = [
    "OPRF_DST",
    "OUTPUT_BYTES",
    "POINT_BYTES",
    "SCALAR_BYTES",
    "BadPoint",
    "add",
    "check_points",
    "expand_message_xmd",
    "hash_to_group",
    "invert",
    "multiply",
    "multiply_base",
    "multiply_each",
    "multiply_times",
    "oprf_blind",
    "oprf_blind_each",
    "oprf_evaluate",
    "oprf_finalize",
    "oprf_finalize_each",
    "scalars_from_wide",
    "subtract",
]

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]

POINT_BYTES: Final = 32
SCALAR_BYTES: Final = 32
WIDE_BYTES: Final = 64
OUTPUT_BYTES: Final = 64
"""Bytes of a full OPRF output, Nh of RFC 9497."""

OPRF_DST: Final = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"
"""The domain separation tag of RFC 9497 for hash-to-group in mode 0."""


def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes:
    """`length` uniform bytes from `message` under the domain separation tag `dst`. Range: length 1 to 16320."""
    if not 1 <= length <= 255 * 64:
        raise ValueError(f"expand_message_xmd: length {length} is not in [1, 16320]")
    return _native.expand_message_xmd(message, dst, length)


def hash_to_group(items: U8, *, lengths: U32 | None = None, dst: bytes = OPRF_DST) -> U8:
    """Each item as a point of unknown discrete logarithm: (n, 32)."""
    return _native.hash_to_group(_items(items), _lengths(lengths, len(items)), dst)


def multiply(points: U8, scalar: bytes) -> U8:
    """Every point times `scalar`: (n, 32). Raises: BadPoint; ValueError on a bad scalar or shape."""
    return _native.group_multiply(_rows(points, POINT_BYTES), _scalar(scalar))


def multiply_times(points: U8, scalar: bytes, times: int, *, portable: bool = False) -> U8:
    """Every point times `scalar`, `times` times over, between one decoding and one encoding: (n, 32).

    For measuring what a multiplication alone costs. `portable` computes one point at a time, as processors without
    AVX-512 IFMA do; the result is the same. Range: times from 1. Raises: BadPoint; ValueError on a bad scalar or shape.
    """
    if times < 1:
        raise ValueError(f"multiply_times: {times} times")
    return _native.group_multiply_times(_rows(points, POINT_BYTES), _scalar(scalar), times, portable)


def multiply_each(points: U8, scalars: U8) -> U8:
    """`scalars[i] * points[i]`: (n, 32). Raises: BadPoint; ValueError on a bad scalar or shape."""
    return _native.group_multiply_each(_rows(points, POINT_BYTES), _rows(scalars, SCALAR_BYTES))


def multiply_base(scalars: U8) -> U8:
    """The generator times every scalar: (n, 32). Raises: ValueError."""
    return _native.group_multiply_base(_rows(scalars, SCALAR_BYTES))


def add(a: U8, b: U8) -> U8:
    """`a[i] + b[i]`: (n, 32). Raises: BadPoint, also where the sum is the identity; ValueError on shapes."""
    return _native.group_add(_rows(a, POINT_BYTES), _rows(b, POINT_BYTES))


def subtract(a: U8, b: U8) -> U8:
    """`a[i] - b[i]`: (n, 32). Raises: BadPoint, also where the difference is the identity; ValueError on shapes."""
    return _native.group_subtract(_rows(a, POINT_BYTES), _rows(b, POINT_BYTES))


def check_points(points: U8) -> None:
    """Raise BadPoint unless every row is a canonical point other than the identity."""
    _native.group_check(_rows(points, POINT_BYTES))


def scalars_from_wide(wide: U8) -> U8:
    """Uniform non-zero scalars from 64 uniform bytes each. Shapes: wide (n, 64); returns (n, 32)."""
    return _native.scalars_from_wide(_rows(wide, WIDE_BYTES))


def invert(scalars: U8) -> U8:
    """The inverse of every scalar modulo the group order: (n, 32). Raises: ValueError."""
    return _native.scalars_invert(_rows(scalars, SCALAR_BYTES))


def oprf_blind(items: U8, scalar: bytes, *, lengths: U32 | None = None) -> U8:
    """RFC 9497 `Blind`, with one scalar for the whole batch: (n, 32).

    Assumes: decisional Diffie-Hellman and a random oracle; only `oprf_blind_each` hides items unconditionally.
    """
    return _native.oprf_blind(_items(items), _lengths(lengths, len(items)), _scalar(scalar))


def oprf_blind_each(items: U8, scalars: U8, *, lengths: U32 | None = None) -> U8:
    """RFC 9497 `Blind`, with a fresh scalar for every item: (n, 32)."""
    return _native.oprf_blind_each(_items(items), _lengths(lengths, len(items)), _rows(scalars, SCALAR_BYTES))


def oprf_evaluate(items: U8, key: bytes, *, lengths: U32 | None = None, width: int = OUTPUT_BYTES) -> U8:
    """RFC 9497 `Evaluate`: the key holder's own value of the function, cut to `width` bytes: (n, width)."""
    return _native.oprf_evaluate(_items(items), _lengths(lengths, len(items)), _scalar(key), _width(width))


def oprf_finalize(
    items: U8, evaluated: U8, scalar: bytes, *, lengths: U32 | None = None, width: int = OUTPUT_BYTES
) -> U8:
    """RFC 9497 `Finalize` of a batch blinded with one scalar: (n, width). Raises: BadPoint; ValueError."""
    points = _rows(evaluated, POINT_BYTES)
    return _native.oprf_finalize(_items(items), _lengths(lengths, len(items)), points, _scalar(scalar), _width(width))


def oprf_finalize_each(
    items: U8, evaluated: U8, scalars: U8, *, lengths: U32 | None = None, width: int = OUTPUT_BYTES
) -> U8:
    """RFC 9497 `Finalize` of a batch blinded with a scalar for every item: (n, width). Raises: BadPoint; ValueError."""
    points, blinds = _rows(evaluated, POINT_BYTES), _rows(scalars, SCALAR_BYTES)
    return _native.oprf_finalize_each(_items(items), _lengths(lengths, len(items)), points, blinds, _width(width))


def _rows(array: U8, width: int) -> U8:
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"got {array.shape} {array.dtype}, not (n, {width}) uint8")
    return np.ascontiguousarray(array)


def _items(items: U8) -> U8:
    if items.dtype != np.uint8 or items.ndim != 2 or not 1 <= items.shape[1] < 1 << 16:
        raise ValueError(f"items: got {items.shape} {items.dtype}, not (n, w) uint8 with w in [1, 65535]")
    return np.ascontiguousarray(items)


def _lengths(lengths: U32 | None, n: int) -> U32 | None:
    if lengths is None:
        return None
    if lengths.dtype != np.uint32 or lengths.shape != (n,):
        raise ValueError(f"lengths: got {lengths.shape} {lengths.dtype}, not ({n},) uint32")
    return np.ascontiguousarray(lengths)


def _scalar(scalar: bytes) -> bytes:
    if len(scalar) != SCALAR_BYTES:
        raise ValueError(f"scalar: got {len(scalar)} bytes, not {SCALAR_BYTES}")
    return scalar


def _width(width: int) -> int:
    if not 1 <= width <= OUTPUT_BYTES:
        raise ValueError(f"width {width} is not in [1, {OUTPUT_BYTES}]")
    return width
