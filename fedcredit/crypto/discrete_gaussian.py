"""Noise of whole numbers that is exactly what the proof of differential privacy is about: no rounding, no tails cut.

The discrete Gaussian of parameter sigma takes z with probability proportional to exp(-z^2 / (2 sigma^2)). It is drawn
by rejection from a discrete Laplace distribution, with coins of probability exp(-gamma) made of coins of rational ones.
A coin of probability p falls by comparing p with a uniform number of [0, 1) whose bits are drawn when they are needed:
53 of them and p in floating point decide all but about one of 2^39 coins, since IEEE 754 bounds the error of p; what is
left is decided with p as a fraction and as many bits as it takes. So the result is exact, and fast.

Time depends on the noise that is drawn, summed over a call: draw many values at once.
Units: as sigma; what the noise costs in privacy is in `crypto.privacy_loss`. Shapes: n values.
Source: C. Canonne, G. Kamath, T. Steinke, The Discrete Gaussian for Differential Privacy, 2020, algorithms 1 to 3.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness

__all__ = ["MAX_SIGMA", "MIN_SIGMA", "discrete_gaussian", "discrete_laplace", "falls_exp"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
Exactly: TypeAlias = Callable[[int], Fraction]
"""The true probability, or exponent, of the value at a place."""

MIN_SIGMA: Final = Fraction(1, 1 << 20)
MAX_SIGMA: Final = 1 << 40
"""Values beyond 2^12 times this have a probability below 2^-5000; up to there floating point holds each exactly."""

_BITS: Final = 53
# Floating point errs by at most 2^-49 in all that is compared: see `discrete_gaussian`.
_MARGIN: Final = 2.0**-40
# Values drawn at once: what they take lies in the second cache.
_BATCH: Final = 1 << 14


def discrete_gaussian(n: int, sigma: Fraction | float, randomness: Randomness) -> I64:
    """`n` values of the discrete Gaussian of parameter `sigma`, whose standard deviation is at most that.

    Range: 2^-20 <= sigma <= 2^40; a float is taken as the fraction that it is. Raises: ValueError.
    """
    if not MIN_SIGMA <= sigma <= MAX_SIGMA:
        raise ValueError(f"sigma: it is not within {float(MIN_SIGMA)} and {MAX_SIGMA}")
    variance = Fraction(sigma) ** 2
    scale = int(sigma) + 1
    centre, twice = variance / scale, 2 * variance

    def draw(size: int) -> I64:
        values = discrete_laplace(size, scale, randomness)
        # The centre is below sigma: with r = |distance| / sigma, rounding moves the distance by 2^-53 sigma (1 + r), so
        # gamma = r^2 / 2 by 2^-53 (r + 3 r^2), which `falls_exp` divides by 1 or more and by more than gamma.
        distances = np.abs(values).astype(np.float64) - float(centre)
        gammas = distances * distances / float(twice)

        def exactly(place: int) -> Fraction:
            return (abs(int(values[place])) - centre) ** 2 / twice

        return values[falls_exp(gammas, exactly, randomness)]

    return _gathered(n, draw)


def discrete_laplace(n: int, scale: int, randomness: Randomness) -> I64:
    """`n` values of the discrete Laplace distribution: z has probability proportional to exp(-|z| / scale).

    Range: 1 <= scale <= 2^41. Raises: ValueError. Source: algorithm 2 with s = 1.
    """
    if not 1 <= scale <= 2 * MAX_SIGMA:
        raise ValueError(f"scale: it is not within 1 and {2 * MAX_SIGMA}")

    def draw(size: int) -> I64:
        rest = _below(scale, size, randomness)
        kept = rest[falls_exp(rest / scale, lambda place: Fraction(int(rest[place]), scale), randomness)]
        sizes = kept + scale * _runs(len(kept), randomness)
        negative = randomness.bits(len(sizes)).astype(np.bool_)
        # Zero has one sign, or it would come twice as often.
        once = ~(negative & (sizes == 0))
        values: I64 = np.where(negative, -sizes, sizes)[once]
        return values

    return _gathered(n, draw)


def falls_exp(gammas: F64, exactly: Exactly, randomness: Randomness) -> Bool:
    """One coin each, that falls with probability exp(-gamma).

    `gammas`, 0 or more, are within 2^-49 (1 + gamma) of those that `exactly` tells of each place, which are the ones
    that count. Shapes: (n,) in and out. Source: algorithm 1; above 1, gamma is cut into equal parts instead of ones and
    a rest, and the coin falls if those of all parts do.
    """
    parts = np.floor(gammas + (1.0 + _MARGIN)).astype(np.int64)
    fell = np.zeros(len(gammas), np.bool_)
    left, turn = np.arange(len(gammas)), 0
    while len(left):
        turn += 1
        left = left[_falls_part(left, gammas, parts, exactly, randomness)]
        done = parts[left] == turn
        fell[left[done]] = True
        left = left[~done]
    return fell


def _falls_part(places: I64, gammas: F64, parts: I64, exactly: Exactly, randomness: Randomness) -> Bool:
    # Coins of gamma / k for k = 1, 2, ... up to the first that does not fall; it falls if that is an odd one.
    fell = np.zeros(len(places), np.bool_)
    going, k = np.arange(len(places)), 1
    while len(going):
        at = places[going]
        probabilities = gammas[at] / (parts[at] * k)
        on = _falls(probabilities, _share_of(exactly, at, parts, k), randomness)
        if k % 2:
            fell[going[~on]] = True
        going, k = going[on], k + 1
    return fell


def _share_of(exactly: Exactly, places: I64, parts: I64, k: int) -> Exactly:
    return lambda index: exactly(int(places[index])) / (int(parts[places[index]]) * k)


def _falls(probabilities: F64, exactly: Exactly, randomness: Randomness) -> Bool:
    """One coin each; a probability is within 2^-49 of the one `exactly` tells."""
    drawn = randomness.words(len(probabilities)) >> np.uint64(64 - _BITS)
    distances = drawn.astype(np.float64) * 2.0**-_BITS - probabilities
    fell: Bool = distances < 0
    for place in np.flatnonzero(np.abs(distances) <= _MARGIN):
        fell[place] = _falls_exactly(int(drawn[place]), exactly(int(place)), randomness)
    return fell


def _falls_exactly(drawn: int, probability: Fraction, randomness: Randomness) -> bool:
    """Whether a uniform number whose first bits are drawn lies below; more are drawn until that can be said."""
    bits = _BITS
    while True:
        if Fraction(drawn + 1, 1 << bits) <= probability:
            return True
        if Fraction(drawn, 1 << bits) >= probability:
            return False
        drawn, bits = drawn << 64 | int.from_bytes(randomness.bytes(8), "little"), bits + 64


def _runs(n: int, randomness: Randomness) -> I64:
    """How many coins of probability exp(-1) fall before the first that does not."""
    counts, going = np.zeros(n, np.int64), np.arange(n)
    while len(going):
        going = going[falls_exp(np.ones(len(going)), lambda _: Fraction(1), randomness)]
        counts[going] += 1
    return counts


def _below(limit: int, n: int, randomness: Randomness) -> I64:
    """Uniform numbers of 0 to limit - 1."""

    def draw(size: int) -> I64:
        words = randomness.words(size)
        # Words of the last incomplete run of `limit` would make some numbers likelier.
        even = words[words <= np.uint64((1 << 64) - (1 << 64) % limit - 1)]
        return (even % np.uint64(limit)).astype(np.int64)

    return _gathered(n, draw)


def _gathered(n: int, draw: Callable[[int], I64]) -> I64:
    """The first `n` of what is left of as many draws as it takes."""
    parts: list[I64] = []
    missing = n
    while missing > 0:
        # A little more than are missing, since some are rejected; each is as good as any other.
        parts.append(draw(min(_BATCH, missing + missing // 2 + 8)))
        missing -= len(parts[-1])
    return np.concatenate(parts)[:n] if parts else np.zeros(0, np.int64)
