"""A logistic regression over the rows of all members, by Newton's method on masked sums: exact, the same everywhere.

Every round the members sum one vector: the log-likelihood, the gradient and the upper triangle of the information at a
point that all of them know. Its bound is public. Columns are put to mean 0 and mean square 1 over all rows first, so by
Cauchy and Schwarz no entry of the gradient is larger than the sum of weights W, and none of the information than W / 4;
the log-likelihood is at most W (ln 2 + |b|_1) and the sum of weighted offsets. That holds of any member's part as well.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fedcredit.credit.glm import WEIGHT_RANGE, LogisticFit, log_likelihood, refuse_invalid
from fedcredit.credit.newton import Scaling, SummedRows, fit_of, newton_steps, refuse_dependent
from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.estimators.horizontal_columns import BOUND, Summing
from fedcredit.estimators.horizontal_moments import SQUARE_BITS, SQUARE_PARTS, exact_sums
from fedcredit.runtime.state import StageRunner, StageState, run_at_once

__all__ = ["newton"]

F64: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int8]
U8: TypeAlias = npt.NDArray[np.uint8]

FLAT: Final = 1e-12
"""Spread of a column, as a share of its size, that is rounding."""


async def newton(
    sums: Summing,
    X: F64,
    y: U8,
    *,
    l2: float = 0.0,
    intercept: bool = True,
    weights: F64 | None = None,
    offset: F64 | None = None,
    signs: I8 | None = None,
    names: Sequence[str] = (),
    label: str = "newton",
    run_stage: StageRunner = run_at_once,
) -> LogisticFit:
    """The fit of `credit.glm.fit_logistic` on the rows of all members, which all members get.

    All call it with the same columns, `l2`, `intercept`, `signs` and `label`, each with its own rows; a member may have
    no row, or rows of one class. X has any scale: the columns are put to a common one inside, and the fit is told in
    terms of X. `l2` is the penalty of the coefficients of X as it is. `names` of the columns are for errors. Stages are
    `label.scale`, `label.0`, `label.1`, ...; kept ones are not summed again. If the members are fewer than when a stage
    was kept, the fit goes on to the estimates of the rows that are left.

    Shapes: X (n, f); y (n,), 1 = event; weights, offset (n,); signs (f,), -1, 0 or 1.
    Reveals: to all members, the totals over all members of: rows and bad rows of weight above 0, their weights, of each
    column the weighted sum and sum of squares, and at each of a few points the log-likelihood, its gradient and the
    information.
    Raises: DataError VALUE_INVALID, LABEL_INVALID, WEIGHT_INVALID (of this member's rows), LABEL_ONE_CLASS,
    COLUMN_CONSTANT, COLUMN_DEPENDENT, LABEL_SEPARABLE (of all rows); ConfigError CONFIG_VALUE; PeerLost; PeerError.
    """
    if not (math.isfinite(l2) and l2 >= 0):
        raise ConfigError(Problem("CONFIG_VALUE", "l2", "must be a finite number, not below 0"))
    titles = tuple(names) or tuple(f"column {j}" for j in range(X.shape[1]))
    s, base = _checked(X, y, weights, offset, titles)
    if not (intercept or X.shape[1]):
        raise ValueError("newton: neither an intercept nor a column")
    of_scale = partial(_scale, sums, X, y, s, base, titles, f"{label}.scale")
    scale = await run_stage(f"{label}.scale", _Scale, of_scale)
    scale.refuse(titles, intercept=intercept, l2=l2)
    scaling = scale.scaling(intercept=intercept)
    rows = _Rows(await asyncio.to_thread(scaling.design, X), y.astype(np.float64), s, base, scale)
    sign = np.zeros(scaling.size)
    if signs is not None:
        sign[int(intercept) :] = signs
    start = np.zeros(scaling.size)
    if intercept:
        start[0] = math.log(scale.weight_bad / (scale.weight - scale.weight_bad))
    steps = newton_steps(start, scaling.penalty(l2), sign)
    point, number = next(steps), 0
    while True:
        phase = f"{label}.{number}"
        record = await run_stage(phase, _Point, partial(rows.summed, sums, phase, point))
        at = record.rows_summed()
        if number == 0 and l2 == 0:
            refuse_dependent(at, scaling, titles)
        try:
            point = steps.send(at)
        except StopIteration as end:
            return fit_of(end.value, scaling, l2)
        number += 1


@dataclass(frozen=True, slots=True, eq=False)
class _Scale(StageState):
    """Totals over all members. Shapes: mean, variance, weighted (f,)."""

    schema = "horizontal-newton-scale/1"
    rows: int
    bad: int
    weight: float
    weight_bad: float
    offsets: float
    mean: F64
    variance: F64

    def refuse(self, names: tuple[str, ...], *, intercept: bool, l2: float) -> None:
        """Raises: DataError LABEL_ONE_CLASS, COLUMN_CONSTANT."""
        if not 0 < self.bad < self.rows:
            fix = "take more rows, or another split, so that there are good and bad rows"
            what = "has one class only among the rows of weight above 0 of all members"
            raise DataError(Problem("LABEL_ONE_CLASS", "label", what, fix))
        size = np.sqrt(self.variance + self.mean**2)
        # Without an intercept a column may have one value, but not be 0 altogether.
        spread = np.sqrt(self.variance) if intercept else size
        flat = spread <= FLAT * np.maximum(size, np.finfo(np.float64).tiny)
        if flat.any() and l2 == 0:
            fix = "drop the column: it says nothing"
            where = [names[j] for j in np.flatnonzero(flat)]
            raise DataError([Problem("COLUMN_CONSTANT", name, "has one value only", fix) for name in where])

    def scaling(self, *, intercept: bool) -> Scaling:
        """Mean 0, if there is an intercept, and mean square 1; a column that is 0 after that stays so."""
        centre = self.mean if intercept else np.zeros_like(self.mean)
        square = self.variance if intercept else self.variance + self.mean**2
        return Scaling(centre, np.where(square > 0, np.sqrt(square), 1.0), intercept)


@dataclass(frozen=True, slots=True, eq=False)
class _Point(StageState):
    """Totals over all members at a point. Shapes: gradient (d,), information (d, d)."""

    schema = "horizontal-newton-point/1"
    rows: int
    log_likelihood: float
    gradient: F64
    information: F64

    def rows_summed(self) -> SummedRows:
        return SummedRows(self.rows, self.log_likelihood, self.gradient, self.information)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """This member's rows, scaled. Shapes: design (n, d); y, weights, offset (n,)."""

    design: F64 = field(repr=False)
    y: F64 = field(repr=False)
    weights: F64 = field(repr=False)
    offset: F64 = field(repr=False)
    scale: _Scale

    async def summed(self, sums: Summing, label: str, b: F64) -> _Point:
        own = await asyncio.to_thread(self._own, b)
        # A little more, for what rounding adds to a member's part that nearly is the whole.
        reach = math.log(2.0) + float(np.abs(b).sum())
        bound = 1.001 * max(self.scale.weight * max(1.0, reach) + self.scale.offsets, self.scale.rows)
        total = await sums.reals(label, own, bound=bound)
        d = b.size
        information = np.zeros((d, d))
        information[np.triu_indices(d)] = total[2 + d :]
        information += np.triu(information, 1).T
        return _Point(round(float(total[0])), float(total[1]), total[2 : 2 + d].copy(), information)

    def _own(self, b: F64) -> F64:
        """Rows, the log-likelihood, the gradient and the upper triangle of the information, one behind the other."""
        z = self.offset + self.design @ b
        p = expit(z)
        gradient = self.design.T @ (self.weights * (self.y - p))
        information = self.design.T @ (self.design * (self.weights * p * (1 - p))[:, None])
        counted = [np.count_nonzero(self.weights), log_likelihood(self.y, z, self.weights)]
        whole: F64 = np.r_[counted, gradient, information[np.triu_indices(b.size)]]
        return whole


async def _scale(sums: Summing, X: F64, y: U8, s: F64, base: F64, names: tuple[str, ...], label: str) -> _Scale:
    event = y > 0
    counts = np.array([np.count_nonzero(s > 0), np.count_nonzero((s > 0) & event)], np.int64)
    rows, bad = (await sums.integers(f"{label}.rows", counts, bound=BOUND)).tolist()
    with np.errstate(over="ignore", invalid="ignore"):
        own = np.r_[s.sum(), s[event].sum(), s @ np.abs(base), s @ X]
    titles = ("weights", "weights", "offset", *names)
    total = await exact_sums(sums, f"{label}.sum", own, names=titles)
    weight = max(float(total[0]), np.finfo(np.float64).tiny)
    mean = total[3:] / weight
    with np.errstate(over="ignore", invalid="ignore"):
        apart = X - mean
        own = np.stack([s @ apart, s @ apart**2])
    left, squares = await exact_sums(sums, f"{label}.squares", own, bits=SQUARE_BITS, parts=SQUARE_PARTS, names=names)
    left = left / weight
    variance = np.maximum(squares / weight - left**2, 0.0)
    return _Scale(rows, bad, float(total[0]), float(total[1]), float(total[2]), mean + left, variance)


def _checked(X: F64, y: U8, weights: F64 | None, offset: F64 | None, names: tuple[str, ...]) -> tuple[F64, F64]:
    """Weights and offset of this member's rows. Raises: DataError VALUE_INVALID, LABEL_INVALID, WEIGHT_INVALID."""
    refuse_invalid(X, y, weights, offset, names)
    s = np.ones(y.size) if weights is None else np.asarray(weights, np.float64)
    least = float(s[s > 0].min(initial=np.inf))
    if s.any() and (not np.isfinite(s).all() or s.min() < 0 or s.max() > WEIGHT_RANGE * least):
        what = f"are not all finite and at least 0, or one is {WEIGHT_RANGE:.0e} times another"
        raise DataError(Problem("WEIGHT_INVALID", "weights", what, "scale or cap the weights"))
    return s, np.zeros(y.size) if offset is None else np.asarray(offset, np.float64)
