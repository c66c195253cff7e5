"""Weight of evidence and information value: published figures, definitions, and what is told of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.credit.woe import IV_DIGITS, MAX_ROWS, BinCounts, told_iv, woe_table
from fedcredit.errors import DataError

tables = st.integers(1, 12).flatmap(
    lambda b: st.tuples(*(arrays(np.int64, b, elements=st.integers(0, 500)) for _ in range(2)))
)


def counts(good: list[int], bad: list[int]) -> BinCounts:
    return BinCounts(np.array(good, np.int64), np.array(bad, np.int64))


# Siddiqi, Credit Risk Scorecards (2006), the table of age: missing, 18-22, 23-26, 27-29, 30-35, 35-44, 44+.
AGE = counts([860, 3040, 4920, 8100, 9500, 6800, 2940], [140, 960, 1080, 900, 500, 200, 60])


def test_the_figures_of_siddiqis_table_of_age() -> None:
    table = woe_table(AGE)
    assert (100 * table.woe).round(3).tolist() == [-42.719, -108.980, -72.613, -4.526, 70.196, 128.388, 164.934]
    assert round(table.total_iv, 4) == 0.6681
    assert AGE.bad_rate.round(2).tolist() == [0.14, 0.24, 0.18, 0.10, 0.05, 0.03, 0.02]


@given(data=tables)
def test_they_are_what_they_are_defined_to_be(data: tuple[np.ndarray, np.ndarray]) -> None:
    good, bad = data
    assume(good.sum() > 0 < bad.sum())
    table = woe_table(BinCounts(good, bad))
    for k in range(good.size):
        g, b = good[k] / good.sum(), bad[k] / bad.sum()
        woe = math.log(g / b) if g and b else 0.0
        assert table.woe[k] == pytest.approx(woe, abs=1e-12)
        assert table.iv[k] == pytest.approx((g - b) * woe, abs=1e-12)
    assert (table.iv >= 0).all()
    # To swap the classes turns the sign and leaves the information value.
    turned = woe_table(BinCounts(bad, good))
    assert turned.woe == pytest.approx(-table.woe, abs=1e-12)
    assert turned.total_iv == pytest.approx(table.total_iv, abs=1e-12)


@given(data=tables, at=st.integers(0, 10))
def test_joining_bins_never_adds_information(data: tuple[np.ndarray, np.ndarray], at: int) -> None:
    good, bad = data[0] + 1, data[1] + 1
    assume(good.size > at + 1)
    fine = BinCounts(good, bad)
    to = np.arange(good.size)
    to[at + 1 :] -= 1
    joined = fine.grouped(to)
    assert joined.rows.sum() == fine.rows.sum()
    assert woe_table(joined).total_iv <= woe_table(fine).total_iv + 1e-12


def test_a_bin_without_one_class_is_neutral_or_counts_half_a_row() -> None:
    table = woe_table(counts([90, 10, 0, 0], [5, 0, 5, 0]))
    assert table.woe[1:].tolist() == [0, 0, 0]
    assert table.iv[1:].tolist() == [0, 0, 0]
    half = woe_table(counts([90, 10, 0, 0], [5, 0, 5, 0]), empty="half")
    assert half.woe[1] == pytest.approx(math.log((10.5 / 100) / (0.5 / 10)))
    assert half.woe[2] == pytest.approx(math.log((0.5 / 100) / (5.5 / 10)))
    assert half.woe[3] == half.iv[3] == 0
    assert half.woe[0] == table.woe[0]
    assert half.iv[1] == pytest.approx((10.5 / 100 - 0.5 / 10) * half.woe[1])


@pytest.mark.parametrize("empty", ["neutral", "half"])
def test_one_class_alone_is_refused(empty: str) -> None:
    for one in (counts([5, 6], [0, 0]), counts([0, 0], [5, 6]), counts([0], [0])):
        with pytest.raises(DataError) as error:
            woe_table(one, empty=empty)
        assert error.value.code == "LABEL_ONE_CLASS"


def test_a_constant_column_says_nothing() -> None:
    table = woe_table(counts([70], [30]))
    assert (table.woe.tolist(), table.total_iv) == ([0.0], 0.0)


def test_counts_of_rows() -> None:
    found = BinCounts.of(np.array([0, 2, 2, 1, 2], np.uint8), np.array([1, 0, 1, 0, 1], np.uint8), 4)
    assert found.events.tolist() == [1, 0, 2, 0]
    assert found.non_events.tolist() == [0, 1, 1, 0]
    assert np.isnan(found.bad_rate[3])
    assert "events" not in repr(found)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (np.array([1, 2]), np.array([1])),
        (np.array([[1]]), np.array([[1]])),
        (np.array([], np.int64), np.array([], np.int64)),
        (np.array([-1]), np.array([1])),
        (np.array([1.0]), np.array([1.0])),
        (np.array([1], np.int32), np.array([1], np.int32)),
        (np.array([MAX_ROWS]), np.array([1])),
        (np.array([2**62, 2**62]), np.array([2**62, 2**62])),
        ([1], [2]),
    ],
)
def test_what_are_no_counts_is_refused(good: np.ndarray, bad: np.ndarray) -> None:
    with pytest.raises(DataError) as error:
        BinCounts(good, bad)
    assert error.value.code == "COUNTS_INVALID"


def test_what_is_told_of_information_values() -> None:
    iv = [0.1234567, 0.5, 0.0, 0.1234567, 0.0199]
    assert told_iv(iv, "none") == (None,) * 5
    assert told_iv(iv, "rank") == (2, 1, 5, 2, 4)
    assert told_iv(iv, "rounded") == (0.12, 0.5, 0.0, 0.12, 0.02)
    assert told_iv(iv, "exact") == tuple(iv)
    assert told_iv([], "rank") == ()
    for wrong in ([math.nan], [math.inf], [-0.1]):
        with pytest.raises(ValueError):
            told_iv(wrong, "exact")
    with pytest.raises(ValueError):
        told_iv(iv, "all")


@given(iv=st.lists(st.floats(0, 3), max_size=20))
def test_ranks_say_nothing_but_the_order(iv: list[float]) -> None:
    assert told_iv(iv, "rank") == told_iv([4 * value for value in iv], "rank")
    assert all(
        abs(told - value) <= 0.5 * 10**-IV_DIGITS + 1e-12
        for told, value in zip(told_iv(iv, "rounded"), iv, strict=True)
    )
