"""Noise in sums over members: what a job may spend of privacy, how that is shared out, and the noise itself.

Every member adds discrete Gaussian noise of the full sigma to its own vector before it is masked. So the sum is
differentially private even towards a member that takes its own values and noise away, and towards all others in league:
what is left of one member's row is hidden by that member's own noise. Over n members the sum has n times the variance.

Neighbours are tables of one member that differ in one row: replaced, added or removed. A sum's `sensitivity` is how far
that moves the member's vector, in the Euclidean norm. A release of noise sigma costs rho = sensitivity^2 / (2 sigma^2)
of zero-concentrated differential privacy; rhos of all releases of a job add up to that of its epsilon and delta.

A stage that is run anew after an interruption releases the same values with the same noise, which is no new release:
the noise is a function of a secret that the member keeps through all starts of the job, of the sum's label and of the
values. Other values have other noise: were it the same, the difference of the two sums would show what changed.

Source: C. Canonne, G. Kamath, T. Steinke, The Discrete Gaussian for Differential Privacy, 2020, theorem 14 (vectors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.discrete_gaussian import MAX_SIGMA, MIN_SIGMA, discrete_gaussian
from fedcredit.crypto.randomness import KeyedRandomness, Randomness
from fedcredit.errors import FedcreditError, Problem
from fedcredit.governance.privacy import RHO_UNITS, rho_units
from fedcredit.kernels import digest

__all__ = ["Noise", "PrivacyPlan", "PrivacySpend"]

F64: TypeAlias = npt.NDArray[np.float64]
U64: TypeAlias = npt.NDArray[np.uint64]

# Of fixed point: noise of so many bits leaves its rounding, and that of values, far below itself.
_SIGMA_BITS: Final = 38


@dataclass(frozen=True, slots=True)
class PrivacyPlan:
    """How much each sum of a job may spend; the same at all members, and fixed before the job begins.

    Units: `releases` has billionths of rho, by the part of the job and the label of the sum.
    """

    epsilon: float
    delta: float
    releases: Mapping[str, Mapping[str, int]] = field(repr=False)

    @classmethod
    def of(cls, epsilon: float, delta: float, parts: Mapping[str, tuple[int, Mapping[str, int]]]) -> PrivacyPlan:
        """Share out what `epsilon` and `delta` allow, to parts by their weights, and of each to its sums by theirs."""
        rho, heavy = rho_units(epsilon, delta), sum(weight for weight, _ in parts.values())
        releases: dict[str, Mapping[str, int]] = {}
        for part, (weight, labels) in parts.items():
            of_part, whole = rho * weight // heavy, sum(labels.values())
            releases[part] = MappingProxyType({label: of_part * own // whole for label, own in labels.items()})
        return cls(epsilon, delta, MappingProxyType(releases))

    @property
    def rho(self) -> int:
        """Billionths of rho that all sums together may spend."""
        return sum(sum(labels.values()) for labels in self.releases.values())

    def rho_of(self, part: str, label: str) -> int:
        """Billionths of rho of one sum. Raises: FedcreditError PRIVACY_PLAN where the plan has none for it."""
        found = self.releases.get(part, {}).get(label, 0)
        if not found:
            raise _beyond(label, "is not in what the job has planned to release")
        return found

    def sigma(self, part: str, label: str, sensitivity: float) -> float:
        """The noise of one member in this sum. Units: those of `sensitivity`. Raises: as `rho_of`."""
        return sensitivity * math.sqrt(RHO_UNITS / (2 * self.rho_of(part, label)))


class PrivacySpend:
    """What this member's sums have spent so far in this start of a job; all of a job's `Sums` share it."""

    def __init__(self, plan: PrivacyPlan) -> None:
        self.plan = plan
        self._spent: dict[tuple[str, str], int] = {}

    @property
    def spent(self) -> int:
        """Billionths of rho that were spent."""
        return sum(self._spent.values())

    def charge(self, part: str, label: str) -> None:
        """Spend what is planned for a sum, before it is sent.

        Raises: FedcreditError PRIVACY_PLAN for one that is not planned, or was made before.
        """
        rho = self.plan.rho_of(part, label)
        if (part, label) in self._spent:
            raise _beyond(label, "has spent its share before")
        self._spent[part, label] = rho


@dataclass(frozen=True, slots=True)
class Noise:
    """One member's noise in the sums of one part of a job.

    `secret`: 32 bytes that this member keeps through all starts of the job; without it noise is drawn from
    `randomness`, and a sum that is made again is another release.
    """

    spend: PrivacySpend
    part: str
    secret: bytes | None = field(repr=False)
    randomness: Randomness = field(repr=False)

    def sigma(self, label: str, sensitivity: float) -> float:
        """As `PrivacyPlan.sigma`."""
        return self.spend.plan.sigma(self.part, label, sensitivity)

    def fraction_bits(self, label: str, sensitivity: float) -> int:
        """Bits after the point that leave room for noise in fixed point. Raises: FedcreditError, as `rho_of`."""
        return _SIGMA_BITS - math.frexp(self.sigma(label, sensitivity))[1]

    def added(self, label: str, values: U64, sensitivity: float | None) -> U64:
        """The values with noise, modulo 2^64; those of sensitivity 0 as they are, since no row decides them.

        Shapes: (w,). Raises: FedcreditError SUM_SENSITIVITY without a sensitivity, PRIVACY_PLAN; ValueError for noise
        that is not within what can be drawn.
        """
        if sensitivity is None:
            fix = "a defect of this version: report it"
            what = "has no bound of what one row does to it, so no noise hides one"
            raise FedcreditError(Problem("SUM_SENSITIVITY", f"sum {label}", what, fix))
        if not sensitivity or not values.size:
            return values
        sigma = max(self.sigma(label, sensitivity), float(MIN_SIGMA))
        if not sigma <= MAX_SIGMA:
            raise ValueError(f"sum {label}: noise of more than {MAX_SIGMA}")
        self.spend.charge(self.part, label)
        noise = discrete_gaussian(values.size, sigma, self._source(label, sigma, values))
        summed: U64 = values + noise.view(np.uint64)
        return summed

    def _source(self, label: str, sigma: float, values: U64) -> Randomness:
        if self.secret is None:
            return self.randomness
        said = digest.blake3(np.ascontiguousarray(values, "<u8").tobytes()).hex()
        return KeyedRandomness(self.secret, f"noise/{self.part}/{label}/{sigma.hex()}/{said}")


def _beyond(label: str, what: str) -> FedcreditError:
    fix = "a defect of this version: report it"
    return FedcreditError(Problem("PRIVACY_PLAN", f"sum {label}", what, fix))
