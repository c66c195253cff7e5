"""Several signed numbers in one plaintext of Paillier, such that sums of plaintexts are sums of each of them.

A plaintext is the sum of v_j 2^(j slot_bits) modulo n, with signs: below zero it is n less its size, as `phe` has it. A
slot has room for as many numbers as may be summed, and a bit more, so that what does not fit is seen and not read as
something else. The headroom is a matter of construction: `Packing` cannot be made without it.

Shapes: r rows; numbers (r, slots) int64; plaintexts (r, width), uint8, big-endian.
Range: numbers in [-max_value, max_value]; sums of up to `max_terms` of them, multiplied or not, within
max_value max_terms in size, which is below 2^62; slots slot_bits <= the bits of n less 2, so that sums are below n / 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.paillier import PublicKey
from fedcredit.crypto.paillier_checks import BadCiphertext

__all__ = ["Packing"]

B: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

MAX_SUM_BITS: Final = 62
WORD: Final = 4
"""Bytes of the pieces in which the modulus is added and subtracted."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How numbers lie in a plaintext. `slots=None` takes as many as fit. Raises: ValueError if they do not fit."""

    key: PublicKey
    max_value: int
    """The largest size of one number."""
    max_terms: int
    """How many of them may be summed; for multiples, the sum of the factors' sizes."""
    slots: int = 0
    """How many numbers a plaintext holds; 0 for as many as there is room for."""

    def __post_init__(self) -> None:
        if self.max_value < 1 or self.max_terms < 1 or self.slots < 0:
            raise ValueError("packing: max_value and max_terms are at least 1")
        if self.max_sum.bit_length() > MAX_SUM_BITS:
            raise ValueError(f"packing: sums of {self.max_sum.bit_length()} bits are more than {MAX_SUM_BITS}")
        room = (self.key.n.bit_length() - 2) // self.slot_bits
        if room < max(self.slots, 1):
            raise ValueError(f"packing: {self.slots} slots of {self.slot_bits} bits, where {room} have room")
        if self.slots == 0:
            object.__setattr__(self, "slots", room)

    @property
    def max_sum(self) -> int:
        """The largest size of a sum."""
        return self.max_value * self.max_terms

    @property
    def slot_bits(self) -> int:
        """Bits of a slot: the sum's, its sign, one to see an overflow; whole bytes, at most 64."""
        return -(-(self.max_sum.bit_length() + 2) // 8) * 8

    def pack(self, numbers: I64) -> U8:
        """Plaintexts of rows of numbers. Raises: ValueError for a number that is too large, or another shape."""
        if numbers.dtype != np.int64 or numbers.ndim != 2 or numbers.shape[1] != self.slots:
            raise ValueError(f"numbers: got {numbers.shape} {numbers.dtype}, not (r, {self.slots}) int64")
        if numbers.size and not -self.max_value <= int(numbers.min()) <= int(numbers.max()) <= self.max_value:
            raise ValueError(f"numbers: one is not in [-{self.max_value}, {self.max_value}]")
        rows, slot = len(numbers), self.slot_bits // 8
        plain = np.zeros((rows, self.key.width), np.uint8)
        below = np.zeros(rows, np.int64)
        for place in range(self.slots):
            digit = numbers[:, place] + below
            # The low bits of two's complement, and one less for the slot above where it is negative.
            low = digit.astype(">i8").view(np.uint8).reshape(rows, 8)
            end = self.key.width - place * slot
            plain[:, end - slot : end] = low[:, -slot:]
            below = -(digit < 0).astype(np.int64)
        used = self.slots * slot
        plain[:, : self.key.width - used] = np.where((below < 0)[:, None], np.uint8(0xFF), np.uint8(0))
        return self._plus_modulus(plain, below < 0)

    def unpack(self, plain: U8) -> I64:
        """Rows of sums. Raises: BadCiphertext for one that no sum of such numbers gives; ValueError on shapes."""
        if plain.dtype != np.uint8 or plain.ndim != 2 or plain.shape[1] != self.key.width:
            raise ValueError(f"plaintexts: got {plain.shape} {plain.dtype}, not (r, {self.key.width}) uint8")
        rows, slot, width = len(plain), self.slot_bits // 8, self.key.width
        half = np.array([(self.key.n // 2).to_bytes(width, "big")], f"S{width}")
        plain = np.ascontiguousarray(plain)
        plain = self._plus_modulus(plain, plain.view(f"S{width}").ravel() > half, minus=True)
        numbers = np.zeros((rows, self.slots), np.int64)
        bad, above = np.zeros(rows, np.bool_), np.zeros(rows, np.int64)
        for place in range(self.slots):
            end = width - place * slot
            cell = np.zeros((rows, 8), np.uint8)
            cell[:, -slot:] = plain[:, end - slot : end]
            negative = cell[:, -slot] >= 0x80
            cell[:, :-slot] = np.where(negative[:, None], np.uint8(0xFF), np.uint8(0))
            value = cell.view(">i8").ravel().astype(np.int64)
            bad |= (value > self.max_sum) | (value < -self.max_sum - 1)
            numbers[:, place] = np.where(bad, 0, value) + above
            bad |= np.abs(numbers[:, place]) > self.max_sum
            above = negative.astype(np.int64)
        sign = np.where(above > 0, np.uint8(0xFF), np.uint8(0))
        bad |= (plain[:, : width - self.slots * slot] != sign[:, None]).any(axis=1)
        if bad.any():
            raise BadCiphertext(int(np.argmax(bad)), "a packed number does not fit its slot")
        return numbers

    def _plus_modulus(self, plain: U8, where: B, *, minus: bool = False) -> U8:
        """The rows plus n, or minus it, modulo 2^(8 width), where `where` says so."""
        width = -(-self.key.width // WORD) * WORD
        modulus = np.frombuffer(self.key.n.to_bytes(width, "big"), ">u4").astype(np.int64)
        padded = np.zeros((len(plain), width), np.uint8)
        padded[:, width - self.key.width :] = plain
        words = padded.view(">u4").astype(np.int64)
        carry = np.zeros(len(plain), np.int64)
        chosen = where.astype(np.int64) * (-1 if minus else 1)
        for place in reversed(range(len(modulus))):
            total = words[:, place] + chosen * modulus[place] + carry
            words[:, place] = total & 0xFFFFFFFF
            carry = total >> 32
        out: U8 = words.astype(">u4").view(np.uint8).reshape(len(plain), width)
        return np.ascontiguousarray(out[:, width - self.key.width :])
