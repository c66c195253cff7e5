"""Paillier's cryptosystem in batches: products and powers modulo n^2, and what the two primes make faster.

Numbers travel big-endian in rows of one width: plaintexts below n in `width` bytes, the length of n, ciphertexts below
n^2 in `2 width`. What comes in may be any number of that length; `crypto/paillier.py` refuses what is no ciphertext.
Everything is constant time in primes, plaintexts, exponents and factors, uses all cores and releases the GIL, and where
AVX-512 IFMA is, eight rows go side by side on each.

Shapes: r rows; plaintexts (r, width), ciphertexts (r, 2 width), exponents (r, any), all uint8.
Source: I. Damgard, M. Jurik, J. Nielsen: A generalization of Paillier's public-key system with applications to
electronic voting, 2010.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = ["MAX_BITS", "MIN_BITS", "OwnTables", "OwnerKernel", "PublicKernel", "Table"]

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
Table: TypeAlias = _native.PaillierTable
OwnTables: TypeAlias = _native.PaillierOwnTables

MIN_BITS: Final = 128
MAX_BITS: Final = 8192
"""The moduli that kernels compute with. Which of them are safe is not decided here."""


class PublicKernel:
    """What a modulus alone allows. `portable` computes one row at a time, as processors without AVX-512 IFMA do."""

    def __init__(self, n: int, *, portable: bool = False) -> None:
        if n.bit_length() not in range(MIN_BITS, MAX_BITS + 1) or n % 2 == 0:
            raise ValueError(f"modulus: {n.bit_length()} bits are not in [{MIN_BITS}, {MAX_BITS}], or it is even")
        self.width = (n.bit_length() + 7) // 8
        self._native = _native.PaillierPublic(n.to_bytes(self.width, "big"), portable)

    def add(self, a: U8, b: U8) -> U8:
        """Ciphertexts of `a[i] + b[i]`: the products modulo n^2. Shapes: (r, 2 width). Raises: ValueError."""
        return self._native.add(_rows(a, 2 * self.width), _rows(b, 2 * self.width, len(a)))

    def power(self, c: U8, k: U8) -> U8:
        """Ciphertexts of `k[i]` times c's. Shapes: c (r, 2 width); k (r, any), big-endian. Raises: ValueError."""
        if k.ndim != 2 or k.shape[1] == 0:
            raise ValueError(f"exponents: got {k.shape}, not (r, bytes)")
        return self._native.power(_rows(c, 2 * self.width), _rows(k, k.shape[1], len(c)))

    def combined(self, c: U8, digits: U64, bits: int, slot_bits: int) -> U8:
        """Of each row the product of its ciphertexts, each to the power of sum_j digits[row, base, j] 2^(j slot_bits).

        Squares are shared by all bases of a row, and only the digits' own bits cost products beside them.
        Shapes: c (r bases, 2 width), a row's one after the other; digits (r, bases, places) below 2^bits; `bits` a
        multiple of 4, at most 64 and slot_bits; returns (r, 2 width). Raises: ValueError.
        """
        if digits.dtype != np.uint64 or digits.ndim != 3 or 0 in digits.shape[1:] or slot_bits > MAX_BITS:
            raise ValueError(f"digits: got {digits.shape} {digits.dtype}, not (r, bases, places) uint64")
        rows = _rows(c, 2 * self.width, digits.shape[0] * digits.shape[1])
        return self._native.combined(rows, np.ascontiguousarray(digits), bits, slot_bits)

    def sums(self, c: U8, groups: U32, n_groups: int) -> U8:
        """The product of each group's rows, for each column of groups; 1 for a group without rows.

        Which addresses are touched depends on the groups: they are to be the caller's own.
        Shapes: c (r, 2 width); groups (r, f) uint32 below n_groups; returns (f, n_groups, 2 width). Raises: ValueError.
        """
        if groups.dtype != np.uint32 or groups.ndim != 2 or len(groups) != len(c) or n_groups < 0:
            raise ValueError(f"groups: got {groups.shape} {groups.dtype}, not ({len(c)}, f) uint32")
        return self._native.sums(_rows(c, 2 * self.width), np.ascontiguousarray(groups), n_groups)

    def table(self, base: int, exponent_bytes: int) -> Table:
        """Powers of `base`, which blinds: 16 MB at 3072 bits and 192 bytes. Range: base below n^2."""
        return self._native.table(base.to_bytes(2 * self.width, "big"), _positive(exponent_bytes))

    def encrypt(self, table: Table, m: U8, r: U8) -> U8:
        """`(1 + m[i] n) base^r[i]` modulo n^2. Raises: ValueError.

        Shapes: m (r, width), below n; r (r, exponent_bytes).
        """
        return self._native.encrypt(table, _rows(m, self.width), _bytes(r, len(m)))

    def randomise(self, table: Table, c: U8, r: U8) -> U8:
        """`c[i] base^r[i]` modulo n^2. Shapes: c (r, 2 width); r (r, exponent_bytes). Raises: ValueError."""
        return self._native.randomise(table, _rows(c, 2 * self.width), _bytes(r, len(c)))


