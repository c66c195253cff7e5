"""Logistic regression over the rows of several members that have the same columns, as a modeller calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binary import probability
from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.federation import Federation
from fedcredit.estimators.horizontal_columns import Summing, agreed_totals
from fedcredit.estimators.horizontal_moments import moments
from fedcredit.estimators.horizontal_newton import newton
from fedcredit.estimators.logistic_part import LogisticColumn, LogisticPart, numeric_table
from fedcredit.estimators.scorecard import rows_of
from fedcredit.estimators.training import Stages
from fedcredit.protocols.linear import ROWS_A_COLUMN
from fedcredit.runtime.state import StageRunner, StageState, run_at_once
from fedcredit.tables import Column

__all__ = ["HorizontalLogisticRegression", "alone", "newton"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

ALONE_L2: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class ColumnScale(StageState):
    """Over the rows of all members: how many; of each column its mean, and its spread with missing values at the mean.

    Shapes: mean, spread (f,).
    """

    schema = "horizontal-logistic-scale/1"
    rows: int
    bad: int
    mean: F64 = field(repr=False)
    spread: F64 = field(repr=False)


class HorizontalLogisticRegression:
    """Coefficients of numeric columns that all members have, over the rows of all of them.

    Parameters are those of `credit.logistic_params.LogisticParams`; standard errors come with every fit. `weight` and
    `offset` name columns of every member.

    Learned, after `fit`, the same at all members: `part_`, the whole model, in the name of the leader; `fit_`, the
    `LogisticFit` of columns put to mean 0 and mean square 1, with errors, z, p and AIC; `names_`, its columns;
    `scale_`, their means and spreads; `rows_`, `bad_` of all members. And `seconds_`, of each stage run here and now.

    Reveals: `docs/horizontal.md`: totals over all members of each column, and at a few points of the log-likelihood,
    its gradient and the information. The model is the same at all members.
    """

    def __init__(self, params: LogisticParams | None = None, **names: Any) -> None:
        self.params = LogisticParams.from_mapping(names) if params is None else params

    async def fit(
        self,
        federation: Federation,
        columns: Mapping[str, Column],
        label: U8,
        *,
        sums: Summing,
        name: str = "logistic",
        run_stage: StageRunner = run_at_once,
    ) -> Self:
        """Fit with the other members, who call it with the same parameters and the same columns, each with its rows.

        Shapes: columns of n rows each; label (n,), 1 = bad.
        Raises: DataError (COLUMN_*, VALUE_*, LABEL_*, ROWS_TOO_FEW, WEIGHT_INVALID); PeerLost; PeerError.
        """
        params, stages = self.params, Stages(federation, name, run_stage)
        self.seconds_ = stages.seconds
        rows = rows_of(params, columns, label)
        # By name, since members may have them in any order.
        own = {key: columns[key] for key in sorted(columns) if key not in (params.weight, params.offset)}
        if not own:
            raise DataError(Problem("COLUMN_MISSING", federation.me, "has no column for this model", "give it one"))
        names = tuple(own)
        # Missing values stay for now: what fills them is not known yet.
        raw = await asyncio.to_thread(
            numeric_table, own, label.size, dict.fromkeys(names, float("nan")), params.missing
        )
        of_scale = partial(_scale_of, sums, raw, label, names, stages.channel("scale"))
        self.scale_ = scale = await stages.run("scale", ColumnScale, of_scale)
        _refuse_few(names, scale)
        _refuse_constant(names, scale)
        table = (np.where(np.isnan(raw), scale.mean, raw) - scale.mean) / scale.spread

        async def kept(stage: str, kind: type[Any], work: Callable[[], Awaitable[Any]]) -> Any:
            return await stages.run(stage.removeprefix(f"{name}/"), kind, work)

        self.fit_ = await newton(
            sums,
            table,
            label,
            l2=params.l2,
            weights=rows.weights,
            offset=rows.offset,
            names=names,
            label=stages.channel("fit"),
            run_stage=kept,
        )
        self.names_ = names
        self.part_ = self._part(federation, names)
        self.rows_, self.bad_ = scale.rows, scale.bad
        return self

    def log_odds(self, columns: Mapping[str, Column], n_rows: int) -> F64:
        """The log-odds of a bad row, of rows of the same columns, the offset among them. Shapes: returns (n_rows,).

        Raises: DataError (COLUMN_MISSING, COLUMN_KIND, VALUE_INFINITE, VALUE_INVALID).
        """
        z = self.part_.log_odds(columns, n_rows)
        offset = rows_of(self.params, columns, np.zeros(n_rows, np.uint8)).offset
        return z if offset is None else z + offset

    def predict_proba(self, columns: Mapping[str, Column], n_rows: int) -> F64:
        """The probability that a row is bad. Shapes, Raises: as `log_odds`."""
        return probability(self.log_odds(columns, n_rows))

    def _part(self, federation: Federation, names: tuple[str, ...]) -> LogisticPart:
        fit, scale = self.fit_, self.scale_
        leader = federation.label_party
        values, errors = fit.coefficients / scale.spread, fit.estimates.standard_errors[1:] / scale.spread
        return LogisticPart(
            party=leader,
            label_party=leader,
            scale=self.params.scale,
            intercept=fit.intercept,
            columns=tuple(
                LogisticColumn(key, float(mean), float(value), float(error))
                for key, mean, value, error in zip(names, scale.mean, values, errors, strict=True)
            ),
        )


def alone(
    params: LogisticParams,
    columns: Mapping[str, Column],
    label: U8,
    held: Mapping[str, Column],
    n_held: int,
) -> F64:
    """What a member makes of its own rows alone: probabilities of its rows held out, by the same columns.

    Columns that say nothing in its rows are left out. Where its rows give no model, because they are too few or of one
    class, every row has the share of bad ones, half a row added to either class.

    Shapes: columns of n rows, label (n,); held of n_held rows; returns (n_held,).
    """
    rows = rows_of(params, columns, label)
    own = {key: column for key, column in columns.items() if key not in (params.weight, params.offset)}
    fills = {key: _mean(column.values) for key, column in own.items()}
    train, test = numeric_table(own, label.size, fills), numeric_table({k: held[k] for k in own}, n_held, fills)
    mean, spread = (train.mean(axis=0), train.std(axis=0)) if label.size else (np.zeros(len(own)), np.zeros(len(own)))
    says = spread > 1e-12 * np.maximum(np.abs(mean), np.finfo(np.float64).tiny)
    train, test = ((table[:, says] - mean[says]) / spread[says] for table in (train, test))
    offset = rows_of(params, held, np.zeros(n_held, np.uint8)).offset
    try:
        # A little of a penalty: few rows may be told apart, and columns depend on each other in them.
        fit = fit_logistic(train, label, weights=rows.weights, offset=rows.offset, l2=max(params.l2, ALONE_L2))
    except DataError as error:
        if error.code not in ("LABEL_ONE_CLASS", "LABEL_SEPARABLE", "WEIGHT_INVALID"):
            raise
        return np.full(n_held, (np.count_nonzero(label) + 0.5) / (label.size + 1.0))
    return probability(fit.log_odds(test, offset))


def _mean(values: F64) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else 0.0


async def _scale_of(sums: Summing, raw: F64, label: U8, names: tuple[str, ...], stage: str) -> ColumnScale:
    totals = await agreed_totals(sums, label.size, label, name=f"{stage}.totals")
    of = await moments(sums, raw, names=names, label=stage)
    # A missing value counts as the mean, so it has no share in the squares.
    spread = np.sqrt(of.variance * of.rows / max(1, totals.rows))
    return ColumnScale(totals.rows, totals.bad, of.mean, spread)


def _refuse_few(names: tuple[str, ...], scale: ColumnScale) -> None:
    """Totals over few rows would tell of single rows."""
    least = ROWS_A_COLUMN * len(names)
    if scale.rows < least:
        what = f"of all members are fewer than the {least} that {len(names)} columns need"
        raise DataError(Problem("ROWS_TOO_FEW", "rows", what, "bring fewer columns"))


def _refuse_constant(names: tuple[str, ...], scale: ColumnScale) -> None:
    flat = scale.spread <= 1e-12 * np.maximum(np.abs(scale.mean), np.finfo(np.float64).tiny)
    if flat.any():
        fix = "drop the column: it says nothing"
        where = [names[j] for j in np.flatnonzero(flat)]
        raise DataError([Problem("COLUMN_CONSTANT", key, "has one value only at all members", fix) for key in where])
