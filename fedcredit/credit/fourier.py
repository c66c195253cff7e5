"""The logistic function as a series of sines, so that two parties who share a number can each bring a factor.

With z = a + b, sin(w z) = sin(w a) cos(w b) + cos(w a) sin(w b): a series in z is, row by row, an inner product of
numbers that follow from a with numbers that follow from b. One series serves three purposes,

    p - 1/2            = sum_k c_k sin(w_k z)                    w_k = pi k / 22
    ln(2 cosh(z / 2))  = e - sum_k c_k / w_k cos(w_k z)          its integral, for the log-likelihood
    p (1 - p)          = sum_k c_k w_k cos(w_k z)                its slope, for the information matrix

fitted by least squares to p - 1/2 on [-18, 18]. It has the period 44, so a and b may be anything modulo 44: shares.
`ERROR_*` bound what each series is off by on [-18, 18]; a test sweeps them.
Source: the idea of Fourier series for shared sigmoids: SecureNN and its successors; fitted here.
"""

from __future__ import annotations

import functools
import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ERROR_COSH",
    "ERROR_PROBABILITY",
    "ERROR_SLOPE",
    "FACTORS",
    "PERIOD",
    "REACH",
    "Curve",
    "constant",
    "factors",
    "largest_factor",
    "partner_factors",
]

F64 = NDArray[np.float64]

REACH: Final = 18.0
"""The series hold for log-odds from -18 to 18."""
PERIOD: Final = 44.0
TERMS: Final = 26
FACTORS: Final = 2 * TERMS
"""Numbers that each side brings for a row."""
ERROR_PROBABILITY: Final = 3.1e-6
ERROR_COSH: Final = 6.6e-7
ERROR_SLOPE: Final = 8.7e-5
"""At the ends; 1.3e-5 within [-16, 16]."""

Curve = Literal["probability", "cosh", "slope"]


@functools.cache
def _series() -> tuple[F64, F64, float]:
    """Coefficients c_k, frequencies w_k, and the constant e."""
    z = np.linspace(-REACH, REACH, 4801)
    w = 2 * math.pi / PERIOD * np.arange(1, TERMS + 1, dtype=np.float64)
    c = np.linalg.lstsq(np.sin(np.outer(z, w)), np.tanh(z / 2) / 2, rcond=None)[0].astype(np.float64)
    left = np.log(2 * np.cosh(z / 2)) + np.cos(np.outer(z, w)) @ (c / w)
    return c, w, float(left.max() + left.min()) / 2


def constant(curve: Curve) -> float:
    """What a curve has besides its series."""
    return _series()[2] if curve == "cosh" else 0.0


def factors(turns: F64) -> F64:
    """What the first party brings, for any of the curves: sines, then cosines.

    `turns` are its numbers over the period. Shapes: turns (n,); returns (FACTORS, n), all within [-1, 1].
    """
    found = np.empty((FACTORS, turns.size))
    # exp(i k x) by multiplication: products are cheaper than sines, and lose three digits of sixteen.
    first = np.exp(2j * math.pi * turns)
    power = first.copy()
    for k in range(TERMS):
        found[k], found[TERMS + k] = power.imag, power.real
        power *= first
    return found


@functools.cache
def largest_factor(curve: Curve) -> float:
    """The largest size of a number that the second party brings."""
    c, w, _ = _series()
    return float(np.abs({"probability": c, "cosh": c / w, "slope": c * w}[curve]).max())


def partner_factors(turns: F64, curve: Curve) -> F64:
    """What the second party brings: with `factors` of the first, the sum of products is the series of the sum.

    Shapes: as `factors`.
    """
    c, w, _ = _series()
    own = factors(turns)
    sines, cosines = own[:TERMS], own[TERMS:]
    if curve == "probability":
        return np.concatenate([c[:, None] * cosines, c[:, None] * sines])
    of = (-c / w if curve == "cosh" else c * w)[:, None]
    return np.concatenate([-of * sines, of * cosines])
