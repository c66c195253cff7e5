"""The slow twin of `kernels.okvs`: which slots a key reads, and their XOR. For tests only.

It needs no twin of the encoder: a vector is an encoding exactly when every key reads its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import xor

import numpy as np
import numpy.typing as npt

from fedcredit.kernels import digest

__all__ = ["DENSE_SLOTS", "Row", "decode", "row", "slots"]

DENSE_SLOTS = 64


@dataclass(frozen=True, slots=True)
class Row:
    """The slots one key reads: one in each third of the sparse part, and those of the dense part set in `dense`."""

    sparse: tuple[int, int, int]
    dense: int


def slots(n: int) -> int:
    """Slots of the store of `n` pairs."""
    return 3 * _third(n) + DENSE_SLOTS


def row(key: bytes, n: int, seed: bytes) -> Row:
    """The slots `key` reads in a store of `n` pairs."""
    hashed = digest.keyed(seed, np.frombuffer(key, np.uint8)[None, :], 32).tobytes()
    words = [int.from_bytes(hashed[8 * i : 8 * i + 8], "little") for i in range(4)]
    third = _third(n)
    first, second, last = (i * third + (words[i] * third >> 64) for i in range(3))
    return Row((first, second, last), words[3])


def decode(store: npt.NDArray[np.uint8], n: int, key: bytes, seed: bytes) -> bytes:
    """The value that `key` reads in `store`, which holds `n` pairs."""
    reads = row(key, n, seed)
    dense = [3 * _third(n) + bit for bit in range(DENSE_SLOTS) if reads.dense >> bit & 1]
    values = [int.from_bytes(store[slot].tobytes(), "little") for slot in (*reads.sparse, *dense)]
    return reduce(xor, values).to_bytes(16, "little")


def _third(n: int) -> int:
    sparse = -(-13 * n // 10) + 512
    return -(-sparse // 3)
