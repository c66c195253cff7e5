"""What each stage of a horizontal scorecard leaves behind, the same at every member: sums over all of them.

Fits and spreads of points are kept as those of a vertical card, see `card_records`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.runtime.state import StageState, state_invalid

__all__ = ["CardAgreed", "ComparedColumns", "HeldRows"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldRows(StageState):
    """Of the rows that all members hold out, how many there are, are bad, and are in each bin. Shapes: bins (all,)."""

    schema = "horizontal-held-rows/1"
    rows: int
    bads: int
    bins: I64

    def of_columns(self, sizes: Sequence[int]) -> list[I64]:
        """The rows of columns with so many bins. Raises: FedcreditError (STATE_INVALID)."""
        if self.bins.size != sum(sizes) or (self.bins < 0).any():
            raise state_invalid("rows of other columns")
        return np.split(self.bins, np.cumsum(np.array(sizes, np.int64))[:-1]) if sizes else []


@dataclass(frozen=True, slots=True)
class ComparedColumns(StageState):
    """Correlations of columns that were compared. Shapes: (D, D)."""

    schema = "horizontal-compared-columns/1"
    correlation: F64


@dataclass(frozen=True, slots=True)
class CardAgreed(StageState):
    """All members have the same card."""

    schema = "horizontal-card-agreed/1"
    columns: int
