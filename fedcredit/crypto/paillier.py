"""Paillier's cryptosystem: numbers under a key that anybody can add, and only the key's owner can read.

A ciphertext of m is (1 + m n) h^r modulo n^2, with h = (x^2)^n for a random x that the encryptor draws for itself, and
r fresh and half as long as n. So h stays, and its powers come from a table. Any private key of the same primes reads
it: `phe`'s as well.

Who adds or multiplies ciphertexts gets ciphertexts that tell of how they were made (a multiple by 1 is the same number,
a sum of nothing is 1). They must be randomised before anybody sees them: `Ciphertexts.sent` refuses those that were
not.

Reveals: to who has no private key, the number of ciphertexts; to the owner, the plaintexts: of sums, the sums.
Assumes: semi-honest parties; the decisional composite residuosity assumption; that h^r looks like a random power of h
for r of half the length of n (Goldreich, Rosen 2003: as hard as factoring n, where the order of h is large).
Nothing of it holds against quantum computers.
Shapes: r rows; plaintexts (r, width), ciphertexts (r, 2 width), uint8, big-endian; `width` is the length of n in bytes.
Source: P. Paillier, 1999; I. Damgard, M. Jurik, J. Nielsen, 2010, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric import rsa

from fedcredit.crypto.paillier_checks import (
    STRONG_128,
    BadCiphertext,
    BadKey,
    Profile,
    bad_rows,
    check_modulus,
    check_primes,
)
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import FedcreditError
from fedcredit.kernels import digest
from fedcredit.kernels.paillier import OwnerKernel, OwnTables, PublicKernel, Table

__all__ = ["Ciphertexts", "Encryptor", "OwnEncryptor", "PrivateKey", "PublicEncryptor", "PublicKey"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]

KEY_ID_BYTES: Final = 16
FACTOR_BYTES: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """A modulus that was checked, and what it allows. Make one with `from_modulus` or `from_bytes`."""

    n: int = field(repr=False)
    profile: Profile
    id: bytes
    """16 bytes that name the key: in messages, so that a ciphertext of another key is refused."""
    kernel: PublicKernel = field(repr=False)

    @classmethod
    def from_modulus(cls, n: int, profile: Profile = STRONG_128, *, portable: bool = False) -> PublicKey:
        """The key of `n`, e.g. of `phe`'s `PaillierPublicKey.n`. Raises: BadKey."""
        check_modulus(n, profile)
        kernel = PublicKernel(n, portable=portable)
        return cls(n, profile, digest.derive("fedcredit v1 paillier key", _big(n, kernel.width), KEY_ID_BYTES), kernel)

    @classmethod
    def from_bytes(cls, rows: U8, profile: Profile = STRONG_128) -> PublicKey:
        """The key that `to_bytes` gave. Shapes: rows (1, width). Raises: BadKey, also for leading zeros."""
        if rows.dtype != np.uint8 or rows.ndim != 2 or len(rows) != 1 or rows.shape[1] == 0 or rows[0, 0] == 0:
            raise BadKey("the modulus is not one row of bytes without leading zeros")
        return cls.from_modulus(int.from_bytes(rows.tobytes(), "big"), profile)

    @property
    def width(self) -> int:
        """Bytes of a plaintext."""
        return self.kernel.width

    def to_bytes(self) -> U8:
        """The modulus: (1, width)."""
        return np.frombuffer(_big(self.n, self.width), np.uint8).reshape(1, -1)

    def received(self, rows: U8, *, count: int, key_id: bytes) -> Ciphertexts:
        """Ciphertexts that somebody sent, checked: 1 < c < n^2 and gcd(c, n) = 1. Raises: BadCiphertext."""
        if key_id != self.id:
            raise BadCiphertext(None, "they are of another key")
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 2 * self.width:
            raise BadCiphertext(None, f"rows of {rows.shape[1:]} {rows.dtype} are not {2 * self.width} bytes")
        if len(rows) != count:
            raise BadCiphertext(None, f"{len(rows)} of them, where {count} are due")
        if (bad := bad_rows(rows, self.n)).any():
            raise BadCiphertext(int(np.argmax(bad)), "not between 1 and the modulus's square")
        if count:
            product = self.kernel.sums(rows, np.zeros((count, 1), np.uint32), 1)
            if math.gcd(int.from_bytes(product.tobytes(), "big"), self.n) != 1:
                culprit = next(
                    i for i in range(count) if math.gcd(int.from_bytes(rows[i].tobytes(), "big"), self.n) != 1
                )
                raise BadCiphertext(culprit, "shares a factor with the modulus")
        return Ciphertexts(self, np.ascontiguousarray(rows), fresh=False)

    def from_integers(self, numbers: Sequence[int]) -> Ciphertexts:
        """Ciphertexts as integers, e.g. of `phe`'s `EncryptedNumber.ciphertext()`, checked. Raises: BadCiphertext."""
        for index, number in enumerate(numbers):
            if number < 0 or number.bit_length() > 16 * self.width:
                raise BadCiphertext(index, f"negative, or longer than {2 * self.width} bytes")
        flat = b"".join(_big(number, 2 * self.width) for number in numbers)
        rows = np.frombuffer(flat, np.uint8).reshape(len(numbers), 2 * self.width)
        return self.received(rows, count=len(numbers), key_id=self.id)

    def add(self, a: Ciphertexts, b: Ciphertexts) -> Ciphertexts:
        """Row by row, ciphertexts of sums modulo n. Not fresh. Raises: BadCiphertext for other keys or lengths."""
        return self._made(self.kernel.add(self._own(a), self._own(b, len(a))))

    def multiply(self, c: Ciphertexts, factors: I64 | U64) -> Ciphertexts:
        """Row by row, ciphertexts of multiples. Not fresh. Constant time in factors.

        Factors that are signed cost an inversion a row, about three sums, whichever sign they have.
        Shapes: factors (r,) int64 or uint64. Raises: BadCiphertext; ValueError on factors of another shape.
        """
        if factors.dtype not in (np.int64, np.uint64) or factors.shape != (len(c),):
            raise ValueError(f"factors: got {factors.shape} {factors.dtype}, not ({len(c)},) int64 or uint64")
        rows, size = self._own(c), factors.astype(np.uint64)
        if factors.dtype == np.int64 and len(c):
            negative = factors < 0
            # What is negative is two's complement: its size is 2^64 less it.
            size = np.where(negative, ~size + np.uint64(1), size)
            rows = np.where(negative[:, None], self._inverted(rows), rows)
        return self._made(self.kernel.power(rows, size.astype(">u8").view(np.uint8).reshape(len(c), FACTOR_BYTES)))

    def negated(self, c: Ciphertexts) -> Ciphertexts:
        """Ciphertexts of the same sizes with the other sign, modulo n. Not fresh. Raises: BadCiphertext."""
        return self._made(self._inverted(self._own(c))) if len(c) else c

    def sums(self, c: Ciphertexts, groups: U32, n_groups: int) -> Ciphertexts:
        """Ciphertexts of the sum of each group's rows, for each column of `groups`. Not fresh, and 1 without rows.

        Which addresses are touched depends on the groups: they are to be the caller's own.
        Shapes: groups (r, f) uint32 below n_groups; returns f n_groups rows, all groups of the first column first.
        Raises: BadCiphertext; ValueError on groups of another shape or range.
        """
        return self._made(self.kernel.sums(self._own(c), groups, n_groups).reshape(-1, 2 * self.width))

    def shifted(self, c: Ciphertexts, bits: int) -> Ciphertexts:
        """Ciphertexts of 2^bits times as much, modulo n. Not fresh. Raises: BadCiphertext, ValueError."""
        if bits < 0:
            raise ValueError(f"shifted: {bits} bits")
        factor = _big(1 << bits, bits // 8 + 1)
        factors = np.broadcast_to(np.frombuffer(factor, np.uint8), (len(c), len(factor)))
        return self._made(self.kernel.power(self._own(c), np.ascontiguousarray(factors)))

    def blinded(self, c: Ciphertexts, plaintexts: U8, randomness: Randomness) -> Ciphertexts:
        """Fresh ciphertexts of c's plaintexts plus `plaintexts`, which show nobody how c was made: its key's owner
        neither, and under no assumption. That takes ten times as long as `Encryptor.randomised`: a power x^n each.

        A product of c with all n-th residues alike is any ciphertext of that plaintext alike, whatever c is.
        Shapes: plaintexts (r, width), below n. Raises: BadCiphertext; ValueError.
        """
        rows = self._own(c, len(plaintexts))
        bases = np.zeros_like(rows)
        # Eight bytes longer than n, so that each remainder is as likely as any other but for 2^-64.
        length = min(self.width + FACTOR_BYTES, 2 * self.width)
        bases[:, -length:] = randomness.array(len(rows), length)
        exponents = np.ascontiguousarray(np.broadcast_to(self.to_bytes(), (len(rows), self.width)))
        # A table of the powers of 1: encryption under it is 1 + m n, without a blind.
        plain = _plaintexts(self, plaintexts)
        message = self.kernel.encrypt(self.kernel.table(1, 1), plain, np.zeros((len(rows), 1), np.uint8))
        blinds = self.kernel.power(bases, exponents)
        return Ciphertexts(self, self.kernel.add(self.kernel.add(rows, message), blinds), fresh=True)

    def _own(self, c: Ciphertexts, count: int | None = None) -> U8:
        if c.key.id != self.id:
            raise BadCiphertext(None, "they are of another key")
        if count is not None and len(c) != count:
            raise BadCiphertext(None, f"{len(c)} of them, where {count} are due")
        return c.rows

    def _made(self, rows: U8) -> Ciphertexts:
        return Ciphertexts(self, rows, fresh=False)

    def _inverted(self, rows: U8) -> U8:
        """Inverses modulo n^2: of all rows for one inversion and three products each, in a tree."""
        if len(rows) == 1:
            square = self.n * self.n
            inverse = pow(int.from_bytes(rows.tobytes(), "big"), -1, square)
            return np.frombuffer(_big(inverse, 2 * self.width), np.uint8).reshape(1, -1)
        half = len(rows) // 2
        left, right, rest = rows[:half], rows[half : 2 * half], rows[2 * half :]
        above = self._inverted(np.concatenate([self.kernel.add(left, right), rest]))
        own = above[:half]
        return np.concatenate([self.kernel.add(own, right), self.kernel.add(own, left), above[half:]])


@dataclass(frozen=True, slots=True, eq=False)
class Ciphertexts:
    """Ciphertexts of one key, checked or made here. `fresh` is whether they may be sent."""

    key: PublicKey
    rows: U8 = field(repr=False)
    fresh: bool

    def __len__(self) -> int:
        return len(self.rows)

    def sent(self) -> U8:
        """The rows, to be sent. Raises: FedcreditError for those that were not randomised since they were made."""
        if not self.fresh:
            raise FedcreditError("Paillier ciphertexts that are not randomised must not leave the party")
        return self.rows

    def to_integers(self) -> list[int]:
        """Ciphertexts as integers, e.g. for `phe`'s `EncryptedNumber`. Raises: FedcreditError as `sent` does."""
        return [int.from_bytes(row.tobytes(), "big") for row in self.sent()]

    def refuse_repeats(self, others: Ciphertexts) -> None:
        """Raise BadCiphertext if a row is one of `others`: somebody sent back what it got, as it was."""
        mine, theirs = (
            np.ascontiguousarray(rows).view(f"S{2 * self.key.width}") for rows in (self.rows, self.key._own(others))
        )
        if (again := np.isin(mine, theirs).ravel()).any():
            raise BadCiphertext(int(np.argmax(again)), "a ciphertext of this party's own, sent back as it was")


class Encryptor(Protocol):
    """Encrypts and randomises under one key: for who has the private key, or who has not. For one thread at a time."""

    @property
    def key(self) -> PublicKey: ...

    def encrypt(self, plaintexts: U8) -> Ciphertexts:
        """Fresh ciphertexts. Shapes: plaintexts (r, width), below n. Raises: ValueError."""

    def randomised(self, c: Ciphertexts) -> Ciphertexts:
        """Fresh ciphertexts of the same plaintexts, that nobody can tell from others. Raises: BadCiphertext."""


class PublicEncryptor:
    """Encrypts for somebody else's key. Takes a tenth of a second to make, and 16 MB at 3072 bits."""

    def __init__(self, key: PublicKey, randomness: Randomness) -> None:
        self.key, self._randomness = key, randomness
        self._base = _base(key, randomness)
        self._table: Table = key.kernel.table(self._base, _exponent_bytes(key))

    def encrypt(self, plaintexts: U8) -> Ciphertexts:
        """Fresh ciphertexts. Shapes: plaintexts (r, width), below n. Raises: ValueError."""
        plain = _plaintexts(self.key, plaintexts)
        rows = self.key.kernel.encrypt(self._table, plain, self._exponents(len(plain)))
        return Ciphertexts(self.key, rows, fresh=True)

    def randomised(self, c: Ciphertexts) -> Ciphertexts:
        """Fresh ciphertexts of the same plaintexts, that nobody can tell from others. Raises: BadCiphertext."""
        rows = self.key.kernel.randomise(self._table, self.key._own(c), self._exponents(len(c)))
        return Ciphertexts(self.key, rows, fresh=True)

    def _exponents(self, n: int) -> U8:
        return self._randomness.array(n, _exponent_bytes(self.key))


class OwnEncryptor(PublicEncryptor):
    """Encrypts for one's own key, in half the time and with what looks the same."""

    def __init__(self, private: PrivateKey, randomness: Randomness) -> None:
        super().__init__(private.public, randomness)
        self._private = private
        self._tables: OwnTables = private.kernel.tables(self._base, _exponent_bytes(self.key))

    def encrypt(self, plaintexts: U8) -> Ciphertexts:
        """Fresh ciphertexts. Shapes: plaintexts (r, width), below n. Raises: ValueError."""
        plain = _plaintexts(self.key, plaintexts)
        rows = self._private.kernel.encrypt(self._tables, plain, self._exponents(len(plain)))
        return Ciphertexts(self.key, rows, fresh=True)


@dataclass(frozen=True, slots=True, eq=False)
class PrivateKey:
    """The two primes. Make one with `generate`; `from_primes` takes `phe`'s."""

    public: PublicKey
    p: int = field(repr=False)
    q: int = field(repr=False)
    kernel: OwnerKernel = field(repr=False)

    @classmethod
    def generate(cls, profile: Profile = STRONG_128) -> PrivateKey:
        """A fresh key of the profile's length. Its primes are OpenSSL's, as for RSA, from the system's randomness."""
        numbers = rsa.generate_private_key(public_exponent=65537, key_size=profile.default_bits).private_numbers()
        return cls.from_primes(numbers.p, numbers.q, profile)

    @classmethod
    def from_primes(cls, p: int, q: int, profile: Profile = STRONG_128, *, portable: bool = False) -> PrivateKey:
        """The key of two primes, checked. Raises: BadKey."""
        public = PublicKey.from_modulus(p * q, profile, portable=portable)
        check_primes(p, q)
        return cls(public, p, q, OwnerKernel(p, q, portable=portable))

    @classmethod
    def from_bytes(cls, rows: U8, profile: Profile = STRONG_128) -> PrivateKey:
        """The key that `to_bytes` gave. Shapes: rows (2, any). Raises: BadKey."""
        if rows.dtype != np.uint8 or rows.ndim != 2 or len(rows) != 2:
            raise BadKey("the primes are not two rows of bytes")
        p, q = (int.from_bytes(row.tobytes(), "big") for row in rows)
        return cls.from_primes(p, q, profile)

    def to_bytes(self) -> U8:
        """Both primes, for their owner's private file: (2, half the width)."""
        half = (self.p.bit_length() + 7) // 8
        return np.frombuffer(_big(self.p, half) + _big(self.q, half), np.uint8).reshape(2, half)

    def encryptor(self, randomness: Randomness) -> OwnEncryptor:
        """Encrypts for this key, by its primes."""
        return OwnEncryptor(self, randomness)

    def decrypt(self, c: Ciphertexts) -> U8:
        """The plaintexts, below n: (r, width). Constant time. Raises: BadCiphertext for those of another key."""
        return self.kernel.decrypt(self.public._own(c))


def _base(key: PublicKey, randomness: Randomness) -> int:
    """A random n-th residue that is a square: (x^2)^n modulo n^2."""
    while True:
        x = int.from_bytes(randomness.bytes(key.width + 16), "big") % key.n
        if x > 1 and math.gcd(x, key.n) == 1:
            break
    row = np.frombuffer(_big(x * x % key.n, 2 * key.width), np.uint8).reshape(1, -1)
    return int.from_bytes(key.kernel.power(row, key.to_bytes()).tobytes(), "big")


def _exponent_bytes(key: PublicKey) -> int:
    """Half the length of n, in bytes, rounded up."""
    return (key.n.bit_length() + 15) // 16


def _plaintexts(key: PublicKey, rows: U8) -> U8:
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != key.width:
        raise ValueError(f"plaintexts: got {rows.shape} {rows.dtype}, not (r, {key.width}) uint8")
    numbers = np.ascontiguousarray(rows)
    limit = np.array([_big(key.n, key.width)], f"S{key.width}")
    if (numbers.view(f"S{key.width}").ravel() >= limit).any():
        raise ValueError("plaintexts: one is not below the modulus")
    return numbers


def _big(number: int, width: int) -> bytes:
    return number.to_bytes(width, "big")
