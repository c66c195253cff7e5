"""Vectors under one party's ring-LWE key that pass from party to party, each of which keeps some of their numbers.

The owner encrypts rows of numbers and hands them to the first party. Each party multiplies every number by a zero or a
one of its own and hands what it made to the next; the last one hands it to the owner, who reads of each row the sum of
the numbers that all kept. What a party hands on looks fresh: an encryption of zero under the public key is added. What
the last one makes holds of its first parts only the coefficients that sums follow from, one for each row's block, each
under noise of its own that is 2^45 times that of all that was done before.

A key travels as a record: whose it is, what it is called, for how long it holds, of which parameters. No proof is with
it, and none with ciphertexts: see below for what an owner has of those that were not made as they should be.

Reveals: to who has no secret key, how many rows of how many numbers; to the owner, of each row the sum of what is
kept. To the owner together with a party, what is kept by all parties before that one, since the owner can decrypt what
came to it.
Assumes: ring-LWE with ternary secrets and errors of deviation 3.24, of degree 8192 modulo 218 bits or 16384 modulo 428
(the tables of the homomorphic encryption standard allow 218 and 438 for 128 bits of security); BLAKE3 as a random
oracle for what seeds give. An owner that deviates gets one number for each block all the same, under the same noise,
whatever it sent: at most 40 bits, where a sum is 29. What the owner decrypts is told to nobody.
Shapes: r rows of w numbers, taken modulo `PLAIN_MODULUS`; sums come back as those of least size.
Source: Z. Brakerski, 2012; J. Fan, F. Vercauteren, 2012; docs/protocols/score_trees.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal import Validity
from fedcredit.crypto.elgamal_checks import BadKey, check_names
from fedcredit.crypto.randomness import Randomness, SystemRandomness
from fedcredit.crypto.rlwe_checks import BadCiphertext
from fedcredit.errors import ConfigError, Problem
from fedcredit.kernels import digest
from fedcredit.kernels.rlwe_chain import (
    KEPT_PRIMES,
    MAX_BLOCKS,
    PLAIN_MODULUS,
    PRIMES,
    SEED_BYTES,
    Conditions,
    OwnerKernel,
    PublicKernel,
    answer_bytes,
    first_bad,
    polynomial_bytes,
)

__all__ = [
    "MAX_PARTIES",
    "MAX_WIDTH",
    "PARAMETERS",
    "PLAIN_MODULUS",
    "BadPassage",
    "Conditions",
    "Parameters",
    "Passage",
    "PublicKey",
    "SecretKey",
    "Vectors",
]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


class BadPassage(ConfigError):
    """More parties or numbers than any parameters, or those of a key, have room for. Code: SCORE_PASSAGE."""

    default_code = "SCORE_PASSAGE"

    def __init__(self, parties: int, width: int, most_parties: int, most_width: int) -> None:
        what = f"{width} numbers that pass {parties} parties, where {most_width} and {most_parties} are the most"
        super().__init__(Problem(self.default_code, "scores of trees", what, "have fewer trees, leaves or providers"))


@dataclass(frozen=True, slots=True)
class Parameters:
    """A degree with its moduli, by name, and how many parties vectors may pass under them."""

    name: str
    degree: int
    max_parties: int

    @property
    def primes(self) -> int:
        """How many primes a key is modulo."""
        return KEPT_PRIMES + self.max_parties - 1

    @property
    def key_bytes(self) -> int:
        """Bytes of a public key's own half."""
        return polynomial_bytes(self.degree, self.primes)

    @classmethod
    def least(cls, parties: int, width: int) -> Parameters:
        """The smallest parameters for so many parties and numbers. Raises: BadPassage."""
        for parameters in PARAMETERS.values():
            if parties <= parameters.max_parties and width <= parameters.degree:
                return parameters
        raise BadPassage(parties, width, MAX_PARTIES, MAX_WIDTH)


PARAMETERS: Final = {
    parameters.name: parameters
    for parameters in (Parameters("chain-8192-218", 8192, 3), Parameters("chain-16384-428", 16384, 8))
}
MAX_PARTIES: Final = max(parameters.max_parties for parameters in PARAMETERS.values())
MAX_WIDTH: Final = max(parameters.degree for parameters in PARAMETERS.values())


