"""The `logistic` kind of model over members that have the same columns: exact Newton steps from masked sums."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binary import probability
from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.errors import DataError
from fedcredit.estimators.horizontal_logistic import HorizontalLogisticRegression
from fedcredit.estimators.logistic_part import numeric_table
from fedcredit.estimators.scorecard import rows_of
from fedcredit.ids import PartyId
from fedcredit.node.federations import federation_of
from fedcredit.node.horizontal.judging import cost_of, judge, labels_of
from fedcredit.node.horizontal.summing import sums_of
from fedcredit.node.jobs.premises import pretty
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.node.scorecard_figures import estimate_row

__all__ = ["HorizontalLogisticRunner"]

F64: TypeAlias = npt.NDArray[np.float64]

_CONSTANT = 1e-9
"""Spread, in those of all members, of a column that says nothing of this member's rows."""

_NO_MODEL = ("LABEL_SEPARABLE", "LABEL_ONE_CLASS", "COLUMN_DEPENDENT", "COLUMN_CONSTANT")


class HorizontalLogisticRunner:
    """Fits a logistic regression at one member; all end with the same coefficients."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Fit and evaluate. Raises FedcreditError."""
        params, federation = LogisticParams.from_mapping(context.entry.params), federation_of(context)
        sums = await sums_of(context, federation)
        model = HorizontalLogisticRegression(params)
        begun = time.perf_counter()
        await model.fit(
            federation,
            context.train.columns,
            labels_of(context.train),
            sums=sums,
            name=context.entry.name,
            run_stage=context.step,
        )
        seconds = time.perf_counter() - begun
        train, test = (
            model.predict_proba(of.columns, labels_of(of).size) if labels_of(of).size else np.zeros(0)
            for of in (context.train, context.test)
        )
        alone = await asyncio.to_thread(_alone, context, model)
        judged = await judge(context, sums, train, test, alone)
        fit_s = model.seconds_.get("fit", 0.0)
        figures = {
            "kind": "logistic",
            "split": "horizontal",
            "name": context.entry.name,
            "params": params.to_mapping(),
            "seconds": seconds,
            "parts": {"fit": fit_s, "per_iteration": fit_s / max(1, model.fit_.iterations)},
        }
        figures |= _fit_figures(model, federation.label_party) | judged.evaluation.bands(params.scale, params.n_bands)
        files = {"logistic.json": model.part_.to_bytes(), "own.json": pretty(judged.own)}
        return ModelResult(files, figures | cost_of(context, model.seconds_) | judged.figures)


def _fit_figures(model: HorizontalLogisticRegression, leader: PartyId) -> dict[str, Any]:
    """Coefficients in the columns' own units, errors and significance, under the leader's name."""
    fit, of = model.fit_, model.fit_.estimates
    errors, z, p = of.standard_errors, of.z, of.p_values
    rows = [estimate_row(leader, "intercept", fit.intercept, float(errors[0]), float(z[0]), float(p[0]))]
    for j, column in enumerate(model.part_.columns, start=1):
        row = estimate_row(leader, column.name, column.coefficient, column.standard_error, float(z[j]), float(p[j]))
        rows.append(row | {"standardised": float(fit.coefficients[j - 1])})
    return {
        "coefficients": rows,
        "fit": {
            "rows": model.rows_,
            "bads": model.bad_,
            "log_likelihood": fit.log_likelihood,
            "aic": fit.aic,
            "fits": 1,
            "gradients": fit.iterations,
            "l2": model.params.l2,
        },
    }


def _alone(context: ModelContext, model: HorizontalLogisticRegression) -> F64:
    """Probabilities of this member's rows held out by a fit of its own training rows, put to the scale of all members;
    its own bad rate where these give no model."""
    params, label, size = model.params, labels_of(context.train), labels_of(context.test).size
    fills = dict(zip(model.names_, model.scale_.mean.tolist(), strict=True))
    tables = [
        (numeric_table({k: of.columns[k] for k in fills}, n, fills) - model.scale_.mean) / model.scale_.spread
        for of, n in ((context.train, label.size), (context.test, size))
    ]
    varies = tables[0].std(axis=0) > _CONSTANT
    tables = [table[:, varies] for table in tables]
    rows = rows_of(params, context.train.columns, label)
    try:
        fit = fit_logistic(tables[0], label, weights=rows.weights, offset=rows.offset, l2=params.l2)
    except DataError as error:
        if error.code not in _NO_MODEL:
            raise
        return np.full(size, (np.count_nonzero(label) + 0.5) / (label.size + 1.0))
    offset = rows_of(params, context.test.columns, labels_of(context.test)).offset
    return probability(fit.log_odds(tables[1], offset))
