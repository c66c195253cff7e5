"""Linearly homomorphic encryption on ring-LWE: others multiply encrypted vectors by numbers of theirs, add and mask.

The key's owner encrypts vectors of numbers modulo the prime `PLAIN_MODULUS`, either by slots (then others compute sums
of products row by row) or by coefficients (then others compute inner products over all rows). What comes back is exact
modulo `PLAIN_MODULUS`: whoever computes adds a mask of its own, and gets an additive sharing of the result.

An answer tells the owner its number and nothing else of what it was made of: an encryption of zero under the public key
is added, noise is flooded, and only then does an answer exist here. No call gives out what is not so, nor any noise.

Reveals: to who has no secret key, how many vectors and rows; to the owner, the masked numbers, and how many there are.
Assumes: semi-honest parties; ring-LWE of degree 8192, modulo a number of 180 bits, with ternary secrets and errors of
deviation 3.24 (the tables of the homomorphic encryption standard allow 218 bits for 128 bits of security); BLAKE3 as a
random oracle for what seeds give. An owner that tells others what it decrypts must do so for honest answers alone: who
may have answers of its own making decrypted learns the key. `answers` bounds how many there are, not what they tell.
Shapes: r rows in b = ceil(r / SLOTS) blocks; numbers are int64, taken modulo `PLAIN_MODULUS`, and come back as those of
least size.
Source: Z. Brakerski, 2012; J. Fan, F. Vercauteren, 2012; docs/protocols/rlwe.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_checks import ID_BYTES, PARAMETERS_ID, BadCiphertext, BadKey, Budget, Heading, Kind
from fedcredit.kernels import digest
from fedcredit.kernels.rlwe import (
    CIPHERTEXT_BYTES,
    MAX_SUMMED,
    PLAIN_MODULUS,
    SEED_BYTES,
    SLOTS,
    Coded,
    OwnerKernel,
    PublicKernel,
    blocks,
    first_bad,
)
from fedcredit.kernels.rlwe_limbs import Limbs

__all__ = [
    "MAX_SUMMED",
    "PLAIN_MODULUS",
    "SLOTS",
    "Ciphertexts",
    "Coded",
    "InnerProducts",
    "Limbs",
    "PublicKey",
    "SecretKey",
    "SlotProducts",
    "centred",
    "masks",
]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

DEFAULT_ANSWERS: Final = 1 << 20
PUBLIC_KEY_BYTES: Final = ID_BYTES + SEED_BYTES + CIPHERTEXT_BYTES
_PLAIN_BITS: Final = PLAIN_MODULUS.bit_length()


def masks(randomness: Randomness, *shape: int) -> I64:
    """Uniform numbers modulo `PLAIN_MODULUS`: what masks answers, or shares numbers."""
    size = int(np.prod(shape, dtype=np.int64))
    drawn = np.empty(0, np.uint64)
    while len(drawn) < size:
        # Those that are not below the modulus are passed over, one in 2^34.
        more = randomness.words(size - len(drawn)) & np.uint64((1 << _PLAIN_BITS) - 1)
        drawn = np.concatenate([drawn, more[more < PLAIN_MODULUS]])
    return drawn.astype(np.int64).reshape(shape)


def centred(numbers: I64) -> I64:
    """The number of least size that is the same modulo `PLAIN_MODULUS`. Shapes: any."""
    rest = np.remainder(numbers, PLAIN_MODULUS)
    return np.where(rest > PLAIN_MODULUS // 2, rest - PLAIN_MODULUS, rest)


@dataclass(frozen=True, slots=True, eq=False)
class Ciphertexts:
    """Fresh ciphertexts of vectors, by slots or by coefficients. Made by `SecretKey.encrypt_*` or by `from_bytes`."""

    heading: Heading
    seed: bytes = field(repr=False)
    first: U8 = field(repr=False)
    """(vectors b, CIPHERTEXT_BYTES), all blocks of the first vector first."""

    @classmethod
    def size(cls, vectors: int, rows: int) -> int:
        """Bytes of so many vectors."""
        return Heading.BYTES + SEED_BYTES + vectors * blocks(rows) * CIPHERTEXT_BYTES

    def to_bytes(self) -> U8:
        """All of it, to be sent in pieces of any size: (size,)."""
        head = np.frombuffer(self.heading.to_bytes() + self.seed, np.uint8)
        return np.concatenate([head, self.first.reshape(-1)])

    @classmethod
    def slots_from_bytes(cls, flat: U8, key: PublicKey, *, vectors: int, rows: int) -> Ciphertexts:
        """Ciphertexts by slots that the key's owner sent, checked. Raises: BadCiphertext."""
        return cls._from_bytes(flat, Heading(key.id, Kind.SLOTS, vectors, rows))

    @classmethod
    def coefficients_from_bytes(cls, flat: U8, key: PublicKey, *, vectors: int, rows: int) -> Ciphertexts:
        """Ciphertexts by coefficients that the key's owner sent, checked. Raises: BadCiphertext."""
        return cls._from_bytes(flat, Heading(key.id, Kind.COEFFICIENTS, vectors, rows))

    @classmethod
    def _from_bytes(cls, flat: U8, heading: Heading) -> Ciphertexts:
        heading.refuse_other(flat, cls.size(heading.count, heading.rows))
        start = Heading.BYTES + SEED_BYTES
        first = flat[start:].reshape(-1, CIPHERTEXT_BYTES)
        if (bad := first_bad(first)) is not None:
            raise BadCiphertext(bad, "a residue is not below its modulus")
        return cls(heading, flat[Heading.BYTES : start].tobytes(), first)


