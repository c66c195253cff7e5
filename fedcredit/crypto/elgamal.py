"""Exponential ElGamal: small numbers under a key that anybody can add, and only the key's owner can read.

A ciphertext of m under Y = x G is (r G, m G + r Y) with a fresh r. The owner of x gets m G and finds m in a
`PointTable` of the range that m is to be in. A number that was drawn from all scalars he does not find.

A key travels as a record: whose it is, what it is called and for how long it holds, with a proof that its maker knows x
(Schnorr), which is bound to all of these. So nobody passes off another's key, or one made from others', as his own. A
`PublicKey` that exists has been checked.

Reveals: to who has no secret, the number of ciphertexts; to the owner, the sums.
Assumes: decisional Diffie-Hellman in ristretto255; a random oracle, for the proof. Ciphertexts are not authenticated:
anybody can change them unseen. Nothing of it holds against quantum computers.
Shapes: n rows; k parts; messages (n, 32) scalars; ciphertexts (n, 64) uint8.
Source: T. ElGamal, 1985; R. Cramer, R. Gennaro, B. Schoenmakers, 1997; C. P. Schnorr, 1991.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal_checks import BadKey, BadRange, check_names
from fedcredit.crypto.randomness import Randomness
from fedcredit.kernels import digest, elgamal, group
from fedcredit.kernels.elgamal import CIPHERTEXT_BYTES, PROOF_BYTES, BadPoint, KeyKernel

__all__ = [
    "CIPHERTEXT_BYTES",
    "FINGERPRINT_BYTES",
    "MAX_VALUES",
    "BadPoint",
    "PointTable",
    "PrivateKey",
    "PublicKey",
    "Validity",
    "add",
    "check_points",
]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

MAX_VALUES: Final = 1 << 16
"""Numbers of a `PointTable`: 3 MiB, made in less than a tenth of a second."""

FINGERPRINT_BYTES: Final = 32
_LAST_SECOND = 1 << 40


@dataclass(frozen=True, slots=True)
class Validity:
    """Seconds since 1970 from which on, and up to and without which, a key holds. Raises: BadKey."""

    begins: int
    ends: int

    def __post_init__(self) -> None:
        if not 0 <= self.begins < self.ends <= _LAST_SECOND:
            raise BadKey("it does not begin to hold before it ends")

    def covers(self, second: int) -> bool:
        """Whether the key holds at that second."""
        return self.begins <= second < self.ends


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """A key with its record, checked. Range: names of 1 to 64 printable ASCII characters. Raises: BadKey."""

    owner: str
    name: str
    validity: Validity
    point: bytes = field(repr=False)
    proof: bytes = field(repr=False)
    fingerprint: bytes = field(init=False, repr=False)
    """32 bytes that name the whole record: what a request for ciphertexts is bound to."""
    _kernel: KeyKernel = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_names(self.owner, self.name)
        if len(self.point) != group.POINT_BYTES or len(self.proof) != PROOF_BYTES:
            raise BadKey("point or proof have another length than theirs")
        context = _context(self.owner, self.name, self.validity)
        if not elgamal.verify(self.point, context, self.proof):
            raise BadKey("no proof that its owner knows the secret")
        record = context + self.point + self.proof
        object.__setattr__(self, "fingerprint", digest.derive("fedcredit v1 elgamal key record", record))
        object.__setattr__(self, "_kernel", KeyKernel(self.point))

    def encrypt(self, messages: U8, randomness: Randomness) -> U8:
        """A ciphertext of each scalar, zero among them: (n, 64). Raises: ValueError for what is no scalar."""
        return self._kernel.encrypt(messages, randomness.scalars(len(messages)))

    def encrypt_numbers(self, numbers: I64, randomness: Randomness) -> U8:
        """A ciphertext of each number. Shapes: (n,) in, (n, 64) out."""
        none = np.empty((0, len(numbers), elgamal.MASK_BYTES), np.uint8)
        return self.encrypt(elgamal.masked(numbers, none, ()), randomness)

    def randomise(self, ciphertexts: U8, randomness: Randomness) -> U8:
        """Other ciphertexts of the same messages, that cannot be told from new ones. Raises: BadPoint; ValueError."""
        zeros = np.zeros((len(ciphertexts), group.SCALAR_BYTES), np.uint8)
        return add(ciphertexts, self.encrypt(zeros, randomness))


@dataclass(frozen=True, slots=True, eq=False)
class PrivateKey:
    """The owner's side. Make one with `generate`; it never leaves its owner."""

    public: PublicKey
    _secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, owner: str, name: str, validity: Validity, randomness: Randomness) -> PrivateKey:
        """A fresh key, with the proof for its record. Raises: BadKey for names that are none."""
        check_names(owner, name)
        secret, nonce = randomness.scalar(), randomness.scalar()
        point = group.multiply_base(np.frombuffer(secret, np.uint8).reshape(1, -1)).tobytes()
        proof = elgamal.prove(secret, nonce, _context(owner, name, validity))
        return cls(PublicKey(owner, name, validity, point, proof), secret)

    @classmethod
    def from_bytes(cls, secret: bytes, public: PublicKey) -> PrivateKey:
        """The key that `to_bytes` gave, with its record. Raises: BadKey where the two are not of each other."""
        try:
            point = group.multiply_base(np.frombuffer(secret, np.uint8).reshape(1, -1)).tobytes()
        except ValueError:
            raise BadKey("the secret is no scalar") from None
        if point != public.point:
            raise BadKey("the secret is of another record")
        return cls(public, secret)

    def to_bytes(self) -> bytes:
        """The secret itself, for its owner's private file."""
        return self._secret

    def open(self, parts: U8, table: PointTable) -> tuple[I64, Bools]:
        """Of each row, the sum over all parts, and whether it is in the table; 0 where it is not.

        What is read is the owner's to know: looking it up takes time that depends on it.
        Shapes: parts (k, n, 64); returns (n,) each. Raises: BadPoint; ValueError.
        """
        return table.find(elgamal.open_sums(self._secret, parts))


