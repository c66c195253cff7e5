"""How numbers modulo t lie in plaintexts of Paillier, with room for products, sums and pads: `paillier_products`.

Reveals: nothing by itself; a pad hides all of an answer but its sum with a mask modulo t, but for 2^-64.
Assumes: nothing.
Range: every layout states the largest answer and has room for it and its pad, or cannot be made (ValueError).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.paillier import PublicKey
from fedcredit.crypto.paillier_checks import BadCiphertext
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe import PLAIN_MODULUS

__all__ = ["HIDING_BITS", "Matching", "Slots", "merge"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

HIDING_BITS: Final = 64
_T: Final = PLAIN_MODULUS
_T_BITS: Final = PLAIN_MODULUS.bit_length()
_WORD: Final = 8

MAX_VALUE_BITS: Final = 62
"""Of matched numbers, so that what is taken off an answer is a word."""

_ENCRYPT: Final = 240
"""Products that take as long as an encryption and its journey over a fast line; of the choice of a layout."""
_BLIND: Final = 5200
"""The same of blinding and decrypting an answer."""


@dataclass(frozen=True, slots=True)
class Slots:
    """How answers lie in plaintexts: `width` numbers of an item, several items to a ciphertext where they have room.

    An answer is below 2^value_bits in size. Raises: ValueError where not one has room.
    """

    key: PublicKey
    width: int
    value_bits: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.value_bits < 1 or self.slots < 1:
            raise ValueError(f"slots: {self.width} numbers of {self.value_bits} bits have no room below the modulus")

    @property
    def slot_bytes(self) -> int:
        """Bytes of a slot: an answer, its pad, and a bit to see an overflow."""
        return -(-(self.value_bits + HIDING_BITS + 4) // 8)

    @property
    def slots(self) -> int:
        """Slots of a plaintext."""
        return (self.key.n.bit_length() - 2) // (8 * self.slot_bytes)

    @property
    def pieces(self) -> int:
        """Ciphertexts that an item's numbers take."""
        return -(-self.width // self.slots)

    @property
    def rest(self) -> int:
        """Numbers in the last of them."""
        return self.width - (self.pieces - 1) * self.slots

    @property
    def merged(self) -> int:
        """Items whose last ciphertexts become one."""
        return self.slots // self.rest

    def places(self, piece: int) -> slice:
        """The numbers of an item in ciphertext number `piece`."""
        return slice(piece * self.slots, min((piece + 1) * self.slots, self.width))

    def answers(self, items: int) -> int:
        """Ciphertexts that so many items travel in."""
        return (self.pieces - 1) * items + -(-items // self.merged)

    def pack(self, numbers: I64) -> U8:
        """Plaintexts of an item's numbers modulo t, to be summed: all first pieces, then all second ones and so on.

        Shapes: numbers (items, width); returns (pieces items, key width).
        """
        items = len(numbers)
        plain = np.zeros((self.pieces, items, self.key.width), np.uint8)
        for piece in range(self.pieces):
            words = np.remainder(numbers[:, self.places(piece)], _T)
            _lay(plain[piece], _spread(words, self.slot_bytes))
        return plain.reshape(-1, self.key.width)

    def pads(self, masks: I64, randomness: Randomness) -> U8:
        """Plaintexts that make answers uniform numbers but for their sum with `masks`. Shapes: masks (items, width)."""
        items = len(masks)
        padded = _pads(masks, self.value_bits, self.slot_bytes, randomness)
        plain = np.zeros((self.answers(items), self.key.width), np.uint8)
        full = (self.pieces - 1) * items
        for piece in range(self.pieces - 1):
            _lay(plain[piece * items : (piece + 1) * items], padded[:, self.places(piece)])
        last = np.zeros((-(-items // self.merged) * self.merged, self.rest, self.slot_bytes), np.uint8)
        last[:items] = padded[:, self.places(self.pieces - 1)]
        _lay(plain[full:], last.reshape(-1, self.merged * self.rest, self.slot_bytes))
        return plain

    def read(self, plain: U8, items: int) -> I64:
        """Answers modulo t: (items, width). Raises: BadCiphertext for a plaintext that no answer gives."""
        found = np.empty((items, self.width), np.int64)
        full = (self.pieces - 1) * items
        for piece in range(self.pieces - 1):
            part = plain[piece * items : (piece + 1) * items]
            found[:, self.places(piece)] = _residues(part, self.slots, self.slot_bytes)
        last = _residues(plain[full:], self.merged * self.rest, self.slot_bytes)
        found[:, self.places(self.pieces - 1)] = last.reshape(-1, self.rest)[:items]
        return found

    def assembled(self, pieces: Sequence[U8]) -> U8:
        """Answers as they travel: of the last piece several items in one. Shapes: pieces (items, 2 width)."""
        last = merge(self.key, pieces[-1], self.merged, 8 * self.slot_bytes * self.rest)
        return np.concatenate([*pieces[:-1], last])


@dataclass(frozen=True, slots=True)
class Matching:
    """How `terms` numbers of a row lie in polynomials, so that one coefficient of a product is their inner product.

    Factors are in [-2^first_bits, 2^first_bits] at the key's owner, in [-2^second_bits, 2^second_bits] at who computes.
    Raises: ValueError where they have no room.
    """

    key: PublicKey
    terms: int
    first_bits: int
    second_bits: int
    coefficients: int = field(init=False)
    """Of a polynomial; chosen so that all of it takes least time."""

    def __post_init__(self) -> None:
        if self.terms < 1 or min(self.first_bits, self.second_bits) < 0 or self.value_bits > MAX_VALUE_BITS:
            raise ValueError(f"matching: {self.terms} numbers of {self.first_bits} and {self.second_bits} bits")
        room = (self.key.n.bit_length() - 2) // (8 * self.slot_bytes)
        fits = range(1, min((room + 1) // 2, self.terms) + 1)
        if not fits:
            raise ValueError(f"matching: a slot of {self.slot_bytes} bytes has no room below the modulus")
        object.__setattr__(self, "coefficients", min(fits, key=self._work))

    def _work(self, w: int) -> float:
        polynomials, slot = -(-self.terms // w), 8 * self.slot_bytes
        merged = (self.key.n.bit_length() - 2) // (slot * (2 * w - 1))
        digits = self.digit_bits // 4
        shifted = slot * (2 * w - 1) * 1.3 if merged > 1 else 0
        return polynomials * (_ENCRYPT + 14 + w * digits) + w * slot + shifted + _BLIND / merged

    @property
    def value_bits(self) -> int:
        """Of the largest coefficient of a product of polynomials, both made at least 0."""
        return self.first_bits + self.second_bits + 2 + self.terms.bit_length()

    @property
    def slot_bytes(self) -> int:
        """Bytes of a coefficient: an answer, its pad, and a bit to see an overflow."""
        return -(-(self.value_bits + HIDING_BITS + 4) // 8)

    @property
    def digit_bits(self) -> int:
        """Of a factor in an exponent, a multiple of four."""
        return -(-(self.second_bits + 2) // 4) * 4

    @property
    def polynomials(self) -> int:
        """Ciphertexts of a row."""
        return -(-self.terms // self.coefficients)

    @property
    def product(self) -> int:
        """Coefficients of a product of two polynomials."""
        return 2 * self.coefficients - 1

    @property
    def merged(self) -> int:
        """Rows whose answers become one ciphertext."""
        return (self.key.n.bit_length() - 2) // (8 * self.slot_bytes * self.product)

    def answers(self, rows: int) -> int:
        """Ciphertexts that the answers of so many rows travel in."""
        return -(-rows // self.merged)

    def pack(self, values: I64) -> U8:
        """Plaintexts of the owner's factors: (polynomials rows, key width), a row's one after the other.

        Shapes: values (terms, rows). Raises: ValueError for a factor that is out of range.
        """
        words = self._digits(values, self.first_bits)
        plain = np.zeros((words.shape[0] * self.polynomials, self.key.width), np.uint8)
        _lay(plain, _spread(words.reshape(-1, self.coefficients).astype(np.int64), self.slot_bytes))
        return plain

    def exponents(self, values: I64) -> U64:
        """Digits of the exponents that multiply them: (rows, polynomials, coefficients). Shapes, Raises: as `pack`."""
        return np.ascontiguousarray(self._digits(values, self.second_bits)[:, :, ::-1])

    def pads(self, masks: I64, randomness: Randomness) -> U8:
        """Plaintexts that make all coefficients uniform numbers, but for the middle one's sum with `masks` (rows,)."""
        count = self.answers(len(masks))
        slots = randomness.array(count * self.merged, self.product, self.slot_bytes)
        # Two bits stay free: with a coefficient of the product there is at most one bit more.
        slots[:, :, 0] &= np.uint8(0x3F)
        middle = _pads(masks[:, None], self.value_bits, self.slot_bytes, randomness)
        slots[: len(masks), self.coefficients - 1] = middle[:, 0]
        plain = np.zeros((count, self.key.width), np.uint8)
        _lay(plain, slots.reshape(count, self.merged * self.product, self.slot_bytes))
        return plain

    def read(self, plain: U8, rows: int) -> I64:
        """Middle coefficients modulo t: (rows,). Raises: BadCiphertext for a plaintext that no answer gives."""
        found = _residues(plain, self.merged * self.product, self.slot_bytes)
        return found.reshape(-1, self.product)[:rows, self.coefficients - 1]

    def excess_of_owner(self, values: I64) -> I64:
        """What an answer has too much that follows from the owner's factors: (rows,). Shapes: values (terms, rows)."""
        both = self.terms << (self.first_bits + self.second_bits)
        found: I64 = np.remainder(np.remainder(values.sum(axis=0) << self.second_bits, _T) + both % _T, _T)
        return found

    def excess_of_peer(self, values: I64) -> I64:
        """The same of the other's factors."""
        found: I64 = np.remainder(values.sum(axis=0) << self.first_bits, _T)
        return found

    def _digits(self, values: I64, bits: int) -> U64:
        """Factors made at least 0, by polynomial: (rows, polynomials, coefficients); zeros where there is no factor."""
        terms, rows = values.shape
        if terms != self.terms or (np.abs(values) > 1 << bits).any():
            raise ValueError(f"matching: {terms} factors of {self.terms}, or one beyond 2^{bits}")
        padded = np.zeros((self.polynomials * self.coefficients, rows), np.uint64)
        padded[:terms] = (values + (1 << bits)).astype(np.uint64)
        return padded.T.reshape(rows, self.polynomials, self.coefficients)


def merge(key: PublicKey, rows: U8, merged: int, bits: int) -> U8:
    """One ciphertext for every `merged` rows, the first in the lowest bits."""
    if merged == 1 or not len(rows):
        return rows
    groups = -(-len(rows) // merged)
    padded = np.zeros((groups * merged, rows.shape[1]), np.uint8)
    padded[len(rows) :, -1] = 1
    padded[: len(rows)] = rows
    digits = np.broadcast_to(np.eye(merged, dtype=np.uint64), (groups, merged, merged))
    return key.kernel.combined(padded, np.ascontiguousarray(digits), 4, bits)


def _pads(masks: I64, value_bits: int, slot_bytes: int, randomness: Randomness) -> U8:
    """Slots of masks plus random multiples of t: (items, width, slot_bytes).

    They are at least 2^value_bits, so that an answer below zero stays in its slot, and below 2^(value_bits + 67).
    """
    least, bits = (1 << value_bits) // _T + 1, value_bits + HIDING_BITS + 2 - _T_BITS
    width = -(-bits // 8)
    drawn, flat = randomness.array(masks.size, width).tobytes(), np.remainder(masks, _T).ravel().tolist()
    keep = (1 << bits) - 1
    out = bytearray()
    for at, mask in enumerate(flat):
        multiple = int.from_bytes(drawn[at * width : (at + 1) * width], "big") & keep
        out += (mask + _T * (multiple + least)).to_bytes(slot_bytes, "big")
    return np.frombuffer(bytes(out), np.uint8).reshape(*masks.shape, slot_bytes)


def _spread(words: I64, slot_bytes: int) -> U8:
    """Numbers from 0 on in slots: (..., slot_bytes), big-endian."""
    slots = np.zeros((*words.shape, slot_bytes), np.uint8)
    slots[..., -_WORD:] = np.ascontiguousarray(words).astype(">u8").view(np.uint8).reshape(*words.shape, _WORD)
    return slots


def _lay(plain: U8, slots: U8) -> None:
    """Put slots into plaintexts of zeros, the first in the lowest bytes. Shapes: slots (rows, count, slot_bytes)."""
    rows, count, size = slots.shape
    plain[:, plain.shape[1] - count * size :] = slots[:, ::-1].reshape(rows, -1)


def _residues(plain: U8, count: int, slot_bytes: int) -> I64:
    """The lowest `count` slots modulo t: (rows, count). Raises: BadCiphertext."""
    used = count * slot_bytes
    above, slots = plain[:, : plain.shape[1] - used], plain[:, plain.shape[1] - used :]
    slots = slots.reshape(len(plain), count, slot_bytes)[:, ::-1]
    if (bad := above.any(axis=1) | (slots[:, :, 0] >= 0x80).any(axis=1)).any():
        raise BadCiphertext(int(np.argmax(bad)), "a packed number does not fit its slot")
    found = np.zeros(slots.shape[:2], np.int64)
    for byte in range(slot_bytes):
        found = np.remainder((found << 8) | slots[:, :, byte], _T)
    return found
