"""Messages of the tally of total points: `docs/protocols/tally.md`. The counts themselves travel as a group-by-sum.

Label party L has labels and points; feature parties P have points; the first of them is the partner H.
Reveals: of every message, its size, which follows from the public numbers of rows and levels.
Assumes: all parties are semi-honest; the link authenticates them; P answers with its true points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedcredit.kernels.onehot import U8, U64
from fedcredit.wire._gen import tally_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, count

__all__ = [
    "MAX_CHUNK_ROWS",
    "MAX_LEVELS",
    "MAX_PARTIES",
    "MAX_POINTS",
    "MAX_ROWS",
    "LevelShares",
    "PointRange",
    "PointShares",
    "TallyStep",
    "TallySums",
]

MAX_ROWS: Final = (1 << 31) - 1
MAX_PARTIES: Final = 64
MAX_LEVELS: Final = 128
MAX_POINTS: Final = 1_000_000
"""The largest size of one party's points of a row."""
MAX_CHUNK_ROWS: Final = 1 << 20


@dataclass(frozen=True, slots=True, repr=False)
class PointRange(Message, tag=0x90, proto=pb.PointRange):
    """The fewest and the most points that P's part of the card can give a row.

    Reveals: to L, these two numbers, which follow from P's points of its bins and not from its rows.
    Assumes: see the module.
    """

    low: int = count(MAX_POINTS, -MAX_POINTS)
    high: int = count(MAX_POINTS, -MAX_POINTS)

    def validate(self) -> None:
        if self.low > self.high:
            raise MessageInvalid("PointRange", "the fewest points are more than the most")


@dataclass(frozen=True, slots=True, repr=False)
class TallyStep(Message, tag=0x91, proto=pb.TallyStep):
    """How many points one level is, at all parties.

    Reveals: to P, roughly how far the points of all parties reach together. Assumes: see the module.
    """

    step: int = count(2 * MAX_POINTS, 1)


@dataclass(frozen=True, slots=True, repr=False)
class LevelShares(Message, tag=0x92, proto=pb.LevelShares):
    """Of a further P, one of two shares of its levels for a run of rows; L gets the other one than H.

    Reveals: nothing: each share alone is uniform. Assumes: L and H do not show each other their shares.
    """

    first: int = count(MAX_ROWS)
    words: U8 = array("u1", 1, MAX_CHUNK_ROWS)

    def validate(self) -> None:
        if (self.words >= MAX_LEVELS).any():
            raise MessageInvalid("LevelShares.words", "a share is no level", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class TallySums(Message, tag=0x93, proto=pb.TallySums):
    """H's share of how many rows, and how many bad ones, have each total level.

    Reveals: to L, these counts: it has the other share. Assumes: see the module.
    """

    words: U64 = array("u8", 1, MAX_LEVELS)


@dataclass(frozen=True, slots=True, repr=False)
class PointShares(Message, tag=0x94, proto=pb.PointShares):
    """Of a further P, one of two shares of its points for a run of rows, modulo 2^64; or, from H to L, the sum of H's
    points and of all shares that H was sent.

    Reveals: each share of a further P nothing; the sum, to L, with the shares it has, the total points of each row.
    Assumes: L and H do not show each other their shares.
    """

    first: int = count(MAX_ROWS)
    words: U64 = array("u8", 1, MAX_CHUNK_ROWS // 8)
