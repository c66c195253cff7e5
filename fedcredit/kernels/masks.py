"""Masks of words: streams that two parties expand from a secret in common, added into a vector modulo 2^64.

The stream of a key is AES-256 in counter mode from counter zero, its bytes as little-endian words; any place of it can
be had at once, so a vector can be masked in pieces. A mask hides what it is added to once: no key serves two vectors.
And shares of secrets, byte by byte (Shamir over GF(2^8)); `crypto.secret_sharing` is what protocols call.
Slow twin: `reference_masks`. Letters: n words, t shares, w bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = ["KEY_BYTES", "MAX_SHARES", "add_mask", "add_masks", "shares_at", "split_bytes"]

U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

KEY_BYTES: Final = 32
MAX_SHARES: Final = 255
"""Places of the field but 0, where the secret is."""


def add_mask(into: U64, key: bytes, first: int, *, subtract: bool) -> None:
    """Add words `first` to `first + n` of the stream of `key` to `into`, or subtract them, in place.

    Shapes: into (n,), contiguous and writeable. Range: first + n within 2^64. Raises: ValueError.
    """
    add_masks(into, [key], [subtract], first)


def add_masks(into: U64, keys: Sequence[bytes], subtract: Sequence[bool], first: int) -> None:
    """The same for many keys at once, on all cores, without the interpreter's lock.

    `into` is read and written once: faster than one key after the other where it is larger than a cache.
    Shapes: keys and subtract equally long, a key 32 bytes. Raises: ValueError.
    """
    if into.dtype != np.uint64 or into.ndim != 1:
        raise ValueError(f"into: got {into.shape} {into.dtype}, not (n,) uint64")
    if not into.flags.c_contiguous or not into.flags.writeable:
        raise ValueError("into: not a contiguous, writeable array")
    if len(keys) != len(subtract):
        raise ValueError(f"subtract: got {len(subtract)} signs for {len(keys)} keys")
    if wrong := [len(key) for key in keys if len(key) != KEY_BYTES]:
        raise ValueError(f"keys: got one of {wrong[0]} bytes, not {KEY_BYTES}")
    if not 0 <= first <= first + len(into) < 1 << 64:
        raise ValueError(f"first: {len(into)} words from {first} on do not lie within 2^64")
    _native.masks_add(into, b"".join(keys), list(subtract), first)


def split_bytes(secrets: U8, coefficients: U8, n: int) -> U8:
    """The `n` shares of every byte: values of polynomials at 1 to n. Constant time but for public lengths.

    Shapes: secrets (w,); coefficients (t - 1, w), uniform, lowest degree first; returns (n, w). Raises: ValueError.
    """
    if secrets.dtype != np.uint8 or secrets.ndim != 1 or not len(secrets):
        raise ValueError(f"secrets: got {secrets.shape} {secrets.dtype}, not (w,) uint8")
    if coefficients.dtype != np.uint8 or coefficients.shape != (len(coefficients), len(secrets)):
        raise ValueError(f"coefficients: got {coefficients.shape} {coefficients.dtype}, not (t - 1, w) uint8")
    if not 1 <= len(coefficients) + 1 <= n <= MAX_SHARES:
        raise ValueError(f"shares: {len(coefficients) + 1} of {n} are not within 1 and {MAX_SHARES}")
    out = np.empty((n, len(secrets)), np.uint8)
    flat = np.ascontiguousarray(coefficients).reshape(-1)
    _native.shamir_split(np.ascontiguousarray(secrets), flat, len(coefficients) + 1, out.reshape(-1))
    return out


def shares_at(at: int, places: Sequence[int], shares: U8) -> U8:
    """The values at `at` of the polynomials through `shares`: at 0 the secrets, at p + 1 the shares of place p.

    Shapes: places (t,), all different; shares (t, w); returns (w,). Range: 0 <= at <= 255, 0 <= place < 255.
    Raises: ValueError.
    """
    if shares.dtype != np.uint8 or shares.ndim != 2 or len(shares) != len(places):
        raise ValueError(f"shares: got {shares.shape} {shares.dtype}, not ({len(places)}, w) uint8")
    if not all(0 <= place < MAX_SHARES for place in places) or len(set(places)) != len(places):
        raise ValueError(f"places: they are not all different and within 0 and {MAX_SHARES - 1}")
    if not 0 <= at <= MAX_SHARES:
        raise ValueError(f"at: {at} is not within 0 and {MAX_SHARES}")
    out = np.empty(shares.shape[1], np.uint8)
    _native.shamir_combine(np.array(places, np.uint8), np.ascontiguousarray(shares).reshape(-1), at, out)
    return out
