"""Messages of LightGBM's engine at several members, beside those of sums: `docs/protocols/collectives.md`.

Reveals: of every message, its size, which is always the same.
Assumes: all members are semi-honest; the link authenticates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.wire._gen import collectives_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, blob

__all__ = ["DIGEST_BYTES", "NO_SPLIT", "NUMBERS", "PER_MESSAGE", "REALS", "Agreed", "BestSplits"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

DIGEST_BYTES: Final = 32
PER_MESSAGE: Final = 2
NO_SPLIT: Final = -1
NUMBERS: Final = ("feature", "threshold", "left_count", "right_count", "default_left")
REALS: Final = (
    "gain",
    "left_output",
    "right_output",
    "left_sum_gradient",
    "left_sum_hessian",
    "right_sum_gradient",
    "right_sum_hessian",
)
_HIGHEST: Final = np.array([(1 << 31) - 1, (1 << 16) - 1, (1 << 31) - 1, (1 << 31) - 1, 1])
_LOWEST: Final = np.array([NO_SPLIT, 0, 0, 0, 0])


@dataclass(frozen=True, slots=True, repr=False)
class BestSplits(Message, tag=0x210, proto=pb.BestSplits):
    """The best split of each of two leaves among the features whose total histograms the sender has.

    `numbers` (2, 5) and `reals` (2, 7): columns are `NUMBERS` and `REALS`. A leaf without a split has feature
    `NO_SPLIT` and zeros, so that a message has room for nothing but splits.
    Reveals: to every member, these splits, with sums and estimated counts of both sides: a function of the total.
    Assumes: see the module.
    """

    numbers: I64 = array("i8", 2, PER_MESSAGE * len(NUMBERS))
    reals: F64 = array("f8", 2, PER_MESSAGE * len(REALS))

    def validate(self) -> None:
        if self.numbers.shape != (PER_MESSAGE, len(NUMBERS)) or self.reals.shape != (PER_MESSAGE, len(REALS)):
            raise MessageInvalid("BestSplits", "not the splits of two leaves", "SHAPE")
        if (self.numbers < _LOWEST).any() or (self.numbers > _HIGHEST).any():
            raise MessageInvalid("BestSplits.numbers", "a number is out of range", "ARRAY_INVALID")
        absent = self.numbers[:, 0] == NO_SPLIT
        if self.numbers[absent, 1:].any() or self.reals[absent].any():
            raise MessageInvalid("BestSplits", "a leaf without a split is not all zeros", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class Agreed(Message, tag=0x211, proto=pb.Agreed):
    """A hash of what all members should have alike: the settings of a model before it is trained, the model after.

    Reveals: to a member that has the same, that the sender has it, too; to one that has not, a hash by which guesses at
    the sender's columns, levels and parameters can be tried. Assumes: see the module.
    """

    digest: bytes = blob(DIGEST_BYTES)
