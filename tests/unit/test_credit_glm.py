"""Centralised logistic regression: statsmodels' figures, the optimality conditions, and what has no estimate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from credit_tables import woe_columns
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from fedcredit.credit.glm import Estimates, fit_logistic, independent, inverse
from fedcredit.errors import ConfigError, DataError

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "statsmodels.json").read_text())


def table(seed: int, n: int = 300, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)))
    y = (rng.random(n) < expit(X @ rng.normal(size=d) - 0.7)).astype(np.uint8)
    y[:2] = 0, 1
    return X, y


def assert_like_statsmodels(fit: Any, case: dict[str, Any], tolerance: float) -> None:
    e = fit.estimates
    assert e.values == pytest.approx(np.array(case["coefficients"]), rel=tolerance, abs=tolerance)
    assert e.standard_errors == pytest.approx(np.array(case["standard_errors"]), rel=tolerance, abs=tolerance)
    assert e.z == pytest.approx(np.array(case["z"]), rel=tolerance, abs=tolerance)
    assert e.p_values == pytest.approx(np.array(case["p_values"]), abs=tolerance)
    assert e.intervals() == pytest.approx(np.array(case["intervals"]), rel=tolerance, abs=tolerance)
    assert fit.log_likelihood == pytest.approx(case["log_likelihood"], rel=tolerance)
    assert fit.aic == pytest.approx(case["aic"], rel=tolerance)


@pytest.mark.parametrize("number", range(len(VECTORS["random"])))
def test_figures_are_those_of_statsmodels(number: int) -> None:
    case = VECTORS["random"][number]
    given_ = {k: None if case[k] is None else np.array(case[k], np.float64) for k in ("weights", "offset")}
    fit = fit_logistic(np.array(case["X"]), np.array(case["y"], np.uint8), intercept=case["intercept"], **given_)
    assert_like_statsmodels(fit, case, 1e-6)
    assert fit.iterations < 20


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("folder", ["default_credit", "sba"])
def test_real_tables_of_weights_of_evidence_give_the_figures_of_statsmodels(folder: str) -> None:
    case = VECTORS["real"][folder]
    columns, y = woe_columns(folder)
    assert list(columns) == [tuple(name) for name in case["columns"]]
    assert y.size == case["rows"]
    fit = fit_logistic(np.stack(list(columns.values()), axis=1), y)
    assert_like_statsmodels(fit, case, 1e-7)


@given(seed=st.integers(0, 10_000), l2=st.sampled_from([0.0, 0.5, 20.0]))
@settings(max_examples=30, deadline=None)
def test_the_gradient_is_zero_and_the_information_its_slope(seed: int, l2: float) -> None:
    X, y = table(seed)
    rng = np.random.default_rng(seed + 1)
    s, offset = rng.integers(1, 4, y.size).astype(float), rng.normal(size=y.size)
    fit = fit_logistic(X, y, weights=s, offset=offset, l2=l2)

    def gradient(b: np.ndarray) -> np.ndarray:
        p = expit(offset + b[0] + X @ b[1:])
        return np.r_[s @ (y - p), X.T @ (s * (y - p)) - l2 * b[1:]]

    b = fit.estimates.values
    assert gradient(b) == pytest.approx(0, abs=1e-6)
    slope = np.stack([(gradient(b - e) - gradient(b + e)) / 2e-5 for e in 1e-5 * np.eye(b.size)])
    assert fit.information == pytest.approx(slope, rel=1e-4, abs=1e-3)
    assert fit.log_odds(X, offset) == pytest.approx(offset + b[0] + X @ b[1:])


def test_weights_count_rows() -> None:
    X, y = table(3)
    s = np.random.default_rng(4).integers(0, 5, y.size)
    weighted = fit_logistic(X, y, weights=s.astype(float))
    repeated = fit_logistic(np.repeat(X, s, axis=0), np.repeat(y, s))
    assert weighted.estimates.values == pytest.approx(repeated.estimates.values, abs=1e-9)
    assert weighted.estimates.standard_errors == pytest.approx(repeated.estimates.standard_errors, rel=1e-9)
    assert weighted.aic == pytest.approx(repeated.aic)


@given(seed=st.integers(0, 10_000), l2=st.sampled_from([0.0, 3.0]))
@settings(max_examples=30, deadline=None)
def test_signs_are_kept_at_the_optimum_under_them(seed: int, l2: float) -> None:
    X, y = table(seed)
    signs = np.random.default_rng(seed).choice(np.array([-1, 0, 1], np.int8), X.shape[1])
    fit = fit_logistic(X, y, signs=signs, l2=l2)
    b = fit.coefficients
    assert (signs * b >= 0).all()
    held = fit.held[1:]
    assert (b[held] == 0).all()
    assert np.isnan(fit.estimates.standard_errors[1:][held]).all()
    # Kuhn and Tucker: no slope where free, and where held it points out of the bounds.
    slope = X.T @ (y - expit(fit.log_odds(X))) - l2 * b
    assert slope[~held] == pytest.approx(0, abs=1e-6)
    assert (signs[held] * slope[held] <= 1e-6).all()

    def loss(b: np.ndarray) -> float:
        z = b[0] + X @ b[1:]
        return float(np.sum(np.logaddexp(0, z) - y * z) + l2 / 2 * b[1:] @ b[1:])

    bounds = [(None, None), *((0 if s > 0 else None, 0 if s < 0 else None) for s in signs)]
    other = minimize(loss, np.zeros(b.size + 1), bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-14})
    assert loss(fit.estimates.values) <= other.fun + 1e-6


def test_signs_hold_when_every_column_wants_the_other_side() -> None:
    X, y = table(7)
    free = fit_logistic(X, y)
    fit = fit_logistic(X, y, signs=-np.sign(free.coefficients).astype(np.int8))
    assert fit.held[1:].any()
    rate = y.mean()
    alone = fit_logistic(np.empty((y.size, 0)), y)
    assert alone.intercept == pytest.approx(np.log(rate / (1 - rate)))
    assert alone.log_likelihood <= fit.log_likelihood <= free.log_likelihood


def refused(*args: Any, **how: Any) -> str:
    with pytest.raises((DataError, ConfigError)) as error:
        fit_logistic(*args, **how)
    return error.value.code


def test_rows_that_cannot_be_fitted_are_refused() -> None:
    X, y = table(1)
    bad = X.copy()
    bad[3, 2] = np.nan
    assert refused(bad, y) == "VALUE_INVALID"
    assert refused(X, y, offset=np.full(y.size, np.inf)) == "VALUE_INVALID"
    assert refused(X, y * 2) == "LABEL_INVALID"
    assert refused(X, np.zeros_like(y)) == refused(X, np.ones_like(y)) == "LABEL_ONE_CLASS"
    assert refused(X, y, weights=(y == 1).astype(float)) == "LABEL_ONE_CLASS"
    assert refused(np.empty((0, 2)), np.empty(0, np.uint8)) == "LABEL_ONE_CLASS"
    for weight in (-1.0, np.nan, np.inf, 1e13):
        s = np.ones(y.size)
        s[5] = weight
        assert refused(X, y, weights=s) == "WEIGHT_INVALID"
    assert refused(X, y, weights=np.zeros(y.size)) == "WEIGHT_INVALID"
    assert refused(X, y, l2=-1.0) == refused(X, y, l2=np.nan) == "CONFIG_VALUE"
    for wrong in ({"weights": np.ones(3)}, {"offset": np.ones(3)}, {"signs": np.ones(9, np.int8)}):
        with pytest.raises(ValueError):
            fit_logistic(X, y, **wrong)


def test_extreme_weights_within_the_range_are_fitted() -> None:
    X, y = table(2)
    s = np.ones(y.size)
    s[:200] = 1e6
    fit = fit_logistic(X, y, weights=s)
    p = expit(fit.log_odds(X))
    assert X.T @ (s * (y - p)) / s.sum() == pytest.approx(0, abs=1e-9)


def test_constant_and_dependent_columns_are_named() -> None:
    X, y = table(1)
    for column, code in ((np.full(y.size, 3.0), "COLUMN_CONSTANT"), (X[:, 0] - 2 * X[:, 1] + 5, "COLUMN_DEPENDENT")):
        with pytest.raises(DataError) as error:
            fit_logistic(np.column_stack([X, column]), y)
        assert error.value.code == code
        assert [p.where for p in error.value.problems] == ["column 4"]
    # Without an intercept a constant is a column like any other; with a penalty both are.
    assert fit_logistic(np.column_stack([X, np.full(y.size, 3.0)]), y, intercept=False).coefficients.size == 5
    assert np.isfinite(fit_logistic(np.column_stack([X, X[:, 0], np.ones(y.size)]), y, l2=1.0).estimates.p_values).all()
    assert fit_logistic(np.column_stack([X[:, :1], X[:, :1]]), y, l2=1.0).coefficients == pytest.approx(
        np.repeat(fit_logistic(np.sqrt(2) * X[:, :1], y, l2=1.0).coefficients / np.sqrt(2), 2), abs=1e-8
    )


@pytest.mark.parametrize("kind", ["complete", "quasi", "dummy"])
def test_separable_labels_have_no_estimate_but_with_a_penalty(kind: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = (x > 0.2).astype(np.uint8)
    X = x[:, None]
    if kind == "quasi":
        x[:10] = 0.2
        y[:10] = np.arange(10) % 2
    if kind == "dummy":
        # A level that holds events only, as a bin without good rows is.
        y = (rng.random(200) < 0.4).astype(np.uint8)
        X = np.column_stack([x, (np.arange(200) < 7).astype(float)])
        y[:7] = 1
    assert refused(X, y) == "LABEL_SEPARABLE"
    fit = fit_logistic(X, y, l2=1.0)
    assert np.isfinite(fit.estimates.values).all()


def test_columns_of_any_scale() -> None:
    X, y = table(5)
    scale = np.array([1e-9, 1.0, 1e6, 1e12])
    plain, scaled = fit_logistic(X, y), fit_logistic(X * scale, y)
    assert scaled.coefficients * scale == pytest.approx(plain.coefficients, rel=1e-6)
    assert scaled.estimates.p_values[1:] == pytest.approx(plain.estimates.p_values[1:], abs=1e-6)


def test_estimates_are_those_of_the_normal_distribution() -> None:
    # Imported here: it takes a second, which each process that collects the tests would wait.
    from scipy.stats import norm

    e = Estimates(np.array([1.0, -2.0, 0.0, 40.0]), np.array([0.5, 1.0, 2.0, 1.0]))
    assert e.p_values == pytest.approx(2 * norm.sf(np.abs(e.z)), rel=1e-12)
    assert e.intervals(0.9)[:, 1] == pytest.approx(e.values + norm.ppf(0.95) * e.standard_errors)
    with pytest.raises(ValueError):
        e.intervals(1.0)
    assert "values" not in repr(e)


def test_matrices_without_an_inverse_are_told() -> None:
    assert inverse(np.array([[1.0, 1.0], [1.0, 1.0]])) is None
    assert inverse(np.array([[1.0, np.nan], [np.nan, 1.0]])) is None
    assert inverse(np.array([[0.0]])) is None
    assert inverse(np.empty((0, 0))).shape == (0, 0)
    M = np.diag([1e-12, 1e12])
    assert inverse(M) @ M == pytest.approx(np.eye(2))
    assert independent(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).tolist() == [True, False, True]
