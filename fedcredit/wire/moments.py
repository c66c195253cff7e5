"""Messages of correlations over several parties: `docs/protocols/moments.md`. Keys and ciphertexts: `wire.encryption`.

Label party L learns the correlations; feature parties P have columns.
Reveals: of every message, its size, which follows from the public numbers of rows and columns.
Assumes: all parties are semi-honest; the link authenticates them; P answers with its true columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.kernels.onehot import U32
from fedcredit.wire._gen import moments_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, count

__all__ = [
    "MAX_COLUMNS",
    "MAX_PARTIES",
    "MAX_ROWS",
    "ColumnCounts",
    "MomentColumns",
    "MomentShares",
    "OwnCorrelations",
]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

MAX_ROWS: Final = 1 << 20
MAX_PARTIES: Final = 64
MAX_COLUMNS: Final = 128
"""Of all parties together."""
BEYOND_ONE: Final = 1 + 1e-6
"""A correlation is within [-1, 1] but for rounding."""


@dataclass(frozen=True, slots=True, repr=False)
class MomentColumns(Message, tag=0xB0, proto=pb.MomentColumns):
    """P's number of columns and rows.

    Reveals: to L, how many columns P brings. Assumes: see the module.
    """

    columns: int = count(MAX_COLUMNS)
    rows: int = count(MAX_ROWS, 1)


@dataclass(frozen=True, slots=True, repr=False)
class ColumnCounts(Message, tag=0xB1, proto=pb.ColumnCounts):
    """How many columns each party brings, L first.

    Reveals: to every P, these numbers. Assumes: see the module.
    """

    columns: U32 = array("u4", 1, MAX_PARTIES)

    def validate(self) -> None:
        if self.columns.size < 2 or self.columns.sum(dtype=np.uint64) > MAX_COLUMNS:
            raise MessageInvalid("ColumnCounts.columns", "not numbers of columns of parties", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class OwnCorrelations(Message, tag=0xB2, proto=pb.OwnCorrelations):
    """The correlations of P's columns with each other, each pair once, in the order of rows of a matrix.

    Reveals: to L, these numbers. Assumes: see the module.
    """

    numbers: F64 = array("f8", 1, MAX_COLUMNS * (MAX_COLUMNS - 1) // 2)

    def validate(self) -> None:
        if np.abs(self.numbers).max(initial=0) > BEYOND_ONE:
            raise MessageInvalid("OwnCorrelations.numbers", "not within [-1, 1]", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class MomentShares(Message, tag=0xB3, proto=pb.MomentShares):
    """One party's shares of the sums over two parties' columns: what it decrypted under masks, or these masks.

    Reveals: to L, with the other share, the sums of products of each column of one with each of the other.
    Assumes: see the module.
    """

    numbers: I64 = array("i8", 1, MAX_COLUMNS * MAX_COLUMNS // 4)
