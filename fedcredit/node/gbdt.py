"""The `gbdt` kind of model in a job: train, predict the rows held out, compare with the label party alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.params import TreeParams
from fedcredit.estimators import Federation, GradientBoosting
from fedcredit.estimators.alone import train_lightgbm
from fedcredit.estimators.parts import LabelPart
from fedcredit.node.federations import federation_of
from fedcredit.node.figures import phases_of
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.runtime.state import StageRunner, StageState

__all__ = ["GbdtRunner", "with_progress"]

F64: TypeAlias = npt.NDArray[np.float64]
S = TypeVar("S", bound=StageState)


@dataclass(frozen=True, slots=True)
class GbdtEvaluated(StageState):
    """Scores of the rows held out, at the label party; empty elsewhere."""

    schema = "gbdt-evaluated/1"
    test_probability: F64


class GbdtRunner:
    """Trains one boosted model at one party."""

    async def run(self, context: ModelContext) -> ModelResult:
        """Train, predict and evaluate. Raises FedcreditError."""
        entry = context.entry
        params = TreeParams.from_mapping({"seed": context.seed} | entry.params)
        federation = federation_of(context)
        # A specification in which gradients are summed under ring-LWE is refused when it is read.
        assert context.groupsum.backend != "rlwe"
        model = GradientBoosting(params, hide_nodes=entry.hide_nodes, groupsum=context.groupsum.backend)
        begun = time.perf_counter()
        await model.fit(
            federation,
            context.train.columns,
            context.train.label,
            n_rows=context.count(context.train),
            name=entry.name,
            run_stage=with_progress(context, params.num_trees),
        )
        probability = await self._predict(context, federation, model)
        files = {"model.json": model.part_.to_bytes()}
        if not context.is_label_party:
            return ModelResult(files)
        seconds = time.perf_counter() - begun
        figures, alone = await asyncio.to_thread(_figures, context, params, model, probability, seconds)
        return ModelResult(files | alone, figures)

    async def _predict(self, context: ModelContext, federation: Federation, model: GradientBoosting) -> F64:
        stage = f"{context.entry.name}/predict"

        async def work() -> GbdtEvaluated:
            begun = time.perf_counter()
            columns, n_rows = context.test.columns, context.count(context.test)
            found = await model.predict(federation, columns, n_rows=n_rows, stage=stage)
            model.seconds_["predict"] = time.perf_counter() - begun
            return GbdtEvaluated(np.empty(0) if found is None else found)

        return (await context.step(stage, GbdtEvaluated, work)).test_probability


def with_progress(context: ModelContext, num_trees: int) -> StageRunner:
    """Keeps stages as the job does, and tells how far the trees are."""

    async def run_stage(stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        record = await context.step(stage, kind, work)
        phase, _, number = stage.rpartition(".")
        if phase == f"{context.entry.name}/tree":
            context.progress(phase, int(number) + 1, num_trees)
        return record

    return run_stage


def _figures(
    context: ModelContext, params: TreeParams, model: GradientBoosting, probability: F64, seconds: float
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The model's entry in metrics.json, and the files of the label party's own model."""
    part, name = model.part_, context.entry.name
    assert isinstance(part, LabelPart)
    assert context.train.label is not None
    assert context.test.label is not None
    alone, files = None, {}
    if part.columns.names:
        own = train_lightgbm(
            part.columns.code(context.train.columns, context.train.label.size),
            context.train.label,
            params,
            model.validation_rows(context.train.label.size),
        )
        alone = own.predict(part.columns.code(context.test.columns, context.test.label.size))
        files["alone.lightgbm.txt"] = own.text()
    figures = evaluate(context.train.label, model.train_probability_, context.test.label, probability, alone)
    phases = phases_of(context.meter, name, model.seconds_)
    trees = [spent for phase, spent in model.seconds_.items() if phase.startswith("tree.")]
    return {
        "kind": "gbdt",
        "name": name,
        "params": asdict(params) | {"hide_nodes": context.entry.hide_nodes},
        "groupsum": {"backend": context.groupsum.backend, "why": context.groupsum.why},
        "trees": len(part.trees),
        "seconds": seconds,
        "setup_seconds": model.seconds_.get("setup", 0.0),
        "tree_seconds": trees,
        "bytes": sum(row["bytes_sent"] + row["bytes_received"] for row in phases),
        "rounds": sum(row["rounds"] for row in phases),
        "phases": phases,
        "importance": part.importance(),
        "learning": model.learning_,
    } | figures, files
