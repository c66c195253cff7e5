"""What a job whose sums carry noise costs in privacy, and what all such jobs over one table may cost together.

Costs are kept as rho of zero-concentrated differential privacy, which adds up, in whole billionths: the same number at
every party, whatever its floating point does. People read it as epsilon at a delta of theirs.

Source: M. Bun, T. Steinke, Concentrated Differential Privacy, 2016; `crypto.privacy_loss` converts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from fedcredit.crypto.privacy_loss import epsilon_of, rho_for

__all__ = [
    "BUDGET",
    "HIDING_MEMBERS",
    "PRIVACY",
    "RHO_UNITS",
    "UNBOUNDED",
    "PrivacyAsk",
    "epsilon_at",
    "key_of",
    "rho_units",
    "said",
]

PRIVACY: Final = "POLICY_PRIVACY"
"""The reason of a refusal because noised jobs over a table would cost more than they may, or nobody said how much."""

BUDGET: Final = "privacy_epsilon"
"""The budget's name: that of the term which sets it."""

RHO_UNITS: Final = 10**9
"""Units of rho: a spend is a whole number of billionths."""

UNBOUNDED: Final = 1 << 62
"""Billionths that no table ever reaches."""

HIDING_MEMBERS: Final = 3
"""Of fewer parties a sum hides nothing but by its noise."""


@dataclass(frozen=True, slots=True)
class PrivacyAsk:
    """What a noised job asks of each party: all its sums together cost `epsilon` at `delta`. `members` add up."""

    epsilon: float
    delta: float
    members: int

    @property
    def rests_on_noise(self) -> bool:
        """Whether nothing else hides a party's values from the others."""
        return self.members < HIDING_MEMBERS

    @property
    def rho(self) -> int:
        """What it spends, in billionths of rho."""
        return rho_units(self.epsilon, self.delta)


def rho_units(epsilon: float, delta: float) -> int:
    """The most billionths of rho that stay within `epsilon` at `delta`. Raises: ValueError, as `rho_for`."""
    return math.floor(rho_for(epsilon, delta) * RHO_UNITS)


def epsilon_at(units: int, delta: float) -> float:
    """The epsilon at `delta` of so many billionths of rho. Raises: ValueError, as `epsilon_of`."""
    return epsilon_of(units / RHO_UNITS, delta)


def key_of(table: str) -> str:
    """Under which key a node keeps what noised jobs have spent over a table of its own."""
    return f"privacy/{table}"


def said(used: int, limit: int, delta: float) -> str:
    """What is used of a budget and what is left, as a person reads it."""
    left = epsilon_at(max(0, limit - used), delta)
    shown = f"epsilon {epsilon_at(used, delta):.3g} of {epsilon_at(limit, delta):.3g}"
    return f"{shown} used at delta {delta:g}; a job of epsilon {left:.3g} is what is left"
