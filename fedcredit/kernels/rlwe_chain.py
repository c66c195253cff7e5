"""A vector under one party's ring-LWE key that passes from party to party, each of which keeps some of its numbers.

Rows of numbers are put into ciphertexts, `blocks` of them into one. Whoever has the public key keeps of each row the
numbers whose conditions hold, and hands on ciphertexts modulo one prime less; the last one makes an answer of three
primes, of which the owner reads the sum of each row's numbers. All of it is constant time in secrets, numbers and bits,
uses all cores and releases the GIL.

Every seed serves one call. Numbers are taken modulo `PLAIN_MODULUS`, and sums come back as those of least size.
Shapes: r rows in c = ceil(r / blocks) ciphertexts; w numbers of a row, at most degree / blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit import _native

__all__ = [
    "KEPT_PRIMES",
    "MAX_BLOCKS",
    "PLAIN_MODULUS",
    "PRIMES",
    "SEED_BYTES",
    "Conditions",
    "OwnerKernel",
    "PublicKernel",
    "answer_bytes",
    "first_bad",
    "polynomial_bytes",
]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]

PRIMES: Final = (
    0x1965FE9E8001,
    0x1965FE968001,
    0x1965FE938001,
    0x3FFFFFA8001,
    0x3FFFFE80001,
    0x3FFFFE28001,
    0x3FFFFD38001,
    0x3FFFFD20001,
    0x3FFFFCA0001,
    0x3FFFFC30001,
)
"""Those of degree 16384; degree 8192 has the first five. All are 1 modulo 2^15."""
KEPT_PRIMES: Final = 3
"""Those that an answer is made of."""
PLAIN_MODULUS: Final = 0x1FFC8001
"""The largest prime below 2^29 that is 1 modulo 2^15."""
MAX_BLOCKS: Final = 32
SEED_BYTES: Final = 32
_WORD_BYTES: Final = 6


def polynomial_bytes(degree: int, primes: int) -> int:
    """Bytes of a polynomial modulo so many primes."""
    return degree // 8 * sum(q.bit_length() for q in PRIMES[:primes])


def answer_bytes(degree: int, blocks: int) -> int:
    """Bytes of a ciphertext's answer."""
    return _WORD_BYTES * (degree + blocks)


def first_bad(degree: int, primes: int, polynomials: U8) -> int | None:
    """The first polynomial with a residue that is not below its prime. Shapes: (n bytes,). Raises: ValueError."""
    return _native.rlwe_chain_first_bad(degree, primes, np.ascontiguousarray(polynomials))


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """When a number of a row is kept: where each of its bits of the row is what it has to be.

    Shapes: first (w + 1,), where the conditions of each number begin, and the end; bit, value (conditions,).
    """

    first: U32
    bit: U32
    value: U8

    def __len__(self) -> int:
        return len(self.first) - 1


class OwnerKernel:
    """A secret key, made of a secret seed that serves nothing else. It cannot be read out. Raises: ValueError."""

    def __init__(self, degree: int, secret: bytes) -> None:
        self._native = _native.RlweChainOwner(degree, secret)

    def public(self, public: bytes, secret: bytes) -> U8:
        """The public key for a public seed, with errors of a secret one: (bytes,)."""
        return self._native.public(public, secret)

    def encrypt(self, values: I64, blocks: int, primes: int, *, public: bytes, secret: bytes) -> U8:
        """First parts of ciphertexts of rows. Shapes: values (r, w); returns (c, bytes). Raises: ValueError."""
        return self._native.encrypt(np.ascontiguousarray(values), blocks, primes, public, secret)

    def open(self, answers: U8, blocks: int) -> tuple[I64, Bools]:
        """Sums of blocks, and of which ciphertexts the noise is within bounds. Raises: ValueError.

        Shapes: answers (c, bytes); returns (c, blocks), (c,).
        """
        sums, sound = self._native.open(np.ascontiguousarray(answers), blocks)
        return sums, sound.astype(np.bool_)


class PublicKernel:
    """What the public key of a seed allows. Raises: ValueError on residues that are not below their primes."""

    def __init__(self, degree: int, public: bytes, b: U8) -> None:
        self._native = _native.RlweChainPublic(degree, public, np.ascontiguousarray(b))

    def keep(
        self,
        vectors: U8,
        fresh: bytes | None,
        primes: int,
        conditions: Conditions,
        bits: U8,
        released: U8,
        *,
        blocks: int,
        last: bool,
        secret: bytes,
    ) -> U8:
        """What is kept of rows, to hand on, or where it is the `last` one, for the owner. Raises: ValueError.

        `fresh`: the seed of second parts, where vectors are the owner's own. Shapes: vectors (c, bytes); bits
        (r, width), released (r,), 0 or 1; returns (c, bytes).
        """
        return self._native.keep(
            np.ascontiguousarray(vectors),
            fresh,
            primes,
            last,
            np.ascontiguousarray(conditions.first),
            np.ascontiguousarray(conditions.bit),
            np.ascontiguousarray(conditions.value),
            np.ascontiguousarray(bits),
            np.ascontiguousarray(released),
            blocks,
            secret,
        )
