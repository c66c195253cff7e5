"""Logistic regression of one party's own columns: the label party alone, and what a joint fit has to equal.

Maximises, over the intercept a and the coefficients b of an event (label 1),

    sum over rows of s (y z - ln(1 + e^z)) - l2 / 2 |b|^2,      z = offset + a + X b

by Newton's method, which for this model is iteratively reweighted least squares. With `signs` a coefficient stays on
its side of zero: projected Newton, D. P. Bertsekas, SIAM J. Control Optim. 20 (1982). Weights s are numbers of rows
(`freq_weights` of statsmodels): a row of weight 2 counts as two rows, in standard errors too.

Where no finite estimate exists there is none: separable labels, dependent or constant columns are errors that say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import erfc, expit, ndtri

from fedcredit.errors import ConfigError, DataError, Problem

__all__ = [
    "Estimates",
    "LogisticFit",
    "check_rows",
    "fit_logistic",
    "independent",
    "inverse",
    "log_likelihood",
    "refuse_invalid",
    "separable",
]

Bool = NDArray[np.bool_]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

MAX_ITERATIONS: Final = 60
MOVED: Final = 1e-9
"""The fit ends when no row's log-odds moves by more than this, relative to the largest: Newton doubles digits."""
DEPENDENT: Final = 1e-10
"""Share of a column's spread that other columns may leave unexplained before it counts as explained."""
WEIGHT_RANGE: Final = 1e12
"""Largest weight over the smallest that is not 0: beyond it rows are lost in rounding."""
_FIT = "logistic regression"


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Coefficients with what is known of their errors. Shapes: all (d,); NaN where a sign holds a coefficient at 0."""

    values: F64 = field(repr=False)
    standard_errors: F64 = field(repr=False)

    @property
    def z(self) -> F64:
        """Each value over its standard error."""
        ratio: F64 = self.values / self.standard_errors
        return ratio

    @property
    def p_values(self) -> F64:
        """Two-sided p-values of Wald's test that a coefficient is 0."""
        p: F64 = erfc(np.abs(self.z) / math.sqrt(2.0))
        return p

    def intervals(self, level: float = 0.95) -> F64:
        """Confidence intervals, lower and upper ends. Shapes: returns (d, 2). Raises: ValueError for no level."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"intervals: a level of {level}")
        reach = float(ndtri(0.5 + level / 2)) * self.standard_errors
        return np.stack([self.values - reach, self.values + reach], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class LogisticFit:
    """A fitted model: the intercept first where there is one, then the coefficients in the order of the columns.

    `information` (d, d) is X' W X + l2 at the estimates, W = s p (1 - p); standard errors come from its inverse, over
    the coefficients that no sign holds at 0. With l2 above 0 they are those of the posterior, not of the estimator.
    """

    estimates: Estimates = field(repr=False)
    information: F64 = field(repr=False)
    log_likelihood: float
    """Without the penalty."""
    with_intercept: bool
    held: Bool = field(repr=False)
    """(d,) which coefficients their sign holds at 0."""
    iterations: int

    @property
    def intercept(self) -> float:
        """The intercept; 0 where the model has none."""
        return float(self.estimates.values[0]) if self.with_intercept else 0.0

    @property
    def coefficients(self) -> F64:
        """The coefficients of the columns, in their order."""
        return self.estimates.values[1:] if self.with_intercept else self.estimates.values

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2 d - 2 ln L, over the coefficients that are not held at 0."""
        return 2.0 * float(np.count_nonzero(~self.held)) - 2.0 * self.log_likelihood

    def log_odds(self, X: F64, offset: F64 | None = None) -> F64:
        """The log-odds of an event for rows of the same columns. Shapes: X (n, f); returns (n,)."""
        z: F64 = self.intercept + X @ self.coefficients
        return z if offset is None else z + offset


