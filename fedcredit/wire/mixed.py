"""Messages of models whose labels are at several banks, beside those of what it is made of: `docs/protocols/mixed.md`.

Banks have labels and columns of the same names for rows of their own; the first is the leader. Departments P have
columns of the rows of all banks.
Reveals: of every message, its size, which follows from public numbers of rows, columns and rounds.
Assumes: all parties are semi-honest; the link authenticates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.wire._gen import mixed_pb2 as pb
from fedcredit.wire.binning import MAX_FEATURES
from fedcredit.wire.linear import MAX_COLUMNS
from fedcredit.wire.message import Message, MessageInvalid, array, count

__all__ = ["SCORE", "STAND", "STOP", "BankMove", "CountNumbers"]

F64: TypeAlias = npt.NDArray[np.float64]

MAX_NUMBERS: Final = MAX_FEATURES * 256
MAX_COEFFICIENT: Final = 1e9
SCORE, STAND, STOP = range(3)
"""What a `BankMove` has a bank do: take up coefficients, evaluate them, end."""


@dataclass(frozen=True, slots=True, repr=False)
class CountNumbers(Message, tag=0x220, proto=pb.CountNumbers):
    """In how many numbers P sends the counts of its pre-bins in a batch.

    Reveals: to a bank that does not lead, about how many pre-bins P's columns have together. Assumes: see the module.
    """

    numbers: int = count(MAX_NUMBERS)


@dataclass(frozen=True, slots=True, repr=False)
class BankMove(Message, tag=0x221, proto=pb.BankMove):
    """What the leader has another bank do: have scores under these coefficients, evaluate them, or end.

    Reveals: to the bank, the coefficients of the banks' common columns at every step, of which the last ones are its
    part of the model. Assumes: see the module.
    """

    action: int = count(STOP)
    values: F64 = array("f8", 1, MAX_COLUMNS + 1)

    def validate(self) -> None:
        if (self.action == SCORE) != (self.values.size > 0):
            raise MessageInvalid("BankMove.values", "coefficients with an evaluation, or none to score with", "SHAPE")
        if np.abs(self.values).max(initial=0) > MAX_COEFFICIENT:
            raise MessageInvalid("BankMove.values", "a coefficient out of all bounds", "ARRAY_INVALID")
