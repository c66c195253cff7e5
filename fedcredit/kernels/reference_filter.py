"""The slow twin of `kernels.filter`: the code of a set, bit by bit, as the papers have it. For tests only."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["decode", "encode"]


def encode(values: Sequence[int], bits: int) -> bytes:
    """The code of `values`, numbers below 2^bits."""
    n, low = len(values), _low_bits(len(values), bits)
    upper = lower = 0
    for index, value in enumerate(sorted(values)):
        upper |= 1 << ((value >> low) + index)
        lower |= (value & ((1 << low) - 1)) << (index * low)
    return _words(upper, n + (1 << (bits - low)) - 1) + _words(lower, n * low)


def decode(data: bytes, n: int, bits: int) -> list[int]:
    """The numbers in `data`, in order."""
    low = _low_bits(n, bits)
    edge = -(-(n + (1 << (bits - low)) - 1) // 64) * 8
    upper, lower = int.from_bytes(data[:edge], "little"), int.from_bytes(data[edge:], "little")
    places = [place for place in range(8 * edge) if upper >> place & 1]
    return [
        (place - index) << low | lower >> (index * low) & ((1 << low) - 1) for index, place in enumerate(places[:n])
    ]


def _low_bits(n: int, bits: int) -> int:
    return bits - min(bits, math.ceil(math.log2(max(1, n))))


def _words(number: int, bits: int) -> bytes:
    return number.to_bytes(-(-bits // 64) * 8, "little")
