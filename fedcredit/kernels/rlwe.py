"""Linearly homomorphic encryption on ring-LWE: vectors of numbers modulo a prime that others multiply, add, and mask.

Who has the secret encrypts vectors, by blocks of 8192 numbers. Who has not computes sums of products with plaintexts of
its own, and answers with something that looks fresh. Fresh ciphertexts are their first parts, whose second parts follow
from a seed of 32 bytes: residues of 60 bits modulo three primes, `CIPHERTEXT_BYTES` each. Answers are numbers modulo
2^64. All of it is constant time in secrets, plaintexts and masks, uses all cores and releases the GIL.

Every seed serves one call. Numbers are taken modulo `PLAIN_MODULUS`, and come back as those of least size.
Shapes: r rows in b = ceil(r / SLOTS) blocks; k vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = [
    "CIPHERTEXT_BYTES",
    "MAX_SUMMED",
    "PLAIN_MODULUS",
    "PRIMES",
    "SEED_BYTES",
    "SLOTS",
    "Coded",
    "OwnerKernel",
    "PublicKernel",
    "blocks",
    "first_bad",
]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
_Number = TypeVar("_Number", bound=np.generic)

SLOTS: Final = 8192
"""Numbers in a ciphertext; the degree of the ring."""
PRIMES: Final = (0xFFFFFFFFFFFC001, 0xFFFFFFFFFFE8001, 0xFFFFFFFFFFD8001)
"""The three largest primes below 2^60 that are 1 modulo 2 SLOTS; their product is the modulus of ciphertexts."""
PLAIN_MODULUS: Final = 0x3FFFFFFFEF8001
"""The largest prime below 2^54 that is 1 modulo 2 SLOTS."""
CIPHERTEXT_BYTES: Final = SLOTS * len(PRIMES) * 60 // 8
"""Bytes of a fresh ciphertext, without its seed."""
SEED_BYTES: Final = 32
MAX_SUMMED: Final = 255
"""Ciphertexts that one sum may have."""


def blocks(rows: int) -> int:
    """Ciphertexts that a vector of so many numbers fills."""
    return -(-rows // SLOTS)


def first_bad(c: U8) -> int | None:
    """The first row with a residue that is not below its prime. Shapes: c (n, CIPHERTEXT_BYTES). Raises: ValueError."""
    return _native.rlwe_first_bad(_matrix("ciphertexts", c, np.uint8, CIPHERTEXT_BYTES))


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Columns that follow from codes of rows: a row's number is the sum of the weights of the cells that it is in.

    A cell is a feature and one of its codes. Codes are secret, all else is not.
    Shapes: codes (F, r); features, groups, weights (cells,), those of the first column first; first (columns + 1,),
    where the cells of each column begin, and the end.
    """

    codes: U8 = field(repr=False)
    features: U32
    groups: U8
    weights: I64
    first: U32

    def __len__(self) -> int:
        return len(self.first) - 1

    def some(self, at: slice) -> Coded:
        """Some of the columns, next to each other."""
        start, stop, _ = at.indices(len(self))
        first = self.first[start : stop + 1]
        cells = slice(int(first[0]), int(first[-1]))
        return Coded(self.codes, self.features[cells], self.groups[cells], self.weights[cells], first - first[0])

    def rows(self, at: slice) -> Coded:
        """The same columns over some of the rows."""
        return Coded(self.codes[:, at], self.features, self.groups, self.weights, self.first)


class OwnerKernel:
    """A secret key, made of a secret seed that serves nothing else. It cannot be read out."""

    def __init__(self, secret: bytes) -> None:
        self._native = _native.RlweOwner(_seed(secret))

    def public(self, public: bytes, secret: bytes) -> U8:
        """The public key for a public seed, with errors of a secret one: (CIPHERTEXT_BYTES,)."""
        return self._native.public(_seed(public), _seed(secret))

    def encrypt(self, values: I64, *, slots: bool, public: bytes, secret: bytes) -> U8:
        """First parts of ciphertexts of vectors: by slots, or by coefficients. Raises: ValueError.

        Shapes: values (k, r), r > 0; returns (k b, CIPHERTEXT_BYTES), all blocks of the first vector first.
        """
        array = _matrix("values", values, np.int64)
        if array.shape[1] == 0:
            raise ValueError("values: vectors of no rows")
        return self._native.encrypt(array, slots, _seed(public), _seed(secret))

    def decrypt_slots(self, c: U64) -> I64:
        """Numbers in slots. Shapes: c (n, 2 SLOTS); returns (n, SLOTS). Raises: ValueError."""
        return self._native.decrypt_slots(_matrix("answers", c, np.uint64, 2 * SLOTS))

    def decrypt_inner(self, c: U64) -> I64:
        """Inner products. Shapes: c (n, SLOTS + 1); returns (n,). Raises: ValueError."""
        return self._native.decrypt_inner(_matrix("answers", c, np.uint64, SLOTS + 1))


