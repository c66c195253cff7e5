"""The discrete Gaussian has the probabilities it should, to the last coin: floating point decides as fractions do."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from fedcredit.crypto import discrete_gaussian as module
from fedcredit.crypto.discrete_gaussian import discrete_gaussian, discrete_laplace, falls_exp
from fedcredit.crypto.randomness import Randomness, SystemRandomness, insecure_seeded


def fits(values: np.ndarray, weights: dict[int, float]) -> float:
    """The p-value of a chi-square test of `values` against probabilities proportional to `weights`."""
    total = sum(weights.values())
    expected = {z: len(values) * weight / total for z, weight in weights.items()}
    likely = [z for z in expected if expected[z] >= 5]
    counts = [np.count_nonzero(values == z) for z in likely]
    means = [expected[z] for z in likely]
    counts.append(len(values) - sum(counts))
    means.append(len(values) - sum(means))
    if means[-1] < 5:
        counts[-2:], means[-2:] = [sum(counts[-2:])], [sum(means[-2:])]
    return float(stats.chisquare(counts, means).pvalue)


@pytest.mark.parametrize("sigma", [0.25, 1, Fraction(7, 3), 5.5, 12])
def test_probabilities_are_those_of_the_definition(sigma: float | Fraction) -> None:
    values = discrete_gaussian(60_000, sigma, insecure_seeded(1))
    most = 12 * math.ceil(sigma)
    assert fits(values, {z: math.exp(-z * z / (2 * float(sigma) ** 2)) for z in range(-most, most + 1)}) > 0.01


@pytest.mark.parametrize("scale", [1, 2, 9])
def test_the_laplace_distribution_too(scale: int) -> None:
    values = discrete_laplace(60_000, scale, insecure_seeded(2))
    assert fits(values, {z: math.exp(-abs(z) / scale) for z in range(-40 * scale, 40 * scale + 1)}) > 0.01


@pytest.mark.parametrize("gamma", [0.0, 1e-9, 0.25, 1.0, 1.5, 4.0])
def test_coins_fall_as_often_as_they_should(gamma: float) -> None:
    n = 40_000
    fell = falls_exp(np.full(n, gamma), lambda _: Fraction(gamma), insecure_seeded(3)).sum()
    assert stats.binomtest(int(fell), n, math.exp(-gamma)).pvalue > 0.01


@pytest.mark.parametrize("sigma", [1000, 2.0**30 + 0.5, 1 << 40])
def test_moments_of_large_ones_are_those_of_the_gaussian(sigma: float) -> None:
    n = 40_000
    values = discrete_gaussian(n, sigma, insecure_seeded(4)) / sigma
    assert abs(values.mean()) < 4 / math.sqrt(n)
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs(stats.kurtosis(values)) < 4 * math.sqrt(24 / n)
    assert stats.kstest(values, "norm").pvalue > 0.01


@pytest.mark.parametrize("sigma", [0.01, 1, Fraction(10, 3), 77.7, 2.0**33])
def test_floating_point_decides_as_fractions_do(sigma: float | Fraction, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = discrete_gaussian(300, sigma, insecure_seeded(5))
    monkeypatch.setattr(module, "_falls", slowly)
    assert np.array_equal(discrete_gaussian(300, sigma, insecure_seeded(5)), quick)


def slowly(probabilities: np.ndarray, exactly: module.Exactly, source: Randomness) -> np.ndarray:
    drawn = source.words(len(probabilities)) >> np.uint64(11)
    fell = [module._falls_exactly(int(bits), exactly(place), source) for place, bits in enumerate(drawn)]
    return np.array(fell, np.bool_)


class Scripted(Randomness):
    """Bytes from a list."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def bytes(self, n: int) -> bytes:
        taken, self.data = self.data[:n], self.data[n:]
        assert len(taken) == n
        return taken

    def fork(self, label: str) -> Randomness:
        return self


def test_a_coin_that_is_close_is_decided_by_further_bits() -> None:
    # 1/3 = 0.010101...b: its first 53 bits, then 64 of its further ones, then more and less.
    third = Fraction(1, 3)
    bits = (1 << (53 + 128)) // 3
    first, second, last = bits >> 128, (bits >> 64) & (2**64 - 1), bits & (2**64 - 1)
    for end, falls in ((last - 1, True), (last + 1, False)):
        words = [first << 11, second, end]
        source = Scripted(b"".join(word.to_bytes(8, "little") for word in words))
        fell = module._falls(np.array([1 / 3]), lambda _: third, source)
        assert (fell[0], source.data) == (falls, b"")


def test_certain_coins_are_certain() -> None:
    assert not module._falls_exactly(0, Fraction(0), Scripted(b""))
    assert module._falls_exactly((1 << 53) - 1, Fraction(1), Scripted(b""))


def test_as_many_as_are_asked_for() -> None:
    for n in (0, 1, 7, 40_000):
        values = discrete_gaussian(n, 3, SystemRandomness())
        assert values.shape == (n,)
        assert values.dtype == np.int64


def test_ranges_are_checked() -> None:
    for sigma in (0, -1, 2.0**-21, 2.0**41, math.nan, math.inf):
        with pytest.raises(ValueError, match="sigma"):
            discrete_gaussian(1, sigma, insecure_seeded(6))
    for scale in (0, 1 << 42):
        with pytest.raises(ValueError, match="scale"):
            discrete_laplace(1, scale, insecure_seeded(6))
