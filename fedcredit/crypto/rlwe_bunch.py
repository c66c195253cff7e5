"""Inner products of many encrypted vectors with the same columns, on ring-LWE: one key a vector, one answer a column.

A bunch is several keys that share the uniform half of what is public; each has a secret and errors of its own. To break
k of them is at most k times as easy as to break one (C. Peikert, V. Vaikuntanathan, B. Waters, 2008). What comes of a
column is then, for all vectors together, one polynomial and a number for each: a k-th of the bytes and less of the work
that `crypto.rlwe` takes, whose parameters, formats and assumptions hold here as well.

An answer tells the owner its numbers and nothing else of what it was made of: see `crypto.rlwe`.

Reveals: to who has no secret keys, how many vectors and rows; to the owner, the masked numbers, and how many there are.
Assumes: what `crypto.rlwe` assumes.
Shapes: r rows in b = ceil(r / SLOTS) blocks; k keys, of which a batch of vectors uses the first ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_checks import ID_BYTES, PARAMETERS_ID, BadCiphertext, BadKey, Budget, Heading, Kind
from fedcredit.kernels import digest
from fedcredit.kernels.rlwe import CIPHERTEXT_BYTES, SEED_BYTES, SLOTS, OwnerKernel, blocks, first_bad
from fedcredit.kernels.rlwe_bunch import MAX_CIPHERTEXTS, bunch_products

__all__ = ["MAX_CIPHERTEXTS", "BunchProducts", "BunchVectors", "PublicBunch", "SecretBunch"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

_WORD: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class BunchVectors:
    """Fresh ciphertexts of vectors, by coefficients. Made by `SecretBunch.encrypt`, or by `from_bytes`."""

    heading: Heading
    seed: bytes = field(repr=False)
    first: U8 = field(repr=False)
    """(k b, CIPHERTEXT_BYTES), all blocks of the first vector first."""

    @classmethod
    def size(cls, vectors: int, rows: int) -> int:
        """Bytes of so many vectors."""
        return Heading.BYTES + SEED_BYTES + vectors * blocks(rows) * CIPHERTEXT_BYTES

    def to_bytes(self) -> U8:
        """All of it, to be sent in pieces of any size: (size,)."""
        head = np.frombuffer(self.heading.to_bytes() + self.seed, np.uint8)
        return np.concatenate([head, self.first.reshape(-1)])

    @classmethod
    def from_bytes(cls, flat: U8, keys: PublicBunch, *, vectors: int, rows: int) -> BunchVectors:
        """Ciphertexts that the bunch's owner sent, checked. Raises: BadCiphertext."""
        heading = Heading(keys.id, Kind.BUNCH, vectors, rows)
        heading.refuse_other(flat, cls.size(vectors, rows))
        start = Heading.BYTES + SEED_BYTES
        first = flat[start:].reshape(-1, CIPHERTEXT_BYTES)
        if (bad := first_bad(first)) is not None:
            raise BadCiphertext(bad, "a residue is not below its modulus")
        return cls(heading, flat[Heading.BYTES : start].tobytes(), first)


@dataclass(frozen=True, slots=True, eq=False)
class BunchProducts:
    """Inner products of each vector with each of some columns. Made by `PublicBunch.products`, or by `from_bytes`."""

    heading: Heading
    """Of so many columns."""
    first: U64 = field(repr=False)
    """(columns, vectors)."""
    second: U64 = field(repr=False)
    """(columns, SLOTS)."""

    @classmethod
    def size(cls, vectors: int, columns: int) -> int:
        """Bytes of so many columns' answers."""
        return Heading.BYTES + _WORD * columns * (vectors + SLOTS)

    def to_bytes(self) -> U8:
        """All of it, to be sent in pieces of any size: (size,)."""
        words = np.concatenate([self.first, self.second], axis=1).astype("<u8", copy=False)
        return np.concatenate([np.frombuffer(self.heading.to_bytes(), np.uint8), words.view(np.uint8).reshape(-1)])

    @classmethod
    def from_bytes(cls, flat: U8, keys: PublicBunch, *, vectors: int, columns: int, rows: int) -> BunchProducts:
        """Answers over so many rows that somebody sent to the bunch's owner, checked. Raises: BadCiphertext."""
        heading = Heading(keys.id, Kind.BUNCH_PRODUCTS, columns, rows)
        heading.refuse_other(flat, cls.size(vectors, columns))
        body = np.frombuffer(flat[Heading.BYTES :].tobytes(), "<u8").astype(np.uint64, copy=False)
        words = body.reshape(columns, vectors + SLOTS)
        first, second = words[:, :vectors], words[:, vectors:]
        if (transparent := ~second.any(axis=1)).any():
            raise BadCiphertext(int(np.argmax(transparent)), "it hides nothing: its second part is zero")
        return cls(heading, first, second)


