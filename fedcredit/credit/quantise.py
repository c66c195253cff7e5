"""Gradients as ring elements: a row's gradient and hessian in one number of Z_2^64 that may be added blindly.

The high 32 bits hold the gradient, signed, the low 32 bits the hessian, both in fixed point. Sums over any set of rows
are then one 64-bit addition a row, and unpack without ambiguity, because the scales are chosen so that neither half can
overflow for any subset of the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GradientScale", "error_bound", "pack", "unpack"]

F64 = NDArray[np.float64]
U64 = NDArray[np.uint64]

_MAX_EXPONENT = 1000
"""Keeps `2**exponent` a finite float64 for gradients that are all but zero."""


@dataclass(frozen=True, slots=True)
class GradientScale:
    """What `unpack` needs: a unit of the packed gradient is `2**-gradient_bits`, of the hessian `2**-hessian_bits`."""

    gradient_bits: int
    hessian_bits: int


def pack(gradient: F64, hessian: F64) -> tuple[U64, GradientScale]:
    """Each row's gradient and hessian as one ring element, at the finest scale at which no sum of rows overflows.

    Rounds to nearest, ties to even. Scales are powers of two: that gives away at most one bit against the finest scale
    possible, and in return a sum of rows is exact in float64 too, so that the order of additions never matters.

    Shapes: gradient, hessian (n,); returns (n,) uint64.
    Range: sum |g_q| < 2**31 and sum h_q < 2**32 over all rows, hence over any subset of them.
    Raises: ValueError for other shapes, more than 2**31 - 1 rows, NaN, infinity or a negative hessian.
    """
    if gradient.ndim != 1 or gradient.shape != hessian.shape or gradient.size >= 2**31:
        raise ValueError(f"pack: got shapes {gradient.shape} and {hessian.shape}")
    if not (np.isfinite(gradient).all() and np.isfinite(hessian).all() and (hessian >= 0).all()):
        raise ValueError("pack: gradients must be finite, hessians finite and not negative")
    g, gradient_bits = _fixed_point(gradient, 2**31 - 1)
    h, hessian_bits = _fixed_point(hessian, 2**32 - 1)
    packed = (g.view(np.uint64) << np.uint64(32)) + h.view(np.uint64)
    return packed, GradientScale(gradient_bits, hessian_bits)


def unpack(sums: U64, scale: GradientScale) -> tuple[F64, F64]:
    """Gradient and hessian of sums of packed rows; exact, since both halves fit the 53 bits of a float64.

    Shapes: sums of any shape; returns two float64 arrays of that shape.
    """
    h = (sums & np.uint64(0xFFFFFFFF)).astype(np.float64)
    g = (sums.view(np.int64) >> np.int64(32)).astype(np.float64)
    return np.ldexp(g, -scale.gradient_bits), np.ldexp(h, -scale.hessian_bits)


def error_bound(scale: GradientScale, n_rows: int) -> tuple[float, float]:
    """The most that the unpacked sum over `n_rows` rows can differ from the true sum: (gradient, hessian).

    Derivation. With s = 2**bits, `x * s` is exact (a power of two), so rounding to nearest moves a row by at most 1/2
    and its value by at most `1 / (2 s)`; sums of integers are exact; hence `n_rows / (2 s)`.

    How small that is: `pack` takes the largest s for which the sum of |x_q| stays below M (2**31 or 2**32). The next
    power of two would not do, so `2 s sum|x| + n/2 >= M`, that is `1/s <= 2 sum|x| / (M - n/2)`. Over all n rows of
    mean magnitude m the sum is off by at most `n * n m / (M - n/2)`: relative to the total `n m` that is about `n / M`,
    for a million rows 5e-4 (gradient) and 2.4e-4 (hessian) at the very worst. Rounding errors of different rows being
    unrelated, the usual error is smaller by a factor of about `sqrt(n_rows)`.
    """
    return n_rows * math.ldexp(0.5, -scale.gradient_bits), n_rows * math.ldexp(0.5, -scale.hessian_bits)


def _fixed_point(values: F64, limit: int) -> tuple[NDArray[np.int64], int]:
    """`values` as integers at the largest scale `2**bits` at which their magnitudes sum to at most `limit`."""
    total = float(np.abs(values).sum())
    if total == 0.0:
        return np.zeros(values.shape, np.int64), 0
    # One bit too fine to begin with, so that the loop below always finds the finest scale that fits.
    bits = min(_MAX_EXPONENT, math.frexp(limit / total)[1] if total > 1e-290 else _MAX_EXPONENT)
    while True:
        scaled = np.rint(np.ldexp(values, bits))
        if np.abs(scaled).sum() <= limit:
            return scaled.astype(np.int64), bits
        bits -= 1