def fit_logistic(
    X: F64,
    y: U8,
    *,
    weights: F64 | None = None,
    offset: F64 | None = None,
    intercept: bool = True,
    l2: float = 0.0,
    signs: NDArray[np.int8] | None = None,
) -> LogisticFit:
    """Fit labels on columns. X may have no column, if there is an intercept.

    `signs`: for each column 1 (not below 0), -1 (not above 0) or 0 (free). With l2 above 0, which spares the intercept,
    constant, dependent and separating columns are no errors: the penalty decides.

    Shapes: X (n, f); y (n,), 1 = event; weights, offset (n,); signs (f,).
    Raises: DataError VALUE_INVALID, LABEL_INVALID, LABEL_ONE_CLASS, WEIGHT_INVALID, COLUMN_CONSTANT, COLUMN_DEPENDENT,
    LABEL_SEPARABLE; ConfigError CONFIG_VALUE; ValueError for other shapes.
    """
    if not (math.isfinite(l2) and l2 >= 0):
        raise ConfigError(Problem("CONFIG_VALUE", "l2", "must be a finite number, not below 0"))
    s, base = check_rows(X, y, weights, offset)
    n, f = X.shape
    design = np.column_stack([np.ones(n), X]) if intercept else np.asarray(X, np.float64)
    if design.shape[1] == 0:
        raise ValueError("fit_logistic: neither an intercept nor a column")
    penalty = np.full(design.shape[1], l2)
    sign = np.zeros(design.shape[1])
    if signs is not None:
        if signs.shape != (f,) or not np.isin(signs, (-1, 0, 1)).all():
            raise ValueError("fit_logistic: signs are -1, 0 or 1, one a column")
        sign[int(intercept) :] = signs
    if intercept:
        penalty[0] = 0.0
    if l2 == 0:
        refuse_dependent(design, s, intercept=intercept)
    start = np.zeros(design.shape[1])
    if intercept:
        rate = float(s @ y / s.sum())
        start[0] = math.log(rate / (1 - rate))
    return _Newton(design, y.astype(np.float64), s, base, penalty, sign, with_intercept=intercept).run(start)


def check_rows(X: F64, y: U8, weights: F64 | None, offset: F64 | None) -> tuple[F64, F64]:
    """The weights and the offset of rows that can be fitted, or the error that says why they cannot.

    Raises: DataError VALUE_INVALID, LABEL_INVALID, LABEL_ONE_CLASS, WEIGHT_INVALID; ValueError for other shapes.
    """
    refuse_invalid(X, y, weights, offset, [f"column {j}" for j in range(X.shape[1] if X.ndim == 2 else 0)])
    s = np.ones(y.size) if weights is None else np.asarray(weights, np.float64)
    least = float(s[s > 0].min(initial=np.inf))
    if y.size and (not np.isfinite(s).all() or s.min() < 0 or not s.max() <= WEIGHT_RANGE * least < np.inf):
        what = f"are not all finite and at least 0, or all 0, or one is {WEIGHT_RANGE:.0e} times another"
        raise DataError(Problem("WEIGHT_INVALID", "weights", what, "scale or cap the weights"))
    if len(set(y[s > 0].tolist())) < 2:
        fix = "take more rows, or another split, so that there are good and bad rows"
        raise DataError(Problem("LABEL_ONE_CLASS", "label", "has one class only among rows of weight above 0", fix))
    return s, np.zeros(y.size) if offset is None else np.asarray(offset, np.float64)


def refuse_invalid(X: F64, y: U8, weights: F64 | None, offset: F64 | None, names: Sequence[str]) -> None:
    """Raise for columns, called by these names, an offset or labels with values that are none.

    Raises: DataError VALUE_INVALID, LABEL_INVALID; ValueError for shapes that do not go together.
    """
    if X.ndim != 2 or y.shape != X.shape[:1] or any(a is not None and a.shape != y.shape for a in (weights, offset)):
        raise ValueError(f"logistic regression: columns {X.shape}, labels {y.shape}")
    bad = [names[j] for j in np.flatnonzero(~np.isfinite(X).all(axis=0)).tolist()]
    if offset is not None and not np.isfinite(offset).all():
        bad.append("offset")
    if bad:
        fix = "bin the column, or fill what is missing"
        raise DataError([Problem("VALUE_INVALID", name, "has values that are no finite numbers", fix) for name in bad])
    if not np.isin(y, (0, 1)).all():
        raise DataError(Problem("LABEL_INVALID", "label", "has values other than 0 and 1"))


def refuse_dependent(design: F64, s: F64, *, intercept: bool) -> None:
    """Raise for columns that are constant, or that other columns make up. Shapes: design (n, d), s (n,)."""
    first = int(intercept)
    X = design[:, first:]
    mean = s @ X / s.sum() if intercept else np.zeros(X.shape[1])
    centred = X - mean
    spread = np.sqrt(s @ centred**2 / s.sum())
    size = np.sqrt(s @ X**2 / s.sum())
    flat = spread <= 1e-12 * np.maximum(size, np.finfo(np.float64).tiny)
    if flat.any():
        fix = "drop the column: it says nothing"
        where = [f"column {j}" for j in np.flatnonzero(flat)]
        raise DataError([Problem("COLUMN_CONSTANT", name, "has one value only", fix) for name in where])
    scaled = centred / spread
    found = independent((scaled * s[:, None]).T @ scaled / s.sum())
    if not found.all():
        fix = "drop the column, or set l2 above 0"
        where = [f"column {j}" for j in np.flatnonzero(~found)]
        raise DataError([Problem("COLUMN_DEPENDENT", name, "follows from columns before it", fix) for name in where])