@dataclass(frozen=True, slots=True, eq=False)
class PublicBunch:
    """What others compute with. Made by `SecretBunch.generate`, or by `from_bytes`, which checks it."""

    id: bytes
    """16 bytes that name the bunch: in headings, so that a ciphertext of other keys is refused."""
    seed: bytes = field(repr=False)
    b: U8 = field(repr=False)
    """(k, CIPHERTEXT_BYTES)."""

    @classmethod
    def size(cls, keys: int) -> int:
        """Bytes of so many keys."""
        return ID_BYTES + SEED_BYTES + keys * CIPHERTEXT_BYTES

    @classmethod
    def from_bytes(cls, flat: U8, *, keys: int) -> PublicBunch:
        """The keys that `to_bytes` gave. Raises: BadKey."""
        if flat.dtype != np.uint8 or flat.shape != (cls.size(keys),):
            raise BadKey(f"{flat.shape} {flat.dtype}, not ({cls.size(keys)},) uint8")
        if flat[:ID_BYTES].tobytes() != PARAMETERS_ID:
            raise BadKey("it is of other parameters")
        start = ID_BYTES + SEED_BYTES
        b = flat[start:].reshape(keys, CIPHERTEXT_BYTES)
        if not b.any(axis=1).all():
            raise BadKey("its first part is zero")
        if first_bad(b) is not None:
            raise BadKey("a residue is not below its modulus")
        return cls.made(flat[ID_BYTES:start].tobytes(), b)

    @classmethod
    def made(cls, seed: bytes, b: U8) -> PublicBunch:
        """The bunch of a seed and the keys' own halves, which are known to be sound."""
        return cls(digest.derive("fedcredit v1 rlwe bunch", seed + b.tobytes(), ID_BYTES), seed, b)

    def __len__(self) -> int:
        return len(self.b)

    def to_bytes(self) -> U8:
        """The keys, to be sent."""
        return np.concatenate([np.frombuffer(PARAMETERS_ID + self.seed, np.uint8), self.b.reshape(-1)])

    def products(self, c: BunchVectors, columns: I64, masks: I64, randomness: Randomness) -> BunchProducts:
        """For each vector v and column f: the sum over rows of `c[v] columns[f]`, plus `masks[v, f]`; fresh, flooded.

        Shapes: c of k vectors, k b <= MAX_CIPHERTEXTS; columns (f, r); masks (k, f).
        Raises: BadCiphertext for those of another bunch; ValueError on shapes and dtypes.
        """
        _refuse(c.heading, self.id, Kind.BUNCH)
        vectors, rows = c.heading.count, c.heading.rows
        if columns.shape[1:] != (rows,):
            raise ValueError(f"columns: got {columns.shape}, not (f, {rows})")
        secret = randomness.bytes(SEED_BYTES)
        first, second = bunch_products(self.seed, self.b[:vectors], c.seed, c.first, columns, masks, secret=secret)
        return BunchProducts(Heading(self.id, Kind.BUNCH_PRODUCTS, len(columns), rows), first, second)


@dataclass(frozen=True, slots=True, eq=False)
class SecretBunch:
    """Encrypts vectors, each under a key of its own, and decrypts answers. Lives as long as a session."""

    public: PublicBunch
    budget: Budget = field(repr=False)
    kernels: tuple[OwnerKernel, ...] = field(repr=False)

    @classmethod
    def generate(cls, randomness: Randomness, keys: int, *, answers: int) -> SecretBunch:
        """So many fresh keys, which together decrypt so many numbers. Raises: ValueError for no keys."""
        if keys < 1:
            raise ValueError(f"SecretBunch: {keys} keys")
        kernels = tuple(OwnerKernel(randomness.bytes(SEED_BYTES)) for _ in range(keys))
        # One seed for all: they share the uniform half, and no secret and no error.
        seed = randomness.bytes(SEED_BYTES)
        b = np.stack([kernel.public(seed, randomness.bytes(SEED_BYTES)) for kernel in kernels])
        return cls(PublicBunch.made(seed, b), Budget(answers), kernels)

    def encrypt(self, values: I64, randomness: Randomness) -> BunchVectors:
        """Ciphertexts of k vectors under the first k keys. Constant time. Shapes: values (k, r). Raises: ValueError."""
        if values.ndim != 2 or not 1 <= len(values) <= len(self.kernels):
            raise ValueError(f"values: got {values.shape}, not from 1 to {len(self.kernels)} vectors")
        vectors, rows = values.shape
        if vectors * blocks(rows) > MAX_CIPHERTEXTS:
            raise ValueError(f"values: {vectors * blocks(rows)} ciphertexts are more than {MAX_CIPHERTEXTS}")
        seed = randomness.bytes(SEED_BYTES)
        first = [
            kernel.encrypt(values[v : v + 1], slots=False, public=seed, secret=randomness.bytes(SEED_BYTES))
            for v, kernel in enumerate(self.kernels[:vectors])
        ]
        return BunchVectors(Heading(self.public.id, Kind.BUNCH, vectors, rows), seed, np.concatenate(first))

    def decrypt(self, c: BunchProducts) -> I64:
        """The numbers: (k, columns), in (-t/2, t/2). Raises: BadCiphertext; RefusedError (DECRYPT_BUDGET)."""
        _refuse(c.heading, self.public.id, Kind.BUNCH_PRODUCTS)
        vectors = c.first.shape[1]
        if vectors > len(self.kernels):
            raise BadCiphertext(None, f"they are of {vectors} vectors, where there are {len(self.kernels)} keys")
        self.budget.spend(c.first.size)
        words = np.concatenate([c.first[:, :1], c.second], axis=1)
        found = np.empty((vectors, len(words)), np.int64)
        for v, kernel in enumerate(self.kernels[:vectors]):
            words[:, 0] = c.first[:, v]
            found[v] = kernel.decrypt_inner(words)
        return found


def _refuse(heading: Heading, bunch_id: bytes, kind: Kind) -> None:
    if heading.key_id != bunch_id:
        raise BadCiphertext(None, "they are of another key")
    if heading.kind is not kind:
        raise BadCiphertext(None, f"they are not {kind.name.lower().replace('_', ' ')}")