@dataclass(frozen=True, slots=True)
class Passage:
    """Through how many parties rows of how many numbers pass, under which parameters. Raises: BadPassage."""

    parameters: Parameters
    parties: int
    width: int

    def __post_init__(self) -> None:
        most, degree = self.parameters.max_parties, self.parameters.degree
        if not (1 <= self.parties <= most and 1 <= self.width <= degree):
            raise BadPassage(self.parties, self.width, most, degree)

    @property
    def blocks(self) -> int:
        """Rows of a ciphertext."""
        return min(MAX_BLOCKS, self.parameters.degree >> (self.width - 1).bit_length())

    def primes(self, place: int) -> int:
        """Of vectors as they come to the party at `place`."""
        return KEPT_PRIMES + self.parties - 1 - place

    def ciphertext_bytes(self, place: int) -> int:
        """Of a ciphertext as it comes to the party at `place`, or where that is `parties`, to the owner."""
        degree = self.parameters.degree
        if place == self.parties:
            return answer_bytes(degree, self.blocks)
        return (2 if place else 1) * polynomial_bytes(degree, self.primes(place))

    def size(self, place: int, rows: int) -> int:
        """Bytes of so many rows there."""
        return (0 if place else SEED_BYTES) + -(-rows // self.blocks) * self.ciphertext_bytes(place)

    def rows_within(self, limit: int) -> int:
        """How many rows fit into `limit` bytes wherever they are, a whole number of ciphertexts and one at least."""
        most = max(self.ciphertext_bytes(place) for place in range(self.parties + 1))
        return max(1, (limit - SEED_BYTES) // most) * self.blocks

    def read(self, place: int, rows: int, content: bytes | memoryview) -> Vectors:
        """The ciphertexts of so many rows, checked. Raises: BadCiphertext."""
        if len(content) != self.size(place, rows):
            raise BadCiphertext(None, f"{len(content)} bytes, where {self.size(place, rows)} are due")
        flat = np.frombuffer(content, np.uint8)[0 if place else SEED_BYTES :]
        width = self.ciphertext_bytes(place)
        if place < self.parties and (bad := first_bad(self.parameters.degree, self.primes(place), flat)) is not None:
            raise BadCiphertext(bad // (2 if place else 1), "a residue is not below its modulus")
        return Vectors(self, place, rows, None if place else bytes(content[:SEED_BYTES]), flat.reshape(-1, width))


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Ciphertexts as they came to the party at `place`, or to the owner, checked. Made by `Passage.read`.

    Shapes: ciphertexts (c, bytes). `fresh`: the seed of second parts, where they are the owner's own.
    """

    passage: Passage
    place: int
    rows: int
    fresh: bytes | None = field(repr=False)
    ciphertexts: U8 = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """A key with its record, checked. Range: names of 1 to 64 printable ASCII characters. Raises: BadKey."""

    owner: str
    name: str
    validity: Validity
    parameters: Parameters
    seed: bytes = field(repr=False)
    b: U8 = field(repr=False)
    fingerprint: bytes = field(init=False, repr=False)
    """32 bytes that name the whole record: what a request for ciphertexts is bound to."""
    _kernel: PublicKernel = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_names(self.owner, self.name)
        if PARAMETERS.get(self.parameters.name) != self.parameters:
            raise BadKey("it is of other parameters")
        due = self.parameters.key_bytes
        if len(self.seed) != SEED_BYTES or self.b.dtype != np.uint8 or self.b.shape != (due,):
            raise BadKey("seed or key have another length than theirs")
        if not self.b.any():
            raise BadKey("it is zero")
        if first_bad(self.parameters.degree, self.parameters.primes, self.b) is not None:
            raise BadKey("a residue is not below its modulus")
        parts = [self.owner.encode(), self.name.encode(), self._text(), self.seed, self.b.tobytes()]
        record = b"".join(struct.pack(">I", len(part)) + part for part in parts)
        object.__setattr__(self, "fingerprint", digest.derive("fedcredit v1 rlwe chain key record", record))
        object.__setattr__(self, "_kernel", PublicKernel(self.parameters.degree, self.seed, self.b))

    def _text(self) -> bytes:
        moduli = (self.parameters.degree, PRIMES[: self.parameters.primes], PLAIN_MODULUS)
        return repr((self.parameters.name, moduli, self.validity.begins, self.validity.ends)).encode()

    def keep(
        self, vectors: Vectors, conditions: Conditions, bits: U8, released: Bools, randomness: Randomness
    ) -> memoryview:
        """What a party makes of what came to it: of each row, what its conditions keep if it is released.

        Shapes: bits (r, n), 0 or 1; released (r,). Raises: ValueError.
        """
        passage, place = vectors.passage, vectors.place
        if passage.parameters != self.parameters or len(conditions) != passage.width or place >= passage.parties:
            raise ValueError("rlwe chain: the passage is of another key, of other conditions, or at its end")
        if len(released) != vectors.rows:
            raise ValueError(f"rlwe chain: {len(released)} rows of {vectors.rows}")
        kept = self._kernel.keep(
            vectors.ciphertexts,
            vectors.fresh,
            passage.primes(place),
            conditions,
            bits,
            released.astype(np.uint8),
            blocks=passage.blocks,
            last=place == passage.parties - 1,
            secret=randomness.bytes(SEED_BYTES),
        )
        return kept.reshape(-1).data


@dataclass(frozen=True, slots=True, eq=False)
class SecretKey:
    """The owner's side. Make one with `generate`; it never leaves its owner."""

    public: PublicKey
    _secret: bytes = field(repr=False)
    _kernel: OwnerKernel = field(repr=False)

    @classmethod
    def generate(
        cls, owner: str, name: str, validity: Validity, parameters: Parameters, randomness: Randomness
    ) -> SecretKey:
        """A fresh key. Raises: BadKey for names that are none."""
        secret, seed = randomness.bytes(SEED_BYTES), randomness.bytes(SEED_BYTES)
        kernel = OwnerKernel(parameters.degree, secret)
        b = kernel.public(seed, randomness.bytes(SEED_BYTES))
        return cls(PublicKey(owner, name, validity, parameters, seed, b), secret, kernel)

    @classmethod
    def from_bytes(cls, secret: bytes, public: PublicKey) -> SecretKey:
        """The key that `to_bytes` gave, with its record. Raises: BadKey where the two are not of each other."""
        if len(secret) != SEED_BYTES:
            raise BadKey(f"{len(secret)} bytes are no secret")
        key = cls(public, secret, OwnerKernel(public.parameters.degree, secret))
        # What is encrypted under another secret is read as noise.
        passage, one = Passage(public.parameters, 1, 1), np.ones((1, 1), np.uint8)
        conditions = Conditions(np.array([0, 0], np.uint32), np.empty(0, np.uint32), np.empty(0, np.uint8))
        probe = SystemRandomness()
        content = key.encrypt(passage, np.ones((1, 1), np.int64), probe)
        answer = public.keep(passage.read(0, 1, content), conditions, one, np.ones(1, np.bool_), probe)
        sums, sound = key.open(passage, 1, answer)
        if not sound.all() or sums.tolist() != [1]:
            raise BadKey("the secret is of another record")
        return key

    def to_bytes(self) -> bytes:
        """The secret itself, for its owner's private file."""
        return self._secret

    def encrypt(self, passage: Passage, values: I64, randomness: Randomness) -> bytes:
        """What the first party is to get. Constant time. Shapes: values (r, w). Raises: ValueError."""
        if passage.parameters != self.public.parameters or values.shape[1:] != (passage.width,):
            raise ValueError("rlwe chain: the passage is of another key, or of other numbers")
        seed, secret = randomness.bytes(SEED_BYTES), randomness.bytes(SEED_BYTES)
        return (
            seed + self._kernel.encrypt(values, passage.blocks, passage.primes(0), public=seed, secret=secret).tobytes()
        )

    def open(self, passage: Passage, rows: int, content: bytes | memoryview) -> tuple[I64, Bools]:
        """Of each row the sum of what all parties kept, and whether its noise is that of an answer. Shapes: (r,) each.

        Raises: BadCiphertext.
        """
        sums, sound = self._kernel.open(passage.read(passage.parties, rows, content).ciphertexts, passage.blocks)
        return sums.reshape(-1)[:rows], np.repeat(sound, passage.blocks)[:rows]
