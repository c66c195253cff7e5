"""What each stage of binning leaves behind at a party, so that a job can go on from there.

A record holds what the stage gave this party and could not be had again without its peers: shapes of columns, counts,
what was told. Secrets of a session are in none: a new start of the job makes new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.settling import PrebinShape
from fedcredit.credit.woe import BinCounts
from fedcredit.errors import DataError
from fedcredit.protocols.binning import ToldColumn
from fedcredit.protocols.binning.columns import REFUSALS, STYLES
from fedcredit.runtime.state import StageState, state_invalid

__all__ = ["CountedBatch", "LentBatch", "ShapesKnown", "ToldBins", "ToldOthers"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ShapesKnown(StageState):
    """How many pre-bins the columns have: everybody's at the label party, the own ones at the others.

    Shapes: columns (parties,) numbers of columns; table (F, 4) of all columns: values, missing, special, style.
    """

    schema = "binning-shapes/1"
    columns: I64
    table: I64
    batches: int

    @classmethod
    def of(cls, shapes: Sequence[Sequence[PrebinShape]], batches: int) -> Self:
        """The record of these shapes."""
        rows = [[s.n_values, s.missing, s.n_special, STYLES.index(s.style)] for of in shapes for s in of]
        return cls(
            np.array([len(of) for of in shapes], np.int64), np.array(rows, np.int64).reshape(-1, 4), int(batches)
        )

    def shapes(self, parties: int) -> tuple[tuple[PrebinShape, ...], ...]:
        """The shapes of each party's columns. Raises: FedcreditError (STATE_INVALID)."""
        if self.columns.size != parties or self.columns.sum() != len(self.table):
            raise state_invalid("columns of other parties")
        try:
            rows = [PrebinShape(int(v), bool(m), int(s), STYLES[int(style)]) for v, m, s, style in self.table]
        except (DataError, IndexError):
            raise state_invalid("columns that are like none") from None
        ends = np.cumsum(self.columns).tolist()
        return tuple(tuple(rows[end - size : end]) for end, size in zip(ends, self.columns.tolist(), strict=True))

    def check(self, shapes: Sequence[PrebinShape]) -> None:
        """Raises: FedcreditError (STATE_INVALID) where the party's own columns are cut in another way now."""
        if self.shapes(1) != (tuple(shapes),):
            raise state_invalid("columns that are cut in another way")


@dataclass(frozen=True, slots=True)
class CountedBatch(StageState):
    """Good and bad rows of the pre-bins of a batch, peer by peer, column by column. Shapes: (cells,)."""

    schema = "binning-counts/1"
    non_events: I64
    events: I64

    @classmethod
    def of(cls, counts: Sequence[Sequence[BinCounts]]) -> Self:
        """The record of these counts."""
        flat = [c for of in counts for c in of]
        none = np.empty(0, np.int64)
        return cls(
            np.concatenate([none, *(c.non_events for c in flat)]), np.concatenate([none, *(c.events for c in flat)])
        )

    def counts(self, groups: Sequence[Sequence[int]]) -> tuple[tuple[BinCounts, ...], ...]:
        """The counts of each peer's columns, which have so many pre-bins. Raises: FedcreditError (STATE_INVALID)."""
        sizes = [size for of in groups for size in of]
        if self.non_events.shape != (sum(sizes),) or self.events.shape != (sum(sizes),):
            raise state_invalid("counts of other columns")
        ends = np.cumsum(sizes).tolist()
        cut = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        try:
            flat = iter([BinCounts(self.non_events[run], self.events[run]) for run in cut])
        except DataError:
            raise state_invalid("no counts") from None
        return tuple(tuple(next(flat) for _ in of) for of in groups)


@dataclass(frozen=True, slots=True)
class LentBatch(StageState):
    """A batch of this party's columns was counted; it was told nothing."""

    schema = "binning-lent/1"
    columns: int


@dataclass(frozen=True, slots=True)
class ToldBins(StageState):
    """What a feature party was told of its columns.

    Shapes: refused, has_iv, has_woe, iv (F,); labels (all pre-bins,); woe (all bins that it was told of,).
    """

    schema = "binning-told/1"
    refused: U8
    labels: U8
    has_iv: U8
    iv: F64
    has_woe: U8
    woe: F64

    @classmethod
    def of(cls, told: Sequence[ToldColumn]) -> Self:
        """The record of it."""
        none = np.empty(0, np.uint8)
        return cls(
            np.array([REFUSALS.index(column.refused) for column in told], np.uint8),
            np.concatenate([none, *(column.labels.astype(np.uint8) for column in told)]),
            np.array([column.iv is not None for column in told], np.uint8),
            np.array([column.iv or 0.0 for column in told], np.float64),
            np.array([column.woe is not None for column in told], np.uint8),
            np.array([value for column in told for value in column.woe or ()], np.float64),
        )

    def told(self, shapes: Sequence[PrebinShape]) -> tuple[ToldColumn, ...]:
        """What was told of columns of these shapes. Raises: FedcreditError (STATE_INVALID)."""
        sizes = [shape.n_bins for shape in shapes]
        if self.refused.size != len(sizes) or self.labels.size != sum(sizes):
            raise state_invalid("bins of other columns")
        found, at, woe_at = [], 0, 0
        for f, size in enumerate(sizes):
            labels = self.labels[at : at + size].astype(np.int64)
            at += size
            woe = None
            if self.has_woe[f]:
                n_bins = int(labels.max()) + 1
                woe = tuple(self.woe[woe_at : woe_at + n_bins].tolist())
                woe_at += n_bins
            iv = float(self.iv[f]) if self.has_iv[f] else None
            found.append(ToldColumn(labels, REFUSALS[int(self.refused[f])], iv, woe))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class ToldOthers(StageState):
    """All other parties have been told their bins."""

    schema = "binning-settled/1"
