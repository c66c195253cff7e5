"""What each stage of horizontal boosting leaves behind at a member, so that training can go on from there.

All members keep the same: nothing in a record is of one member's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.runtime.state import StageState, state_invalid

__all__ = ["AgreedColumns", "BoostedModel", "BoostedTree"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AgreedColumns(StageState):
    """What was agreed before the first tree: the columns, where they are cut, and how many rows there are in all.

    Shapes: names (F,); counts (F,) edges of each column; edges (sum of counts,). `rows` are learnt from, `held_rows`
    decide when to stop.
    """

    schema = "horizontal-gbdt-columns/1"
    names: list[str]
    counts: I64
    edges: F64
    rows: int
    held_rows: int

    @classmethod
    def of(cls, cuts: dict[str, tuple[float, ...]], rows: int, held_rows: int) -> Self:
        """The record of a set-up."""
        counts = np.array([len(edges) for edges in cuts.values()], np.int64)
        return cls(list(cuts), counts, np.array([e for edges in cuts.values() for e in edges]), rows, held_rows)

    def cuts(self, names: list[str]) -> dict[str, tuple[float, ...]]:
        """The edges of each column. Raises: FedcreditError (STATE_INVALID) unless these are the columns."""
        if self.names != names or self.counts.shape != (len(names),) or self.counts.sum() != self.edges.size:
            raise state_invalid("a set-up over other columns")
        parts = np.split(self.edges, np.cumsum(self.counts)[:-1])
        return {name: tuple(part.tolist()) for name, part in zip(names, parts, strict=True)}


@dataclass(frozen=True, slots=True)
class BoostedTree(StageState):
    """One tree over bin numbers, as LightGBM writes it; empty where nothing was left to split.

    Losses of all members' rows with this tree: of those that are learnt from, and of those that decide when to stop.
    """

    schema = "horizontal-gbdt-tree/1"
    tree: str
    train_loss: float
    held_loss: float | None


@dataclass(frozen=True, slots=True)
class BoostedModel(StageState):
    """The whole model, which all members have alike: a LightGBM model file."""

    schema = "horizontal-gbdt-model/1"
    text: str
