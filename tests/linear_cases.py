"""Parties with columns for a joint logistic regression, played in one process, and the centralised fit beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from fedcredit.credit.glm import LogisticFit, fit_logistic
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear import LinearFeature, LinearLabel, LinearPartner, LinearShape
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.message import message_type

BANK, TAX, WATER, POWER = PARTIES = tuple(map(PartyId, ("bank", "tax", "water", "power")))


class Case:
    """Columns of several parties that correlate across them, on scales and means of their own."""

    def __init__(self, widths: tuple[int, ...], n: int = 600, seed: int = 0, weighted: bool = False, l2: float = 0.0):
        rng = np.random.default_rng(seed)
        d = sum(widths)
        plain = rng.normal(size=(n, d)) + 0.5 * rng.normal(size=(n, 1))
        b = rng.normal(size=d) / np.sqrt(d)
        self.X = plain * np.exp(rng.normal(size=d)) + rng.normal(size=d)
        self.offset = 0.3 * rng.normal(size=n) if weighted else None
        self.weights = rng.integers(1, 5, n) / 2.0 if weighted else None
        z = plain @ b - 0.8 + (0 if self.offset is None else self.offset)
        self.y = (rng.random(n) < expit(z)).astype(np.uint8)
        self.l2, self.widths, self.n = l2, widths, n

    def roles(
        self, *, inference: bool = True, seed: int = 1, sign: int = 0, encryption: Any = "rlwe"
    ) -> dict[PartyId, Steps[Any]]:
        peers = PARTIES[1 : len(self.widths)]
        shape = LinearShape(BANK, peers, self.n, inference, sign, encryption)
        parts = np.split(self.X, np.cumsum(self.widths)[:-1], axis=1)
        label = LinearLabel(shape, parts[0], self.y, self.weights, self.offset, self.l2)
        roles = {BANK: label.steps(insecure_seeded(seed, BANK))}
        roles[TAX] = LinearPartner(shape, parts[1]).steps(insecure_seeded(seed, TAX))
        for peer, X in zip(peers[1:], parts[2:], strict=True):
            roles[peer] = LinearFeature(shape, peer, X).steps(insecure_seeded(seed, peer))
        return roles

    def centralised(self) -> LogisticFit:
        return fit_logistic(self.X, self.y, weights=self.weights, offset=self.offset, l2=self.l2)


def play(case: Case, **how: Any) -> Outcome:
    network = {k: how.pop(k) for k in ("pick", "tamper", "window_bytes") if k in how}
    return run_network(case.roles(**how), insecure_in_process=True, **network)


def joined(outcome: Outcome, what: str) -> np.ndarray:
    fits = [outcome.results[party] for party in PARTIES if party in outcome.results]
    return np.concatenate([getattr(fit.estimates, what) for fit in fits])


def assert_like_centralised(outcome: Outcome, fit: LogisticFit, tolerance: float = 1e-4) -> None:
    """Coefficients by their standard errors, which say what a difference means."""
    e = fit.estimates
    assert (joined(outcome, "values") - e.values) / e.standard_errors == pytest.approx(0, abs=10 * tolerance)
    assert joined(outcome, "standard_errors") == pytest.approx(e.standard_errors, rel=tolerance)
    assert joined(outcome, "p_values") == pytest.approx(e.p_values, abs=5 * tolerance)
    label = outcome.results[BANK]
    assert label.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-4)
    assert label.aic == pytest.approx(fit.aic, rel=1e-4)
    assert label.gradients < 30


def replace(kind: type[Any], number: int, make: Callable[[Any], Any], sender: PartyId) -> Callable[..., Any]:
    """Change the message of one kind and number that `sender` sends."""
    seen: list[int] = []

    def tamper(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if not isinstance(message, kind) or link.sender != sender:
            return tag, body
        seen.append(1)
        if len(seen) != number + 1:
            return tag, body
        other = make(message)
        return other.tag, other.encode()

    return tamper
