"""Noise in sums: its variance, what a member still cannot take away, what is refused, and what it costs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from horizontal.plain_sums import federations

from fedcredit.crypto.privacy_loss import rho_for, sigma_for
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, FedcreditError
from fedcredit.estimators.noised_sums import Noise, PrivacyPlan, PrivacySpend
from fedcredit.estimators.sums import Sums
from fedcredit.governance.privacy import RHO_UNITS, epsilon_at, rho_units

DELTA = 1e-6
PLAN = PrivacyPlan.of(2.0, DELTA, {"rows": (1, {"count": 1}), "model": (3, {"a": 1, "b": 2})})


def everywhere(
    n: int, work: Callable[[Sums, int], Awaitable[Any]], plan: PrivacyPlan = PLAN, kept: bool = True
) -> list[Any]:
    """What `work` gave or raised at each of n members, whose sums have noise."""

    async def member(federation: Any, k: int) -> Any:
        secret = federation.kept_secret if kept else None
        noise = Noise(PrivacySpend(plan), "model", secret, insecure_seeded(k))
        return await work(await Sums.begin(federation, "model.0/sums", noise=noise), k)

    async def run() -> list[Any]:
        runs = (member(federation, k) for k, federation in enumerate(federations(n)))
        return await asyncio.gather(*runs, return_exceptions=True)

    return asyncio.run(run())


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("kept", [True, False])
def test_every_member_adds_noise_of_the_full_sigma(members: int, kept: bool) -> None:
    values = np.random.default_rng(1).integers(0, 100, (members, 40_000))

    async def work(sums: Sums, k: int) -> Any:
        return await sums.integers("a", values[k], bound=10**6, sensitivity=3.0)

    found = everywhere(members, work, kept=kept)
    assert all((of == found[0]).all() for of in found)
    noise = found[0] - values.sum(axis=0)
    sigma = 3.0 * math.sqrt(RHO_UNITS / (2 * PLAN.rho_of("model", "a")))
    assert np.var(noise) == pytest.approx(members * sigma**2, rel=0.05)
    assert abs(np.mean(noise)) < 5 * sigma * math.sqrt(members / noise.size)


def test_a_member_that_takes_its_own_away_sees_the_noise_of_the_other() -> None:
    values = np.random.default_rng(2).integers(0, 100, (2, 40_000))
    mine: dict[int, Any] = {}

    async def work(sums: Sums, k: int) -> Any:
        assert sums.noise is not None
        again = Noise(PrivacySpend(PLAN), "model", sums.noise.secret, insecure_seeded(k))
        mine[k] = again.added("a", values[k].view(np.uint64), 3.0).view(np.int64)
        return await sums.integers("a", values[k], bound=10**6, sensitivity=3.0)

    found = everywhere(2, work)
    sigma = PLAN.sigma("model", "a", 3.0)
    for k in (0, 1):
        rest = found[k] - mine[k] - values[1 - k]
        assert np.var(rest) == pytest.approx(sigma**2, rel=0.05)
        # What is left of the noise has nothing to do with the noise that was taken away.
        assert abs(np.corrcoef(rest, mine[k] - values[k])[0, 1]) < 0.03


def test_reals_have_noise_in_their_units_far_above_rounding() -> None:
    values = np.random.default_rng(3).normal(size=(2, 30_000))

    async def work(sums: Sums, k: int) -> Any:
        return await sums.reals("b", values[k], bound=10.0, sensitivity=0.01)

    noise = everywhere(2, work)[1] - values.sum(axis=0)
    sigma = PLAN.sigma("model", "b", 0.01)
    assert np.var(noise) == pytest.approx(2 * sigma**2, rel=0.05)
    assert np.unique(noise).size > 29_000


def test_what_no_row_decides_has_no_noise_and_costs_nothing() -> None:
    async def work(sums: Sums, k: int) -> Any:
        assert sums.noise is not None
        whole = await sums.words("schema", np.array([7], np.uint64), sensitivity=0.0)
        return int(whole[0]), sums.noise.spend.spent

    assert everywhere(2, work) == [(14, 0), (14, 0)]


@pytest.mark.parametrize(
    ("label", "sensitivity", "code"),
    [("a", None, "SUM_SENSITIVITY"), ("c", 1.0, "PRIVACY_PLAN"), ("count", 1.0, "PRIVACY_PLAN")],
)
def test_a_sum_that_is_not_planned_is_refused_before_anything_is_sent(
    label: str, sensitivity: float | None, code: str
) -> None:
    async def work(sums: Sums, k: int) -> Any:
        before = sums.federation.meter.snapshot()
        with pytest.raises(FedcreditError) as refused:
            await sums.integers(label, np.array([1]), bound=100, sensitivity=sensitivity)
        assert sums.federation.meter.snapshot() == before
        return refused.value.code

    assert everywhere(2, work) == [code, code]


def test_a_sum_spends_its_share_once_and_the_plan_is_never_passed() -> None:
    spend = PrivacySpend(PLAN)
    for part, label in (("rows", "count"), ("model", "a"), ("model", "b")):
        spend.charge(part, label)
        with pytest.raises(FedcreditError, match="PRIVACY_PLAN"):
            spend.charge(part, label)
    assert spend.spent == PLAN.rho
    assert rho_units(2.0, DELTA) - 3 <= PLAN.rho <= rho_units(2.0, DELTA)
    assert epsilon_at(PLAN.rho, DELTA) == pytest.approx(2.0, abs=1e-6)
    assert epsilon_at(PLAN.rho, DELTA) <= 2.0


def test_sums_that_lend_their_keys_and_two_members_without_noise_are_refused() -> None:
    async def work(sums: Sums, k: int) -> Any:
        with pytest.raises(FedcreditError, match="lend nobody"):
            _ = sums.group
        return 0

    assert everywhere(2, work) == [0, 0]
    with pytest.raises(ConfigError, match="AGGREGATE_TOO_FEW"):
        asyncio.run(Sums.begin(federations(2)[0], "model.0/sums"))


def test_the_same_values_have_the_same_noise_and_others_have_other() -> None:
    def noised(values: list[int], secret: bytes = b"k" * 32, label: str = "a", part: str = "model") -> list[int]:
        noise = Noise(PrivacySpend(PLAN), part, secret, insecure_seeded(0))
        own = np.array(values, np.uint64)
        return (noise.added(label, own, 50.0) - own).view(np.int64).tolist()

    values = list(range(12))
    first = noised(values)
    assert noised(values) == first
    others = (
        noised([*values[:-1], 12]),
        noised(values, secret=b"l" * 32),
        noised(values, label="b"),
        noised(values, label="count", part="rows"),
    )
    for other in others:
        assert other != first
        assert sum(a == b for a, b in zip(first, other, strict=True)) < 6


def test_the_accountant_adds_up_and_agrees_with_published_bounds() -> None:
    # Bun and Steinke 2016, proposition 1.3: rho gives epsilon = rho + 2 sqrt(rho ln(1 / delta)); ours is below it.
    for rho in (0.001, 0.1, 1.0, 4.0):
        published = rho + 2 * math.sqrt(rho * math.log(1 / DELTA))
        ours = epsilon_at(math.ceil(rho * RHO_UNITS), DELTA)
        assert 0.7 * published < ours < published
    # Ten jobs of a tenth of the rho cost what one of all of it does; ten of a tenth of the epsilon cost far less.
    whole = rho_units(4.0, DELTA)
    assert epsilon_at(10 * (whole // 10), DELTA) == pytest.approx(4.0, abs=1e-6)
    assert epsilon_at(10 * rho_units(0.4, DELTA), DELTA) < 1.5
    assert sigma_for(4.0, DELTA, 1.0) == pytest.approx(math.sqrt(1 / (2 * rho_for(4.0, DELTA))))