def independent(moments: F64, tolerance: float = DEPENDENT) -> Bool:
    """Which columns are no linear combination of earlier ones, by Cholesky's factors of their second moments.

    `moments` (d, d) is to have ones on its diagonal, or any scale that makes columns alike.
    """
    d = moments.shape[0]
    rest, found = np.array(moments, np.float64), np.zeros(d, bool)
    for j in range(d):
        if rest[j, j] <= tolerance * max(float(moments[j, j]), np.finfo(np.float64).tiny):
            continue
        found[j] = True
        row = rest[j, j:] / math.sqrt(rest[j, j])
        rest[j:, j:] -= np.outer(row, row)
    return found


def inverse(information: F64) -> F64 | None:
    """The inverse of a symmetric positive definite matrix, each column on its own scale; None if it has none."""
    diagonal = np.diag(information)
    if not (np.isfinite(information).all() and (diagonal > 0).all()):
        return None
    scale = 1 / np.sqrt(diagonal)
    scaled = information * scale[:, None] * scale
    if not independent(scaled, 1e-13).all():
        return None
    try:
        found = cho_solve(cho_factor(scaled), np.eye(scale.size))
    except np.linalg.LinAlgError:
        return None
    return np.asarray(found * scale[:, None] * scale)


def log_likelihood(y: F64, z: F64, s: F64) -> float:
    """The log-likelihood of labels at log-odds z. Stable for any size. Shapes: all (n,)."""
    return float(s @ (y * z - np.logaddexp(0.0, z)))


class _Newton:
    """Projected Newton steps with a step size that always improves."""

    def __init__(
        self, design: F64, y: F64, s: F64, offset: F64, penalty: F64, sign: F64, *, with_intercept: bool
    ) -> None:
        self._design, self._y, self._s, self._offset = design, y, s, offset
        self._penalty, self._sign, self._with_intercept = penalty, sign, with_intercept

    def run(self, b: F64) -> LogisticFit:
        z = self._offset + self._design @ b
        value = self._value(b, z)
        for iteration in range(1, MAX_ITERATIONS + 1):
            p = expit(z)
            gradient = self._design.T @ (self._s * (self._y - p)) - self._penalty * b
            information = self._information(p)
            held = (self._sign != 0) & (b == 0) & (self._sign * gradient <= 0)
            covariance = inverse(information[np.ix_(~held, ~held)])
            if covariance is None:
                raise separable()
            step = np.zeros(b.size)
            step[~held] = covariance @ gradient[~held]
            decrement = float(gradient @ step)
            b, z, value, moved = self._search(b, z, value, step, decrement)
            if moved <= MOVED * (1.0 + float(np.abs(z).max(initial=0.0))):
                return self._fit(b, z, iteration)
        raise separable()

    def _search(self, b: F64, z: F64, value: float, step: F64, decrement: float) -> tuple[F64, F64, float, float]:
        """The first of ever smaller steps that improves; how far it moved any row's log-odds."""
        size = 1.0
        # What rounding leaves of a sum of many terms, near the optimum.
        noise = 1e-13 * (abs(value) + float(self._s.sum()))
        while size > 1e-10:
            there = b + size * step
            there[self._sign * there < 0] = 0.0
            z_there = self._offset + self._design @ there
            value_there = self._value(there, z_there)
            if value_there >= value + 1e-4 * size * decrement - noise:
                return there, z_there, value_there, float(np.abs(z_there - z).max())
            size /= 2
        return b, z, value, 0.0

    def _value(self, b: F64, z: F64) -> float:
        return log_likelihood(self._y, z, self._s) - 0.5 * float(self._penalty @ b**2)

    def _information(self, p: F64) -> F64:
        weighted = self._design * (self._s * p * (1 - p))[:, None]
        information: F64 = self._design.T @ weighted + np.diag(self._penalty)
        return information

    def _fit(self, b: F64, z: F64, iterations: int) -> LogisticFit:
        information = self._information(expit(z))
        held = (self._sign != 0) & (b == 0)
        covariance = inverse(information[np.ix_(~held, ~held)])
        if covariance is None:
            raise separable()
        errors = np.full(b.size, np.nan)
        errors[~held] = np.sqrt(np.diag(covariance))
        likelihood = log_likelihood(self._y, z, self._s)
        return LogisticFit(Estimates(b, errors), information, likelihood, self._with_intercept, held, iterations)


def separable() -> DataError:
    """The error of labels for which there is no finite estimate."""
    what = "can be told apart without error in some rows by a combination of columns, so no finite estimate exists"
    return DataError(Problem("LABEL_SEPARABLE", _FIT, what, "drop or join bins of one class, or set l2 above 0"))
