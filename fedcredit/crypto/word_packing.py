"""Several words of 64 bits in one plaintext of Paillier, whose sums come out modulo 2^64 and tell nothing else.

A plaintext adds whole numbers, not words: a sum of words carries into the bits above, and how often it carried tells
more than the sum modulo 2^64 does. So who adds, pads: a random multiple of 2^64 that is 2^64 times larger than any
carry, and where the sum is to stay shared also a random word. A slot has room for the sum and the pad, and one bit
more, so that a sum that does not fit is seen and not read as something else.

Shapes: r rows; words (r, K) uint64, K at most `slots`; plaintexts (r, width), uint8, big-endian.
Range: sums of up to `max_terms` words; all slots together are below n / 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.paillier import PublicKey
from fedcredit.crypto.paillier_checks import BadCiphertext
from fedcredit.crypto.randomness import Randomness

__all__ = ["HIDING_BITS", "WordPacking"]

U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

WORD_BYTES: Final = 8
HIDING_BITS: Final = 64
"""A pad shows a carry with a probability of 2^-64 at most: over 2^24 sums of a job that is 2^-40."""


@dataclass(frozen=True, slots=True)
class WordPacking:
    """How words lie in a plaintext of `key`. Raises: ValueError where not one has room."""

    key: PublicKey
    max_terms: int
    """How many words may be summed."""

    def __post_init__(self) -> None:
        if self.max_terms < 1:
            raise ValueError("word packing: max_terms is at least 1")
        if self.slots < 1:
            raise ValueError(f"word packing: a slot of {self.slot_bytes} bytes has no room below the modulus")

    @property
    def slot_bytes(self) -> int:
        """Bytes of a slot: word, carries, what hides them, the carry of that, one bit to see an overflow."""
        return -(-(8 * WORD_BYTES + self._carry_bits + HIDING_BITS + 2) // 8)

    @property
    def slots(self) -> int:
        """How many words a plaintext holds."""
        return (self.key.n.bit_length() - 2) // (8 * self.slot_bytes)

    @property
    def _carry_bits(self) -> int:
        return (self.max_terms - 1).bit_length()

    def pack(self, words: U64) -> U8:
        """Plaintexts of rows of words, the first in the lowest slot. Raises: ValueError on shapes."""
        self._fits(words)
        slots = np.zeros((len(words), words.shape[1], self.slot_bytes), np.uint8)
        slots[:, :, -WORD_BYTES:] = _bytes(words)
        return self._laid(slots)

    def pads(self, words: U64, randomness: Randomness) -> U8:
        """Plaintexts to add to sums: each slot becomes the sum plus its word modulo 2^64, and nothing else shows.

        With words of zero the sums can be read; with random ones they are shared.
        """
        self._fits(words)
        slots = randomness.array(len(words), words.shape[1], self.slot_bytes)
        # Two bits stay free: with the sum a slot then has at most one bit more.
        slots[:, :, 0] &= np.uint8(0x3F)
        slots[:, :, -WORD_BYTES:] = _bytes(words)
        return self._laid(slots)

    def unpack(self, plain: U8, n_words: int) -> U64:
        """The lowest `n_words` slots modulo 2^64: (r, n_words).

        Raises: BadCiphertext for a plaintext that no sum and pad gives; ValueError on shapes.
        """
        if plain.dtype != np.uint8 or plain.ndim != 2 or plain.shape[1] != self.key.width:
            raise ValueError(f"plaintexts: got {plain.shape} {plain.dtype}, not (r, {self.key.width}) uint8")
        if not 1 <= n_words <= self.slots:
            raise ValueError(f"plaintexts: {n_words} words are not in [1, {self.slots}]")
        used = n_words * self.slot_bytes
        above, slots = plain[:, : self.key.width - used], plain[:, self.key.width - used :]
        slots = slots.reshape(len(plain), n_words, self.slot_bytes)[:, ::-1]
        if (bad := above.any(axis=1) | (slots[:, :, 0] >= 0x80).any(axis=1)).any():
            raise BadCiphertext(int(np.argmax(bad)), "a packed word does not fit its slot")
        words = np.ascontiguousarray(slots[:, :, -WORD_BYTES:]).view(">u8")
        return words.reshape(len(plain), n_words).astype(np.uint64)

    def _laid(self, slots: U8) -> U8:
        rows, n_words, _ = slots.shape
        plain = np.zeros((rows, self.key.width), np.uint8)
        plain[:, self.key.width - n_words * self.slot_bytes :] = slots[:, ::-1].reshape(rows, -1)
        return plain

    def _fits(self, words: U64) -> None:
        if words.dtype != np.uint64 or words.ndim != 2 or not 1 <= words.shape[1] <= self.slots:
            raise ValueError(f"words: got {words.shape} {words.dtype}, not (r, 1 to {self.slots}) uint64")


def _bytes(words: U64) -> U8:
    return np.ascontiguousarray(words).astype(">u8").view(np.uint8).reshape(*words.shape, WORD_BYTES)
