"""Which columns stay: by information value, missing values, stability, correlation, variance inflation, p-value.

Each rule gives a `Selection`: a table that says of every column whether it stays, by which figure and why. Rules that
look at columns together need nothing but a matrix of second moments or the information of a fit, so that they work on
what parties computed together, and no column is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.glm import Estimates, inverse

__all__ = [
    "Selection",
    "Verdict",
    "by_band",
    "by_correlation",
    "by_inflation",
    "by_missing",
    "by_number",
    "by_significance",
    "by_stability",
    "correlations",
    "inflation_factors",
    "stepwise",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

Rule = Literal[
    "refused", "iv", "chance", "missing", "stability", "correlation", "inflation", "number", "p-value", "sign"
]
IV_BAND: Final = (0.02, 0.5)
"""Customary: less says nothing, more is suspicious."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule said of a column: `figure` is what it went by; `why` says so in words."""

    column: str
    kept: bool
    rule: Rule
    figure: float
    why: str


@dataclass(frozen=True, slots=True)
class Selection:
    """One verdict a column, in the order of the columns."""

    verdicts: tuple[Verdict, ...] = field(repr=False)

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns that stay."""
        return tuple(v.column for v in self.verdicts if v.kept)

    def places(self) -> I64:
        """Where the columns that stay stand among those that were looked at."""
        return np.flatnonzero([v.kept for v in self.verdicts])

    def then(self, later: Selection) -> Selection:
        """Both rules in one table: of a column that stayed here, what `later` says.

        Raises: ValueError if `later` is not about the columns that stayed.
        """
        if tuple(v.column for v in later.verdicts) != self.kept:
            raise ValueError("then: another rule is about other columns than those that stayed")
        said = {v.column: v for v in later.verdicts}
        return Selection(tuple(said.get(v.column, v) for v in self.verdicts))


def by_band(columns: Sequence[str], iv: Sequence[float], band: tuple[float, float] = IV_BAND) -> Selection:
    """Columns whose information value lies in `band`, ends included. Raises: ValueError."""
    low, high = band

    def why(value: float) -> str:
        if value < low:
            return f"information value {value:.4f} is below {low:g}: says too little"
        if value > high:
            return f"information value {value:.4f} is above {high:g}: too good to be trusted unread"
        return f"information value {value:.4f} is within {low:g} to {high:g}"

    return _each("iv", columns, iv, lambda value: low <= value <= high, why)


def by_missing(columns: Sequence[str], rates: Sequence[float], most: float = 0.95) -> Selection:
    """Columns of which at most the share `most` is missing. Raises: ValueError."""
    return _each(
        "missing",
        columns,
        rates,
        lambda rate: rate <= most,
        lambda rate: f"{rate:.1%} missing, {'more than' if rate > most else 'at most'} {most:.1%}",
    )


def by_stability(columns: Sequence[str], index: Sequence[float], most: float = 0.25) -> Selection:
    """Columns whose population stability index between two samples is at most `most`. Raises: ValueError."""
    return _each(
        "stability",
        columns,
        index,
        lambda value: value <= most,
        lambda value: f"stability index {value:.4f}, {'above' if value > most else 'at most'} {most:g}",
    )


def correlations(moments: F64) -> F64:
    """Correlations of columns from their second moments, a column of ones first.

    A constant column has correlation 0 with all others. Shapes: moments (f + 1, f + 1); returns (f, f).
    Raises: ValueError for what are no second moments.
    """
    m = np.asarray(moments, np.float64)
    if m.ndim != 2 or m.shape[0] != m.shape[1] or not np.isfinite(m).all() or not m[0, 0] > 0:
        raise ValueError("correlations: these are no second moments")
    centred = m[1:, 1:] - np.outer(m[1:, 0], m[0, 1:]) / m[0, 0]
    variance = np.diag(centred)
    flat = variance <= 1e-12 * np.maximum(np.diag(m)[1:], np.finfo(np.float64).tiny)
    scale = np.where(flat, 0.0, 1 / np.sqrt(np.where(flat, 1.0, variance)))
    found: F64 = np.clip(centred * scale[:, None] * scale, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def inflation_factors(correlation: F64) -> F64:
    """Variance inflation factors 1 / (1 - R^2) of each column on the others; infinite for what others make up.

    Shapes: correlation (f, f); returns (f,).
    """
    f = correlation.shape[0]
    whole = inverse(correlation)
    if whole is not None:
        found: F64 = np.maximum(np.diag(whole), 1.0)
        return found
    factors = np.ones(f)
    for j in range(f):
        others = np.arange(f) != j
        r = correlation[others, j]
        # The least squares of smallest norm: others may depend on each other without making up column j.
        explained = float(r @ np.linalg.lstsq(correlation[np.ix_(others, others)], r, rcond=1e-10)[0])
        factors[j] = 1 / (1 - explained) if explained < 1 - 1e-10 else np.inf
    return factors


def by_correlation(columns: Sequence[str], correlation: F64, worth: Sequence[float], most: float = 0.7) -> Selection:
    """Of two columns that correlate by more than `most` in size, the one that is worth more, e.g. by information value.

    Columns are asked in the order of their worth, the best first, equal ones in their order; a column goes if one that
    stayed correlates with it too much. Shapes: correlation (f, f). Raises: ValueError.
    """
    value, r = _figures(columns, worth), np.abs(_square(columns, correlation))
    kept: list[int] = []
    verdicts: dict[int, Verdict] = {}
    for j in np.argsort(-value, kind="stable").tolist():
        nearest = max(kept, key=lambda k: (r[j, k], -k), default=None)
        size = 0.0 if nearest is None else float(r[j, nearest])
        stays = size <= most
        if nearest is None:
            why = "worth most of all columns"
        elif stays:
            why = f"correlation {size:.3f} with {columns[nearest]} at most, not above {most:g}"
        else:
            why = f"correlation {size:.3f} with {columns[nearest]}, which is worth more; above {most:g}"
        verdicts[j] = Verdict(columns[j], stays, "correlation", size, why)
        if stays:
            kept.append(j)
    return Selection(tuple(verdicts[j] for j in range(len(columns))))


def by_inflation(columns: Sequence[str], correlation: F64, most: float = 10.0) -> Selection:
    """Drops the column of the largest variance inflation factor until none is above `most`.

    Of equal factors the last column goes. Shapes: correlation (f, f). Raises: ValueError.
    """
    r = _square(columns, correlation)
    left = list(range(len(columns)))
    verdicts: dict[int, Verdict] = {}
    while left:
        factors = inflation_factors(r[np.ix_(left, left)])
        worst = len(left) - 1 - int(np.argmax(factors[::-1]))
        if factors[worst] <= most:
            break
        j = left.pop(worst)
        why = f"variance inflation {factors[worst]:.2f} among the {len(left) + 1} columns left then, above {most:g}"
        verdicts[j] = Verdict(columns[j], False, "inflation", float(factors[worst]), why)
    for j, factor in zip(left, inflation_factors(r[np.ix_(left, left)]).tolist(), strict=True):
        why = f"variance inflation {factor:.2f}, not above {most:g}"
        verdicts[j] = Verdict(columns[j], True, "inflation", factor, why)
    return Selection(tuple(verdicts[j] for j in range(len(columns))))


def by_number(columns: Sequence[str], worth: Sequence[float], most: int) -> Selection:
    """The `most` columns that are worth most, equal ones in their order. Raises: ValueError."""
    value = _figures(columns, worth)
    place = np.empty(len(columns), np.int64)
    place[np.argsort(-value, kind="stable")] = np.arange(1, len(columns) + 1)
    return _each(
        "number",
        columns,
        place.astype(np.float64).tolist(),
        lambda at: at <= most,
        lambda at: f"number {at:.0f} by information value, {'within' if at <= most else 'beyond'} {most}",
    )


def by_significance(
    columns: Sequence[str],
    coefficients: F64,
    information: F64,
    *,
    enter: float | None,
    leave: float,
    negative: bool,
) -> Selection:
    """`stepwise`, and with `negative` no column whose coefficient is above 0; with `enter` None only the latter.

    While a coefficient is above 0 the column of the largest one by its standard error goes, and what is left is chosen
    anew. Shapes and errors: `stepwise`; of `coefficients` the intercept does not matter.
    """
    left, gone = list(range(len(columns))), dict[int, Verdict]()
    while True:
        places = [0, *(1 + j for j in left)]
        names = [columns[j] for j in left]
        # On the quadratic that touches the log-likelihood: what the estimates are without the columns that went.
        part = information[np.ix_(places, places)]
        covariance = inverse(part)
        if covariance is None:
            raise ValueError("by_significance: the information has no inverse")
        values = covariance @ (information @ coefficients)[places]
        if enter is None:
            p = Estimates(values, np.sqrt(np.diag(covariance))).p_values[1:].tolist()
            chosen = Selection(
                tuple(Verdict(c, True, "p-value", v, f"p-value {_p(v)}") for c, v in zip(names, p, strict=True))
            )
        else:
            chosen = stepwise(names, values, part, enter=enter, leave=leave)
        inside = [0, *(1 + chosen.places()).tolist()]
        covariance = inverse(part[np.ix_(inside, inside)])
        assert covariance is not None, "a part of a positive definite matrix is one"
        final = Estimates(covariance @ (part @ values)[inside], np.sqrt(np.diag(covariance)))
        z = final.z[1:]
        if not negative or not (z > 0).any():
            said = dict(zip(left, chosen.verdicts, strict=True))
            return Selection(tuple(gone.get(j) or said[j] for j in range(len(columns))))
        worst = left[inside[1 + int(np.argmax(z))] - 1]
        why = f"coefficient above 0 (z {z.max():.2f}): it turns against the column's own weight of evidence"
        gone[worst] = Verdict(columns[worst], False, "sign", float(z.max()), why)
        left.remove(worst)


def stepwise(
    columns: Sequence[str],
    coefficients: F64,
    information: F64,
    *,
    enter: float = 0.05,
    leave: float = 0.10,
    start: Literal["all", "none"] = "all",
) -> Selection:
    """Columns chosen by p-value on the quadratic that touches the log-likelihood of the full model at its estimates.

    From all columns or from none: the least significant column leaves while its p-value is above `leave`, then the most
    significant one of those outside enters if its p-value is below `enter`, until neither happens. The intercept stays.
    P-values are Wald's, from `information` alone, so nothing is fitted again on the way; the model that stays has to
    be, and its own p-values differ a little from those here.

    Shapes: coefficients (f + 1,), information (f + 1, f + 1), the intercept first.
    Raises: ValueError for other shapes, for `enter` above `leave`, for an information that has no inverse.
    """
    d = len(columns) + 1
    if coefficients.shape != (d,) or information.shape != (d, d) or inverse(information) is None:
        raise ValueError("stepwise: estimates and information are not those of these columns and an intercept")
    if not 0 < enter <= leave <= 1:
        raise ValueError(f"stepwise: enters below {enter}, leaves above {leave}")
    pull = information @ coefficients
    inside = set(range(1, d)) if start == "all" else set()

    def p_values(chosen: set[int]) -> dict[int, float]:
        places = [0, *sorted(chosen)]
        covariance = inverse(information[np.ix_(places, places)])
        if covariance is None:  # A part of a positive definite matrix is one.
            raise ValueError("stepwise: the information has no inverse")
        estimates = Estimates(covariance @ pull[places], np.sqrt(np.diag(covariance)))
        return dict(zip(places, estimates.p_values.tolist(), strict=True))

    last: dict[int, tuple[float, str]] = {}
    # Each move raises or lowers the quadratic by what its own threshold says, so no set of columns comes back.
    for _ in range(4 * d):
        now = p_values(inside)
        worst = max(inside, key=lambda j: (now[j], j), default=None)
        if worst is not None and now[worst] > leave:
            inside.remove(worst)
            last[worst] = now[worst], f"left at p-value {_p(now[worst])}, above {leave:g}"
            continue
        offers = {j: p_values(inside | {j})[j] for j in range(1, d) if j not in inside}
        best = min(offers, key=lambda j: (offers[j], j), default=None)
        if best is None or offers[best] >= enter:
            break
        inside.add(best)
    now = p_values(inside)
    verdicts = []
    for j, column in enumerate(columns, start=1):
        if j in inside:
            verdicts.append(Verdict(column, True, "p-value", now[j], f"p-value {_p(now[j])}, not above {leave:g}"))
        else:
            p = p_values(inside | {j})[j]
            figure, why = last.get(j, (p, f"never entered: p-value {_p(p)}, not below {enter:g}"))
            verdicts.append(Verdict(column, False, "p-value", figure, why))
    return Selection(tuple(verdicts))


def _p(value: float) -> str:
    """A p-value as a table shows it."""
    return f"{value:.4f}" if value >= 1e-4 else "below 0.0001"


def _each(
    rule: Rule,
    columns: Sequence[str],
    figures: Sequence[float],
    stays: Callable[[float], bool],
    why: Callable[[float], str],
) -> Selection:
    values = _figures(columns, figures).tolist()
    return Selection(tuple(Verdict(c, stays(v), rule, v, why(v)) for c, v in zip(columns, values, strict=True)))


def _figures(columns: Sequence[str], figures: Sequence[float]) -> F64:
    values = np.asarray(figures, np.float64)
    if values.shape != (len(columns),) or not np.isfinite(values).all():
        raise ValueError("selection: not one finite figure a column")
    return values


def _square(columns: Sequence[str], correlation: F64) -> F64:
    r = np.asarray(correlation, np.float64)
    if r.shape != (len(columns),) * 2 or not np.isfinite(r).all() or not np.allclose(r, r.T, atol=1e-6):
        raise ValueError("selection: not a symmetric matrix over the columns")
    return r
