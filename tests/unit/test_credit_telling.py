"""Which columns their owner is told of, and how finely: chance is chance, and what is told is about its own error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import PrebinShape, SettledColumn, prebins_of
from fedcredit.credit.telling import (
    CHANCE,
    OUT_OF_BAND,
    SAYS_NOTHING,
    STEP_OF_ERROR,
    Counted,
    chance,
    coarse_evidence,
    tellable,
    worth,
)
from fedcredit.credit.woe import BinCounts, woe_table

PARAMS = BinParams(iv_disclosure="coarse")


def counted(values: np.ndarray, y: np.ndarray, params: BinParams = PARAMS, **how: Any) -> Counted:
    bins = prebins_of(values, params, **how)
    return Counted.settle(PrebinShape.of(bins), BinCounts.of(bins.codes(values), y, bins.n_bins), params)


def columns_of_noise(seed: int, n: int, each: int, rate: float, params: BinParams) -> list[Counted]:
    """Numbers, numbers some of which are missing, numbers with a code among them, and levels."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < rate).astype(np.uint8)
    found = []
    for _ in range(each):
        numbers, gone, coded = rng.normal(size=(3, n))
        gone[rng.random(n) < 0.1] = np.nan
        coded[rng.random(n) < 0.08] = -999.0
        found += [counted(numbers, y, params), counted(gone, y, params), counted(coded, y, params, special=(-999.0,))]
        found.append(counted(rng.integers(0, 12, n).astype(float), y, params, levels=True))
    return found


@pytest.mark.parametrize(("method", "rate"), [("optimal", 0.2), ("chimerge", 0.05), ("quantile", 0.05)])
def test_of_columns_that_say_nothing_their_owner_is_told_nothing(method: Any, rate: float) -> None:
    """Twenty-five tables of 24 columns. By chance a hundredth is told anything, and a twentieth comes below 0.05:
    three and six of them would each be two in a thousand."""
    params = BinParams(method=method, iv_disclosure="coarse")
    least, told = [], 0
    for seed in range(25):
        columns = columns_of_noise(seed, 1000, 6, rate, params)
        least.append(chance(columns).min())
        told += any(column.refused is None for column in tellable(columns, "coarse", 1000))
    assert told < 3
    assert sum(value < 0.05 for value in least) < 6
    # And it is not that everything is chance: a half of all tables has something that others than these would lack.
    assert sum(value < 0.9 for value in least) > 5


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (lambda rng, x: x, {}),
        (lambda rng, x: x**2, {}),
        (lambda rng, x: np.where((rng.random(x.size) < 0.2) & (x > 0.3), np.nan, rng.normal(size=x.size)), {}),
        (lambda rng, x: np.where((rng.random(x.size) < 0.2) & (x > 0.3), -1e3, x * 0), {"special": (-1e3,)}),
        (lambda rng, x: np.digitize(x, [-1, 0, 1]).astype(float), {"levels": True}),
    ],
    ids=["rises", "both ends", "missing", "special", "levels"],
)
def test_a_column_that_says_much_is_told_among_many_that_say_nothing(make: Any, how: Any) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=3000)
    y = (rng.random(3000) < 1 / (1 + np.exp(1.4 - 1.3 * x))).astype(np.uint8)
    columns = [counted(v, y) for v in rng.normal(size=(20, 3000))] + [counted(make(rng, x), y, **how)]
    told = tellable(columns, "coarse", 3000)
    assert [column.refused for column in told] == [SAYS_NOTHING] * 20 + [None]
    assert chance(columns)[-1] < CHANCE


def test_a_column_out_of_the_band_is_not_spoken_of() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=3000)
    y = (rng.random(3000) < 1 / (1 + np.exp(1.4 - 1.3 * x))).astype(np.uint8)
    column = counted(x, y)
    iv = column.settled.iv
    assert iv is not None
    for band, refused in (
        ((0.0, iv), None),
        ((iv, 9.0), None),
        ((0.0, iv - 1e-9), OUT_OF_BAND),
        ((9.0, 9.0), OUT_OF_BAND),
    ):
        assert tellable([column], "coarse", 3000, band)[0].refused == refused
    # Others than "coarse" have no band, and the weaker ones no limit.
    for how in ("none", "bins", "rank", "rounded"):
        assert tellable([column], how, 40, (9.0, 9.0)) == (column.settled,)
    assert tellable([column], "exact", 40)[0].refused == "BINS_TOO_MANY"
    assert tellable([column], "coarse", 40)[0].refused == "BINS_TOO_MANY"