class PointTable:
    """The multiples of the generator from `low` to `high`, both among them. Independent of keys. Raises: BadRange."""

    def __init__(self, low: int, high: int) -> None:
        if not -(2**62) <= low <= high <= 2**62 or high - low >= MAX_VALUES:
            raise BadRange(low, high, MAX_VALUES)
        self.low, self.high = low, high
        doubled = elgamal.doubles(low, high - low + 1)
        # Sorted by their first eight bytes: what is found there is compared whole.
        heads = np.ascontiguousarray(doubled[:, :8]).view("<u8").reshape(-1)
        self._order = np.argsort(heads, kind="stable")
        self._heads, self._doubles = heads[self._order], doubled[self._order]

    def find(self, doubles: U8) -> tuple[I64, Bools]:
        """The number that each encoding of a double is of, and whether there is one; 0 where there is none.

        Shapes: doubles (n, 32); returns (n,) each. Raises: ValueError.
        """
        if doubles.dtype != np.uint8 or doubles.ndim != 2 or doubles.shape[1] != group.POINT_BYTES:
            raise ValueError(f"doubles: got {doubles.shape} {doubles.dtype}, not (n, {group.POINT_BYTES}) uint8")
        heads = np.ascontiguousarray(doubles[:, :8]).view("<u8").reshape(-1)
        # Two multiples that begin alike would hide one of them: of 2^16 that has a probability of 2^-33.
        places = np.minimum(np.searchsorted(self._heads, heads), len(self._heads) - 1)
        found: Bools = (self._doubles[places] == doubles).all(axis=1)
        return np.where(found, self.low + self._order[places], 0).astype(np.int64), found


def add(a: U8, b: U8) -> U8:
    """Ciphertexts of `a[i] + b[i]`: (n, 64). They tell of how they were made: `PublicKey.randomise` them.

    Raises: BadPoint, also where a half of the sum is the identity; ValueError.
    """
    points = [_halves(ciphertexts) for ciphertexts in (a, b)]
    return group.add(*points).reshape(-1, CIPHERTEXT_BYTES)


def check_points(ciphertexts: U8) -> None:
    """Raise BadPoint unless each half of each row is a canonical point other than the identity."""
    group.check_points(_halves(ciphertexts))


def _halves(ciphertexts: U8) -> U8:
    if ciphertexts.dtype != np.uint8 or ciphertexts.ndim != 2 or ciphertexts.shape[1] != CIPHERTEXT_BYTES:
        raise ValueError(f"got {ciphertexts.shape} {ciphertexts.dtype}, not (n, {CIPHERTEXT_BYTES}) uint8")
    return np.ascontiguousarray(ciphertexts).reshape(-1, group.POINT_BYTES)


def _context(owner: str, name: str, validity: Validity) -> bytes:
    """What a proof is bound to; lengths keep two records from having one text."""
    parts = (b"fedcredit v1 elgamal key", owner.encode(), name.encode())
    names = b"".join(struct.pack(">H", len(part)) + part for part in parts)
    return names + struct.pack(">QQ", validity.begins, validity.ends)
