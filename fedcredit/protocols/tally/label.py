"""The label party's side of a tally: it leads, and learns how many good and bad rows have each total level.

P -> L        PointRange     the fewest and the most points of P's part of the card
L -> P        TallyStep      so that the total has fewer than `levels` levels
P' -> L, H    LevelShares    further parties: a share each of their levels, modulo `levels`
L, H          group-by-sum of 2^32 + y of each row, in the value of L's part a of its level, by H's part b
H -> L        TallySums      H's share of the sums over the cells with a + b = s modulo `levels`, for each s
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.kernels.onehot import U8, U32, U64, Assignment
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import onehot
from fedcredit.protocols.tally.shape import CardPoints, TallyShape, step_of
from fedcredit.protocols.tally.shares import receive_levels
from fedcredit.wire.tally import PointRange, TallyStep, TallySums

__all__ = ["Tally", "TallyLabel", "rows_of"]

I64: TypeAlias = npt.NDArray[np.int64]

_BAD_BITS = 32
"""A sum has the bad rows in its lower half and all rows in its upper one; there are less than 2^31 rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """How many good and bad rows have each level of total points.

    Level s stands for `low + step s` points; each party's points were rounded to whole levels on their own, so a row
    is off by half a step for each party at most. With a step of 1 nothing is rounded. Shapes: counts (levels, 2).
    """

    low: int
    step: int
    counts: I64 = field(repr=False)
    """Good and bad rows of each level."""

    @property
    def scores(self) -> I64:
        """The total points that each level stands for: (levels,)."""
        return self.low + self.step * np.arange(len(self.counts))


@dataclass(frozen=True, slots=True, eq=False)
class TallyLabel:
    """Learns how the total points of good and of bad rows are spread. Shapes: labels (n,), 0 or 1 (bad).

    `counted` (n,), 0 or 1, is which rows are counted, all unless given; nobody else learns which.

    Reveals: to this party, how many good and how many bad rows have each total level of points, at most 128 levels; the
    fewest and the most points that each feature party's card gives. Of no row its total; but where a level has few
    rows, or the range of the others' points leaves little room, its own points and labels may tell which rows they are.
    Assumes: semi-honest parties; this party and the partner do not collude; what `groupsum` assumes.
    """

    shape: TallyShape
    points: CardPoints = field(repr=False)
    labels: U8 = field(repr=False)
    counted: U8 | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        self.shape.refuse_points(self.points)
        if self.labels.shape != (self.shape.n_rows,) or self.labels.dtype != np.uint8 or (self.labels > 1).any():
            raise ValueError(f"TallyLabel: labels are {self.labels.shape} {self.labels.dtype}, or not 0 and 1")
        of = self.counted
        if of is not None and (of.shape != self.labels.shape or of.dtype != np.uint8 or (of > 1).any()):
            raise ValueError(f"TallyLabel: rows to count are {of.shape} {of.dtype}, or not 0 and 1")

    def steps(self, randomness: Randomness) -> Steps[Tally]:
        """Tally. Raises: PeerError SHAPE, COUNTS_INVALID, and of group-by-sum."""
        shape = self.shape
        low, widths = self.points.low, [self.points.width]
        for peer in shape.peers:
            got = yield from recv(peer, PointRange)
            low += got.low
            widths.append(got.high - got.low)
        step = step_of(widths, shape.levels)
        for peer in shape.peers:
            yield from send(peer, TallyStep(step))
        part = self.points.levels(step)
        for peer in shape.further:
            part += yield from receive_levels(peer, shape)
        share = yield from self._share(part & np.uint8(shape.levels - 1), randomness)
        sums = yield from recv(shape.partner, TallySums)
        if sums.words.shape != share.shape:
            raise PeerError(shape.partner, shape.step, "sent sums of another number of levels", "SHAPE")
        return Tally(low, step, self._counts(sums.words - share))

    @property
    def _counted(self) -> U8:
        return np.ones_like(self.labels) if self.counted is None else self.counted

    def _share(self, part: U8, randomness: Randomness) -> Steps[U64]:
        """Our share of the sums by total level: (levels,)."""
        shape = self.shape
        asker = yield from onehot.set_up_asker(shape.grouping, randomness)
        values = (np.uint64(1 << _BAD_BITS) + self.labels) * self._counted.astype(np.uint64)
        total = np.zeros(shape.levels, np.uint64)
        for number, rows in shape.blocks():
            at = rows_of(rows)
            of_rows = np.zeros((len(at.rows), shape.levels), np.uint64)
            of_rows[np.arange(len(at.rows)), part[rows]] = values[rows]
            shared = yield from asker.share(number, (0,), of_rows, at, keep=False)
            total += shape.by_total((yield from asker.settle(shared, shared.sums)))
        return total

    def _counts(self, sums: U64) -> I64:
        rows = (sums >> np.uint64(_BAD_BITS)).astype(np.int64)
        bad = (sums & np.uint64((1 << _BAD_BITS) - 1)).astype(np.int64)
        # Each count is bounded by the total before they are summed, so no sum overflows.
        sound = (bad <= rows).all() and (rows <= self.shape.n_rows).all()
        due = [int(self._counted.sum(dtype=np.int64)), int((self.labels * self._counted).sum(dtype=np.int64))]
        if not sound or [rows.sum(), bad.sum()] != due:
            what = "counted other rows than there are"
            raise PeerError(self.shape.partner, self.shape.step, what, "COUNTS_INVALID")
        return np.stack([rows - bad, bad], axis=1)


def rows_of(rows: slice) -> Assignment:
    """A run of rows in one node."""
    numbers: U32 = np.arange(rows.start, rows.stop, dtype=np.uint32)
    return Assignment(numbers, np.zeros_like(numbers), 1)
