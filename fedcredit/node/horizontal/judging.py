"""How well a horizontal model does: over the rows that all members hold out, and beside each member's own model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.estimators.horizontal_evaluation import MemberScores, MembersEvaluation, evaluate_members
from fedcredit.estimators.horizontal_within import PairsWithin, own_figures, pairs_within, within_figures
from fedcredit.estimators.sums import Sums
from fedcredit.node.models import ModelContext
from fedcredit.tables import Rows

__all__ = ["Judged", "cost_of", "judge", "labels_of"]

F64: TypeAlias = npt.NDArray[np.float64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Judged:
    """`figures` of the model's entry in metrics.json; `own` of this member's rows, for its own people alone."""

    evaluation: MembersEvaluation = field(repr=False)
    figures: dict[str, Any] = field(repr=False)
    own: dict[str, Any] = field(repr=False)


async def judge(context: ModelContext, sums: Sums, train: F64, test: F64, alone: F64) -> Judged:
    """Evaluate over the rows of all members. Shapes: probabilities of bad rows of this member's train and test rows.

    `alone`: of its test rows, by the model that its own rows alone give. Raises: DataError LABEL_ONE_CLASS, PeerLost.
    """
    name, labels = context.entry.name, labels_of(context.test)

    async def evaluated() -> MembersEvaluation:
        scores = MemberScores(labels_of(context.train), train), MemberScores(labels, test), MemberScores(labels, alone)
        return await evaluate_members(sums, *scores)

    async def within() -> PairsWithin:
        return await pairs_within(sums, labels, test, alone, label="within")

    evaluation = await context.step(f"{name}/evaluation", MembersEvaluation, evaluated)
    pairs = await context.step(f"{name}/within", PairsWithin, within)
    figures = evaluation.figures | {"within": within_figures(pairs)}
    return Judged(evaluation, figures, own_figures(labels, test, alone))


def cost_of(context: ModelContext, seconds: dict[str, float]) -> dict[str, Any]:
    """Traffic and seconds of the model's stages at this member, by phase."""
    name, own = context.entry.name, f"sum.{context.number}/"
    rows: dict[str, dict[str, Any]] = {}

    def row(phase: str) -> dict[str, Any]:
        return rows.setdefault(phase, {"seconds": 0.0, "bytes_sent": 0, "bytes_received": 0, "rounds": 0})

    for phase, spent in seconds.items():
        row(_short(phase))["seconds"] += spent
    for link in context.meter.snapshot()["links"]:
        if (stage := link["stage"]).startswith((own, f"{name}/")):
            # A sum's own name begins with that of the model, or of the step that it is made in.
            inner = stage.removeprefix(own).removeprefix(name).lstrip("/.")
            for what in ("bytes_sent", "bytes_received", "rounds"):
                row(_short(inner))[what] += link[what]
    phases = [{"phase": phase} | found for phase, found in rows.items()]
    return {
        "bytes": sum(row["bytes_sent"] + row["bytes_received"] for row in phases),
        "rounds": sum(row["rounds"] for row in phases),
        "phases": phases,
    }


def _short(phase: str) -> str:
    """The phase of a stage's name: `tree` of `tree.7`, `fit` of `fit.0.scale.sum`."""
    return phase.partition(".")[0]


def labels_of(rows: Rows) -> U8:
    """The label of a member's rows, which each has."""
    assert rows.label is not None, "a member has labels"
    return rows.label
