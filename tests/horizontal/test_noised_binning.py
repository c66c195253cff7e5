"""Bins of noised counts: near those of the exact ones, the same at all members, and as much spent as is planned."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from horizontal.members import Split, made
from horizontal.plain_sums import federations
from scorecard_cases import Kept, levels, numbers

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.woe import BinCounts
from fedcredit.estimators.bin_documents import bins_document
from fedcredit.estimators.horizontal_binning import HorizontalBinning
from fedcredit.estimators.horizontal_binning_cells import Cells
from fedcredit.estimators.noised_binning import ROUNDS, binning_releases, counts_in
from fedcredit.estimators.noised_counts import consistent
from fedcredit.estimators.noised_sums import Noise, PrivacyPlan, PrivacySpend
from fedcredit.estimators.sums import Sums
from fedcredit.governance.privacy import epsilon_at
from fedcredit.ids import PartyId

DELTA = 1e-6


def fitted(
    split: Split, epsilon: float, kept: list[Kept] | None = None, **params: Any
) -> tuple[list[HorizontalBinning], list[PrivacySpend]]:
    """Binnings over links in memory, and what each member has spent."""
    plan = PrivacyPlan.of(epsilon, DELTA, {"binning.0": (1, binning_releases("binning"))})
    spends = [PrivacySpend(plan) for _ in range(split.members)]

    async def member(federation: Any, k: int) -> HorizontalBinning:
        noise = Noise(spends[k], "binning.0", federation.kept_secret, federation.randomness)
        sums = await Sums.begin(federation, "sums", noise=noise)
        more: Any = {"run_stage": kept[k]} if kept else {}
        return await HorizontalBinning(**params).fit(federation, *split.train(k), sums=sums, **more)

    async def run() -> list[HorizontalBinning]:
        return await asyncio.gather(*(member(f, k) for k, f in enumerate(federations(split.members))))

    return asyncio.run(run()), spends


def documents(each: list[HorizontalBinning]) -> set[bytes]:
    return {bins_document(PartyId("a"), PartyId("a"), BinParams(), of.columns_) for of in each}


def test_two_members_have_bins_near_the_exact_ones_and_spend_what_is_planned() -> None:
    split = made((0.6, 0.4), n=20_000)
    each, spends = fitted(split, 8.0)
    assert len(documents(each)) == 1
    columns, y = split.train()
    assert abs(each[0].total_.rows - y.size) < 200
    assert each[0].noise_ is not None
    sigma = each[0].noise_["sigma"]
    assert 1 < sigma < 40
    strong = 0
    for found in each[1].columns_:
        assert found.bins is not None
        assert found.table is not None
        exact = BinCounts.of(found.bins.codes(columns[found.column.name].values), y, found.bins.n_bins)
        # A bin is made of 20 cells at most, and loses what the projection takes off.
        assert np.abs(exact.events - found.table.counts.events).max() < 8 * np.sqrt(20) * sigma
        assert min(found.rows) >= 50
        assert sum(found.rows) == each[0].total_.rows
        strong += found.table.total_iv > 0.05
    assert strong >= 3
    for spend in spends:
        assert spend.spent <= spend.plan.rho
        assert epsilon_at(spend.spent, DELTA) <= 8.0
        assert spend.spent > 0.7 * spend.plan.rho


def test_what_is_made_again_is_the_same_release() -> None:
    split = made((0.5, 0.5), n=3000)
    whole = [Kept() for _ in range(2)]
    first, _ = fitted(split, 4.0, whole)
    assert whole[0].made == [f"binning/{phase}" for phase in ("total", "cuts", "counts")]
    for lost in ({"binning/counts"}, {"binning/cuts", "binning/counts"}):
        cut = [Kept({stage: s for stage, s in of.states.items() if stage not in lost}) for of in whole]
        again, spends = fitted(split, 4.0, cut)
        assert documents(again) == documents(first)
        assert cut[0].states == whole[0].states
        assert 0 < spends[0].spent < spends[0].plan.rho
    _, spends = fitted(split, 4.0, [Kept(of.states) for of in whole])
    assert [spend.spent for spend in spends] == [0, 0]


def test_more_privacy_makes_fewer_bins_and_never_one_below_the_floors() -> None:
    split = made((0.5, 0.5), n=3000)
    most = {
        epsilon: sum(c.bins.n_bins for c in fitted(split, epsilon)[0][0].columns_ if c.bins) for epsilon in (0.2, 20)
    }
    assert most[0.2] < most[20]


def test_the_plan_has_a_share_for_each_sum() -> None:
    releases = binning_releases("b")
    plan = PrivacyPlan.of(2.0, DELTA, {"b": (1, releases)})
    assert len(releases) == ROUNDS + 2
    assert all(plan.rho_of("b", label) > 0 for label in releases)
    assert plan.rho_of("b", "b/counts") > 0.69 * plan.rho


def test_counts_are_the_nearest_that_could_be_some() -> None:
    rng = np.random.default_rng(3)
    noisy, totals = rng.integers(-60, 200, (500, 9)), rng.integers(0, 900, 500)
    found = consistent(noisy, totals)
    assert found.min() >= 0
    assert (found.sum(axis=1) == totals).all()
    # By the conditions of optimality: all that stay lost the same, and who is at 0 would have lost more.
    for y, x in zip(noisy[totals > 9], found[totals > 9], strict=True):
        off = (y - x)[x > 1]
        assert np.ptp(off) <= 1
        assert (y[x == 0] <= off.min() + 2).all()
    exact = rng.integers(0, 50, (20, 7))
    assert (consistent(exact, exact.sum(axis=1)) == exact).all()


@pytest.mark.parametrize("special", [(), (0.5, 2.0), (3.0,)])
def test_counts_of_pre_bins_are_those_of_their_cells(special: tuple[float, ...]) -> None:
    rng = np.random.default_rng(4)
    values = np.r_[rng.integers(-4, 8, 900) / 2, np.full(100, np.nan), special * 60]
    y = rng.integers(0, 2, values.size).astype(np.uint8)
    town = np.where(np.isnan(values), np.nan, rng.integers(0, 4, values.size))
    edges = np.array([-1.0, 0.5, 2.0, 3.0])
    for column in (numbers("x", values, special=special), levels("t", town, tuple("abcde"))):
        cells = Cells.of(column, edges)
        mine = [_rows(cells, y == k) for k in (0, 1)]
        prebins = cells.prebins(mine[0] + mine[1], BinParams())
        expected = BinCounts.of(prebins.codes(column.values), y, prebins.n_bins)
        counted = counts_in(cells, BinCounts(*mine), prebins)
        assert counted.events.tolist() == expected.events.tolist()
        assert counted.non_events.tolist() == expected.non_events.tolist()


def _rows(cells: Cells, at: np.ndarray) -> np.ndarray:
    from dataclasses import replace

    column = replace(cells.column, values=cells.column.values[at])
    return replace(cells, column=column).rows()