@dataclass(frozen=True, slots=True, eq=False)
class SlotProducts:
    """Sums of products row by row, for the key's owner. Made by `PublicKey.slot_products`, or by `from_bytes`."""

    heading: Heading
    words: U64 = field(repr=False)
    """(sums b, 2 SLOTS), all blocks of the first sum first."""

    @classmethod
    def size(cls, sums: int, rows: int) -> int:
        """Bytes of so many sums."""
        return Heading.BYTES + sums * blocks(rows) * 2 * SLOTS * 8

    def to_bytes(self) -> U8:
        """All of it, to be sent in pieces of any size: (size,)."""
        return _answers_to_bytes(self.heading, self.words)

    @classmethod
    def from_bytes(cls, flat: U8, key: PublicKey, *, sums: int, rows: int) -> SlotProducts:
        """Answers that somebody sent to the key's owner, checked. Raises: BadCiphertext."""
        heading = Heading(key.id, Kind.SLOT_PRODUCTS, sums, rows)
        heading.refuse_other(flat, cls.size(sums, rows))
        return cls(heading, _answers_from_bytes(flat, 2 * SLOTS, SLOTS))


@dataclass(frozen=True, slots=True, eq=False)
class InnerProducts:
    """Inner products, one number each, for the key's owner. Made by `PublicKey.inner_products`, or by `from_bytes`."""

    heading: Heading
    words: U64 = field(repr=False)
    """(n, SLOTS + 1)."""

    @classmethod
    def size(cls, count: int) -> int:
        """Bytes of so many inner products."""
        return Heading.BYTES + count * (SLOTS + 1) * 8

    def to_bytes(self) -> U8:
        """All of it, to be sent in pieces of any size: (size,)."""
        return _answers_to_bytes(self.heading, self.words)

    @classmethod
    def from_bytes(cls, flat: U8, key: PublicKey, *, count: int, rows: int) -> InnerProducts:
        """Answers over so many rows that somebody sent to the key's owner, checked. Raises: BadCiphertext."""
        heading = Heading(key.id, Kind.INNER_PRODUCTS, count, rows)
        heading.refuse_other(flat, cls.size(count))
        return cls(heading, _answers_from_bytes(flat, SLOTS + 1, 1))


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """What others compute with. Made by `SecretKey.generate`, or by `from_bytes`, which checks it."""

    id: bytes
    """16 bytes that name the key: in headings, so that a ciphertext of another key is refused."""
    seed: bytes = field(repr=False)
    b: U8 = field(repr=False)
    kernel: PublicKernel = field(repr=False)

    @classmethod
    def from_bytes(cls, flat: U8) -> PublicKey:
        """The key that `to_bytes` gave. Shapes: (PUBLIC_KEY_BYTES,). Raises: BadKey."""
        if flat.dtype != np.uint8 or flat.shape != (PUBLIC_KEY_BYTES,):
            raise BadKey(f"{flat.shape} {flat.dtype}, not ({PUBLIC_KEY_BYTES},) uint8")
        if flat[:ID_BYTES].tobytes() != PARAMETERS_ID:
            raise BadKey("it is of other parameters")
        seed, b = flat[ID_BYTES : ID_BYTES + SEED_BYTES].tobytes(), flat[ID_BYTES + SEED_BYTES :]
        if not b.any():
            raise BadKey("its first part is zero")
        if first_bad(b.reshape(1, -1)) is not None:
            raise BadKey("a residue is not below its modulus")
        return cls._made(seed, b)

    @classmethod
    def _made(cls, seed: bytes, b: U8) -> PublicKey:
        return cls(digest.derive("fedcredit v1 rlwe key", seed + b.tobytes(), ID_BYTES), seed, b, PublicKernel(seed, b))

    def to_bytes(self) -> U8:
        """The key, to be sent."""
        return np.concatenate([np.frombuffer(PARAMETERS_ID + self.seed, np.uint8), self.b])

    def slot_products(self, c: Ciphertexts, plain: I64, masks: I64, randomness: Randomness) -> SlotProducts:
        """For each m, row by row: the sum over k of `c[k] plain[m, k]`, plus `masks[m]`; fresh and flooded.

        Shapes: c of k <= MAX_SUMMED vectors by slots; plain (m, k, r); masks (m, r).
        Raises: BadCiphertext for those of another key or kind; ValueError on shapes and dtypes.
        """
        heading = self._own(c, Kind.SLOTS)
        if plain.shape[1:] != (heading.count, heading.rows):
            raise ValueError(f"plaintexts: got {plain.shape}, not (m, {heading.count}, {heading.rows})")
        words = self.kernel.slot_products(c.seed, c.first, plain, masks, secret=randomness.bytes(SEED_BYTES))
        return SlotProducts(Heading(self.id, Kind.SLOT_PRODUCTS, len(plain), heading.rows), words)

    def inner_products(self, c: Ciphertexts, columns: I64, masks: I64, randomness: Randomness) -> InnerProducts:
        """For each f: the sum over k and rows of `c[k] columns[k, f]`, plus `masks[f]`; fresh and flooded.

        Shapes: c of k vectors by coefficients, k b <= MAX_SUMMED; columns (k, f, r), or (f, r) for k = 1; masks (f,).
        Raises: BadCiphertext for those of another key or kind; ValueError on shapes and dtypes.
        """
        heading = self._own(c, Kind.COEFFICIENTS)
        factors = columns[None] if columns.ndim == 2 else columns
        if factors.ndim != 3 or (factors.shape[0], factors.shape[2]) != (heading.count, heading.rows):
            raise ValueError(f"columns: got {columns.shape}, not ({heading.count}, f, {heading.rows})")
        words = self.kernel.inner_products(c.seed, c.first, factors, masks, secret=randomness.bytes(SEED_BYTES))
        return InnerProducts(Heading(self.id, Kind.INNER_PRODUCTS, len(words), heading.rows), words)

    def coded_products(self, c: Ciphertexts, columns: Coded, masks: I64, randomness: Randomness) -> InnerProducts:
        """Inner products of one vector with columns that follow from codes, plus `masks`; fresh and flooded.

        Shapes: c of one vector by coefficients, b <= MAX_SUMMED; columns of its r rows; masks (columns,).
        Raises: BadCiphertext for those of another key or kind; ValueError on shapes and dtypes.
        """
        heading = self._own(c, Kind.COEFFICIENTS)
        if heading.count != 1 or columns.codes.shape[1:] != (heading.rows,):
            raise ValueError(f"codes: got {columns.codes.shape}, not (F, {heading.rows}) for one vector")
        words = self.kernel.coded_products(c.seed, c.first, columns, masks, secret=randomness.bytes(SEED_BYTES))
        return InnerProducts(Heading(self.id, Kind.INNER_PRODUCTS, len(words), heading.rows), words)

    def limb_products(
        self, c: Ciphertexts, columns: Limbs, at: slice, masks: I64, randomness: Randomness
    ) -> InnerProducts:
        """Inner products of one vector with some sums over columns in fixed point, plus `masks`; fresh and flooded.

        Shapes: c of one vector by coefficients, b <= MAX_SUMMED; masks (as many as `at`,).
        Raises: BadCiphertext for those of another key or kind; ValueError on shapes and dtypes.
        """
        heading = self._own(c, Kind.COEFFICIENTS)
        if heading.count != 1 or columns.numbers.shape[1] != heading.rows:
            raise ValueError(f"columns: got {columns.numbers.shape}, not (d, {heading.rows}) for one vector")
        words = columns.products(self.kernel, c.seed, c.first, at, masks, secret=randomness.bytes(SEED_BYTES))
        return InnerProducts(Heading(self.id, Kind.INNER_PRODUCTS, len(words), heading.rows), words)

    def _own(self, c: Ciphertexts, kind: Kind) -> Heading:
        _refuse(c.heading, self.id, kind)
        return c.heading


