"""The slow twin of `kernels/paillier.py`: the formulas of the paper on Python's integers. An oracle for tests.

Not constant time; never for keys that matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

__all__ = ["combined", "decrypt", "encrypt", "from_rows", "randomise", "sums", "to_rows"]

import numpy as np
import numpy.typing as npt


def encrypt(n: int, m: int, base: int, r: int) -> int:
    """(1 + m n) base^r modulo n^2."""
    return (1 + m * n) * pow(base, r, n * n) % (n * n)


def randomise(n: int, c: int, base: int, r: int) -> int:
    """c base^r modulo n^2."""
    return c * pow(base, r, n * n) % (n * n)


def decrypt(p: int, q: int, c: int) -> int:
    """L(c^lambda) / L(g^lambda) modulo n with lambda = lcm(p - 1, q - 1), g = n + 1 and L(u) = (u - 1) / n."""
    n, order = p * q, lcm(p - 1, q - 1)
    return (pow(c, order, n * n) - 1) // n * pow(order, -1, n) % n


def combined(
    n: int, c: Sequence[Sequence[int]], digits: Sequence[Sequence[Sequence[int]]], slot_bits: int
) -> list[int]:
    """Of each row the product of its ciphertexts to the powers that their digits make, modulo n^2."""
    out = []
    for bases, of_bases in zip(c, digits, strict=True):
        total = 1
        for base, places in zip(bases, of_bases, strict=True):
            power = sum(digit << (slot_bits * j) for j, digit in enumerate(places))
            total = total * pow(base, power, n * n) % (n * n)
        out.append(total)
    return out


def sums(n: int, c: Sequence[int], groups: Sequence[Sequence[int]], n_groups: int) -> list[list[int]]:
    """The product of each group's rows modulo n^2, for each column of `groups`."""
    columns = len(groups[0]) if groups else 0
    totals = [[1] * n_groups for _ in range(columns)]
    for number, row in zip(c, groups, strict=True):
        for column, group in enumerate(row):
            totals[column][group] = totals[column][group] * number % (n * n)
    return totals


def to_rows(numbers: Sequence[int], width: int) -> npt.NDArray[np.uint8]:
    """Numbers as big-endian rows of `width` bytes. Raises: OverflowError for what does not fit."""
    flat = b"".join(number.to_bytes(width, "big") for number in numbers)
    return np.frombuffer(flat, np.uint8).reshape(len(numbers), width)


def from_rows(rows: npt.NDArray[np.uint8]) -> list[int]:
    """The way back."""
    return [int.from_bytes(row.tobytes(), "big") for row in rows]
