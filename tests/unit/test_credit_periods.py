"""Stability by period: which month a row is from, and how far each month has moved."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.credit.metrics import stability_index
from fedcredit.credit.periods import MIN_ROWS, Periods, banded, by_period, index_of
from fedcredit.errors import DataError

NONE = float("nan")


@pytest.mark.parametrize(
    ("values", "levels", "names", "codes"),
    [
        ([202402, 202401, 202402, NONE], (), ("202401", "202402"), [1, 0, 1, -1]),
        ([20240215, 20240131, 20240201], (), ("202401", "202402"), [1, 0, 1]),
        ([2006, 2007, 2006], (), ("2006", "2007"), [0, 1, 0]),
        (
            [0, 1, 2, NONE, 3],
            ("2024-02-01", "2024-01-31", "2024-02", "(other)"),
            ("2024-01", "2024-02"),
            [1, 0, 1, -1, -1],
        ),
        ([3, 4, 5, 6], (), ("5", "6"), [-1, -1, 0, 1]),
        ([NONE], (), (), [-1]),
    ],
)
def test_months_are_read_and_the_latest_kept(
    values: list[float], levels: tuple[str, ...], names: tuple[str, ...], codes: list[int]
) -> None:
    periods = Periods.of("month", np.array(values, np.float64), levels, 2)
    assert periods.names == names
    assert periods.codes.tolist() == codes
    assert periods.rows.tolist() == [codes.count(k) for k in range(len(names))]


@pytest.mark.parametrize("value", [2024.5, -3e9, 1e12])
def test_what_is_no_month_is_refused(value: float) -> None:
    with pytest.raises(DataError) as caught:
        Periods.of("month", np.array([value]), (), 12)
    assert caught.value.code == "VALUE_INVALID"


def test_each_period_is_held_against_the_rows_to_train_on() -> None:
    rng = np.random.default_rng(0)
    expected = np.array([300, 300, 400, 0])
    months = np.repeat([202401, 202402, 202403], [500, 500, MIN_ROWS - 1])
    bins = rng.choice(3, months.size, p=[0.3, 0.3, 0.4])
    bins[months == 202402] = rng.choice(3, 500, p=[0.7, 0.2, 0.1])
    found = by_period(expected, bins, Periods.of("month", months.astype(float), (), 12))
    assert [(of.period, of.rows) for of in found] == [("202401", 500), ("202402", 500), ("202403", MIN_ROWS - 1)]
    calm, moved, few = (of.index for of in found)
    assert few is None
    assert calm is not None
    assert calm < 0.03
    counts = np.bincount(bins[months == 202402], minlength=3)
    assert moved == pytest.approx(stability_index(expected[:3].astype(float), counts.astype(float)))
    assert moved > 0.5


def test_bands_hold_about_a_tenth_each_and_lose_no_row() -> None:
    rng = np.random.default_rng(1)
    expected, actual = rng.integers(0, 100, 32), rng.integers(0, 50, 32)
    e, a = banded(expected, actual)
    assert (e.sum(), a.sum()) == (expected.sum(), actual.sum())
    assert e.max() < 0.1 * e.sum() + expected.max()
    assert index_of(e, np.zeros_like(a)) is None
    assert index_of(e, 3 * e) == pytest.approx(0)
