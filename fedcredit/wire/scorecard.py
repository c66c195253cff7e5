"""Messages of a scorecard beside those of its steps: which columns stay. `docs/protocols/scorecard.md`.

The label party L leads; feature parties P have binned columns, which are opaque numbers to L.
Assumes: all parties are semi-honest; the link authenticates them; P answers for its true columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.kernels.onehot import U8, U32
from fedcredit.wire._gen import scorecard_pb2 as pb
from fedcredit.wire.binning import MAX_FEATURES
from fedcredit.wire.linear import MAX_PARTIES
from fedcredit.wire.message import Message, MessageInvalid, array, blob, flag

__all__ = ["DOCUMENT_CHUNK", "CardDocument", "ChosenColumns", "ColumnFigures", "KeptColumns", "Significance"]

F64: TypeAlias = npt.NDArray[np.float64]

DOCUMENT_CHUNK: Final = 1 << 19
MAX_Z: Final = 1e9


@dataclass(frozen=True, slots=True, repr=False)
class ColumnFigures(Message, tag=0xA0, proto=pb.ColumnFigures):
    """Of each of P's columns, the share that is missing, and the stability index between rows to train on and rows
    held out, -1 where there are none.

    Reveals: to L, these figures, by opaque number. Assumes: see the module.
    """

    missing: F64 = array("f8", 1, MAX_FEATURES)
    stability: F64 = array("f8", 1, MAX_FEATURES)

    def validate(self) -> None:
        if self.missing.shape != self.stability.shape or not ((self.missing >= 0) & (self.missing <= 1)).all():
            raise MessageInvalid("ColumnFigures", "not a share and an index for each column", "ARRAY_INVALID")
        if not ((self.stability >= 0) | (self.stability == -1)).all():
            raise MessageInvalid("ColumnFigures.stability", "no stability index", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class ChosenColumns(Message, tag=0xA1, proto=pb.ChosenColumns):
    """Which of P's columns go on, and which feature parties have columns that do (0 or 1 each). `final`: the last fit
    stands, and nothing more is chosen.

    Reveals: to P, that these columns say enough of the label beside all others, and which parties have such columns.
    Assumes: see the module.
    """

    columns: U32 = array("u4", 1, MAX_FEATURES)
    parties: U8 = array("u1", 1, MAX_PARTIES)
    final: bool = flag()

    def validate(self) -> None:
        _ascending("ChosenColumns.columns", self.columns)
        if (self.parties > 1).any():
            raise MessageInvalid("ChosenColumns.parties", "not 0 or 1", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class KeptColumns(Message, tag=0xA2, proto=pb.KeptColumns):
    """Of P's columns that went on, which P keeps beside its own others: for each 1 or 0, its largest correlation in
    size with a better one that P keeps, and the number of that one (its own where there is none).

    Reveals: to L, these. Assumes: see the module.
    """

    kept: U8 = array("u1", 1, MAX_FEATURES)
    correlation: F64 = array("f8", 1, MAX_FEATURES)
    nearest: U32 = array("u4", 1, MAX_FEATURES)

    def validate(self) -> None:
        if not self.kept.shape == self.correlation.shape == self.nearest.shape or (self.kept > 1).any():
            raise MessageInvalid("KeptColumns", "not an answer for each column", "ARRAY_INVALID")
        if not ((self.correlation >= 0) & (self.correlation <= 1)).all():
            raise MessageInvalid("KeptColumns.correlation", "not in [0, 1]", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class Significance(Message, tag=0xA3, proto=pb.Significance):
    """Of each of P's columns in the fit, its coefficient over the coefficient's standard error.

    Reveals: to L, these numbers; with the standard errors that it has, P's coefficients in units of each column's
    spread. Assumes: see the module.
    """

    z: F64 = array("f8", 1, MAX_FEATURES)

    def validate(self) -> None:
        if (np.abs(self.z) > MAX_Z).any():
            raise MessageInvalid("Significance.z", "out of all bounds", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class CardDocument(Message, tag=0xA4, proto=pb.CardDocument):
    """A piece of P's part of the card, as its own file has it; `last` ends it.

    Reveals: to L, names, bins, weights of evidence and points of P's columns of the card. Assumes: see the module.
    """

    part: bytes = blob(1, DOCUMENT_CHUNK)
    last: bool = flag()


def _ascending(what: str, numbers: U32) -> None:
    if (numbers[1:] <= numbers[:-1]).any():
        raise MessageInvalid(what, "numbers do not ascend", "ARRAY_INVALID")
