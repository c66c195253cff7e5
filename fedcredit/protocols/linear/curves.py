"""A curve of log-odds that two parties share, row by row, as new shares: see `credit.fourier`.

    A -> H   Encrypted    for each block of rows, the 2 K factors that follow from A's shares, times its weights
    H -> A   Encrypted    the sum of products with the factors that follow from H's shares, under a mask a row
    A        decrypts: its share. H's share is the mask, turned round.

Reveals: to A, uniform numbers; to H, nothing. Assumes: semi-honest parties; ring learning with errors.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.fourier import FACTORS, Curve, constant, factors, partner_factors
from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_checks import BadCiphertext
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import receive_bytes, send_bytes
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear.fixed import centred, fixed, turns
from fedcredit.protocols.linear.shape import LinearShape

__all__ = ["ask_curve", "ask_slots", "curve_noise", "serve_curve", "serve_slots", "sign_tolerance"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


def factor_bits(bits: int) -> tuple[int, int]:
    """How many of a product's digits are of A's factor, and of H's: it carries the coefficients, and gets two more."""
    first = (bits - 2) // 2
    return first, bits - first


def curve_noise(bits: int) -> float:
    """Standard deviation of what rounding adds to a row's probability: measured against it in the tests."""
    first, second = factor_bits(bits)
    return float(np.sqrt(2.17 * 0.25**second + 0.0346 * 0.25**first))


def sign_tolerance(shape: LinearShape, curvature: float) -> float:
    """How far a held coefficient may be pulled before it is let go: a thousandth of its standard error, or ten times
    what rounding makes of its gradient, whichever is more. Range: curvature of a row at the start."""
    return max(1e-3, 10 * curve_noise(shape.bits.probability) / math.sqrt(curvature))


def ask_curve(
    shape: LinearShape,
    secret: rlwe.SecretKey,
    curve: Curve,
    bits: int,
    shares: I64,
    weights: F64,
    randomness: Randomness,
) -> Steps[I64]:
    """A's share of weights times the curve. Shapes: shares, weights (n,), weights within [0, 1]; returns (n,)."""
    out = np.empty(shape.n_rows, np.int64)
    first, _ = factor_bits(bits)
    for at in shape.blocks():
        values = fixed(factors(turns(shares[at])) * weights[at], first)
        yield from send_bytes(shape.partner, secret.encrypt_slots(values, randomness).to_bytes())
        (out[at],) = yield from ask_slots(shape, secret, 1, at)
    return centred(out + fixed(constant(curve) * weights, bits))


def serve_curve(
    shape: LinearShape,
    key: rlwe.PublicKey,
    curve: Curve,
    bits: int,
    shares: I64,
    randomness: Randomness,
) -> Steps[I64]:
    """H's share of the same. Shapes: shares (n,); returns (n,)."""
    out = np.empty(shape.n_rows, np.int64)
    _, second = factor_bits(bits)
    for at in shape.blocks():
        values = fixed(partner_factors(turns(shares[at]), curve), second)[None]
        masks = yield from serve_slots(shape, key, FACTORS, values, at, randomness)
        out[at] = -masks[0]
    return centred(out)


def ask_slots(
    shape: LinearShape, secret: rlwe.SecretKey, sums: int, at: slice, peer: PartyId | None = None
) -> Steps[I64]:
    """Receive and decrypt answers row by row over one block of rows: (sums, rows). Raises: PeerError."""
    sender, rows = peer or shape.partner, at.stop - at.start
    flat = yield from receive_bytes(sender, rlwe.SlotProducts.size(sums, rows), shape.step)
    try:
        return secret.decrypt_slots(rlwe.SlotProducts.from_bytes(flat, secret.public, sums=sums, rows=rows))
    except BadCiphertext as bad:
        raise bad.of_peer(sender, shape.step) from None


def serve_slots(
    shape: LinearShape,
    key: rlwe.PublicKey,
    vectors: int,
    values: I64,
    at: slice,
    randomness: Randomness,
    *,
    owner: PartyId | None = None,
    masks: I64 | None = None,
) -> Steps[I64]:
    """Receive `vectors` vectors over one block of rows, and answer with sums of products with `values`.

    Shapes: values (m, vectors, rows), masks (m, rows) or fresh ones; returns the masks. Raises: PeerError.
    """
    to, rows = owner or shape.label, at.stop - at.start
    flat = yield from receive_bytes(to, rlwe.Ciphertexts.size(vectors, rows), shape.step)
    try:
        got = rlwe.Ciphertexts.slots_from_bytes(flat, key, vectors=vectors, rows=rows)
    except BadCiphertext as bad:
        raise bad.of_peer(to, shape.step) from None
    used = rlwe.masks(randomness, len(values), rows) if masks is None else masks
    answer = key.slot_products(got, values, used, randomness)
    yield from send_bytes(to, answer.to_bytes())
    return used