def test_coarse_evidence_is_within_half_a_step_of_two_to_four_errors() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        good, bad = rng.integers(10, 5000, 6), rng.integers(10, 900, 6)
        table = woe_table(BinCounts(good, bad))
        error = np.sqrt(1 / good + 1 / bad)
        step = np.exp2(np.ceil(np.log2(STEP_OF_ERROR * error)))
        found = coarse_evidence(table)
        assert (np.abs(found - table.woe) <= step / 2).all()
        assert ((step >= STEP_OF_ERROR * error) & (step < 2 * STEP_OF_ERROR * error)).all()
        # Within an error of what all rows say there is nothing to tell.
        assert (found[np.abs(table.woe) < error] == 0).all()
        assert (found / step == np.rint(found / step)).all()


def test_coarse_evidence_does_not_give_a_row_away() -> None:
    """With one bad row more or less in a bin it is nearly always the same, where the exact one never is."""
    rng = np.random.default_rng(2)
    same = 0
    for _ in range(300):
        good, bad = rng.integers(300, 3000, 5), rng.integers(50, 600, 5)
        one, two = (woe_table(BinCounts(good, bad + more)) for more in ([0] * 5, [1, 0, 0, 0, 0]))
        assert one.woe[0] != two.woe[0]
        same += coarse_evidence(one).tolist() == coarse_evidence(two).tolist()
    assert same > 270
    assert coarse_evidence(woe_table(BinCounts(np.array([90, 30]), np.array([0, 40])))).tolist()[0] == 0.0


def test_one_bin_against_all_others_is_fishers_test() -> None:
    """Through `chance` of a column of few missing values, with values that cannot differ: one bin of them."""
    # Imported here: it takes a second, which each process that collects the tests would wait.
    from scipy.stats import chi2, hypergeom

    rng = np.random.default_rng(3)
    for _ in range(40):
        good, bad = rng.integers(40, 400, 2), rng.integers(10, 60, 2)
        counts = BinCounts(good, bad)
        column = Counted.settle(PrebinShape(1, True, 0, "numbers"), counts, PARAMS)
        if column.settled.n_bins < 2:
            continue
        ways = hypergeom(int(counts.rows.sum()), int(bad.sum()), int(counts.rows[1]))
        fisher = min(1.0, 2 * min(ways.cdf(bad[1]), ways.sf(bad[1] - 1)))
        rate = bad.sum() / counts.rows.sum()
        square = ((bad - counts.rows * rate) ** 2 / (counts.rows * rate * (1 - rate))).sum()
        omnibus = float(chi2.sf(square, 1))
        assert chance([column])[0] == pytest.approx(min(1.0, 2 * min(fisher, omnibus)), rel=1e-6, abs=1e-12)


def test_a_column_without_bins_and_one_of_one_bin_are_chance() -> None:
    y = np.r_[np.ones(300), np.zeros(700)].astype(np.uint8)
    constant = counted(np.ones(1000), y)
    assert chance([constant]).tolist() == [1.0]
    refused = Counted(constant.shape, constant.counts, SettledColumn(np.zeros(1, np.int64), None, "BIN_TOO_SMALL"))
    assert tellable([refused, constant], "coarse", 1000)[0].refused == "BIN_TOO_SMALL"
    assert tellable([refused, constant], "coarse", 1000)[1].refused == SAYS_NOTHING


def test_worth_is_about_the_information_value() -> None:
    counts = BinCounts(np.array([900, 800, 850]), np.array([100, 160, 220]))
    table = woe_table(counts)
    assert worth(counts.rows.tolist(), table.woe.tolist()) == pytest.approx(table.total_iv, rel=0.1)
    assert worth([], []) == 0.0
