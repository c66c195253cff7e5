"""What noise costs: bounds that hold against the exact figure, agree with published ones, and have an inverse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedcredit.crypto.privacy_loss import delta_of, epsilon_of, rho_for, rho_of, sigma_for


@pytest.mark.parametrize(("epsilon", "rho"), [(17.14, 2.56), (2.47, 0.07)])
def test_figures_of_the_2020_census_of_the_united_states(epsilon: float, rho: float) -> None:
    # Census Bureau, 9 June 2021: persons and housing units, both at delta = 10^-10; rho is given to two places.
    assert round(rho_for(epsilon, 1e-10), 2) == rho


@pytest.mark.parametrize("rho", [1e-4, 0.01, 0.5, 3.0])
@pytest.mark.parametrize("delta", [1e-10, 1e-6, 0.01])
def test_it_is_better_than_the_simple_conversion(rho: float, delta: float) -> None:
    # Bun and Steinke, proposition 1.3.
    assert epsilon_of(rho, delta) < rho + 2 * math.sqrt(rho * math.log(1 / delta))


@pytest.mark.parametrize("sigma", [0.7, 2.0, 10.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0, 3.0])
def test_it_bounds_the_exact_delta_of_the_discrete_gaussian(sigma: float, epsilon: float) -> None:
    z = np.arange(-int(60 * sigma) - 60, int(60 * sigma) + 60)
    weights = np.exp(-(z.astype(float) ** 2) / (2 * sigma**2))
    p, shifted = weights[1:] / weights.sum(), weights[:-1] / weights.sum()
    exact = np.maximum(p - math.exp(epsilon) * shifted, 0).sum()
    assert exact <= delta_of(rho_of(1, sigma), epsilon)


def test_it_is_near_the_exact_epsilon_of_the_gaussian() -> None:
    # B. Balle, Y. Wang, Improving the Gaussian Mechanism, 2018, theorem 8: what cannot be beaten.
    for sigma, epsilon in ((5.0, 1.0), (1.0, 5.0), (30.0, 0.2)):
        exact = stats.norm.cdf(1 / (2 * sigma) - epsilon * sigma) - math.exp(epsilon) * stats.norm.cdf(
            -1 / (2 * sigma) - epsilon * sigma
        )
        assert epsilon < epsilon_of(rho_of(1, sigma), exact) < 1.2 * epsilon


@settings(max_examples=25)
@given(
    epsilon=st.floats(0.01, 20),
    delta=st.floats(1e-12, 0.1),
    sensitivity=st.floats(1e-3, 1e6),
    releases=st.integers(1, 500),
)
def test_noise_for_a_budget_keeps_it_and_is_not_far_too_much(
    epsilon: float, delta: float, sensitivity: float, releases: int
) -> None:
    sigma = sigma_for(epsilon, delta, sensitivity, releases)
    assert epsilon_of(rho_of(sensitivity, sigma, releases), delta) <= epsilon
    assert epsilon_of(rho_of(sensitivity, 0.999 * sigma, releases), delta) > epsilon


def test_delta_and_epsilon_are_inverse() -> None:
    for rho, delta in ((0.1, 1e-6), (2.0, 1e-9), (1e-3, 1e-4)):
        assert delta_of(rho, epsilon_of(rho, delta)) == pytest.approx(delta, rel=1e-5)


def test_releases_add_up() -> None:
    assert rho_of(3.0, 2.0, 5) == pytest.approx(5 * rho_of(3.0, 2.0))
    assert sigma_for(1, 1e-6, 1, 4) == pytest.approx(2 * sigma_for(1, 1e-6, 1))


def test_nothing_released_costs_nothing() -> None:
    assert rho_of(0, 1) == rho_of(1, 1, 0) == epsilon_of(0, 1e-6) == delta_of(0, 1) == 0
    assert epsilon_of(1e-12, 0.5) == 0


def test_figures_that_are_none_are_refused() -> None:
    for call in (
        lambda: rho_of(-1, 1),
        lambda: rho_of(1, 0),
        lambda: epsilon_of(-1, 0.1),
        lambda: epsilon_of(1, 0),
        lambda: epsilon_of(1, 1),
        lambda: delta_of(1, -1),
        lambda: rho_for(0, 0.1),
        lambda: sigma_for(1, 0.1, 0),
        lambda: sigma_for(1, 0.1, 1, 0),
    ):
        with pytest.raises(ValueError, match=r"is|or"):
            call()
