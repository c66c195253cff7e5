"""Columns in fixed point that encrypted vectors are multiplied with: their inner products, and sums with a share.

A column of whole numbers is summed over as it is, or in two limbs, over its upper and its lower digits, which are
signed: both are as small as can be. Limbs are cut block by block where they are needed. All of it is constant time in
numbers and shares, uses all cores and releases the GIL. The slow twins: `reference_rlwe`, and Python's integers.

Shapes: numbers (d, r); sums stand column by column, the upper limb first; of products of two columns j <= l pair by
pair, in the order of `numpy.triu_indices`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native
from fedcredit.kernels.rlwe import CIPHERTEXT_BYTES, SEED_BYTES, SLOTS, PublicKernel, blocks

__all__ = ["PREPARED_BYTES", "Limbs"]

I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

PREPARED_BYTES: Final = 3 * 8 * SLOTS
"""Of one sum and block that is prepared."""


@dataclass(frozen=True, slots=True, eq=False)
class Limbs:
    """Columns in one or two limbs of `bits` digits; with `pairs` products of two, in limbs of twice as many digits.

    Raises: ValueError.
    """

    numbers: I32 = field(repr=False)
    limbs: int
    bits: int
    pairs: bool = False
    prepared: _native.RlwePrepared | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        array = self.numbers
        if array.dtype != np.int32 or array.ndim != 2 or not array.flags.c_contiguous or not array.shape[1]:
            raise ValueError(f"numbers: got {array.shape} {array.dtype}, not (d, r) int32, row by row, with rows")
        if self.limbs not in (1, 2) or not 1 <= self.bits <= 31:
            raise ValueError(f"limbs: {self.limbs} of {self.bits} bits")

    def __len__(self) -> int:
        """How many sums there are."""
        d = len(self.numbers)
        return self.limbs * (d * (d + 1) // 2 if self.pairs else d)

    def rows(self, at: slice) -> I64:
        """Some of what is summed over, as whole numbers: (as many as `at`, r)."""
        start, stop, _ = at.indices(len(self))
        item, limb = np.divmod(np.arange(start, max(start, stop)), self.limbs)
        if self.pairs:
            first, second = np.triu_indices(len(self.numbers))
            found = self.numbers[first[item]].astype(np.int64) * self.numbers[second[item]]
        else:
            found = self.numbers[item].astype(np.int64)
        if self.limbs == 1:
            return found
        bits = self.bits * (2 if self.pairs else 1)
        upper = (found + (1 << (bits - 1))) >> bits
        return np.where(limb[:, None] == 0, upper, found - (upper << bits))

    @property
    def prepared_bytes(self) -> int:
        """What it takes to hold them prepared."""
        return len(self) * blocks(self.numbers.shape[1]) * PREPARED_BYTES

    def prepare(self) -> Limbs:
        """The same, held as values, so that each further vector costs a fraction; see `prepared_bytes`."""
        return replace(self, prepared=_native.RlwePrepared(self.numbers, self.limbs, self.bits, self.pairs))

    def sums(self, at: slice, share: I64) -> I64:
        """Some of the sums over all rows with a share, modulo `PLAIN_MODULUS`, of least size. Raises: ValueError.

        Shapes: share (r,); returns (as many as `at`,).
        """
        start, stop, _ = at.indices(len(self))
        if share.dtype != np.int64 or share.shape != self.numbers.shape[1:]:
            raise ValueError(f"share: got {share.shape} {share.dtype}, not {self.numbers.shape[1:]} int64")
        flat = np.ascontiguousarray(share)
        count = max(0, stop - start)
        return _native.rlwe_limb_sums(self.numbers, self.limbs, self.bits, self.pairs, start, count, flat)

    def products(self, key: PublicKernel, public: bytes, c: U8, at: slice, masks: I64, *, secret: bytes) -> U64:
        """Inner products of one vector with some of the sums, plus `masks`, as `PublicKernel.inner_products` gives.

        Shapes: c (b, CIPHERTEXT_BYTES) by coefficients; masks (as many as `at`,). Raises: ValueError.
        """
        start, stop, _ = at.indices(len(self))
        if masks.dtype != np.int64 or masks.shape != (max(0, stop - start),):
            raise ValueError(f"masks: got {masks.shape} {masks.dtype}, not ({stop - start},) int64")
        if c.dtype != np.uint8 or c.shape != (blocks(self.numbers.shape[1]), CIPHERTEXT_BYTES):
            raise ValueError(f"ciphertexts: got {c.shape} {c.dtype}, not those of one vector")
        if len(public) != SEED_BYTES or len(secret) != SEED_BYTES:
            raise ValueError(f"seed: got {len(public)} and {len(secret)} bytes, not {SEED_BYTES}")
        flat, added = np.ascontiguousarray(c), np.ascontiguousarray(masks)
        if self.prepared is not None:
            return _native.rlwe_prepared_products(key.native, public, flat, self.prepared, start, added, secret)
        return _native.rlwe_limb_products(
            key.native, public, flat, self.numbers, self.limbs, self.bits, self.pairs, start, added, secret
        )
