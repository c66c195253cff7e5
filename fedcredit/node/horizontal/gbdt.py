"""The `gbdt` kind of model over members that have the same columns: LightGBM itself at each, its sums masked."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.params import TreeParams
from fedcredit.estimators import GradientBoosting
from fedcredit.estimators.alone import train_lightgbm
from fedcredit.estimators.columns import ColumnBins
from fedcredit.estimators.horizontal_boosting import HorizontalGradientBoosting
from fedcredit.ids import PartyId
from fedcredit.node.federations import federation_of
from fedcredit.node.gbdt import with_progress
from fedcredit.node.horizontal.judging import cost_of, judge, labels_of
from fedcredit.node.horizontal.summing import sums_of
from fedcredit.node.jobs.premises import pretty
from fedcredit.node.models import ModelContext, ModelResult

__all__ = ["HorizontalGbdtRunner"]

F64: TypeAlias = npt.NDArray[np.float64]


class HorizontalGbdtRunner:
    """Trains one boosted model at one member; all end with the same."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Train, predict and evaluate. Raises FedcreditError."""
        name = context.entry.name
        params = TreeParams.from_mapping({"seed": context.seed} | context.entry.params)
        federation = federation_of(context)
        sums = await sums_of(context, federation, all_needed=True)
        model = HorizontalGradientBoosting(params)
        begun = time.perf_counter()
        await model.fit(
            federation,
            context.train.columns,
            labels_of(context.train),
            sums=sums,
            name=name,
            run_stage=with_progress(context, params.num_trees),
        )
        seconds = time.perf_counter() - begun
        train = await asyncio.to_thread(model.predict, context.train.columns)
        test = await asyncio.to_thread(model.predict, context.test.columns)
        alone = await asyncio.to_thread(_alone, context, params)
        judged = await judge(context, sums, train, test, alone)
        trees = [spent for phase, spent in model.seconds_.items() if phase.startswith("tree.")]
        figures = {
            "kind": "gbdt",
            "split": "horizontal",
            "name": name,
            "params": asdict(params),
            "seconds": seconds,
            "setup_seconds": model.seconds_.get("setup", 0.0),
            "tree_seconds": trees,
            "learning": model.learning_,
        }
        shown = await asyncio.to_thread(_importance, model, federation.label_party)
        files = {"model.lightgbm.txt": model.model_.encode(), "own.json": pretty(judged.own)}
        return ModelResult(files, figures | shown | cost_of(context, model.seconds_) | judged.figures)


def _alone(context: ModelContext, params: TreeParams) -> F64:
    """Probabilities of this member's rows held out by LightGBM on its own training rows, with bins of its own; its own
    bad rate where these give no model."""
    label, size = labels_of(context.train), labels_of(context.test).size
    bins = ColumnBins.fit(context.train.columns, params)
    if not bins.names or not 0 < np.count_nonzero(label) < label.size:
        return np.full(size, (np.count_nonzero(label) + 0.5) / (label.size + 1.0))
    held = GradientBoosting(params).validation_rows(label.size)
    if not 0 < np.count_nonzero(label[~held]) < np.count_nonzero(~held):
        held = np.zeros(label.size, bool)
    own = train_lightgbm(bins.code(context.train.columns, label.size), label, params, held)
    return own.predict(bins.code(context.test.columns, size)) if size else np.zeros(0)


def _importance(model: HorizontalGradientBoosting, leader: PartyId) -> dict[str, Any]:
    """How many trees there are, and what each column brought, under the name of the leader: columns are everybody's."""
    import lightgbm

    booster = lightgbm.Booster(model_str=model.model_)
    gains, splits = (booster.feature_importance(importance_type=of) for of in ("gain", "split"))
    rows = [
        {"party": leader, "feature": name, "gain": float(gain), "splits": int(split)}
        for name, gain, split in zip(model.edges_, gains, splits, strict=True)
        if split
    ]
    return {
        "trees": booster.num_trees(),
        "importance": sorted(rows, key=lambda row: -float(str(row["gain"]))),
    }
