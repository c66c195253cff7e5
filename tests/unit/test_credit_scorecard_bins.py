"""Bins of a scorecard: the document, pre-bins of every kind, and no bin below the floor."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.credit.binning import MAX_BIN, Bins, cut_bins, fit_bins
from fedcredit.credit.joining import Floor, chi_merge, chi_square, settle
from fedcredit.credit.prebinning import by_event_rate, level_bins, manual_bins, quantile_bins, width_bins
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.woe import BinCounts, woe_table
from fedcredit.errors import DataError, RefusedError

NAN = math.nan
SPECIAL = (-999.0, -1.0)
columns = arrays(
    np.float64, st.integers(0, 200), elements=st.integers(-3, 30).map(float) | st.just(NAN) | st.sampled_from(SPECIAL)
)
levels = arrays(np.float64, st.integers(0, 200), elements=st.integers(0, 12).map(float) | st.just(NAN))


def counts_of(bins: ScorecardBins, values: np.ndarray, seed: int = 0) -> BinCounts:
    """Counts with random labels whose rate rises with the value."""
    rng = np.random.default_rng(seed)
    rate = np.where(np.isnan(values), 0.3, 0.1 + 0.02 * np.clip(np.nan_to_num(values), 0, 30))
    return BinCounts.of(bins.codes(values), (rng.random(values.size) < rate).astype(np.uint8), bins.n_bins)


def round_trip(bins: ScorecardBins) -> ScorecardBins:
    return ScorecardBins.from_json(json.loads(json.dumps(bins.to_json())))


@settings(max_examples=60)
@given(values=columns, max_bin=st.integers(2, 20), min_rows=st.integers(1, 40), width=st.booleans())
def test_pre_bins_keep_their_promises(values: np.ndarray, max_bin: int, min_rows: int, width: bool) -> None:
    make = width_bins if width else quantile_bins
    bins = make(values, max_bin=max_bin, min_rows=min_rows, special=SPECIAL)
    codes = bins.codes(values)
    rows = np.bincount(codes, minlength=bins.n_bins)
    assert codes.dtype == np.uint8
    assert rows.size == bins.n_bins <= max_bin + len(SPECIAL)
    # Too few rows of values altogether are one bin.
    assert (rows[bins.n_values :] >= min_rows).all() or bins.n_values == 0
    assert (rows[: bins.n_values] >= min_rows).all() or bins.n_values == 1
    for value, code in zip(SPECIAL, bins.special_codes, strict=True):
        own = np.count_nonzero(values == value) >= min_rows
        assert own == (code >= bins.values.n_bins)
        assert (codes[values == value] == code).all()
        assert own or code == bins.values.missing_code
    assert (codes[np.isnan(values)] == bins.values.missing_code).all()
    plain = values[~np.isnan(values) & ~np.isin(values, SPECIAL)]
    if bins.n_values:
        assert bins.codes(plain).tolist() == np.digitize(plain, bins.splits, right=False).tolist()
    assert round_trip(bins) == bins
    assert (round_trip(bins).codes(values) == codes).all()


@settings(max_examples=60)
@given(values=levels, max_bin=st.integers(2, 20), min_rows=st.integers(1, 40), seed=st.integers(0, 9))
def test_levels_have_bins_and_are_ordered_by_their_bad_rates(
    values: np.ndarray, max_bin: int, min_rows: int, seed: int
) -> None:
    bins = level_bins(values, max_bin=max_bin, min_rows=min_rows)
    counts = counts_of(bins, values, seed)
    assert bins.n_bins <= max_bin
    assert bins.n_bins == 1 or (counts.rows >= min_rows).all()
    ordered, moved = by_event_rate(bins, counts)
    assert (np.diff(moved.bad_rate[: ordered.n_values]) >= 0).all() or counts.rows.sum() == 0
    # The same rows are together as before, and the moved counts are those of the new codes.
    again = counts_of(ordered, values, seed)
    assert moved.rows.tolist() == again.rows.tolist()
    assert moved.events.tolist() == again.events.tolist()
    unseen = np.array([50.0, 1e6])
    assert ordered.codes(unseen).tolist() == ordered.codes(np.array([51.0, 2e6])).tolist()
    assert round_trip(ordered) == ordered


@settings(max_examples=60)
@given(values=columns, min_rows=st.integers(1, 40), seed=st.integers(0, 9))
def test_no_bin_is_left_below_the_floor(values: np.ndarray, min_rows: int, seed: int) -> None:
    bins = quantile_bins(values, max_bin=12, min_rows=5, special=SPECIAL)
    counts = counts_of(bins, values, seed)
    floor = Floor(min_rows, 3, 3)
    enough = counts.rows.sum() >= min_rows and counts.events.sum() >= 3 <= counts.non_events.sum()
    if not enough:
        with pytest.raises(RefusedError) as error:
            settle(bins, counts, floor)
        assert error.value.code == "BIN_TOO_SMALL"
        return
    settled, kept = settle(bins, counts, floor)
    assert not floor.below(kept).any()
    again = counts_of(settled, values, seed)
    assert kept.rows.tolist() == again.rows.tolist()
    assert kept.events.tolist() == again.events.tolist()
    assert set(settled.values.edges) <= set(bins.values.edges)
    assert settle(settled, kept, floor, small="refuse")[0] == settled
    if floor.below(counts).any():
        with pytest.raises(RefusedError):
            settle(bins, counts, floor, small="refuse")
    else:
        assert settled == bins


def test_small_bins_without_values_join_each_other_before_the_largest() -> None:
    values = np.r_[np.zeros(300), np.ones(200), np.full(40, NAN), np.full(30, -1.0)]
    y = (np.arange(values.size) % 3 == 0).astype(np.uint8)
    bins = quantile_bins(values, max_bin=4, min_rows=10, special=(-1.0,))
    assert bins.n_bins == 4
    together, kept = settle(bins, BinCounts.of(bins.codes(values), y, 4), Floor(60, 5, 5))
    assert kept.rows.tolist() == [300, 200, 70]
    assert together.codes(np.array([NAN, -1.0, 0, 1])).tolist() == [2, 2, 0, 1]
    largest, kept = settle(bins, BinCounts.of(bins.codes(values), y, 4), Floor(80, 5, 5))
    assert kept.rows.tolist() == [370, 200]
    assert largest.codes(np.array([NAN, -1.0, 0, 1])).tolist() == [0, 0, 0, 1]


def test_values_that_are_too_few_join_the_missing_ones() -> None:
    values = np.r_[np.arange(30.0), np.full(500, NAN)]
    y = (np.arange(values.size) % 2).astype(np.uint8)
    bins = quantile_bins(values, max_bin=8, min_rows=10)
    settled, kept = settle(bins, BinCounts.of(bins.codes(values), y, bins.n_bins), Floor())
    assert kept.rows.tolist() == [530]
    assert settled.codes(np.array([3.0, NAN])).tolist() == [0, 0]


def test_missing_values_and_specials_have_bins_of_their_own() -> None:
    values = np.r_[np.arange(100.0), np.full(20, NAN), np.full(15, -999.0), np.full(3, -1.0)]
    bins = quantile_bins(values, max_bin=5, min_rows=10, special=SPECIAL)
    assert bins.n_bins == 6  # four of values, one of missing ones with the rare special value, one of -999
    assert bins.codes(np.array([NAN, -1.0, -999.0, -2.0])).tolist() == [4, 4, 5, 0]
    weighted = bins.with_evidence(np.arange(6) / 10)
    assert weighted.woe(weighted.codes(np.array([-999.0, 99.0]))).tolist() == [0.5, 0.3]
    assert round_trip(weighted) == weighted
    with pytest.raises(ValueError):
        bins.woe(np.zeros(1, np.uint8))
    with pytest.raises(DataError):
        bins.with_evidence(np.zeros(5))
    with pytest.raises(DataError):
        bins.with_evidence(np.full(6, NAN))


def test_split_points_by_hand_are_read_as_optbinning_reads_them() -> None:
    values = np.r_[np.arange(60.0), NAN]
    bins = manual_bins(values, [18.0, 25.0], min_rows=5)
    assert bins.splits == (18.0, 25.0)
    assert bins.codes(np.array([17.999, 18.0, 24.999, 25.0, -5, 90, NAN])).tolist() == [0, 1, 1, 2, 0, 2, 2]
    with pytest.raises(RefusedError) as refused:
        manual_bins(values, [18.0, 18.5, 25.0], min_rows=5)
    assert refused.value.code == "BIN_TOO_SMALL"
    assert manual_bins(values, [18.0, 18.5, 25.0], min_rows=5, small="merge").n_values == 3
    assert manual_bins(values, [], min_rows=5).n_values == 1
    assert manual_bins(np.full(9, NAN), [1.0], min_rows=5).n_values == 0
    for wrong in ([2.0, 1.0], [1.0, 1.0], [NAN], [math.inf], [-1.7976931348623157e308], list(range(300))):
        with pytest.raises(DataError) as error:
            manual_bins(values, wrong, min_rows=1)
        assert error.value.code == "SPLITS_INVALID"


@given(splits=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=8, unique=True), seed=st.integers(0, 9))
def test_split_points_by_hand_come_back_as_they_went_in(splits: list[float], seed: int) -> None:
    splits = sorted(splits)
    values = np.r_[splits, np.nextafter(splits, -np.inf)]
    bins = manual_bins(values, splits, min_rows=1, small="merge")
    assert set(bins.splits) <= set(splits)
    assert bins.codes(values).tolist() == np.digitize(values, bins.splits).tolist()


def test_bins_of_equal_width() -> None:
    bins = width_bins(np.arange(101.0), max_bin=4, min_rows=1)
    assert bins.splits == (25.0, 50.0, 75.0)
    extreme = width_bins(np.array([-1.7e308, 0.0, 1.7e308]), max_bin=2, min_rows=1)
    assert extreme.codes(np.array([-1.0, 0.0])).tolist() == [0, 1]
    assert width_bins(np.full(9, 3.0), max_bin=4, min_rows=1).n_bins == 1


def test_bins_are_made_again_by_joining() -> None:
    values = np.r_[np.arange(80.0), np.full(10, NAN)]
    bins = quantile_bins(values, max_bin=9, min_rows=5)
    joined, to = bins.cut(np.array([1, 4, 7]))
    assert to.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert (joined.codes(values) == to[bins.codes(values)]).all()
    everything, _ = bins.joined(np.zeros(9, np.int64))
    assert (everything.n_bins, everything.codes(values).max()) == (1, 0)
    with pytest.raises(ValueError):
        bins.joined(np.array([0, 1, 0, 2, 3, 4, 5, 6, 7]))
    with pytest.raises(ValueError):
        bins.joined(np.zeros(3, np.int64))


@settings(max_examples=60)
@given(values=columns, data=st.data())
def test_joining_is_the_same_before_and_after_applying(values: np.ndarray, data: st.DataObject) -> None:
    bins = quantile_bins(values, max_bin=9, min_rows=3, special=SPECIAL)
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=bins.n_bins, max_size=bins.n_bins)), np.int64)
    labels[: bins.n_values] = np.sort(labels[: bins.n_values])
    joined, to = bins.joined(labels)
    assert (joined.codes(values) == to[bins.codes(values)]).all()
    assert joined.n_bins == len(set(labels.tolist()))
    assert round_trip(joined) == joined


# Kantardzic, Data Mining: Concepts, Models, Methods, and Algorithms (2003), the ChiMerge example of chapter 3.
SAMPLES = np.array([1, 3, 7, 8, 9, 11, 23, 37, 39, 45, 46, 59.0])
CLASSES = np.array([1, 2, 1, 1, 1, 2, 2, 1, 2, 1, 1, 1])


def test_the_published_example_of_chi_merge() -> None:
    counts = BinCounts((CLASSES == 1).astype(np.int64), (CLASSES == 2).astype(np.int64))
    # The threshold there is 2.706, chi-square with one degree of freedom at 0.1.
    ends = chi_merge(counts, p_value=0.1)
    assert SAMPLES[ends].tolist() == [9, 39, 59]  # [0, 10], [10, 42], [42, 60]
    left = counts.grouped(np.searchsorted(ends, np.arange(12)))
    assert chi_square(left).round(2).tolist() == [2.72, 3.94]
    # The last step there: [0, 7.5] and [7.5, 10] have 1.875, and [0, 10] and [10, 42] had 2.72 as here.
    assert chi_square(BinCounts(np.array([2, 2]), np.array([1, 0])))[0] == pytest.approx(0.8333, abs=1e-4)


@given(
    rows=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=12),
    p_value=st.sampled_from([0.001, 0.05, 0.5]),
    most=st.integers(1, 6),
)
def test_neighbours_differ_after_chi_merge(rows: list[tuple[int, int]], p_value: float, most: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    counts = BinCounts(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
    ends = chi_merge(counts, p_value=p_value, max_bins=most)
    assert ends[-1] == len(rows) - 1
    assert ends.size <= most
    kept = counts.grouped(np.searchsorted(ends, np.arange(len(rows))))
    for k, found in enumerate(chi_square(kept)):
        expected = stats.chi2_contingency(np.array([kept.events[k : k + 2], kept.non_events[k : k + 2]]), False)
        assert found == pytest.approx(expected.statistic)
        assert expected.pvalue <= p_value * (1 + 1e-9)
    few = chi_merge(counts, p_value=1e-9, min_bins=min(3, len(rows)))
    assert few.size >= min(3, len(rows))


def test_chi_merge_refuses_what_it_cannot_be_asked() -> None:
    counts = BinCounts(np.array([5, 6]), np.array([5, 6]))
    for asked in ({"p_value": 0.0}, {"p_value": 1.0}, {"min_bins": 0}, {"max_bins": 1, "min_bins": 2}):
        with pytest.raises(ValueError):
            chi_merge(counts, **asked)
    with pytest.raises(ValueError):
        Floor(-1)


def test_columns_without_values_or_with_one() -> None:
    for make in (quantile_bins, width_bins):
        gone = make(np.full(20, NAN), max_bin=8, min_rows=5)
        assert (gone.n_bins, gone.n_values) == (1, 0)
        assert gone.codes(np.array([1.0, NAN])).tolist() == [0, 0]
        one = make(np.full(20, 7.0), max_bin=8, min_rows=5)
        assert (one.n_bins, one.n_values) == (1, 1)
        special = make(np.full(20, -1.0), max_bin=8, min_rows=5, special=(-1.0,))
        assert special.codes(np.array([-1.0, 3.0])).tolist() == [1, 0]
        counts = BinCounts(np.array([0, 12]), np.array([0, 8]))
        settled, kept = settle(special, counts, Floor(5, 2, 2))
        assert kept.rows.tolist() == [20]
        assert settled.codes(np.array([-1.0, 3.0, NAN])).tolist() == [0, 0, 0]
    levels = level_bins(np.full(20, NAN), max_bin=8, min_rows=5)
    assert levels.codes(np.array([NAN, 4.0])).tolist() == [0, 0]
    assert by_event_rate(levels, BinCounts(np.array([10]), np.array([10])))[0] == levels


def test_infinite_values_and_no_levels_are_refused() -> None:
    for make in (quantile_bins, width_bins):
        with pytest.raises(DataError) as error:
            make(np.array([1.0, math.inf]), max_bin=8, min_rows=1)
        assert error.value.code == "VALUE_INFINITE"
    with pytest.raises(DataError):
        manual_bins(np.array([math.inf, 1.0]), [0.0], min_rows=1)
    bins = quantile_bins(np.arange(9.0), max_bin=8, min_rows=1)
    with pytest.raises(DataError):
        bins.codes(np.array([-math.inf]))
    groups = level_bins(np.arange(9.0), max_bin=8, min_rows=1)
    for wrong in (-1.0, 0.5, math.inf, 3e9):
        for act in (lambda v: level_bins(v, max_bin=8, min_rows=1), groups.codes):
            with pytest.raises(DataError) as error:
                act(np.array([wrong]))
            assert error.value.code == "VALUE_LEVEL"


def test_what_cannot_be_asked_is_refused() -> None:
    values = np.arange(9.0)
    for make in (quantile_bins, width_bins, level_bins):
        for asked in ({"max_bin": 1, "min_rows": 1}, {"max_bin": 257, "min_rows": 1}, {"max_bin": 9, "min_rows": 0}):
            with pytest.raises(ValueError):
                make(values, **asked)
    for special in ((1.0, 1.0), (NAN,), tuple(range(65))):
        with pytest.raises(ValueError):
            quantile_bins(values, max_bin=9, min_rows=1, special=special)
    for edges in (np.array([2.0, 1.0]), np.array([NAN]), np.arange(255.0)):
        with pytest.raises(ValueError):
            cut_bins(values, edges, min_rows=1)
    bins = quantile_bins(values, max_bin=4, min_rows=1)
    wrong = BinCounts(np.array([1]), np.array([1]))
    with pytest.raises(ValueError):
        settle(bins, wrong, Floor())
    with pytest.raises(ValueError):
        by_event_rate(bins, wrong)


def test_a_million_levels_are_one_group() -> None:
    values = np.arange(1_000_000.0)
    bins = level_bins(values, max_bin=256, min_rows=50)
    assert bins.n_bins == 1
    assert len(json.dumps(bins.to_json())) < 1000
    mixed = np.r_[values, np.repeat([5.0, 7.0], 400)]
    bins = level_bins(mixed, max_bin=256, min_rows=50)
    assert bins.groups == ((5,), (7,), ())
    assert bins.codes(np.array([5.0, 7.0, 6.0, 2e6])).tolist() == [0, 1, 2, 2]


def test_as_many_bins_as_a_byte_has() -> None:
    values = np.r_[np.random.default_rng(0).normal(size=60_000), np.repeat(SPECIAL, 100), np.full(100, NAN)]
    bins = quantile_bins(values, max_bin=256, min_rows=50, special=SPECIAL)
    assert bins.n_bins == MAX_BIN
    assert bins.codes(values).max() == 255
    for missing in (0, 100):
        even = np.r_[np.repeat(np.arange(300.0), 60), np.full(missing, NAN)]
        for make in (width_bins, level_bins, quantile_bins):
            full = make(even, max_bin=256, min_rows=50)
            assert 150 <= full.n_bins <= MAX_BIN
            assert full.codes(even).max() == full.n_bins - 1


def test_documents_that_do_not_fit_together_are_refused() -> None:
    numeric = ScorecardBins(Bins((0.5, 1.5), True, 3), (-1.0, -2.0), (4, 3), evidence=(0.1, 0.2, 0.3, 0.4, 0.5))
    levels = ScorecardBins(Bins((0.5,), False, 0, 2), groups=((3, 1), ()), other=1)
    assert round_trip(numeric) == numeric
    assert round_trip(levels) == levels
    n, g = numeric.to_json(), levels.to_json()
    bad: list[dict[str, object]] = [
        n | {"special": [-1.0]},
        n | {"special": [-1.0, -1.0]},
        n | {"special": [-1.0, NAN]},
        n | {"special": [-1.0, 10**400]},
        n | {"special": "ab"},
        n | {"special_codes": [5, 3]},
        n | {"special_codes": [-1, 3]},
        n | {"special_codes": [4.0, 3]},
        n | {"special_codes": None},
        n | {"evidence": [0.1]},
        n | {"evidence": [0.1, 0.2, 0.3, 0.4, NAN]},
        n | {"evidence": {}},
        n | {"groups": [[1]]},
        n | {"other": 1},
        n | {"other": True},
        n | {"format": 2},
        n | {"values": []},
        n | {"values": n["values"] | {"edges": [10**400]}},
        n | {"more": 1},
        g | {"groups": [[3, 1]]},
        g | {"groups": [[3, 1], [3]]},
        g | {"groups": [[3, -1], []]},
        g | {"groups": [[3, 2**31], []]},
        g | {"groups": [3, 1]},
        g | {"groups": 7},
        g | {"groups": None},
        g | {"other": 2},
        g | {"values": g["values"] | {"edges": [5.5]}},
        g | {"special": [1.0], "special_codes": [0]},
        {},
    ]
    for data in bad:
        with pytest.raises(DataError) as error:
            ScorecardBins.from_json(data)
        assert error.value.code == "MODEL_INVALID"
    assert "0.5" not in repr(numeric)


def test_a_million_rows_take_no_time() -> None:
    values = np.random.default_rng(0).lognormal(size=1_000_000)
    values[::50] = NAN
    values[::70] = -1.0
    bins = quantile_bins(values, max_bin=20, min_rows=50, special=(-1.0,))
    y = (np.arange(values.size) % 9 == 0).astype(np.uint8)
    codes = bins.codes(values)
    counts = BinCounts.of(codes, y, bins.n_bins)
    settled, kept = settle(bins, counts, Floor())
    assert settled == bins
    assert settled.with_evidence(woe_table(kept).woe).woe(codes).shape == values.shape
    assert fit_bins(values, max_bin=20, min_rows=50).n_bins == 20
