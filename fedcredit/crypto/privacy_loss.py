"""What Gaussian noise costs in privacy, as rho, and what that is as epsilon and delta.

A release with noise of parameter sigma over values that one subject can move by `sensitivity` is rho-zero-concentrated
differentially private; the rhos of several releases add up. All figures are upper bounds, whatever floating point does:
the conversion holds for every order of the Renyi divergence, so that of a badly chosen one is merely not the least.

Sources: M. Bun, T. Steinke, Concentrated Differential Privacy, 2016 (rho, composition); C. Canonne, G. Kamath,
T. Steinke, The Discrete Gaussian for Differential Privacy, 2020, theorem 4 (the discrete Gaussian) and corollary 13
(conversion).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

__all__ = ["delta_of", "epsilon_of", "rho_for", "rho_of", "sigma_for"]

_STEPS: Final = 100
# What rounding may add to a figure, far above what it does.
_SLACK: Final = 1e-9


def rho_of(sensitivity: float, sigma: float, releases: int = 1) -> float:
    """The rho of `releases` releases with noise `sigma`; `sensitivity` is in the Euclidean norm of a vector."""
    if sensitivity < 0 or not sigma > 0 or releases < 0:
        raise ValueError("rho_of: a negative sensitivity or number of releases, or a sigma that is not positive")
    return releases * sensitivity**2 / (2 * sigma**2)


def epsilon_of(rho: float, delta: float) -> float:
    """The least epsilon that the conversion gives for rho at `delta`. Range: rho >= 0, 0 < delta < 1."""
    if rho < 0 or not 0 < delta < 1:
        raise ValueError("epsilon_of: rho is negative, or delta not between 0 and 1")
    if rho == 0:
        return 0.0

    def at(log_order: float) -> float:
        above = math.exp(log_order)
        order = 1 + above
        return order * rho + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / above

    # Towards delta ~ 1 the bound falls below 0, where it says no more than 0 does.
    return max(0.0, _least(at, -_span(rho, delta), _span(rho, delta)) * (1 + _SLACK))


def delta_of(rho: float, epsilon: float) -> float:
    """The least delta that the conversion gives for rho at `epsilon`. Range: rho >= 0, epsilon >= 0."""
    if rho < 0 or epsilon < 0:
        raise ValueError("delta_of: rho or epsilon is negative")
    if rho == 0:
        return 0.0

    def at(log_order: float) -> float:
        above = math.exp(log_order)
        order = 1 + above
        return above * (order * rho - epsilon) - log_order + order * math.log1p(-1 / order)

    return min(1.0, math.exp(_least(at, -60.0, 60.0)) * (1 + _SLACK))


def rho_for(epsilon: float, delta: float) -> float:
    """The most rho whose epsilon at `delta` is at most `epsilon`: what a budget of both allows in all."""
    if not epsilon > 0 or not 0 < delta < 1:
        raise ValueError("rho_for: epsilon is not positive, or delta not between 0 and 1")
    low, high = 0.0, epsilon + 1.0
    while epsilon_of(high, delta) <= epsilon:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if epsilon_of(middle, delta) <= epsilon else (low, middle)
    return low


def sigma_for(epsilon: float, delta: float, sensitivity: float, releases: int = 1) -> float:
    """The least noise with which all `releases` together cost at most `epsilon` at `delta`."""
    if not sensitivity > 0 or releases < 1:
        raise ValueError("sigma_for: sensitivity is not positive, or there is no release")
    return sensitivity * math.sqrt(releases / (2 * rho_for(epsilon, delta))) * (1 + _SLACK)


def _span(rho: float, delta: float) -> float:
    """Logarithms of order - 1 beyond which no minimum lies."""
    return 40.0 + abs(math.log(rho)) + math.log1p(-math.log(delta))


def _least(f: Callable[[float], float], low: float, high: float) -> float:
    """The value at the minimum of a function with one, by halving: any point's value would be a bound."""
    for _ in range(_STEPS):
        third = (high - low) / 3
        left, right = low + third, high - third
        low, high = (low, right) if f(left) <= f(right) else (left, high)
    return f((low + high) / 2)
