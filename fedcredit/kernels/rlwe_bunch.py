"""Inner products of many encrypted vectors with the same columns: ring-LWE under a bunch of keys (`kernels.rlwe`).

Each vector is encrypted under a key of its own, and all keys share the uniform half of what is public. So of answers to
one column one half is the same for all vectors. Constant time in plaintexts and masks, uses all cores and releases the
GIL. Every seed serves one bunch, or one batch of ciphertexts of a bunch.
Shapes: r rows in b = ceil(r / SLOTS) blocks; k vectors.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit.kernels.rlwe import CIPHERTEXT_BYTES, MAX_SUMMED, SEED_BYTES, SLOTS, blocks

__all__ = ["MAX_CIPHERTEXTS", "bunch_products"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

MAX_CIPHERTEXTS: Final = 256
"""Ciphertexts of a batch, at most: 50 MiB while they are worked with."""


def bunch_products(
    key_seed: bytes, b: U8, public: bytes, c: U8, columns: I64, masks: I64, *, secret: bytes
) -> tuple[U64, U64]:
    """For each vector v and column f: the sum over rows of `c[v] columns[f]`, plus `masks[v, f]`. Raises: ValueError.

    Shapes: b (k, CIPHERTEXT_BYTES); c (k b, CIPHERTEXT_BYTES) by coefficients, k b <= MAX_CIPHERTEXTS, b <= MAX_SUMMED;
    columns (f, r); masks (k, f); returns first parts (f, k), and second parts (f, SLOTS).
    """
    for seed in (key_seed, public, secret):
        if len(seed) != SEED_BYTES:
            raise ValueError(f"seed: got {len(seed)} bytes, not {SEED_BYTES}")
    if columns.dtype != np.int64 or columns.ndim != 2 or not columns.shape[1]:
        raise ValueError(f"columns: got {columns.shape} {columns.dtype}, not (f, r) int64, or no rows")
    f, rows = columns.shape
    for what, array, count in (("public keys", b, len(b)), ("ciphertexts", c, len(b) * blocks(rows))):
        if array.dtype != np.uint8 or array.shape != (count, CIPHERTEXT_BYTES) or not count:
            raise ValueError(f"{what}: got {array.shape} {array.dtype}, not ({count}, {CIPHERTEXT_BYTES}) uint8")
    if masks.dtype != np.int64 or masks.shape != (len(b), f):
        raise ValueError(f"masks: got {masks.shape} {masks.dtype}, not ({len(b)}, {f}) int64")
    if len(c) > MAX_CIPHERTEXTS or blocks(rows) > MAX_SUMMED:
        raise ValueError(f"ciphertexts: {len(c)}, of {blocks(rows)} to a sum, are too many")
    answers = _native.rlwe_bunch_products(
        key_seed,
        np.ascontiguousarray(b),
        public,
        np.ascontiguousarray(c),
        np.ascontiguousarray(columns),
        np.ascontiguousarray(masks),
        secret,
    )
    return np.ascontiguousarray(answers[:, : len(b)]), np.ascontiguousarray(answers[:, -SLOTS:])
