"""A curve of log-odds that two parties share, row by row, as new shares: see `credit.fourier`.

    A -> H   Encrypted    for each block of rows, the 2 K factors that follow from A's shares, times its weights
    H -> A   Encrypted    the sum of products with the factors that follow from H's shares, under a mask a row
    A        decrypts: its share. H's share is the mask, turned round.

Reveals: to A, uniform numbers; to H, nothing. Assumes: semi-honest parties; what `keys` assumes.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.fourier import Curve, constant, factors, largest_factor, partner_factors
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear.fixed import centred, fixed, turns
from fedcredit.protocols.linear.keys import OwnKey, PeerKey
from fedcredit.protocols.linear.shape import LinearShape

__all__ = ["ask_curve", "curve_noise", "serve_curve", "sign_tolerance"]

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


def ask_curve(shape: LinearShape, key: OwnKey, curve: Curve, bits: int, shares: I64, weights: F64) -> Steps[I64]:
    """A's share of weights times the curve. Shapes: shares, weights (n,), weights within [0, 1]; returns (n,)."""
    out = np.empty(shape.n_rows, np.int64)
    first, _ = factor_bits(bits)
    for at in shape.blocks():
        values = fixed(factors(turns(shares[at])) * weights[at], first)
        out[at] = yield from key.match(shape.partner, values, _bounds(curve, bits))
    return centred(out + fixed(constant(curve) * weights, bits))


def serve_curve(shape: LinearShape, key: PeerKey, curve: Curve, bits: int, shares: I64) -> Steps[I64]:
    """H's share of the same. Shapes: shares (n,); returns (n,)."""
    out = np.empty(shape.n_rows, np.int64)
    _, second = factor_bits(bits)
    for at in shape.blocks():
        values = fixed(partner_factors(turns(shares[at]), curve), second)
        masks = yield from key.serve_match(values, _bounds(curve, bits))
        out[at] = -masks
    return centred(out)


def _bounds(curve: Curve, bits: int) -> tuple[int, int]:
    """Binary digits of the largest factor of A, and of H."""
    first, second = factor_bits(bits)
    return first, second + math.ceil(math.log2(max(largest_factor(curve), 1.0)))
