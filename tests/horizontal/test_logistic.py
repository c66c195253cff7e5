"""A logistic regression over the rows of members is that of the pooled rows, to the last digits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from horizontal.plain_sums import Board, PlainSums, outcomes, parties, together
from scipy.stats import norm
from scorecard_cases import Kept, numbers

from fedcredit.credit.glm import LogisticFit, fit_logistic
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.errors import DataError
from fedcredit.estimators.horizontal_logistic import HorizontalLogisticRegression, alone, newton
from fedcredit.estimators.horizontal_moments import exact_sums, moments
from fedcredit.tables import Column

N = 3000


def made(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of very different sizes, labels, and who has which row: one member has hardly any."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 5)) * [1.0, 2e6, 1e-4, 5.0, 1.0] + [0.0, 1e7, 0.5, 2000.0, 0.0]
    X[:, 4] = (X[:, 4] > 1).astype(float)
    z = -1.5 + X[:, 0] + 4e-7 * (X[:, 1] - 1e7) - 0.1 * (X[:, 3] - 2000) + X[:, 4]
    y = (rng.random(N) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    return X, y, rng.random(N)


def owners(n: int, where: np.ndarray) -> np.ndarray:
    return np.minimum((where**2 * n).astype(int), n - 1)


def fits(n: int, X: np.ndarray, y: np.ndarray, owner: np.ndarray, **how: Any) -> list[LogisticFit]:
    rows_of = ("weights", "offset")

    async def work(sums: PlainSums, k: int) -> LogisticFit:
        rows = owner == k
        mine = {key: value[rows] if key in rows_of else value for key, value in how.items()}
        return await newton(sums, X[rows], y[rows], **mine)

    return together(n, work)


def near(fit: LogisticFit, oracle: Any) -> None:
    errors = np.asarray(oracle.bse)
    assert (np.abs(fit.estimates.values - oracle.params) < 1e-8 * errors).all()
    assert fit.estimates.standard_errors == pytest.approx(errors, rel=1e-7)
    assert fit.estimates.p_values == pytest.approx(np.asarray(oracle.pvalues), rel=1e-6, abs=1e-300)
    assert fit.log_likelihood == pytest.approx(oracle.llf, rel=1e-11)
    assert fit.aic == pytest.approx(oracle.aic, rel=1e-11)


def statsmodels(y: np.ndarray, X: np.ndarray, **how: Any) -> Any:
    """On scaled columns, where its own rounding does not show, then in terms of the columns."""
    mean, spread = X.mean(axis=0), X.std(axis=0)
    of = sm.GLM(y, sm.add_constant((X - mean) / spread), family=sm.families.Binomial(), **how).fit(tol=1e-14)
    back = np.diag(np.r_[1.0, 1 / spread])
    back[0, 1:] = -mean / spread
    covariance = back @ of.cov_params() @ back.T

    values, errors = back @ of.params, np.sqrt(np.diag(covariance))
    p = 2 * norm.sf(np.abs(values / errors))
    return SimpleNamespace(params=values, bse=errors, pvalues=p, llf=of.llf, aic=of.aic)


@pytest.mark.parametrize("members", [3, 5, 10])
def test_coefficients_are_those_of_statsmodels(members: int) -> None:
    X, y, where = made()
    each = fits(members, X, y, owners(members, where))
    near(each[0], statsmodels(y, X))
    assert all((one.estimates.values == each[0].estimates.values).all() for one in each)


def test_weights_and_offset_are_those_of_statsmodels() -> None:
    X, y, where = made()
    rng = np.random.default_rng(0)
    weights, offset = rng.integers(0, 4, N).astype(float), rng.normal(0, 0.5, N)
    fit = fits(3, X, y, owners(3, where), weights=weights, offset=offset)[0]
    near(fit, statsmodels(y, X, freq_weights=weights, offset=offset))


@pytest.mark.parametrize(
    "how", [{"l2": 3.0}, {"intercept": False}, {"signs": np.array([-1, 0, 1, 1, -1], np.int8)}, {"l2": 0.1}]
)
def test_every_other_fit_is_that_of_one_party(how: dict[str, Any]) -> None:
    X, y, where = made()
    X = (X - X.mean(axis=0)) / X.std(axis=0) + 0.1
    found, oracle = fits(3, X, y, owners(3, where), **how)[0], fit_logistic(X, y, **how)
    free = ~oracle.held
    assert (found.held == oracle.held).all()
    assert found.estimates.values == pytest.approx(oracle.estimates.values, abs=1e-8)
    assert found.estimates.standard_errors[free] == pytest.approx(oracle.estimates.standard_errors[free], rel=1e-8)
    assert found.information == pytest.approx(oracle.information, rel=1e-7, abs=1e-6)
    assert np.isnan(found.estimates.standard_errors[~free]).all()


@pytest.mark.parametrize(
    ("spoil", "code", "where"),
    [
        ("separable", "LABEL_SEPARABLE", "logistic regression"),
        ("constant", "COLUMN_CONSTANT", "b"),
        ("dependent", "COLUMN_DEPENDENT", "c"),
        ("one class", "LABEL_ONE_CLASS", "label"),
    ],
)
def test_what_has_no_estimate_is_the_same_error_everywhere(spoil: str, code: str, where: str) -> None:
    X, y, _ = made()
    X, y = X[:600, :3].copy(), y[:600].copy()
    if spoil == "separable":
        y = (X[:, 0] > 0.3).astype(np.uint8)
    elif spoil == "constant":
        X[:, 1] = 0.1
    elif spoil == "dependent":
        X[:, 2] = X[:, 0] - 1e-6 * X[:, 1]
    else:
        y[:] = 0

    async def work(sums: PlainSums, k: int) -> None:
        await newton(sums, X[k::3], y[k::3], names=("a", "b", "c"))

    for error in outcomes(3, work):
        assert isinstance(error, DataError), error
        assert (error.code, error.problems[0].where) == (code, where)


def test_rows_that_cannot_be_fitted_are_named_where_they_are() -> None:
    X, y, _ = made()
    X = X[:30].copy()
    X[4, 2] = np.nan

    async def work(sums: PlainSums, k: int) -> None:
        await newton(sums, X[k::3], y[:30][k::3], names=tuple("abcde"))

    found = outcomes(3, work)
    assert [getattr(error, "code", None) for error in found] == ["PEER_LOST", "VALUE_INVALID", "PEER_LOST"]
    assert found[1].problems[0].where == "c"


def test_a_fit_goes_on_from_its_stages_and_without_a_member_that_is_gone() -> None:
    X, y, where = made()
    owner = owners(4, where)
    kept = [Kept() for _ in range(4)]

    def run(n: int, stages: list[Kept]) -> list[LogisticFit]:
        async def work(sums: PlainSums, k: int) -> LogisticFit:
            rows = owner == k
            return await newton(sums, X[rows], y[rows], label="fit", run_stage=stages[k])

        return together(n, work)

    whole = run(4, kept)
    assert kept[0].made[:3] == ["fit.scale", "fit.0", "fit.1"]
    again = [Kept(one.states) for one in kept]
    assert (run(4, again)[2].estimates.values == whole[0].estimates.values).all()
    assert again[2].made == []
    # The last member is gone after two steps: what is kept has its rows, the rest has not.
    first = {"fit.scale", "fit.0", "fit.1", "fit.2"}
    left = [Kept({key: state for key, state in one.states.items() if key in first}) for one in kept]
    without = run(3, left)[0]
    rows = owner < 3
    oracle = fit_logistic((X[rows] - X.mean(axis=0)) / X.std(axis=0), y[rows])
    scale = 1 / X.std(axis=0)
    assert without.coefficients == pytest.approx(oracle.coefficients * scale, rel=1e-8)
    assert without.iterations < 12


def test_bounds_hold_however_rows_are_spread() -> None:
    """One member has one row, which is far out; the bounds of the sums are public and hold all the same."""
    rng = np.random.default_rng(2)
    X = rng.standard_t(2, size=(400, 3))
    X[0] = [1e5, -3e4, 2e3]
    y = (rng.random(400) < 0.3).astype(np.uint8)
    owner = np.where(np.arange(400) == 0, 2, np.arange(400) % 2)
    found = fits(3, X, y, owner)[0]
    assert found.coefficients == pytest.approx(fit_logistic(X, y).coefficients, abs=1e-9)


def test_exact_sums_are_exact_at_any_size() -> None:
    values = np.array([[1e30, 1e-20, -7.0, 0.1], [-1e30, 3e-20, 7.5, 0.2], [1.0, 5e-20, 0.0, 0.3]])

    async def work(sums: PlainSums, k: int) -> np.ndarray:
        return await exact_sums(sums, "x", values[k])

    found = together(3, work)[0]
    assert found.tolist() == [1.0, 9e-20, 0.5, 0.6] or found == pytest.approx([1.0, 9e-20, 0.5, 0.6], rel=1e-15)

    async def large(sums: PlainSums, k: int) -> np.ndarray:
        return await exact_sums(sums, "x", np.array([1.0, 1e40 if k == 1 else 0.0]), names=("a", "b"))

    assert outcomes(3, large)[1].problems[0].where == "b"


def test_moments_are_those_of_the_pooled_rows_without_missing_values() -> None:
    X, _, where = made()
    X[::7, 2] = np.nan
    X[:, 3] = np.nan
    owner, board = owners(3, where), Board(parties(3))

    async def work(sums: PlainSums, k: int) -> Any:
        return await moments(sums, X[owner == k])

    found = together(3, work, board)[0]
    for j in (0, 1, 2, 4):
        known = X[~np.isnan(X[:, j]), j]
        assert found.rows[j] == known.size
        assert found.mean[j] == pytest.approx(known.mean(), rel=1e-13, abs=1e-16)
        assert found.std[j] == pytest.approx(known.std(), rel=1e-12)
    assert (found.rows[3], found.mean[3], found.std[3]) == (0, 0.0, 0.0)
    assert len(board.totals) == 3


def whole_model(
    X: np.ndarray, y: np.ndarray, owner: np.ndarray, n: int, kept: list[Kept] | None = None, **params: Any
) -> list[HorizontalLogisticRegression]:
    async def work(sums: PlainSums, k: int) -> HorizontalLogisticRegression:
        rows = owner == k
        columns = {name: numbers(name, X[rows, j]) for j, name in enumerate(("a", "b", "c", "d", "e"))}
        more = {"run_stage": kept[k]} if kept else {}
        model = HorizontalLogisticRegression(**params)
        return await model.fit(sums.federation, columns, y[rows], sums=sums, **more)

    return together(n, work)


def test_the_model_fills_missing_values_by_means_that_all_agree_on() -> None:
    X, y, where = made()
    X[::9, 1] = np.nan
    owner = owners(3, where)
    kept = [Kept() for _ in range(3)]
    models = whole_model(X, y, owner, 3, kept)
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    oracle = statsmodels(y, filled)
    for model in models:
        part = model.part_
        assert part == models[0].part_
        found = np.array([column.coefficient for column in part.columns])
        assert (np.abs(found - oracle.params[1:]) < 1e-8 * oracle.bse[1:]).all()
        assert [column.standard_error for column in part.columns] == pytest.approx(oracle.bse[1:], rel=1e-7)
        assert part.intercept == pytest.approx(oracle.params[0] + found @ filled.mean(axis=0), abs=1e-8)
        assert (model.rows_, model.bad_) == (N, y.sum())
    z = models[0].log_odds({name: numbers(name, X[:, j]) for j, name in enumerate("abcde")}, N)
    assert z == pytest.approx(oracle.params[0] + filled @ oracle.params[1:], abs=1e-7)
    assert kept[1].made[:3] == ["logistic/scale", "logistic/fit.scale", "logistic/fit.0"]
    again = whole_model(X, y, owner, 3, [Kept(one.states) for one in kept])
    assert again[0].part_.to_bytes() == models[0].part_.to_bytes()


@pytest.mark.parametrize(
    ("column", "params", "code"),
    [
        (Column("e", "categorical", np.zeros(N), ("a",)), {}, "COLUMN_KIND"),
        (numbers("e", np.ones(N)), {}, "COLUMN_CONSTANT"),
        (numbers("e", np.r_[np.nan, np.ones(N - 1)]), {"missing": "refuse"}, "VALUE_MISSING"),
    ],
)
def test_columns_that_make_no_model_are_named(column: Column, params: dict[str, Any], code: str) -> None:
    X, y, _ = made()

    async def work(sums: PlainSums, k: int) -> None:
        columns = {"a": numbers("a", X[:, 0]), "e": column}
        await HorizontalLogisticRegression(**params).fit(sums.federation, columns, y, sums=sums)

    for error in outcomes(3, work):
        assert (error.code, error.problems[0].where) == (code, "e")


def test_few_rows_a_column_are_refused() -> None:
    X, y, where = made()
    with pytest.raises(
        DataError, match="ROWS_TOO_FEW: rows: of all members are fewer than the 200 that 5 columns need"
    ):
        whole_model(X[:199], y[:199], owners(3, where[:199]), 3)


def test_what_a_member_makes_of_its_own_rows() -> None:
    X, y, _ = made()
    names = ("a", "b", "c", "d", "e")
    columns = {name: numbers(name, X[:1000, j]) for j, name in enumerate(names)}
    held = {name: numbers(name, X[1000:1500, j]) for j, name in enumerate(names)}
    params = LogisticParams()
    found = alone(params, columns, y[:1000], held, 500)
    mean, spread = X[:1000].mean(axis=0), X[:1000].std(axis=0)
    oracle = fit_logistic((X[:1000] - mean) / spread, y[:1000], l2=1e-3)
    assert found == pytest.approx(1 / (1 + np.exp(-oracle.log_odds((X[1000:1500] - mean) / spread))), abs=1e-12)
    few = {name: numbers(name, X[:3, j]) for j, name in enumerate(names)}
    assert alone(params, few, np.zeros(3, np.uint8), held, 500).tolist() == [0.125] * 500
    none = {name: numbers(name, []) for name in names}
    assert alone(params, none, np.zeros(0, np.uint8), held, 500).tolist() == [0.5] * 500
