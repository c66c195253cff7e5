"""The messages of scores of which a bank learns the band alone; `docs/protocols/score_bands.md` has them in a table.

They follow a `ScoreRequest` with its `ScoreSubjects`. Shapes: n subjects of one message; c cells of a table, a power of
four that is not less than the card's totals are many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.lookup import CHOICE_BYTES, MAX_CELLS
from fedcredit.wire._gen import score_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, blob, count
from fedcredit.wire.score import CHUNK_ROWS, HASH_BYTES, MAX_SUBJECTS

__all__ = ["MAX_BANDS", "MAX_TABLE_BYTES", "BandChoices", "BandPart", "BandTables", "ScoreBands"]

MAX_BANDS: Final = 20
MAX_TABLE_BYTES: Final = 1 << 22
"""Cells of all tables of one message: 4,096 subjects where totals are up to 1,024."""

_MOST = 1 << 62
_LEAST_CELLS = 4

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, repr=False)
class ScoreBands(Message, tag=0x1D4, proto=pb.ScoreBands):
    """Which bands a bank wants: band k is of totals from `bounds[k]` up to and without `bounds[k + 1]`.

    Reveals: it, to each provider. Assumes: that each provider gets the same, which answers of no use punish.
    """

    bounds: I64 = array(np.int64, 1, MAX_BANDS + 1)

    def validate(self) -> None:
        """See `Message.validate`."""
        bounds = self.bounds
        if bounds.size < 3 or (bounds < -_MOST).any() or (bounds > _MOST).any() or (np.diff(bounds) < 1).any():
            raise MessageInvalid("ScoreBands.bounds", f"not of 2 to {MAX_BANDS} bands that ascend", "ARRAY_INVALID")
        if bounds[-1] - bounds[0] > MAX_CELLS:
            raise MessageInvalid("ScoreBands.bounds", f"more than {MAX_CELLS} totals", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class BandPart(Message, tag=0x1D5, proto=pb.BandPart):
    """The masked points of every provider but the last, from `first` on, and marks of the rows that it refuses.

    Reveals: to the bank, nothing without the last provider's masks; with all marks, that some provider refuses a row.
    Assumes: masks as `crypto.zero_sum` has them; semi-honest providers as to their points.
    """

    request: bytes = blob(HASH_BYTES)
    first: int = count(MAX_SUBJECTS)
    words: U64 = array(np.uint64, 1, CHUNK_ROWS)
    marks: U64 = array(np.uint64, 1, CHUNK_ROWS)

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.words.shape != self.marks.shape or not self.marks.size:
            raise MessageInvalid("BandPart", "not a word and a mark for each subject", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class BandChoices(Message, tag=0x1D6, proto=pb.BandChoices):
    """What the bank looks up by, from `first` on.

    Reveals: to the last provider nothing: points are uniform, whatever they look up. Assumes: nothing.
    """

    request: bytes = blob(HASH_BYTES)
    first: int = count(MAX_SUBJECTS)
    points: U8 = array(np.uint8, 2, CHUNK_ROWS * CHOICE_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        rows, width = self.points.shape
        if not rows or width != CHOICE_BYTES:
            raise MessageInvalid("BandChoices.points", "not two points for each subject", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class BandTables(Message, tag=0x1D7, proto=pb.BandTables):
    """The last provider's answer from `first` on: of each subject the band of every masked total, under pads.

    Reveals: to the bank one cell of each table, which is the band of one total, and with all marks, that some provider
    refuses a row; to others, nothing of either.
    Assumes: what `crypto.lookup` does; semi-honest providers as to their points.
    """

    request: bytes = blob(HASH_BYTES)
    first: int = count(MAX_SUBJECTS)
    point: bytes = blob(32)
    tables: U8 = array(np.uint8, 2, MAX_TABLE_BYTES)
    marks: U64 = array(np.uint64, 1, CHUNK_ROWS)

    def validate(self) -> None:
        """See `Message.validate`."""
        rows, cells = self.tables.shape
        if not rows or rows != self.marks.size:
            raise MessageInvalid("BandTables", "not a table and a mark for each subject", "ARRAY_INVALID")
        if not _LEAST_CELLS <= cells <= MAX_CELLS or cells.bit_count() != 1 or cells.bit_length() % 2 == 0:
            raise MessageInvalid("BandTables.tables", "not of a power of four cells", "ARRAY_INVALID")
