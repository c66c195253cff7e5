"""Binning: its promises for any column, and LightGBM's own bins."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.credit.binning import Bins, fit_bins
from fedcredit.errors import DataError

columns = st.one_of(
    arrays(np.float64, st.integers(1, 300), elements=st.floats(-1e300, 1e300) | st.just(math.nan)),
    arrays(np.float64, st.integers(1, 300), elements=st.integers(-5, 30).map(float) | st.just(math.nan)),
)


@settings(max_examples=60)
@given(values=columns, max_bin=st.integers(2, 256), min_rows=st.integers(1, 40))
def test_every_bin_keeps_its_promises(values: np.ndarray, max_bin: int, min_rows: int) -> None:
    bins = fit_bins(values, max_bin=max_bin, min_rows=min_rows)
    codes = bins.codes(values)
    gone = np.isnan(values)
    assert codes.dtype == np.uint8
    assert 1 <= bins.n_bins <= max_bin
    counts = np.bincount(codes, minlength=bins.n_bins)
    assert counts.size == bins.n_bins
    # A column of too few rows altogether is one bin, or the values are.
    assert (counts >= min(min_rows, values.size)).all() or bins.n_bins == 1
    if bins.missing:
        assert (codes[gone] == bins.n_bins - 1).all()
        assert (codes[~gone] < max(1, bins.n_bins - 1)).all()
    # Codes rise with values, and equal values share one.
    order = np.argsort(values[~gone], kind="stable")
    assert (np.diff(codes[~gone][order].astype(int)) >= 0).all()
    # The thresholds mean what splits say: code <= k exactly where value <= threshold(k).
    for k in range(bins.n_values):
        assert ((codes[~gone] <= k) == (values[~gone] <= bins.threshold(k))).all()
    assert Bins.from_json(json.loads(json.dumps(bins.to_json()))) == bins


@given(
    values=arrays(np.float64, st.integers(1, 300), elements=st.integers(0, 40).map(float)), max_bin=st.integers(2, 60)
)
def test_few_distinct_values_get_a_bin_each(values: np.ndarray, max_bin: int) -> None:
    distinct = np.unique(values)
    bins = fit_bins(values, max_bin=max_bin, min_rows=1)
    if distinct.size <= max_bin:
        assert bins.n_bins == distinct.size
        assert bins.codes(distinct).tolist() == list(range(distinct.size))
    else:
        assert bins.n_bins <= max_bin


def lightgbm_codes(values: np.ndarray, max_bin: int, folder: Path) -> np.ndarray:
    """LightGBM's bin of each row; its bin 0, kept for zero and negative values, is empty here."""
    # Imported here: it takes a second, which each process that collects the tests would wait.
    import lightgbm

    settings = {
        "max_bin": max_bin + 1,
        "min_data_in_bin": 1,
        "min_data_in_leaf": 1,
        "bin_construct_sample_cnt": 10**7,
        "feature_pre_filter": False,
        "enable_sparse": False,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(values[:, None], np.arange(values.size) % 2, params=settings).construct()
    data._dump_text(str(folder / "bins.txt"))
    rows = (folder / "bins.txt").read_text().split("feature 0:")[1].split("\n")[1:]
    return np.array([int(row.split(",")[0]) for row in rows if row.strip()][: values.size]) - 1


@pytest.mark.parametrize("seed", range(12))
def test_bins_are_those_of_lightgbm(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    n, max_bin = int(rng.integers(50, 3000)), int(rng.integers(3, 64))
    values = (
        rng.lognormal(size=n),
        np.ceil(rng.lognormal(1, 1.5, size=n)),
        rng.choice(rng.lognormal(size=60), n, p=rng.dirichlet(np.full(60, 0.3))),
    )[seed % 3]
    if seed % 2:
        values[rng.random(n) < 0.05] = np.nan
    bins = fit_bins(values, max_bin=max_bin, min_rows=1)
    assert bins.codes(values).tolist() == lightgbm_codes(values, max_bin, tmp_path).tolist()


def test_edges_lie_half_way() -> None:
    bins = fit_bins(np.array([0.0, 1.0, 5.0, np.nan]), max_bin=8, min_rows=1)
    assert bins.edges == pytest.approx((0.5, 3.0))
    assert bins.codes(np.array([-9.0, 0.5, 0.6, 3.0, 3.1, np.nan])).tolist() == [0, 0, 1, 1, 2, 3]
    assert bins.threshold(2) == math.inf


def test_few_missing_values_join_the_largest_bin() -> None:
    values = np.r_[np.zeros(60), np.ones(100), np.full(5, np.nan)]
    bins = fit_bins(values, max_bin=8, min_rows=50)
    assert (bins.n_bins, bins.missing, bins.missing_code) == (2, False, 1)
    assert bins.codes(np.array([np.nan])).tolist() == [1]


def test_columns_without_values_or_with_one() -> None:
    empty = fit_bins(np.full(10, np.nan), max_bin=8, min_rows=1)
    assert (empty.n_bins, empty.n_values, empty.missing) == (1, 0, True)
    assert empty.codes(np.array([3.0, np.nan])).tolist() == [0, 0]
    one = fit_bins(np.full(10, 7.0), max_bin=8, min_rows=1)
    assert (one.n_bins, one.missing) == (1, False)
    assert one.codes(np.array([3.0, np.nan])).tolist() == [0, 0]


def test_categorical_columns_are_cut_between_levels() -> None:
    values = np.repeat(np.arange(6.0), [50, 3, 50, 50, 2, 50])
    bins = fit_bins(values, max_bin=8, min_rows=10, levels=7)
    codes = bins.codes(np.arange(7.0))
    assert bins.levels == 7
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert np.bincount(bins.codes(values)).min() >= 10
    assert all(edge % 1 == 0.5 for edge in bins.edges)
    for wrong in (7.0, -1.0, 0.5):
        with pytest.raises(DataError) as error:
            bins.codes(np.array([wrong]))
        assert error.value.code == "VALUE_LEVEL"


def test_infinite_values_are_refused() -> None:
    for act in (lambda v: fit_bins(v, max_bin=8, min_rows=1), fit_bins(np.arange(9.0), max_bin=8, min_rows=1).codes):
        with pytest.raises(DataError) as error:
            act(np.array([1.0, np.inf]))
        assert error.value.code == "VALUE_INFINITE"


def test_bins_that_do_not_fit_together_are_refused() -> None:
    good = fit_bins(np.array([0.0, 1.0, np.nan]), max_bin=8, min_rows=1).to_json()
    bad: list[dict[str, object]] = [
        good | {"edges": [1.0, 0.0]},
        good | {"edges": [0.5, 0.5]},
        good | {"edges": ["0.5"]},
        good | {"edges": [math.nan]},
        good | {"edges": [True]},
        good | {"edges": [float(k) for k in range(256)], "missing_code": 256},
        good | {"missing": 1},
        good | {"missing_code": 1},
        good | {"missing_code": 0},
        good | {"missing_code": True},
        good | {"levels": 0},
        good | {"more": 1},
        {},
    ]
    for data in bad:
        with pytest.raises(DataError) as error:
            Bins.from_json(data)
        assert error.value.code == "MODEL_INVALID"


def test_a_million_rows_take_no_time() -> None:
    values = np.random.default_rng(0).lognormal(size=1_000_000)
    bins = fit_bins(values, max_bin=256, min_rows=50)
    counts = np.bincount(bins.codes(values))
    assert bins.n_bins == 256
    assert counts.min() > 3800
    assert counts.max() < 4000
