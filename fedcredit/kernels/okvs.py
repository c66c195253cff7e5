"""An oblivious key-value store: n pairs as a vector that reads back each key's value and hides which keys it holds.

It hides them when the values are uniform to the reader. A key that is not in the store reads as bytes that depend on
its whole cluster. Shapes: keys (n, 16), values (n, 16), store (slots(n), 16), all uint8; keys distinct, and digests
under a key of the session, so that nobody chose them. Decoding is linear: the value of a key in the XOR of two stores,
or in a store multiplied in GF(2^128), is the XOR or product of its values.
Source: Raghuraman and Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE", CCS 2022 (clusters; sparse and
dense slots). What an encoding costs and when it fails: `fedcredit/native/core/src/okvs.rs`.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit._native import NoAssignment

__all__ = ["KEY_BYTES", "SEED_BYTES", "VALUE_BYTES", "NoAssignment", "decode_xor", "encode", "slots"]

U8: TypeAlias = npt.NDArray[np.uint8]

KEY_BYTES: Final = 16
VALUE_BYTES: Final = 16
SEED_BYTES: Final = 32
MAX_KEYS: Final = 1 << 28


def slots(n: int) -> int:
    """Slots of the store of `n` pairs: 1.233 n where n is large, 1.23 n + 48 where it is small.

    It is public, as `n` is. Range: n from 0 to 2^28. Raises: ValueError.
    """
    if not 0 <= n <= MAX_KEYS:
        raise ValueError(f"slots: {n} keys are not in [0, 2^28]")
    return _native.okvs_slots(n)


def encode(keys: U8, values: U8, seed: bytes, fill: U8) -> U8:
    """The store of the pairs, written over `fill`, which is uniform bytes of shape (slots(n), 16), and returned.

    Raises: NoAssignment when the public `seed` does not suit these keys (probability far below 2^-40: take another;
    keys that repeat fail under every seed); ValueError on shapes.
    """
    n = len(keys)
    _check("values", values, n)
    _check("fill", fill, slots(n))
    if not fill.flags.c_contiguous or not fill.flags.writeable:
        raise ValueError("fill: not a contiguous, writeable array")
    _native.okvs_encode(_check("keys", keys, n), np.ascontiguousarray(values), _seed(seed), fill)
    return fill


def decode_xor(store: U8, n: int, keys: U8, seed: bytes, into: U8) -> None:
    """XOR the values of `keys` in `store`, which holds `n` pairs, into `into` (m, 16), in place. Raises: ValueError."""
    _check("store", store, slots(n))
    _check("into", into, len(keys))
    if not into.flags.c_contiguous or not into.flags.writeable:
        raise ValueError("into: not a contiguous, writeable array")
    _native.okvs_decode_xor(np.ascontiguousarray(store), n, _check("keys", keys, len(keys)), _seed(seed), into)


def _check(what: str, array: U8, n: int) -> U8:
    if array.dtype != np.uint8 or array.shape != (n, VALUE_BYTES):
        raise ValueError(f"{what}: got {array.shape} {array.dtype}, not ({n}, {VALUE_BYTES}) uint8")
    return np.ascontiguousarray(array)


def _seed(seed: bytes) -> bytes:
    if len(seed) != SEED_BYTES:
        raise ValueError(f"seed: got {len(seed)} bytes, not {SEED_BYTES}")
    return seed
