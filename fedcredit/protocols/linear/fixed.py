"""Whole numbers modulo t, the prime of the encryption: fixed point, shares and products.

Reveals: nothing; nobody sends anything here.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.fourier import PERIOD
from fedcredit.crypto.rlwe import PLAIN_MODULUS, centred

__all__ = ["apart", "centred", "fixed", "multiplied", "scores_to_shares", "turns"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

_T: Final = PLAIN_MODULUS


def fixed(numbers: F64, bits: int) -> I64:
    """Fixed point with so many binary digits, rounded to nearest. Shapes: any."""
    return np.rint(np.ldexp(numbers, bits)).astype(np.int64)


def apart(n_rows: int) -> I64:
    """Public numbers modulo t, spread evenly, that A adds to its shares of log-odds and H takes off its own.

    Rows of one bin have one score. Without this they would be rounded alike, and what rounding adds to a sum would grow
    with the number of rows and not with its root. Shapes: (n,).
    """
    steps = np.arange(1, n_rows + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    numbers: npt.NDArray[np.uint64] = np.remainder(steps >> np.uint64(10), np.uint64(_T))
    return numbers.astype(np.int64)


def scores_to_shares(scores: F64) -> I64:
    """Log-odds as numbers modulo t, the period of the series being t. Shapes: (n,)."""
    return np.rint(scores * (_T / PERIOD)).astype(np.int64)


def turns(shares: I64) -> F64:
    """Shares of log-odds over the period, in [-1/2, 1/2]. Shapes: (n,)."""
    turned: F64 = centred(shares) / _T
    return turned


def multiplied(numbers: I64, factors: I64) -> I64:
    """Products modulo t, of least size. `factors` are below 2^40 in size. Shapes: broadcast.

    The quotient by t is found in floating point, at most one off; the rest then fits 64 bits whatever overflows, since
    arithmetic modulo 2^64 is exact in what it keeps.
    """
    small = centred(numbers)
    quotient = np.rint(small.astype(np.float64) * factors / _T).astype(np.int64)
    return centred(small * factors - quotient * _T)
