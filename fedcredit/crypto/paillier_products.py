"""Sums of products with encrypted numbers modulo t, under Paillier: what `crypto.rlwe` gives, with ciphertexts of rows.

Numbers are whole ones modulo t = `rlwe.PLAIN_MODULUS`, and answers are exact modulo t, as under ring-LWE. A plaintext
adds whole numbers, so the party that computes adds a pad to each answer: its mask modulo t, and a multiple of t that is
2^64 times larger than the largest answer. So the key's owner reads the answer plus the mask modulo t and nothing else,
but for 2^-64 an answer. Ciphertexts that leave are blinded by x^n: nothing shows how they were made.

    sums       Enc(v[i]) of each row, the slots of several vectors in one; inner products with columns of whole numbers:
               rows by the digits of a column (a product of ciphertexts a row and digit), then weighed digit by digit
    weighing   Enc(v[i]) of each row; its products with several numbers of that row, several to a ciphertext: a power
               whose exponent has them in slots
    matching   Enc of 52 numbers a row as polynomials of w coefficients; the inner product with 52 others is the middle
               coefficient of products of polynomials, a power each; all coefficients are padded

Reveals: to who has no key, the number of ciphertexts; to the owner, answers under masks.
Assumes: what `crypto.paillier` assumes; semi-honest parties.
Shapes: n rows; ciphertexts (any, 2 width) uint8; numbers int64.
Range: every layout states the largest answer and has room for it and its pad, or cannot be made (ValueError).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.paillier import Ciphertexts, PublicKey
from fedcredit.crypto.paillier_layouts import Matching, Slots, merge
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe import PLAIN_MODULUS

__all__ = ["match", "sum_columns", "weigh_rows"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]

_T: Final = PLAIN_MODULUS

LEVELS: Final = 256
"""Values of a column that are summed apart: its own, if it has no more, or a digit's."""
PARTS_AT_ONCE: Final = 32
"""Digits of columns that are summed at a time: a kernel holds several running products of each value."""


def match(layout: Matching, c: Ciphertexts, values: I64, masks: I64, randomness: Randomness) -> U8:
    """Fresh answers: of each row the inner product of what `Matching.pack` packed with `values`, plus its mask.

    The owner has to take `Matching.excess_of_owner` off what it reads.
    Shapes: c of (polynomials rows); values (terms, rows); masks (rows,); returns (answers, 2 width).
    """
    key = layout.key
    products = key.kernel.combined(c.rows, layout.exponents(values), layout.digit_bits, 8 * layout.slot_bytes)
    merged = merge(key, products, layout.merged, 8 * layout.slot_bytes * layout.product)
    pads = layout.pads(np.remainder(masks - layout.excess_of_peer(values), _T), randomness)
    return key.blinded(Ciphertexts(key, merged, fresh=False), pads, randomness).sent()


def weigh_rows(slots: Slots, c: Ciphertexts, values: I64, bits: int, masks: I64, randomness: Randomness) -> U8:
    """Fresh answers: each row's number times each of the row's `values` plus 2^bits, plus its mask.

    The owner has to take 2^bits times its number off what it reads.
    Shapes: c of n rows; values (slots.width, n) in [-2^bits, 2^bits]; masks alike; returns (answers, 2 width).
    """
    if (np.abs(values) > 1 << bits).any():
        raise ValueError(f"weigh_rows: a number is beyond 2^{bits}")
    key, digits = slots.key, np.ascontiguousarray((values + (1 << bits)).T[:, None]).astype(np.uint64)
    pieces = []
    for piece in range(slots.pieces):
        of_piece = np.ascontiguousarray(digits[:, :, slots.places(piece)])
        pieces.append(key.kernel.combined(c.rows, of_piece, -(-(bits + 2) // 4) * 4, 8 * slots.slot_bytes))
    pads = slots.pads(np.ascontiguousarray(masks.T), randomness)
    return key.blinded(Ciphertexts(key, slots.assembled(pieces), fresh=False), pads, randomness).sent()


def sum_columns(slots: Slots, c: Ciphertexts, columns: I64, masks: I64, randomness: Randomness) -> U8:
    """Fresh answers: inner products of what `Slots.pack` packed with each of `columns`, plus masks.

    Which addresses are touched depends on the columns: they are to be the caller's own.
    Shapes: c of (pieces n); columns (f, n); masks (f, slots.width); returns (answers, 2 width).
    """
    key, n = slots.key, columns.shape[1]
    pieces = [_weighed(key, c.rows[piece * n : (piece + 1) * n], columns) for piece in range(slots.pieces)]
    pads = slots.pads(masks, randomness)
    return key.blinded(Ciphertexts(key, slots.assembled(pieces), fresh=False), pads, randomness).sent()


def _weighed(key: PublicKey, rows: U8, columns: I64) -> U8:
    """Of each column the product of rows to the power of its numbers: (f, 2 width)."""
    one = np.zeros((1, rows.shape[1]), np.uint8)
    one[0, -1] = 1
    total = key.kernel.sums(rows, np.zeros((len(rows), 1), np.uint32), 1)[0]
    both = np.concatenate([total, key.negated(Ciphertexts(key, total, fresh=False)).rows])
    lowest = columns.min(axis=1)
    digits = [_digits_of(column - low) for column, low in zip(columns, lowest, strict=True)]
    parts = [(f, place, codes, weights) for f, found in enumerate(digits) for place, (codes, weights) in found]
    answers = [one[0]] * len(columns)
    for first in range(0, len(parts), PARTS_AT_ONCE):
        some = parts[first : first + PARTS_AT_ONCE]
        levels = max(weights.size for *_, weights in some)
        groups = key.kernel.sums(rows, np.stack([codes for _, _, codes, _ in some], axis=1), levels)
        exponents = np.zeros((len(some), levels, 1), np.uint64)
        for at, (*_, weights) in enumerate(some):
            exponents[at, : weights.size, 0] = weights
        bits = -(-int(exponents.max(initial=1)).bit_length() // 4) * 4
        raised = key.kernel.combined(groups.reshape(-1, rows.shape[1]), exponents, bits, bits)
        for (f, place, *_), row in zip(some, raised, strict=True):
            shifted = key.shifted(Ciphertexts(key, row[None], fresh=False), place).rows if place else row[None]
            answers[f] = key.kernel.add(answers[f][None], shifted)[0]
    # What the lowest number of a column was taken off for, times the sum of all rows.
    offsets = np.zeros((len(columns), 2, 1), np.uint64)
    offsets[:, 0, 0], offsets[:, 1, 0] = np.maximum(lowest, 0), np.maximum(-lowest, 0)
    bits = -(-max(int(offsets.max(initial=1)).bit_length(), 1) // 4) * 4
    back = key.kernel.combined(np.tile(both, (len(columns), 1)), offsets, bits, bits)
    return key.kernel.add(np.stack(answers), back)


def _digits_of(column: I64) -> list[tuple[int, tuple[U32, U64]]]:
    """A column of numbers from 0 on as levels of a few kinds: of each the place in bits, codes, and what each is worth.

    A column of few values, such as one of bins, has one kind; any other one for each eight bits.
    """
    values, codes = np.unique(column, return_inverse=True)
    if values.size <= LEVELS:
        return [(0, (codes.astype(np.uint32), values.astype(np.uint64)))]
    places = range(0, int(values[-1]).bit_length(), 8)
    return [
        (place, ((column >> place & (LEVELS - 1)).astype(np.uint32), np.arange(LEVELS, dtype=np.uint64)))
        for place in places
    ]
