"""What stages of a mixed scorecard leave behind at a party, beside those that a vertical one has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.protocols.tally import Tally
from fedcredit.runtime.state import StageState

__all__ = ["BankTally", "Batches", "SharedPart"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Batches(StageState):
    """At a bank that does not lead: in how many batches departments' columns are counted."""

    schema = "mixed-batches/1"
    batches: int


@dataclass(frozen=True, slots=True)
class BankTally(StageState):
    """At a bank: how scores are spread over its own rows, where they are many enough, and over all banks that have so
    many. Shapes: own, whole (levels, 2).
    """

    schema = "mixed-tally/1"
    low: int
    step: int
    own: I64
    whole: I64

    @classmethod
    def of(cls, low: int, step: int, own: I64 | None, whole: I64) -> Self:
        """The record of these counts."""
        return cls(low, step, np.zeros((0, 2), np.int64) if own is None else own, whole)

    def tallies(self) -> tuple[Tally | None, Tally]:
        """Of this bank, and of all."""
        own = Tally(self.low, self.step, self.own) if self.own.size else None
        return own, Tally(self.low, self.step, self.whole)


@dataclass(frozen=True, slots=True)
class SharedPart(StageState):
    """The banks' part of the card, as the leader has made it. Shapes: document (bytes,)."""

    schema = "mixed-part/1"
    document: U8

    @classmethod
    def of(cls, document: bytes) -> Self:
        """The record of this document."""
        return cls(np.frombuffer(document, np.uint8))