@dataclass(frozen=True, slots=True, eq=False)
class SecretKey:
    """Encrypts vectors, and decrypts answers. Lives as long as a session; it cannot be written down."""

    public: PublicKey
    budget: Budget = field(repr=False)
    kernel: OwnerKernel = field(repr=False)

    @classmethod
    def generate(cls, randomness: Randomness, *, answers: int = DEFAULT_ANSWERS) -> SecretKey:
        """A fresh key, which decrypts so many answers: blocks of slot products, and inner products."""
        budget, kernel = Budget(answers), OwnerKernel(randomness.bytes(SEED_BYTES))
        seed = randomness.bytes(SEED_BYTES)
        return cls(PublicKey._made(seed, kernel.public(seed, randomness.bytes(SEED_BYTES))), budget, kernel)

    def encrypt_slots(self, values: I64, randomness: Randomness) -> Ciphertexts:
        """Ciphertexts for `slot_products`. Constant time. Shapes: values (k, r), r > 0. Raises: ValueError."""
        return self._encrypted(values, Kind.SLOTS, randomness)

    def encrypt_coefficients(self, values: I64, randomness: Randomness) -> Ciphertexts:
        """Ciphertexts for `inner_products`. Constant time. Shapes: values (k, r), r > 0. Raises: ValueError."""
        return self._encrypted(values, Kind.COEFFICIENTS, randomness)

    def decrypt_slots(self, c: SlotProducts) -> I64:
        """The numbers: (sums, r), in (-t/2, t/2). Raises: BadCiphertext; RefusedError (DECRYPT_BUDGET)."""
        _refuse(c.heading, self.public.id, Kind.SLOT_PRODUCTS)
        self.budget.spend(len(c.words))
        numbers = self.kernel.decrypt_slots(c.words).reshape(c.heading.count, -1)
        return np.ascontiguousarray(numbers[:, : c.heading.rows])

    def decrypt_inner(self, c: InnerProducts) -> I64:
        """The numbers: (n,), in (-t/2, t/2). Raises: BadCiphertext; RefusedError (DECRYPT_BUDGET)."""
        _refuse(c.heading, self.public.id, Kind.INNER_PRODUCTS)
        self.budget.spend(len(c.words))
        return self.kernel.decrypt_inner(c.words)

    def _encrypted(self, values: I64, kind: Kind, randomness: Randomness) -> Ciphertexts:
        seed, secret = randomness.bytes(SEED_BYTES), randomness.bytes(SEED_BYTES)
        first = self.kernel.encrypt(values, slots=kind is Kind.SLOTS, public=seed, secret=secret)
        return Ciphertexts(Heading(self.public.id, kind, *values.shape), seed, first)


def _refuse(heading: Heading, key_id: bytes, kind: Kind) -> None:
    if heading.key_id != key_id:
        raise BadCiphertext(None, "they are of another key")
    if heading.kind is not kind:
        raise BadCiphertext(None, f"they are not {kind.name.lower().replace('_', ' ')}")


def _answers_to_bytes(heading: Heading, words: U64) -> U8:
    body = words.astype("<u8", copy=False).view(np.uint8).reshape(-1)
    return np.concatenate([np.frombuffer(heading.to_bytes(), np.uint8), body])


def _answers_from_bytes(flat: U8, width: int, second: int) -> U64:
    """Answers of so many words, whose second parts begin at word `second`."""
    body = np.frombuffer(flat[Heading.BYTES :].tobytes(), "<u8")
    words = body.astype(np.uint64, copy=False).reshape(-1, width)
    if (transparent := ~words[:, second:].any(axis=1)).any():
        raise BadCiphertext(int(np.argmax(transparent)), "it hides nothing: its second part is zero")
    return words
