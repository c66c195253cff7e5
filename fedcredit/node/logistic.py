"""The `logistic` kind of model in a job: coefficients of numeric columns, judged by rows held out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np

from fedcredit.credit.bands import ScoreBands
from fedcredit.credit.binary import probability
from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.fourier import ERROR_PROBABILITY
from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.errors import DataError
from fedcredit.estimators import HeldOut, LogisticRegression
from fedcredit.estimators.logistic_part import numeric_table
from fedcredit.estimators.scorecard import rows_of, spread
from fedcredit.node.federations import federation_of
from fedcredit.node.figures import phases_of
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.node.scorecard_figures import estimate_row, told_row

__all__ = ["LogisticRunner"]


class LogisticRunner:
    """Fits a logistic regression at one party."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Fit and tally; each party keeps its own coefficients. Raises FedcreditError."""
        params = LogisticParams.from_mapping(context.entry.params)
        backend = context.groupsum.backend
        model = LogisticRegression(params, groupsum="paillier" if backend == "paillier" else "rlwe")
        begun = time.perf_counter()
        await model.fit(
            federation_of(context),
            context.train.columns,
            context.train.label,
            n_rows=context.count(context.train),
            held_out=HeldOut(context.test.columns, context.count(context.test), context.test.label),
            name=context.entry.name,
            run_stage=context.step,
        )
        seconds = time.perf_counter() - begun
        files = {"logistic.json": model.part_.to_bytes()}
        if not context.is_label_party:
            return ModelResult(files)
        phases = phases_of(context.meter, context.entry.name, model.seconds_)
        fit_s = model.seconds_.get("fit", 0.0)
        cost = {
            "groupsum": {"backend": backend, "why": context.groupsum.why},
            "seconds": seconds,
            "parts": {"fit": fit_s, "per_iteration": fit_s / max(1, model.fit_.gradients)},
            "bytes": sum(row["bytes_sent"] + row["bytes_received"] for row in phases),
            "rounds": sum(row["rounds"] for row in phases),
            "phases": phases,
        }
        return ModelResult(files, await asyncio.to_thread(_figures, context, model) | cost)


def _figures(context: ModelContext, model: LogisticRegression) -> dict[str, Any]:
    params, fit, scale = model.params, model.fit_, model.params.scale
    label = context.train.label
    assert label is not None, "the label party has labels"
    (y_train, points_train), (y_test, points_test) = (spread(model.tallies_[f"tally.{of}"]) for of in ("train", "test"))
    figures = evaluate(
        y_train,
        scale.probability(points_train),
        y_test,
        scale.probability(points_test),
        _alone(context, model),
        y_alone=context.test.label,
    )
    bands = ScoreBands.fit(points_train, params.n_bands)
    counts = bands.counts(y_test, points_test)
    own = model.part_.columns
    error = float(fit.errors[0]) if params.standard_errors else None
    rows = [estimate_row(context.me, "intercept", float(fit.values[0]), error, None, None)]
    rows += [estimate_row(context.me, c.name, c.coefficient, c.standard_error, None, None) for c in own]
    if params.standard_errors:
        standardised = fit.standardised
        for row, size in zip(rows[1:], standardised, strict=False):
            row["standardised"] = float(size)
        at = len(own)
        for peer in context.feature_parties:
            for number in range(model.columns_[peer]):
                z, size = float(fit.z[at]), float(standardised[at])
                rows.append(told_row(peer, f"{peer}.f{number}", size, z, None))
                at += 1
    size = sum(model.columns_.values())
    return figures | {
        "kind": "logistic",
        "name": context.entry.name,
        "params": params.to_mapping(),
        "coefficients": rows,
        "fit": {
            "rows": label.size,
            "bads": int(label.sum()),
            "log_likelihood": fit.log_likelihood,
            "aic": 2.0 * (1 + size) - 2.0 * fit.log_likelihood,
            "fits": 1,
            "gradients": fit.gradients,
            "gap": fit.gap,
            "l2": params.l2,
            "series_error": ERROR_PROBABILITY,
        },
        "bands": bands.band_table(counts),
        "cutoffs": bands.cutoff_table(counts),
    }


def _alone(context: ModelContext, model: LogisticRegression) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Probabilities of the rows held out by the label party's own columns; None where they give no model."""
    params, label = model.params, context.train.label
    assert label is not None, "the label party has labels"
    fills = {column.name: column.mean for column in model.part_.columns}
    if not fills:
        return None
    train, test = (
        numeric_table({name: of.columns[name] for name in fills}, context.count(of), fills)
        for of in (context.train, context.test)
    )
    rows = rows_of(params, context.train.columns, label)
    mean, spread_of = train.mean(axis=0), train.std(axis=0)
    train, test = (train - mean) / spread_of, (test - mean) / spread_of
    try:
        fit = fit_logistic(train, label, weights=rows.weights, offset=rows.offset, l2=params.l2)
    except DataError as error:
        if error.code != "LABEL_SEPARABLE":
            raise
        return None
    held = context.test.label
    offset = None if held is None else rows_of(params, context.test.columns, held).offset
    return probability(fit.log_odds(test, offset))
