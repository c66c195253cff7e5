"""The `gbdt` kind of model in a job: train, predict the rows held out, compare with the label party alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.params import TreeParams
from fedcredit.errors import FedcreditError
from fedcredit.estimators import Federation, GradientBoosting
from fedcredit.estimators.alone import train_lightgbm
from fedcredit.estimators.parts import LabelPart
from fedcredit.node.figures import phase_of
from fedcredit.node.models import ModelContext, ModelResult
from fedcredit.runtime.meter import Meter
from fedcredit.runtime.state import StageRunner, StageState
from fedcredit.tables import Rows

__all__ = ["GbdtRunner"]

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
        federation = Federation(
            me=context.me,
            label_party=context.label_party,
            feature_parties=context.feature_parties,
            transport=context.transport,
            ssid=context.ssid,
            epoch=context.epoch,
            deadline_s=context.peer_timeout_s,
            meter=context.meter,
        )
        model = GradientBoosting(params, hide_nodes=entry.hide_nodes, groupsum=entry.groupsum)
        begun = time.perf_counter()
        await model.fit(
            federation,
            context.train.columns,
            context.train.label,
            n_rows=_count(context, context.train),
            name=entry.name,
            run_stage=_with_progress(context, params.num_trees),
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
            columns, n_rows = context.test.columns, _count(context, context.test)
            found = await model.predict(federation, columns, n_rows=n_rows, stage=stage)
            model.seconds_["predict"] = time.perf_counter() - begun
            return GbdtEvaluated(np.empty(0) if found is None else found)

        return (await context.step(stage, GbdtEvaluated, work)).test_probability


def _with_progress(context: ModelContext, num_trees: int) -> StageRunner:
    """Keeps stages as the job does, and tells how far the trees are."""

    async def run_stage(stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        record = await context.step(stage, kind, work)
        phase, _, number = stage.rpartition(".")
        if phase == f"{context.entry.name}/tree":
            context.progress(phase, int(number) + 1, num_trees)
        return record

    return run_stage


def _count(context: ModelContext, rows: Rows) -> int:
    if rows.label is not None:
        return rows.label.size
    for column in rows.columns.values():
        return column.values.size
    raise FedcreditError(f"{context.entry.name}: {context.me} has neither a label nor a column")


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
    phases = _phases(context.meter, name, model.seconds_)
    trees = [spent for phase, spent in model.seconds_.items() if phase.startswith("tree.")]
    return {
        "kind": "gbdt",
        "name": name,
        "params": asdict(params) | {"hide_nodes": context.entry.hide_nodes},
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


def _phases(meter: Meter, name: str, seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """Seconds at this party, bytes and rounds over all its links, for each phase of the model."""
    rows: dict[str, dict[str, Any]] = {}
    for phase, spent in seconds.items():
        row = rows.setdefault(
            phase_of(f"{name}/{phase}"), {"seconds": 0.0, "bytes_sent": 0, "bytes_received": 0, "rounds": 0}
        )
        row["seconds"] += spent
    for link in meter.snapshot()["links"]:
        phase = phase_of(link["stage"])
        if phase in rows:
            for what in ("bytes_sent", "bytes_received", "rounds"):
                rows[phase][what] += link[what]
    return [{"phase": phase.removeprefix(f"{name}/")} | row for phase, row in rows.items()]
