"""The slow twin of `kernels.okvs`: which slots a key reads, and their XOR. For tests only.

It needs no twin of the encoder: a vector is an encoding exactly when every key reads its value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import xor

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fedcredit.kernels import digest

__all__ = ["DENSE_SLOTS", "Layout", "decode", "layout", "row", "slots"]

DENSE_SLOTS = 48


@dataclass(frozen=True, slots=True)
class Layout:
    """How many clusters a store has, how many slots each third of a cluster, and how many keys a cluster takes."""

    clusters: int
    third: int
    capacity: int


def layout(n: int) -> Layout:
    """The layout of a store of `n` pairs."""
    clusters = max(1, (n + 2**13) // 2**14)
    mean = -(-n // clusters)
    capacity = n
    if clusters > 1:
        exponent = math.ceil(Fraction(7, 10) * (42 + math.ceil(math.log2(clusters))))
        part = math.ceil(Fraction(exponent, 3))
        capacity = min(n, mean + part + math.isqrt(part**2 + 2 * exponent * mean) + 1)
    third = max(math.ceil(Fraction(123 * mean, 300)), math.ceil(Fraction(113 * capacity, 300)))
    return Layout(clusters, third, capacity)


def slots(n: int) -> int:
    """Slots of the store of `n` pairs."""
    shape = layout(n)
    return shape.clusters * (3 * shape.third + DENSE_SLOTS)


def row(key: bytes, n: int, seed: bytes) -> list[int]:
    """The slots that `key` reads in a store of `n` pairs, in ascending order."""
    shape = layout(n)
    # One block is no mode of operation: this is the permutation itself.
    cipher = Cipher(algorithms.AES128(digest.derive("fedcredit v1 okvs places", seed, 16)), modes.ECB()).encryptor()  # noqa: S305
    block = int.from_bytes(cipher.update(key), "little")
    fraction, mask = Fraction(block % 2**64, 2**64), block >> 64
    digits = []
    for base in (shape.clusters, shape.third, shape.third, shape.third):
        digits.append(math.floor(fraction * base))
        fraction = fraction * base % 1
    start = digits[0] * (3 * shape.third + DENSE_SLOTS)
    sparse = [start + i * shape.third + place for i, place in enumerate(digits[1:])]
    return sparse + [start + 3 * shape.third + bit for bit in range(DENSE_SLOTS) if mask >> bit & 1]


def decode(store: npt.NDArray[np.uint8], n: int, key: bytes, seed: bytes) -> bytes:
    """The value that `key` reads in `store`, which holds `n` pairs."""
    return reduce(xor, (int.from_bytes(store[slot].tobytes(), "little") for slot in row(key, n, seed))).to_bytes(
        16, "little"
    )
