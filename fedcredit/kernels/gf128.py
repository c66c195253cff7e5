"""The field GF(2^128) = GF(2)[X] / (X^128 + X^7 + X^2 + X + 1) over arrays.

An element is 16 bytes: a little-endian integer whose bit i is the coefficient of X^i (GCM counts the other way round).
Addition is xor. Constant time. Shapes: n elements are (n, 16) uint8.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = ["ELEMENT_BYTES", "scale", "scale_add"]

U8: TypeAlias = npt.NDArray[np.uint8]

ELEMENT_BYTES: Final = 16


def scale(values: U8, factor: bytes) -> U8:
    """`values[i] * factor`, as a new array. Raises: ValueError on shapes."""
    into = np.zeros((len(values), ELEMENT_BYTES), np.uint8)
    scale_add(values, factor, into)
    return into


def scale_add(values: U8, factor: bytes, into: U8) -> None:
    """Add `values[i] * factor` to `into[i]`, in place.

    Shapes: values (n, 16); factor 16 bytes; into (n, 16), contiguous and writeable. Raises: ValueError.
    """
    if len(factor) != ELEMENT_BYTES:
        raise ValueError(f"factor: got {len(factor)} bytes, not {ELEMENT_BYTES}")
    if values.dtype != np.uint8 or values.shape != (len(values), ELEMENT_BYTES):
        raise ValueError(f"values: got {values.shape} {values.dtype}, not (n, {ELEMENT_BYTES}) uint8")
    words = (int.from_bytes(factor[:8], "little"), int.from_bytes(factor[8:], "little"))
    _native.gf128_scale_add(np.ascontiguousarray(values).reshape(-1), words, flat_rows("into", into, len(values)))


def flat_rows(what: str, array: U8, n: int) -> U8:
    """The bytes of `n` elements that a kernel may write. Raises: ValueError."""
    if array.dtype != np.uint8 or array.shape != (n, ELEMENT_BYTES):
        raise ValueError(f"{what}: got {array.shape} {array.dtype}, not ({n}, {ELEMENT_BYTES}) uint8")
    if not array.flags.c_contiguous or not array.flags.writeable:
        raise ValueError(f"{what}: not a contiguous, writeable array")
    return array.reshape(-1)
