"""The public frame of a tally, one party's points, and how they become levels.

Points of all parties are put on one scale of at most `levels` levels, `step` points apart: each party's level counts
from the fewest points its card gives, so the total level is the sum of the parties' levels and is below `levels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.kernels.onehot import U8, U64
from fedcredit.protocols.groupsum import Grouping
from fedcredit.protocols.parties import refuse_parties
from fedcredit.wire.tally import MAX_LEVELS, MAX_PARTIES, MAX_POINTS, MAX_ROWS

__all__ = ["MIN_ROWS", "CardPoints", "TallyShape", "step_of"]

I64: TypeAlias = npt.NDArray[np.int64]

MIN_ROWS: Final = 50
"""Fewer rows are no distribution: their totals would be their rows' own. A bin of a binning has no fewer either."""
MIN_LEVELS: Final = 16
BLOCK_ROWS: Final = 1 << 14
"""Rows of one round of the group-by-sum: 16 MiB of values at 128 levels."""


@dataclass(frozen=True, slots=True, eq=False)
class CardPoints:
    """One party's points of every row, and the fewest and the most that its card can give, whatever the rows.

    A party without columns has zeros. Shapes: values (n,). Units: whole points. Raises: ValueError.
    """

    values: I64 = field(repr=False)
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.dtype != np.int64:
            raise ValueError(f"CardPoints: points are {self.values.shape} {self.values.dtype}")
        if not -MAX_POINTS <= self.low <= self.high <= MAX_POINTS:
            raise ValueError(f"CardPoints: a card from {self.low} to {self.high} points")
        if self.values.size and not self.low <= self.values.min() <= self.values.max() <= self.high:
            raise ValueError("CardPoints: a row has points that the card cannot give")

    @property
    def width(self) -> int:
        """Points from the fewest to the most."""
        return self.high - self.low

    def levels(self, step: int) -> U8:
        """The level of each row, rounded to nearest, half a step up. Shapes: returns (n,)."""
        return ((2 * (self.values - self.low) + step) // (2 * step)).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class TallyShape:
    """What all parties know before they begin. `peers` are the feature parties, the partner H first.

    `session` is 32 bytes that no other run shares. `levels` is a power of 2 from 16 to 128.
    Reveals: nothing: all of it is public. Assumes: all parties were told the same.
    Raises: ConfigError CONFIG_VALUE; DataError ROWS_TOO_FEW, ROWS_TOO_MANY; ValueError for a session of another length.
    """

    session: bytes
    label: PartyId
    peers: tuple[PartyId, ...]
    n_rows: int
    levels: int = MAX_LEVELS

    def __post_init__(self) -> None:
        parties = (self.label, *self.peers)
        if len(self.session) != digest.KEY_BYTES:
            raise ValueError("TallyShape: a session is 32 bytes")
        refuse_parties(parties, MAX_PARTIES)
        if not MIN_LEVELS <= self.levels <= MAX_LEVELS or self.levels & (self.levels - 1):
            what = f"{self.levels} is no power of 2 from {MIN_LEVELS} to {MAX_LEVELS}"
            raise ConfigError(Problem("CONFIG_VALUE", "levels", what))
        if len(parties) >= self.levels:
            what = f"{self.levels} levels are too few for the points of {len(parties)} parties"
            raise ConfigError(Problem("CONFIG_VALUE", "levels", what))
        if self.n_rows < MIN_ROWS:
            what = f"{self.n_rows} rows, where fewer than {MIN_ROWS} would show single ones"
            raise DataError(Problem("ROWS_TOO_FEW", self.step, what, "evaluate on more rows"))
        if self.n_rows > MAX_ROWS:
            what = f"{self.n_rows} rows, where up to {MAX_ROWS} can be counted exactly"
            raise DataError(Problem("ROWS_TOO_MANY", self.step, what, "evaluate a sample of the rows"))

    @property
    def step(self) -> str:
        """How errors name this tally."""
        return f"tally of points over {', '.join(self.peers)}"

    @property
    def partner(self) -> PartyId:
        """The feature party that holds the other share."""
        return self.peers[0]

    @property
    def further(self) -> tuple[PartyId, ...]:
        """Feature parties that split their levels between L and H."""
        return self.peers[1:]

    @property
    def grouping(self) -> Grouping:
        """The group-by-sum: the values are L's, by its own part of the level; the groups are H's part."""
        return Grouping(self.session, self.label, self.partner, self.n_rows, (self.levels,))

    def blocks(self) -> Iterator[tuple[int, slice]]:
        """The rows in runs, each with the number of its round."""
        for number, first in enumerate(range(0, self.n_rows, BLOCK_ROWS)):
            yield number, slice(first, min(first + BLOCK_ROWS, self.n_rows))

    def by_total(self, cells: U64) -> U64:
        """Of sums by both parts of the level, the sums by the total level. Shapes: (1, levels, levels) to (levels,)."""
        own = np.arange(self.levels)[:, None]
        totals: U64 = cells[0][own, (np.arange(self.levels) - own) % self.levels].sum(axis=0, dtype=np.uint64)
        return totals

    def refuse_points(self, points: CardPoints) -> None:
        """Check that there are points for every row. Raises: ValueError."""
        if points.values.size != self.n_rows:
            raise ValueError(f"TallyShape: points of {points.values.size} rows, not {self.n_rows}")


def step_of(widths: Sequence[int], levels: int) -> int:
    """The fewest points a level may be, so that the levels of all parties add up to less than `levels`."""
    # With one level a party there is always room, since there are more levels than parties.
    low, high = 1, max(1, *widths)
    while low < high:
        middle = (low + high) // 2
        if sum(-(-width // middle) for width in widths) <= levels - 1:
            high = middle
        else:
            low = middle + 1
    return low
