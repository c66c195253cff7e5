"""The expand-convolute code as a code: small ones, written out, have the distance that the noise is chosen for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedcredit.kernels import digest, vole
from fedcredit.kernels.vole import Piece

DISTANCE = 0.15
"""What the authors' own library (libOTe) takes for weight 7 and state 24."""


def generator(seed: str, m: int) -> Any:
    """The generator matrix (m, 2 m), packed by rows: what the code makes of each unit vector, 128 of them at once."""
    piece = Piece(digest.blake3(seed.encode()), m, 64, 2)
    assert piece.cells == 2 * m
    matrix = np.empty((m, 2 * m), np.uint8)
    for start in range(0, 2 * m, 128):
        cells = np.zeros((2 * m, 2), np.uint64)
        for i in range(128):
            cells[start + i, i // 64] = np.uint64(1) << np.uint64(i % 64)
        out = np.empty((m, 16), np.uint8)
        vole.sender_share(piece, cells, out)
        matrix[:, start : start + 128] = np.unpackbits(out, axis=1, bitorder="little")
    return np.packbits(matrix, axis=1, bitorder="little").view(np.uint64)


def systematic(rows: Any) -> Any:
    """Rows of the same code with an identity on as many columns as it has rows; fewer rows if its rank is less."""
    rows, rank = rows.copy(), 0
    for column in range(64 * rows.shape[1]):
        bit = rows[:, column // 64] >> np.uint64(column % 64) & np.uint64(1)
        below = np.flatnonzero(bit[rank:])
        if below.size:
            pivot = rank + below[0]
            rows[[rank, pivot]], bit[[rank, pivot]] = rows[[pivot, rank]], bit[[pivot, rank]]
            bit[rank] = 0
            rows[bit.astype(bool)] ^= rows[rank]
            rank += 1
    return rows[:rank]


def lightest(rows: Any) -> int:
    """The least weight of one row or of the sum of two."""
    one = int(np.bitwise_count(rows).sum(axis=1).min())
    return min(
        [one, *(int(np.bitwise_count(rows[i + 1 :] ^ row).sum(axis=1).min()) for i, row in enumerate(rows[:-1]))]
    )


@pytest.mark.parametrize("seed", ["one", "two", "three"])
def test_no_light_words_lie_on_the_surface(seed: str) -> None:
    """Of the rows themselves, and of those that elimination finds, as an attacker would begin."""
    m = 512
    rows = generator(seed, m)
    assert lightest(rows) >= DISTANCE * 2 * m
    reduced = systematic(rows)
    assert len(reduced) == m
    assert lightest(reduced) >= DISTANCE * 2 * m
