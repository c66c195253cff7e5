"""Banks with labels and departments with columns, played in one process, and the centralised fit beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from fedcredit.credit.glm import LogisticFit, fit_logistic
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.mixed import MixedBank, MixedDepartment, MixedLeader, MixedShape, PooledMoments
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.linear import Masked

BANKS = (NORTH, SOUTH, WEST) = tuple(map(PartyId, ("north", "south", "west")))
DEPARTMENTS = (TAX, WATER, POWER) = tuple(map(PartyId, ("tax", "water", "power")))


@dataclass
class PlainAdding:
    """Adds up without masks: stands in for `protocols.aggregate` where masks are not the matter. `seen`: at the leader,
    each vector that it added."""

    me: PartyId
    banks: tuple[PartyId, ...]
    seen: list[np.ndarray]

    def __call__(self, values: np.ndarray) -> Steps[Any]:
        if self.me != self.banks[0]:
            yield from send(self.banks[0], Masked(values.view(np.int64)))
            return None
        total = values.copy()
        for bank in self.banks[1:]:
            other = (yield from recv(bank, Masked)).numbers.view(np.uint64)
            self.seen.append(other)
            total += other
        return total


class Case:
    """Columns that correlate across parties, on scales of their own, for banks of different sizes and shares of events.

    `own`: how many columns the banks have in common.
    """

    def __init__(self, widths: tuple[int, ...], own: int = 0, n: tuple[int, ...] = (300, 220, 180), seed: int = 0):
        rng = np.random.default_rng(seed)
        self.widths, self.own, self.n = widths, own, n
        self.banks, self.departments = BANKS[: len(n)], DEPARTMENTS[: len(widths)]
        total, d = sum(n), own + sum(widths)
        plain = rng.normal(size=(total, d)) + 0.5 * rng.normal(size=(total, 1))
        bank = np.repeat(np.arange(len(n)), n)
        self.X = plain * np.exp(rng.normal(size=d)) + rng.normal(size=d) + 0.4 * bank[:, None]
        z = plain @ (rng.normal(size=d) / np.sqrt(d)) - 0.8 - 0.5 * bank
        self.y = (rng.random(total) < expit(z)).astype(np.uint8)
        self.rows = dict(zip(self.banks, n, strict=True))

    @property
    def total(self) -> int:
        return sum(self.n)

    def of_bank(self, values: np.ndarray, bank: PartyId) -> np.ndarray:
        end = np.cumsum(self.n)[self.banks.index(bank)]
        return values[end - self.rows[bank] : end]

    def roles(
        self,
        *,
        inference: bool = True,
        sign: int = 0,
        l2: float = 0.0,
        seed: int = 1,
        adding: Callable[[PartyId], Any] | None = None,
    ) -> dict[PartyId, Steps[Any]]:
        own, *parts = np.split(self.X, np.cumsum([self.own, *self.widths])[:-1], axis=1)
        pooled = PooledMoments(own.mean(axis=0), np.cov(own.T, bias=True).reshape(self.own, self.own))
        if not self.own:
            pooled = PooledMoments.none()
        roles: dict[PartyId, Steps[Any]] = {}
        for bank in self.banks:
            shape = MixedShape(self.banks, self.departments, {bank: self.rows[bank]}, self.total, inference, sign)
            X, y = self.of_bank(own, bank), self.of_bank(self.y, bank)
            adds = adding(bank) if adding else PlainAdding(bank, self.banks, [])
            randomness = insecure_seeded(seed, bank)
            if bank == self.banks[0]:
                leader = MixedLeader(shape, X, y, int(self.y.sum()), pooled, adds, l2)
                roles[bank] = leader.steps(randomness)
            else:
                roles[bank] = MixedBank(shape, bank, X, y, pooled, adds).steps(randomness)
        shape = MixedShape(self.banks, self.departments, self.rows, self.total, inference, sign)
        for department, X in zip(self.departments, parts, strict=True):
            roles[department] = MixedDepartment(shape, department, X).steps(insecure_seeded(seed, department))
        return roles

    def centralised(self, l2: float = 0.0) -> LogisticFit:
        return fit_logistic(self.X, self.y, l2=l2)


def play(case: Case, **how: Any) -> Outcome:
    network = {k: how.pop(k) for k in ("pick", "tamper", "window_bytes") if k in how}
    return run_network(case.roles(**how), insecure_in_process=True, **network)


def joined(case: Case, outcome: Outcome, what: str) -> np.ndarray:
    """Coefficients or errors of all columns: the banks', then each department's."""
    fits = [outcome.results[party] for party in (case.banks[0], *case.departments)]
    return np.concatenate([getattr(fit.estimates, what) for fit in fits])
