"""The one message of a split by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedcredit.wire._gen import split_pb2
from fedcredit.wire.message import Message, MessageInvalid, array

__all__ = ["HeldOut"]

MAX_ROWS = 1 << 27
"""Aligned rows of a job; their marks fill 128 MiB."""


@dataclass(frozen=True, slots=True, repr=False)
class HeldOut(Message, tag=0x30, proto=split_pb2.HeldOut):
    """Which aligned rows are held out.

    Shapes: rows (n,), 1 for held out, in the order of the aligned rows.
    Reveals: for every aligned row, whether it lies on the later side of the label party's point in time.
    Assumes: a semi-honest label party, an authenticated link.
    """

    rows: npt.NDArray[np.uint8] = array(np.uint8, 1, MAX_ROWS)

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.rows.size and int(self.rows.max()) > 1:
            raise MessageInvalid("HeldOut.rows", "a mark is neither 0 nor 1", "ARRAY_INVALID")