class PublicKernel:
    """What the public key of a seed allows. Raises: ValueError on residues that are not below their primes."""

    def __init__(self, public: bytes, b: U8) -> None:
        if b.dtype != np.uint8 or b.shape != (CIPHERTEXT_BYTES,):
            raise ValueError(f"public key: got {b.shape} {b.dtype}, not ({CIPHERTEXT_BYTES},) uint8")
        self.native = _native.RlwePublic(_seed(public), np.ascontiguousarray(b))

    def slot_products(self, public: bytes, c: U8, plain: I64, masks: I64, *, secret: bytes) -> U64:
        """Slot by slot, for each m: the sum over k of `c[k] plain[m, k]`, plus `masks[m]`. Raises: ValueError.

        Shapes: c (k b, CIPHERTEXT_BYTES) by slots, k <= MAX_SUMMED; plain (m, k, r); masks (m, r); returns
        (m b, 2 SLOTS).
        """
        products, added = _cube("plaintexts", plain), _matrix("masks", masks, np.int64)
        n, k, rows = products.shape
        if added.shape != (n, rows) or rows == 0:
            raise ValueError(f"masks: got {added.shape}, not ({n}, {rows}), or no rows")
        ciphertexts = _ciphertexts(c, k, rows)
        if k > MAX_SUMMED:
            raise ValueError(f"plaintexts: {k} to a sum are more than {MAX_SUMMED}")
        return self.native.slot_products(_seed(public), ciphertexts, products, added, _seed(secret))

    def inner_products(self, public: bytes, c: U8, columns: I64, masks: I64, *, secret: bytes) -> U64:
        """For each f: the sum over k and rows of `c[k] columns[k, f]`, plus `masks[f]`. Raises: ValueError.

        Shapes: c (k b, CIPHERTEXT_BYTES) by coefficients, k b <= MAX_SUMMED; columns (k, f, r); masks (f,); returns
        (f, SLOTS + 1).
        """
        factors = _cube("columns", columns)
        k, f, rows = factors.shape
        if masks.dtype != np.int64 or masks.shape != (f,) or rows == 0:
            raise ValueError(f"masks: got {masks.shape} {masks.dtype}, not ({f},) int64, or no rows")
        ciphertexts = _ciphertexts(c, k, rows)
        if len(ciphertexts) > MAX_SUMMED:
            raise ValueError(f"columns: {len(ciphertexts)} blocks to a sum are more than {MAX_SUMMED}")
        added = np.ascontiguousarray(masks)
        return self.native.inner_products(_seed(public), ciphertexts, factors, added, _seed(secret))

    def coded_products(self, public: bytes, c: U8, columns: Coded, masks: I64, *, secret: bytes) -> U64:
        """The same of one vector with columns of codes. Raises: ValueError.

        Shapes: c (b, CIPHERTEXT_BYTES) by coefficients, b <= MAX_SUMMED; masks (columns,); returns
        (columns, SLOTS + 1).
        """
        if columns.codes.dtype != np.uint8 or columns.codes.ndim != 2 or not columns.codes.shape[1]:
            raise ValueError(f"codes: got {columns.codes.shape} {columns.codes.dtype}, or no rows")
        if masks.dtype != np.int64 or masks.shape != (len(columns),):
            raise ValueError(f"masks: got {masks.shape} {masks.dtype}, not ({len(columns)},) int64")
        ciphertexts = _ciphertexts(c, 1, columns.codes.shape[1])
        if len(ciphertexts) > MAX_SUMMED:
            raise ValueError(f"codes: {len(ciphertexts)} blocks to a sum are more than {MAX_SUMMED}")
        return self.native.coded_products(
            _seed(public),
            ciphertexts,
            np.ascontiguousarray(columns.codes),
            np.ascontiguousarray(columns.features),
            np.ascontiguousarray(columns.groups),
            np.ascontiguousarray(columns.weights),
            np.ascontiguousarray(columns.first),
            np.ascontiguousarray(masks),
            _seed(secret),
        )


def _seed(seed: bytes) -> bytes:
    if len(seed) != SEED_BYTES:
        raise ValueError(f"seed: got {len(seed)} bytes, not {SEED_BYTES}")
    return seed


def _ciphertexts(c: U8, vectors: int, rows: int) -> U8:
    array = _matrix("ciphertexts", c, np.uint8, CIPHERTEXT_BYTES)
    if len(array) != vectors * blocks(rows) or not len(array):
        raise ValueError(f"ciphertexts: got {len(array)}, not {vectors} vectors of {blocks(rows)} blocks")
    return array


def _matrix(
    what: str, array: npt.NDArray[_Number], dtype: type[_Number], width: int | None = None
) -> npt.NDArray[_Number]:
    if array.dtype != dtype or array.ndim != 2 or (width is not None and array.shape[1] != width):
        wanted = f"(n, {'r' if width is None else width}) {np.dtype(dtype).name}"
        raise ValueError(f"{what}: got {array.shape} {array.dtype}, not {wanted}")
    return np.ascontiguousarray(array)


def _cube(what: str, array: I64) -> I64:
    if array.dtype != np.int64 or array.ndim != 3:
        raise ValueError(f"{what}: got {array.shape} {array.dtype}, not three axes of int64")
    return np.ascontiguousarray(array)
