"""Rules that choose columns: each against its definition, on rows that the rules themselves never see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from fedcredit.credit.glm import Estimates, fit_logistic
from fedcredit.credit.selection import (
    by_band,
    by_correlation,
    by_inflation,
    by_missing,
    by_number,
    by_significance,
    by_stability,
    correlations,
    inflation_factors,
    stepwise,
)


def moments(X: np.ndarray) -> np.ndarray:
    full = np.column_stack([np.ones(len(X)), X])
    return full.T @ full


def table(seed: int, n: int = 400, f: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, f)) @ rng.normal(size=(f, f)) + 5 * rng.normal(size=f)


NAMES = tuple("abcdef")


def test_bands_and_shares_keep_their_ends() -> None:
    found = by_band(("a", "b", "c", "d"), [0.01, 0.02, 0.5, 0.51])
    assert found.kept == ("b", "c")
    assert found.places().tolist() == [1, 2]
    assert [v.rule for v in found.verdicts] == ["iv"] * 4
    assert "below 0.02" in found.verdicts[0].why
    assert "above 0.5" in found.verdicts[3].why
    assert by_missing(("a", "b"), [0.95, 0.951]).kept == ("a",)
    assert by_stability(("a", "b"), [0.25, 0.26]).kept == ("a",)
    for wrong in ([0.1], [0.1, np.nan], [[0.1, 0.2]]):
        with pytest.raises(ValueError):
            by_band(("a", "b"), wrong)


def test_rules_one_after_the_other_are_one_table() -> None:
    first = by_missing(NAMES, [0, 0, 1, 0, 0, 0])
    second = by_band(first.kept, [0.1, 0.001, 0.1, 0.1, 0.9])
    both = first.then(second)
    assert both.kept == ("a", "d", "e")
    assert [v.rule for v in both.verdicts] == ["iv", "iv", "missing", "iv", "iv", "iv"]
    with pytest.raises(ValueError):
        first.then(first)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_correlations_and_inflation_are_those_of_the_rows(seed: int) -> None:
    X = table(seed)
    r = correlations(moments(X))
    assert r == pytest.approx(np.corrcoef(X.T), abs=1e-9)
    for j, factor in enumerate(inflation_factors(r)):
        others = np.column_stack([np.ones(len(X)), np.delete(X, j, axis=1)])
        rest = X[:, j] - others @ np.linalg.lstsq(others, X[:, j], rcond=None)[0]
        assert factor == pytest.approx(X[:, j].var() / rest.var(), rel=1e-4)


def test_a_constant_column_correlates_with_nothing() -> None:
    X = np.column_stack([table(0)[:, :2], np.full(400, 7.0)])
    r = correlations(moments(X))
    assert r[2].tolist() == [0, 0, 1]
    for wrong in (np.ones(3), np.full((2, 2), np.nan), np.zeros((2, 2))):
        with pytest.raises(ValueError):
            correlations(wrong)


def test_what_other_columns_make_up_has_no_bound_and_goes() -> None:
    X = table(1, f=3)
    X = np.column_stack([X, X[:, 0] + X[:, 1], np.random.default_rng(0).normal(size=400)])
    r = correlations(moments(X))
    factors = inflation_factors(r)
    assert np.isinf(factors[[0, 1, 3]]).all()
    assert factors[4] < 1.1
    found = by_inflation(("a", "b", "c", "sum", "e"), r, most=1e6)
    assert [v.column for v in found.verdicts if not v.kept] == ["sum"]
    assert "inf" in found.verdicts[3].why


@given(seed=st.integers(0, 10_000), most=st.sampled_from([1.5, 3.0, 10.0]))
@settings(max_examples=20)
def test_inflation_ends_with_none_above(seed: int, most: float) -> None:
    r = correlations(moments(table(seed)))
    found = by_inflation(NAMES, r, most)
    places = found.places()
    assert inflation_factors(r[np.ix_(places, places)]).max(initial=0) <= most
    gone = [v for v in found.verdicts if not v.kept]
    assert all(v.figure > most for v in gone)
    assert by_inflation(found.kept, r[np.ix_(places, places)], most).kept == found.kept


@given(seed=st.integers(0, 10_000), most=st.sampled_from([0.3, 0.7]))
@settings(max_examples=20)
def test_of_two_alike_the_better_stays(seed: int, most: float) -> None:
    r = correlations(moments(table(seed)))
    worth = np.random.default_rng(seed).integers(0, 4, 6) / 10
    found = by_correlation(NAMES, r, worth, most)
    kept = found.places()
    between = np.abs(r[np.ix_(kept, kept)] - np.eye(kept.size))
    assert between.max(initial=0) <= most
    for j, verdict in enumerate(found.verdicts):
        better = [k for k in kept if abs(r[j, k]) > most and worth[k] >= worth[j] and k != j]
        assert verdict.kept == (not better)
    assert kept[np.argmax(worth[kept])] == np.argmax(worth)


def fitted(seed: int, strong: int = 3) -> tuple[np.ndarray, np.ndarray, object]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3000, 6)) + 0.4 * rng.normal(size=(3000, 1))
    b = np.where(np.arange(6) < strong, 0.6, 0.0)
    y = (rng.random(3000) < expit(X @ b - 1)).astype(np.uint8)
    return X, y, fit_logistic(X, y)


@pytest.mark.parametrize("start", ["all", "none"])
@pytest.mark.parametrize("seed", range(6))
def test_stepwise_chooses_as_fitting_again_would(seed: int, start: str) -> None:
    X, y, fit = fitted(seed)
    found = stepwise(NAMES, fit.estimates.values, fit.information, start=start)
    assert {"a", "b", "c"} <= set(found.kept)
    again = fit_logistic(X[:, found.places()], y)
    assert (again.estimates.p_values[1:] <= 0.12).all()
    figures = [v.figure for v in found.verdicts if v.kept]
    assert figures == pytest.approx(again.estimates.p_values[1:], abs=0.01)
    for j in set(range(6)) - set(found.places().tolist()):
        with_it = fit_logistic(X[:, sorted({*found.places().tolist(), j})], y)
        place = sorted({*found.places().tolist(), j}).index(j)
        assert with_it.estimates.p_values[1:][place] > 0.04


def test_stepwise_says_why() -> None:
    _, _, fit = fitted(0)
    backward = stepwise(NAMES, fit.estimates.values, fit.information)
    forward = stepwise(NAMES, fit.estimates.values, fit.information, start="none")
    gone = {v.why.split()[0] for v in backward.verdicts if not v.kept}
    assert gone == {"left"}
    assert {v.why.split()[0] for v in forward.verdicts if not v.kept} <= {"never", "left"}
    nothing = stepwise(NAMES, np.zeros(7), fit.information)
    assert nothing.kept == ()


def test_stepwise_refuses_what_does_not_go_together() -> None:
    _, _, fit = fitted(0)
    b, information = fit.estimates.values, fit.information
    for arguments, how in (
        ((NAMES[:5], b, information), {}),
        ((NAMES, b[:6], information), {}),
        ((NAMES, b, np.zeros((7, 7))), {}),
        ((NAMES, b, information), {"enter": 0.2, "leave": 0.1}),
        ((NAMES, b, information), {"enter": 0.0}),
    ):
        with pytest.raises(ValueError):
            stepwise(*arguments, **how)
    with pytest.raises(ValueError):
        by_correlation(("a", "b"), np.array([[1, 0.2], [0.3, 1]]), [1, 1])


def signed(n: int = 4000, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three columns of use, of which one is wrongly signed, and one of none; labels, and their fit."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    z = -1.0 - 0.9 * X[:, 0] - 0.6 * X[:, 1] + 0.5 * X[:, 2]
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    fit = fit_logistic(X, y)
    return X, y, fit.estimates.values, fit.information


def test_columns_that_turn_against_their_evidence_go_and_the_others_are_chosen_anew() -> None:
    _, _, values, information = signed()
    names = ["a", "b", "wrong", "noise"]
    selection = by_significance(names, values, information, enter=0.05, leave=0.1, negative=True)
    said = {v.column: (v.kept, v.rule) for v in selection.verdicts}
    assert said["a"] == (True, "p-value")
    assert said["b"] == (True, "p-value")
    assert said["wrong"] == (False, "sign")
    assert not said["noise"][0]
    # The intercept's own value does not matter, and a rule that is off drops nothing.
    shifted = np.concatenate([[5.0], values[1:]])
    again = by_significance(names, shifted, information, enter=0.05, leave=0.1, negative=True)
    assert {v.column: (v.kept, v.rule) for v in again.verdicts} == said
    off = by_significance(names, values, information, enter=None, leave=0.1, negative=False)
    assert off.kept == tuple(names)
    full = Estimates(values, np.sqrt(np.diag(np.linalg.inv(information))))
    assert np.allclose([v.figure for v in off.verdicts], full.p_values[1:])
    only = by_significance(names, values, information, enter=0.05, leave=0.1, negative=False)
    assert only.kept == stepwise(names, values, information, enter=0.05, leave=0.1).kept == ("a", "b", "wrong")


def test_every_column_may_turn_against_its_evidence() -> None:
    X, y, _, _ = signed()
    fit = fit_logistic(-X[:, :2], y)
    selection = by_significance(["a", "b"], fit.estimates.values, fit.information, enter=0.05, leave=0.1, negative=True)
    assert selection.kept == ()
    assert {v.rule for v in selection.verdicts} == {"sign"}


def test_the_best_columns_are_kept_and_equal_ones_in_their_order() -> None:
    selection = by_number(["a", "b", "c", "d"], [0.1, 0.5, 0.1, 0.3], 3)
    assert selection.kept == ("a", "b", "d")
    assert [v.figure for v in selection.verdicts] == [3, 1, 4, 2]
    with pytest.raises(ValueError, match="figure"):
        by_number(["a"], [float("nan")], 1)
