"""The series of the shared logistic function: what they are off by, and that shares of any kind give them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from fedcredit.credit.fourier import (
    ERROR_COSH,
    ERROR_PROBABILITY,
    ERROR_SLOPE,
    FACTORS,
    PERIOD,
    REACH,
    Curve,
    constant,
    factors,
    partner_factors,
)

CURVES = {
    "probability": (lambda z: expit(z) - 0.5, ERROR_PROBABILITY),
    "cosh": (lambda z: np.logaddexp(z / 2, -z / 2), ERROR_COSH),
    "slope": (lambda z: expit(z) * expit(-z), ERROR_SLOPE),
}


def series(a: np.ndarray, b: np.ndarray, curve: Curve) -> np.ndarray:
    mine, theirs = factors(a / PERIOD), partner_factors(b / PERIOD, curve)
    assert mine.shape == theirs.shape == (FACTORS, a.size)
    assert np.abs(mine).max() <= 1 + 1e-12
    return np.einsum("kn,kn->n", mine, theirs) + constant(curve)


@pytest.mark.parametrize("curve", CURVES)
def test_the_error_is_what_is_said_over_the_whole_reach(curve: Curve) -> None:
    exact, bound = CURVES[curve]
    z = np.linspace(-REACH, REACH, 100_003)
    error = np.abs(series(z * 0.37, z * 0.63, curve) - exact(z)).max()
    assert bound / 3 < error <= bound
    inner = np.linspace(-16, 16, 50_001)
    assert np.abs(series(inner, np.zeros_like(inner), curve) - exact(inner)).max() <= min(bound, 1.3e-5)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), curve=st.sampled_from(sorted(CURVES)))
def test_any_shares_of_a_number_give_its_curve(seed: int, curve: Curve) -> None:
    rng = np.random.default_rng(seed)
    z = rng.uniform(-REACH, REACH, 200)
    a = rng.uniform(0, PERIOD, 200)
    b = np.mod(z - a, PERIOD) - PERIOD * rng.integers(0, 2, 200)
    assert series(a, b, curve) == pytest.approx(CURVES[curve][0](z), abs=CURVES[curve][1])
