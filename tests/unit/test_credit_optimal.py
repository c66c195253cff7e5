"""Optimal binning: every way to join pre-bins tried in turn, and what optbinning made of the same counts."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedcredit.credit.optimal import BinLimits, OptimalBinning, Trend, optimal_binning
from fedcredit.credit.prebinning import by_event_rate, level_bins
from fedcredit.credit.woe import BinCounts, woe_table
from fedcredit.errors import ConfigError, DataError

TRENDS: tuple[Trend, ...] = ("none", "ascending", "descending", "peak", "valley")
VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "optbinning.json").read_text())
# optbinning's solver takes information values and bad rates to six decimal places, cut off.
RESOLUTION = 2e-5


def counts(good: list[int], bad: list[int]) -> BinCounts:
    return BinCounts(np.array(good, np.int64), np.array(bad, np.int64))


def joined(fine: BinCounts, ends: np.ndarray | list[int]) -> BinCounts:
    return fine.grouped(np.searchsorted(ends, np.arange(fine.rows.size)))


def follows(rate: np.ndarray, trend: Trend) -> bool:
    step = np.diff(rate)
    turns = range(step.size + 1)
    return {
        "none": True,
        "ascending": bool((step >= 0).all()),
        "descending": bool((step <= 0).all()),
        "peak": any((step[:t] >= 0).all() and (step[t:] <= 0).all() for t in turns),
        "valley": any((step[:t] <= 0).all() and (step[t:] >= 0).all() for t in turns),
    }[trend]


def z_test(counts: BinCounts) -> np.ndarray:
    """p-values of two-sided z-tests between neighbours, from the definition."""
    rate, rows = counts.bad_rate, counts.rows
    p = []
    for k in range(rows.size - 1):
        pooled = (counts.events[k] + counts.events[k + 1]) / (rows[k] + rows[k + 1])
        z = abs(rate[k] - rate[k + 1]) / math.sqrt(pooled * (1 - pooled) * (1 / rows[k] + 1 / rows[k + 1]))
        p.append(math.erfc(z / math.sqrt(2)))
    return np.array(p)


def keeps(bins: BinCounts, limits: BinLimits, trend: Trend) -> bool:
    least = max(limits.min_rows, math.ceil(limits.min_share * bins.rows.sum()))
    return bool(
        limits.min_bins <= bins.rows.size <= limits.max_bins
        and (bins.rows >= least).all()
        and (bins.events >= limits.min_events).all()
        and (bins.non_events >= limits.min_non_events).all()
        and (np.abs(np.diff(bins.bad_rate)) >= limits.min_rate_diff).all()
        and (z_test(bins) <= limits.max_p_value).all()
        and follows(bins.bad_rate, trend)
    )


def best_of_all(fine: BinCounts, limits: BinLimits, trend: Trend) -> float:
    n = fine.rows.size
    best = -math.inf
    for mask in range(2 ** (n - 1)):
        bins = joined(fine, [*(k for k in range(n - 1) if mask >> k & 1), n - 1])
        if keeps(bins, limits, trend):
            best = max(best, woe_table(bins).total_iv)
    return best


pre_bins = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 30)), min_size=1, max_size=7).filter(
    lambda rows: all(map(sum, zip(*rows, strict=True)))
)


@example(rows=[(0, 0), (2, 4)], trend="none", min_bins=1, max_bins=2, share=0.0, events=1, diff=0.05, p_value=1.0)
@settings(max_examples=150)
@given(
    rows=pre_bins,
    trend=st.sampled_from(TRENDS),
    min_bins=st.integers(1, 2),
    max_bins=st.integers(2, 6),
    share=st.sampled_from([0.0, 0.05, 0.3]),
    events=st.integers(1, 8),
    diff=st.sampled_from([0.0, 0.0, 0.05]),
    p_value=st.sampled_from([1.0, 1.0, 0.1]),
)
def test_no_other_bins_have_more_information(
    rows: list[tuple[int, int]],
    trend: Trend,
    min_bins: int,
    max_bins: int,
    share: float,
    events: int,
    diff: float,
    p_value: float,
) -> None:
    fine = counts(*(list(column) for column in zip(*rows, strict=True)))
    limits = BinLimits(
        trend=trend,
        min_bins=min_bins,
        max_bins=max_bins,
        min_share=share,
        min_rows=3,
        min_events=events,
        min_non_events=1,
        min_rate_diff=diff,
        max_p_value=p_value,
    )
    best = best_of_all(fine, limits, trend)
    if best == -math.inf:
        with pytest.raises(DataError) as error:
            optimal_binning(fine, limits)
        assert error.value.code == "BINNING_INFEASIBLE"
        return
    found = optimal_binning(fine, limits)
    bins = joined(fine, found.ends)
    assert found.ends[-1] == len(rows) - 1
    assert found.trend == trend
    assert keeps(bins, limits, trend)
    assert found.iv == pytest.approx(woe_table(bins).total_iv, abs=1e-9)
    assert found.iv == pytest.approx(best, abs=1e-9)


@settings(max_examples=60)
@given(rows=pre_bins, gain=st.sampled_from([0.0, 0.1, 0.5]))
def test_auto_is_straight_unless_a_turn_is_worth_it(rows: list[tuple[int, int]], gain: float) -> None:
    fine = counts(*(list(column) for column in zip(*rows, strict=True)))

    def find(trend: Trend) -> OptimalBinning:
        limits = BinLimits(trend=trend, min_rows=1, min_events=1, min_non_events=1, turn_gain=gain)
        return optimal_binning(fine, limits)

    # One bin of all rows keeps these limits, so there is an answer to each.
    found = {trend: find(trend) for trend in (*TRENDS, "auto", "auto_asc_desc")}
    iv = {trend: best.iv for trend, best in found.items()}
    straight, turned = max(iv["ascending"], iv["descending"]), max(iv["peak"], iv["valley"])
    assert iv["auto_asc_desc"] == straight
    assert iv["none"] >= turned - 1e-9 >= straight - 2e-9
    if turned > straight * (1 + gain) + 1e-9:
        assert found["auto"].trend in ("peak", "valley")
        assert iv["auto"] == turned
    else:
        assert iv["auto"] == pytest.approx(straight, abs=1e-9)


def limits_of(options: dict[str, Any], trend: Trend) -> BinLimits:
    return BinLimits(
        trend=trend,
        max_bins=options["max_n_bins"],
        min_share=options["min_bin_size"],
        min_rows=1,
        min_events=options["min_bin_n_event"],
        min_non_events=options["min_bin_n_nonevent"],
        min_rate_diff=0.0 if options["min_event_rate_diff"] < 1e-6 else options["min_event_rate_diff"],
        max_p_value=options["max_pvalue"] or 1.0,
    )


@pytest.mark.parametrize("number", range(len(VECTORS["optimal"])))
def test_optbinning_finds_the_same(number: int) -> None:
    case = VECTORS["optimal"][number]
    fine, kept = counts(case["good"], case["bad"]), case["kept"]
    limits = limits_of(case["options"], case["trend"])
    if kept["status"] != "OPTIMAL":
        # It then has one bin, whatever the limits; here that is said.
        with pytest.raises(DataError) as error:
            optimal_binning(fine, limits)
        assert error.value.code == "BINNING_INFEASIBLE"
        return
    found = optimal_binning(fine, limits)
    assert found.iv == pytest.approx(kept["iv"], abs=RESOLUTION)
    assert woe_table(joined(fine, kept["ends"])).total_iv == pytest.approx(kept["iv"], abs=1e-12)
    if found.iv > kept["iv"] + 1e-12:
        assert found.ends.tolist() != kept["ends"]
    else:
        assert found.ends.tolist() == kept["ends"]


def test_optbinning_groups_levels_the_same() -> None:
    for case in VECTORS["categorical"]:
        good, bad = np.array(case["good"]), np.array(case["bad"])
        values = np.repeat(np.arange(good.size, dtype=float), good + bad)
        y = np.concatenate([np.r_[np.zeros(g), np.ones(b)] for g, b in zip(good, bad, strict=True)]).astype(np.uint8)
        bins = level_bins(values, max_bin=64, min_rows=1)
        ordered, moved = by_event_rate(bins, BinCounts.of(bins.codes(values), y, bins.n_bins))
        limits = BinLimits(trend="ascending", max_bins=5, min_rows=1, min_events=1, min_non_events=1)
        kept, to = ordered.cut(optimal_binning(moved, limits).ends)
        table = woe_table(moved.grouped(to))
        assert table.total_iv == pytest.approx(case["kept"]["total_iv"], abs=RESOLUTION)
        groups = [np.flatnonzero(kept.codes(np.arange(9.0)) == k).tolist() for k in range(kept.n_bins)]
        if abs(table.total_iv - case["kept"]["total_iv"]) < 1e-12:
            assert groups == [sorted(group) for group in case["groups"] if group]


def test_equal_information_takes_fewer_bins() -> None:
    found = optimal_binning(counts([90, 90, 50, 50], [10, 10, 50, 50]), BinLimits(min_rows=1, min_share=0))
    assert found.ends.tolist() == [1, 3]
    flat = optimal_binning(counts([90, 90, 90], [10, 10, 10]), BinLimits(min_rows=1))
    assert (flat.ends.tolist(), flat.iv) == ([2], 0.0)


def test_a_pre_bin_without_one_class_joins_another() -> None:
    found = optimal_binning(counts([100, 80, 60, 0], [0, 20, 40, 5]), BinLimits(min_rows=1, min_share=0, min_events=1))
    assert (joined(counts([100, 80, 60, 0], [0, 20, 40, 5]), found.ends).non_events > 0).all()
    assert (joined(counts([100, 80, 60, 0], [0, 20, 40, 5]), found.ends).events > 0).all()


def test_the_share_is_of_all_rows_where_they_are_given() -> None:
    fine = counts([80, 300, 300], [20, 200, 100])
    limits = BinLimits(min_share=0.1, trend="none")
    assert optimal_binning(fine, limits).ends.tolist() == [0, 1, 2]
    assert optimal_binning(fine, limits, n_rows=1100).ends.tolist() != [0, 1, 2]


def test_what_has_no_bins_is_said_with_a_code() -> None:
    for one in (counts([5, 6], [0, 0]), counts([0], [5])):
        with pytest.raises(DataError) as error:
            optimal_binning(one, BinLimits(min_rows=1))
        assert error.value.code == "LABEL_ONE_CLASS"
    for few in (counts([30], [12]), counts([600, 500], [4, 5])):
        with pytest.raises(DataError) as error:
            optimal_binning(few, BinLimits())
        assert error.value.code == "BINNING_INFEASIBLE"


def test_limits_are_checked_all_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        BinLimits(
            trend="up",  # type: ignore[arg-type]
            min_bins=3,
            max_bins=2,
            min_share=0.6,
            min_rows=0,
            min_events=0,
            min_non_events=0,
            min_rate_diff=-1,
            max_p_value=0,
            turn_gain=math.nan,
        )
    assert len(error.value.problems) == 9
    assert {problem.code for problem in error.value.problems} == {"CONFIG_VALUE"}
    with pytest.raises(ConfigError):
        BinLimits(max_bins=65)


def test_counts_of_the_largest_columns_are_compared_exactly() -> None:
    # The rates differ by less than 1e-18, which no double tells.
    n = 2**29
    fine = counts([n - 1, n], [n + 1, n - 1])
    assert optimal_binning(fine, BinLimits(trend="descending", min_bins=2)).ends.tolist() == [0, 1]
    with pytest.raises(DataError):
        optimal_binning(fine, BinLimits(trend="ascending", min_bins=2))


@pytest.mark.slow
def test_a_whole_table_takes_well_below_a_second() -> None:
    rng = np.random.default_rng(0)
    columns = []
    for _ in range(330):
        rows = rng.integers(500, 12_000, 10)
        bad = rng.binomial(rows, np.clip(np.linspace(0.05, 0.3, 10) + rng.normal(0, 0.03, 10), 0.01, 0.9))
        columns.append(BinCounts(rows - bad, bad))
    start = time.process_time()
    for column in columns:
        optimal_binning(column, BinLimits())
    # Of the processor's time, so that what else runs does not count; 0.2 s where it was written.
    assert time.process_time() - start < 1.0


def test_many_pre_bins_are_no_trouble() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(50, 200, 100)
    bad = rng.binomial(rows, np.linspace(0.05, 0.4, 100))
    found = optimal_binning(BinCounts(rows - bad, bad), BinLimits(max_bins=20, trend="peak"))
    assert found.iv > 0
    assert follows(joined(BinCounts(rows - bad, bad), found.ends).bad_rate, "peak")