class OwnerKernel:
    """What two odd primes of one length allow."""

    def __init__(self, p: int, q: int, *, portable: bool = False) -> None:
        n = p * q
        if p.bit_length() != q.bit_length() or p == q or n.bit_length() not in range(MIN_BITS, MAX_BITS + 1):
            raise ValueError("primes: they are equal, or of different or of unusual length")
        self.width = (n.bit_length() + 7) // 8
        of_p = _constants(p, q, n, self.width)
        of_q = _constants(q, p, n, self.width)
        self._native = _native.PaillierOwner(n.to_bytes(self.width, "big"), of_p, of_q, portable)

    def tables(self, base: int, exponent_bytes: int) -> OwnTables:
        """Powers of `base` modulo both squares. Range: base below n^2. As secret as the primes."""
        return self._native.tables(base.to_bytes(2 * self.width, "big"), _positive(exponent_bytes))

    def encrypt(self, tables: OwnTables, m: U8, r: U8) -> U8:
        """What `PublicKernel.encrypt` gives with the same base and `r`, in half the time. Raises: ValueError."""
        return self._native.encrypt(tables, _rows(m, self.width), _bytes(r, len(m)))

    def decrypt(self, c: U8) -> U8:
        """The plaintexts. Shapes: c (r, 2 width), each coprime to n; returns (r, width). Raises: ValueError."""
        return self._native.decrypt(_rows(c, 2 * self.width))


def _constants(prime: int, other: int, n: int, width: int) -> tuple[bytes, bytes, bytes]:
    """The prime; 1 modulo its square and 0 modulo the other's; and what makes a plaintext of L(c^(prime - 1)).

    With g = n + 1, c^(prime - 1) is 1 + (prime - 1) m n = 1 - m other prime modulo the square, so L of it is -m other.
    """
    square = other * other
    of_squares = square * pow(square, -1, prime * prime)
    of_plaintexts = other * pow(other, -1, prime) * pow(-other, -1, prime) % n
    half = (prime.bit_length() + 7) // 8
    return prime.to_bytes(half, "big"), of_squares.to_bytes(2 * width, "big"), of_plaintexts.to_bytes(width, "big")


def _rows(array: U8, width: int, n: int | None = None) -> U8:
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != width or (n is not None and len(array) != n):
        raise ValueError(f"got {array.shape} {array.dtype}, not ({'r' if n is None else n}, {width}) uint8")
    return np.ascontiguousarray(array)


def _bytes(array: U8, n: int) -> U8:
    return _rows(array, array.shape[1] if array.ndim == 2 else 0, n)


def _positive(exponent_bytes: int) -> int:
    if not 1 <= exponent_bytes <= MAX_BITS // 8:
        raise ValueError(f"exponent_bytes {exponent_bytes} is not in [1, {MAX_BITS // 8}]")
    return exponent_bytes
