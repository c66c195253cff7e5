"""The `logistic` kind of model over members that have the same columns: exact Newton steps from masked sums."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.estimators.horizontal_logistic import HorizontalLogisticRegression, alone
from fedcredit.ids import PartyId
from fedcredit.node.federations import federation_of
from fedcredit.node.horizontal.judging import cost_of, judge, labels_of
from fedcredit.node.horizontal.summing import sums_of
from fedcredit.node.jobs.premises import pretty
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.node.scorecard_figures import estimate_row

__all__ = ["HorizontalLogisticRunner"]

F64: TypeAlias = npt.NDArray[np.float64]


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
        n_test = labels_of(context.test).size
        own = await asyncio.to_thread(
            alone, params, context.train.columns, labels_of(context.train), context.test.columns, n_test
        )
        judged = await judge(context, sums, train, test, own)
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
