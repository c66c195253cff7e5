"""The slow twin of `kernels.lookup`: the definitions, on integers and the points of `reference_group`. For tests only.

One row at a time, not constant time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedcredit.kernels import digest
from fedcredit.kernels.reference_group import L, Point, decode, encode, generator

__all__ = ["answer", "choose", "read"]

_OUTSIDE = 255


def choose(base: Point, side: int, scalars: Sequence[int], index: int) -> bytes:
    """k G - d C of both digits."""
    digits = divmod(index, side)
    points = (generator() * k + -(base * d) for k, d in zip(scalars, digits, strict=True))
    return b"".join(map(encode, points))


def answer(
    base: Point, secret: int, key: bytes, row: int, side: int, edges: Sequence[int], last: int, sent: bytes, offset: int
) -> bytes:
    """Every cell under both of its pads."""
    pads = [
        [_pad(key, (decode(sent[32 * d : 32 * d + 32]) + base * i) * secret, row, d, i, side) for i in range(side)]
        for d in range(2)
    ]
    cells = bytearray()
    for index in range(side * side):
        line, column = divmod(index, side)
        value = (index + offset) % (side * side)
        cell = _OUTSIDE if value > last else sum(value >= edge for edge in edges)
        cells.append(cell ^ pads[0][line][column] ^ pads[1][column][line])
    return bytes(cells)


def read(point: Point, key: bytes, row: int, side: int, scalars: Sequence[int], index: int, table: bytes) -> int:
    """The cell of an index."""
    line, column = divmod(index, side)
    own = enumerate(zip(scalars, (line, column), strict=True))
    first, second = (_pad(key, point * (k % L), row, d, i, side) for d, (k, i) in own)
    return table[index] ^ first[column] ^ second[line]


def _pad(key: bytes, point: Point, row: int, digit: int, i: int, length: int) -> bytes:
    hashed = encode(point) + row.to_bytes(8, "little") + bytes([digit, i])
    return digest.keyed(key, np.frombuffer(hashed, np.uint8)[None], length).tobytes()
