"""Newton's method for a logistic regression whose rows nobody has all of: it asks for sums over the rows at a point.

The steps, their halving and the signs are those of `glm.fit_logistic`; only the end is told by the coefficients instead
of by the log-odds of rows. Where a term of the sums comes from does not matter here: `newton_steps` is a generator that
gives the point at which it wants them and is sent `SummedRows`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.glm import MAX_ITERATIONS, Estimates, LogisticFit, independent, inverse, separable
from fedcredit.errors import DataError, Problem

__all__ = ["MOVED", "Scaling", "SummedRows", "fit_of", "newton_steps", "refuse_dependent"]

Bool = NDArray[np.bool_]
F64 = NDArray[np.float64]

MOVED: Final = 1e-9
"""The fit ends when no coefficient of a scaled column moves by more than this: Newton doubles digits."""


@dataclass(frozen=True, slots=True, eq=False)
class SummedRows:
    """Sums over rows at a point, without the penalty. `rows`: how many rows they are over, to know equals by.

    Shapes: gradient (d,); information (d, d), symmetric.
    """

    rows: int
    log_likelihood: float
    gradient: F64 = field(repr=False)
    information: F64 = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """Where Newton's method ended. Shapes: b, held (d,)."""

    b: F64 = field(repr=False)
    at: SummedRows
    held: Bool = field(repr=False)
    iterations: int


def newton_steps(start: F64, penalty: F64, sign: F64) -> Generator[F64, SummedRows, Ascent]:
    """The maximum of the penalised log-likelihood, from `start` on. Yields points; is sent the sums there.

    If the sums at a step are over other rows than those before, it is taken without a comparison: what matters is where
    the rows that are there lead. So a fit goes on when a party's rows are gone for good.

    Shapes: start, penalty, sign (d,); `sign` -1, 0 or 1 as in `fit_logistic`. Raises: DataError LABEL_SEPARABLE.
    """
    b = start
    at = yield b
    for iteration in range(1, MAX_ITERATIONS + 1):
        gradient = at.gradient - penalty * b
        held = (sign != 0) & (b == 0) & (sign * gradient <= 0)
        covariance = _covariance(at, penalty, held)
        step = np.zeros(b.size)
        step[~held] = covariance @ gradient[~held]
        decrement, value, moved, size = float(gradient @ step), _value(at, penalty, b), 0.0, 1.0
        # What rounding leaves of a sum of many terms, near the optimum.
        noise = 1e-13 * (abs(value) + at.rows)
        while size > 1e-10:
            there = b + size * step
            there[sign * there < 0] = 0.0
            at_there = yield there
            better = _value(at_there, penalty, there) >= value + 1e-4 * size * decrement - noise
            if better or at_there.rows != at.rows:
                moved = float(np.abs(there - b).max())
                b, at = there, at_there
                break
            size /= 2
        if moved <= MOVED * (1.0 + float(np.abs(b).max())):
            return Ascent(b, at, (sign != 0) & (b == 0), iteration)
    raise separable()


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """How columns are put to a common scale: the intercept, if there is one, and (x - centre) / scale.

    Shapes: centre, scale (f,); without an intercept the centre is 0.
    """

    centre: F64 = field(repr=False)
    scale: F64 = field(repr=False)
    intercept: bool

    @property
    def size(self) -> int:
        """Coefficients, the intercept among them."""
        return self.centre.size + int(self.intercept)

    def design(self, X: F64) -> F64:
        """The scaled columns, a column of ones first if there is an intercept. Shapes: (n, f) in; (n, size) out."""
        design = np.empty((len(X), self.size))
        design[:, : int(self.intercept)] = 1.0
        np.divide(X - self.centre, self.scale, out=design[:, int(self.intercept) :])
        return design

    @property
    def back(self) -> F64:
        """(size, size): what coefficients of scaled columns are multiplied by to be those of the columns."""
        back = np.diag(np.r_[np.ones(int(self.intercept)), 1 / self.scale])
        if self.intercept:
            back[0, 1:] = -self.centre / self.scale
        return back

    def penalty(self, l2: float) -> F64:
        """(size,) the penalty of scaled columns that is `l2` of the columns; the intercept has none."""
        penalty: F64 = np.r_[np.zeros(int(self.intercept)), l2 / self.scale**2]
        return penalty


def fit_of(ascent: Ascent, scaling: Scaling, l2: float) -> LogisticFit:
    """The fit in terms of the columns as they are. Raises: DataError LABEL_SEPARABLE."""
    free, back = ~ascent.held, scaling.back
    covariance = back[:, free] @ _covariance(ascent.at, scaling.penalty(l2), ascent.held) @ back[:, free].T
    values = back @ ascent.b
    errors = np.sqrt(np.diag(covariance))
    errors[ascent.held] = np.nan
    values[ascent.held] = 0.0
    forth = np.linalg.inv(back)
    information = forth.T @ (ascent.at.information + np.diag(scaling.penalty(l2))) @ forth
    estimates = Estimates(values, errors)
    likelihood = ascent.at.log_likelihood
    return LogisticFit(estimates, information, likelihood, scaling.intercept, ascent.held, ascent.iterations)


def refuse_dependent(at: SummedRows, scaling: Scaling, names: tuple[str, ...]) -> None:
    """Raise DataError COLUMN_DEPENDENT for columns that others make up, as the information at the start shows."""
    spread = np.sqrt(np.diag(at.information))
    found = independent(at.information / spread[:, None] / spread)[int(scaling.intercept) :]
    if not found.all():
        fix = "drop the column, or set l2 above 0"
        where = [names[j] for j in np.flatnonzero(~found)]
        raise DataError([Problem("COLUMN_DEPENDENT", name, "follows from columns before it", fix) for name in where])


def _value(at: SummedRows, penalty: F64, b: F64) -> float:
    return at.log_likelihood - 0.5 * float(penalty @ b**2)


def _covariance(at: SummedRows, penalty: F64, held: Bool) -> F64:
    covariance = inverse((at.information + np.diag(penalty))[np.ix_(~held, ~held)])
    if covariance is None:
        raise separable()
    return covariance
