"""`fedcredit.crypto.rlwe` without encryption: the same names, sizes that fit small tests, plain numbers modulo t.

For tests of what stands on it, of which there would otherwise be few: no part of the product can be told to use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pytest

from fedcredit.crypto import rlwe as real
from fedcredit.crypto.rlwe_checks import BadCiphertext, BadKey
from fedcredit.protocols.linear.fixed import centred, multiplied

PLAIN_MODULUS, masks, Limbs = real.PLAIN_MODULUS, real.masks, real.Limbs
SLOTS = 64
KEY = b"stand-in key"
LINEAR = ("rlwe_keys", "scores")
MOMENTS = ("label", "feature")
MODULES = ("ciphertexts", *(f"linear.{name}" for name in LINEAR), *(f"moments.{name}" for name in MOMENTS))


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put this module in the place of the encryption."""
    import rlwe_stand_in

    for module in MODULES:
        monkeypatch.setattr(f"fedcredit.protocols.{module}.rlwe", rlwe_stand_in)
    monkeypatch.setattr("fedcredit.protocols.linear.shape.SLOTS", SLOTS)
    monkeypatch.setattr("fedcredit.protocols.moments.products.rlwe_bunch", rlwe_stand_in)
    monkeypatch.setattr("fedcredit.protocols.moments.shape.SLOTS", SLOTS)


def exact_sums(columns: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Sums over rows of columns times a vector, modulo t."""
    products = columns.astype(object) * vector.astype(object)
    return np.array(products.sum(axis=1) % PLAIN_MODULUS, np.int64)


@dataclass(frozen=True, eq=False)
class Numbers:
    """What travels, whatever it is."""

    numbers: np.ndarray

    @classmethod
    def size(cls, count: int, rows: int = 1) -> int:
        return 8 * count * rows

    def to_bytes(self) -> np.ndarray:
        return np.frombuffer(np.ascontiguousarray(self.numbers).tobytes(), np.uint8)

    @classmethod
    def _read(cls, flat: np.ndarray, *shape: int) -> Self:
        numbers = np.frombuffer(flat.tobytes(), np.int64).reshape(shape)
        if (np.abs(numbers) > PLAIN_MODULUS).any():
            raise BadCiphertext(0, "a number is not below the modulus")
        return cls(numbers)


class Ciphertexts(Numbers):
    @classmethod
    def slots_from_bytes(cls, flat: np.ndarray, key: Any, *, vectors: int, rows: int) -> Self:
        return cls._read(flat, vectors, rows)

    coefficients_from_bytes = slots_from_bytes


class SlotProducts(Numbers):
    @classmethod
    def from_bytes(cls, flat: np.ndarray, key: Any, *, sums: int, rows: int) -> Self:
        return cls._read(flat, sums, rows)


class InnerProducts(Numbers):
    @classmethod
    def from_bytes(cls, flat: np.ndarray, key: Any, *, count: int, rows: int) -> Self:
        return cls._read(flat, count)


class PublicKey:
    @classmethod
    def from_bytes(cls, flat: np.ndarray) -> Self:
        if flat.tobytes() != KEY:
            raise BadKey("it is none")
        return cls()

    def to_bytes(self) -> np.ndarray:
        return np.frombuffer(KEY, np.uint8)

    def slot_products(self, c: Any, plain: np.ndarray, masks: np.ndarray, randomness: Any) -> SlotProducts:
        return SlotProducts(centred(multiplied(c.numbers[None], plain).sum(axis=1) + masks))

    def inner_products(self, c: Any, columns: np.ndarray, masks: np.ndarray, randomness: Any) -> InnerProducts:
        assert columns.ndim == 2
        return InnerProducts(centred(exact_sums(columns, c.numbers[0]) + masks))

    def limb_products(
        self, c: Any, columns: real.Limbs, at: slice, masks: np.ndarray, randomness: Any
    ) -> InnerProducts:
        return InnerProducts(centred(columns.sums(at, c.numbers[0]) + masks))


class SecretKey:
    def __init__(self) -> None:
        self.public = PublicKey()

    @classmethod
    def generate(cls, randomness: Any, *, answers: int = 0) -> Self:
        return cls()

    def encrypt_slots(self, values: np.ndarray, randomness: Any) -> Ciphertexts:
        return Ciphertexts(centred(values))

    encrypt_coefficients = encrypt_slots

    def decrypt_slots(self, c: Any) -> np.ndarray:
        return c.numbers

    decrypt_inner = decrypt_slots


class BunchVectors(Numbers):
    @classmethod
    def from_bytes(cls, flat: np.ndarray, keys: Any, *, vectors: int, rows: int) -> Self:
        return cls._read(flat, vectors, rows)


class BunchProducts(Numbers):
    @classmethod
    def size(cls, vectors: int, columns: int) -> int:
        return 8 * vectors * columns

    @classmethod
    def from_bytes(cls, flat: np.ndarray, keys: Any, *, vectors: int, columns: int, rows: int) -> Self:
        return cls._read(flat, vectors, columns)


class PublicBunch:
    def __init__(self, keys: int) -> None:
        self.keys = keys

    @classmethod
    def size(cls, keys: int) -> int:
        return keys * len(KEY)

    @classmethod
    def from_bytes(cls, flat: np.ndarray, *, keys: int) -> Self:
        if flat.tobytes() != keys * KEY:
            raise BadKey("it is none")
        return cls(keys)

    def to_bytes(self) -> np.ndarray:
        return np.frombuffer(self.keys * KEY, np.uint8)

    def products(self, c: Any, columns: np.ndarray, masks: np.ndarray, randomness: Any) -> BunchProducts:
        return BunchProducts(centred(np.stack([exact_sums(columns, vector) for vector in c.numbers]) + masks))


class SecretBunch:
    def __init__(self, keys: int, answers: int) -> None:
        self.public, self.answers = PublicBunch(keys), answers

    @classmethod
    def generate(cls, randomness: Any, keys: int, *, answers: int) -> Self:
        return cls(keys, answers)

    def encrypt(self, values: np.ndarray, randomness: Any) -> BunchVectors:
        assert len(values) <= self.public.keys
        return BunchVectors(centred(values))

    def decrypt(self, c: Any) -> np.ndarray:
        self.answers -= c.numbers.size
        assert self.answers >= 0
        return c.numbers
