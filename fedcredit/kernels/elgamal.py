"""Exponential ElGamal over ristretto255 in batches, and Schnorr's proof that a key's owner knows its secret.

Points and scalars are those of `kernels.group`; a ciphertext is two points, 64 bytes. Points that come in are refused
when not canonical or the identity (`BadPoint`). Everything is constant time in messages, randomness, points and keys,
uses all cores and releases the GIL, and where AVX-512 IFMA is, eight rows go side by side on each.

Shapes: n rows; k parts; messages and randomness (n, 32), ciphertexts (n, 64), all uint8.
Source: T. ElGamal, 1985, on m G in the manner of R. Cramer, R. Gennaro, B. Schoenmakers, 1997; C. P. Schnorr, 1991.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit.kernels.group import POINT_BYTES, SCALAR_BYTES, BadPoint

__all__ = [
    "CIPHERTEXT_BYTES",
    "MASK_BYTES",
    "PROOF_BYTES",
    "BadPoint",
    "KeyKernel",
    "doubles",
    "masked",
    "open_sums",
    "prove",
    "verify",
]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

CIPHERTEXT_BYTES: Final = 64
MASK_BYTES: Final = 64
PROOF_BYTES: Final = 64


class KeyKernel:
    """A public key and its multiples, which take a millisecond or two to make: keep it.

    `portable` computes one row at a time, as processors without AVX-512 IFMA do. Raises: BadPoint; ValueError.
    """

    def __init__(self, point: bytes, *, portable: bool = False) -> None:
        self._native = _native.ElGamalKey(_of(point, POINT_BYTES, "point"), portable)

    def encrypt(self, messages: U8, randomness: U8) -> U8:
        """`(r G, m G + r Y)` of each row: (n, 64). Messages may be zero, randomness not. Raises: ValueError."""
        return self._native.encrypt(_rows(messages, SCALAR_BYTES), _rows(randomness, SCALAR_BYTES))


def open_sums(secret: bytes, parts: U8, *, portable: bool = False) -> U8:
    """The encodings of 2 m G, of each row's sum m over all parts: zeros where m is 0.

    Shapes: parts (k, n, 64), k from 1; returns (n, 32). Raises: BadPoint, which counts ciphertexts; ValueError.
    """
    if parts.dtype != np.uint8 or parts.ndim != 3 or parts.shape[2] != CIPHERTEXT_BYTES or not len(parts):
        raise ValueError(f"parts: got {parts.shape} {parts.dtype}, not (k, n, {CIPHERTEXT_BYTES}) uint8, k from 1")
    return _native.elgamal_open(_of(secret, SCALAR_BYTES, "secret"), np.ascontiguousarray(parts), portable)


def doubles(first: int, n: int) -> U8:
    """The encodings of 2 m G for `n` numbers m from `first` on: (n, 32). Range: |first| below 2^63, n below 2^32."""
    return _native.elgamal_doubles(first, n)


def masked(values: I64, masks: U8, negative: Sequence[bool]) -> U8:
    """Values plus their row of each list of masks, minus it where `negative`, modulo the order of the group: (n, 32).

    Shapes: values (n,) int64; masks (k, n, 64), uniform bytes, reduced; negative (k,), public. Raises: ValueError.
    """
    if values.dtype != np.int64 or values.ndim != 1 or masks.dtype != np.uint8:
        raise ValueError(f"values: got {values.shape} {values.dtype}, masks {masks.dtype}")
    if masks.shape != (len(negative), len(values), MASK_BYTES):
        raise ValueError(f"masks: got {masks.shape}, not ({len(negative)}, {len(values)}, {MASK_BYTES})")
    return _native.elgamal_masked(np.ascontiguousarray(values), np.ascontiguousarray(masks), list(negative))


def prove(secret: bytes, nonce: bytes, context: bytes) -> bytes:
    """That its maker knows `secret`: 64 bytes, for one context. `nonce`: a fresh scalar, for this alone."""
    return _native.schnorr_prove(_of(secret, SCALAR_BYTES, "secret"), _of(nonce, SCALAR_BYTES, "nonce"), context)


def verify(point: bytes, context: bytes, proof: bytes) -> bool:
    """Whether `proof` is one for `point` and `context`. What is not canonical is none. Raises: ValueError."""
    return _native.schnorr_verify(_of(point, POINT_BYTES, "point"), context, _of(proof, PROOF_BYTES, "proof"))


def _of(data: bytes, length: int, what: str) -> bytes:
    if len(data) != length:
        raise ValueError(f"{what}: got {len(data)} bytes, not {length}")
    return data


def _rows(array: U8, width: int) -> U8:
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"got {array.shape} {array.dtype}, not (n, {width}) uint8")
    return np.ascontiguousarray(array)
