"""A feature party's side of a tally: it has points, and learns nothing of anybody's. Messages and their order: `label`.

The first feature party is the partner: it holds the label party's counterpart of every share.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum import onehot
from fedcredit.protocols.tally.label import rows_of
from fedcredit.protocols.tally.shape import CardPoints, TallyShape
from fedcredit.protocols.tally.shares import receive_levels, split_levels
from fedcredit.wire.tally import PointRange, TallyStep, TallySums

__all__ = ["TallyFeature", "TallyPartner", "feature_role"]


@dataclass(frozen=True, slots=True, eq=False)
class TallyPartner:
    """Brings its points, and holds the other share of every row's level.

    Reveals: to this party, how many points a level is, from which follows roughly how far the points of all parties
    reach together. Of no row anything.
    Assumes: semi-honest parties; this party and the label party do not collude; what `groupsum` assumes.
    """

    shape: TallyShape
    points: CardPoints = field(repr=False)

    def __post_init__(self) -> None:
        self.shape.refuse_points(self.points)

    def steps(self, randomness: Randomness) -> Steps[None]:
        """Take part. Raises: PeerError SHAPE, and of group-by-sum."""
        shape = self.shape
        part = yield from _levels(shape, self.points)
        for peer in shape.further:
            part += yield from receive_levels(peer, shape)
        codes = (part & np.uint8(shape.levels - 1))[None]
        holder = yield from onehot.set_up_holder(shape.grouping, codes, randomness)
        total = np.zeros(shape.levels, np.uint64)
        for number, rows in shape.blocks():
            held = yield from holder.take(number, (0,), shape.levels, rows_of(rows), keep=False)
            total += shape.by_total((yield from holder.settle(held, held.sums)))
        yield from send(shape.label, TallySums(total))


@dataclass(frozen=True, slots=True, eq=False)
class TallyFeature:
    """Brings its points, and splits their levels between the label party and the partner.

    Reveals: to this party, how many points a level is, from which follows roughly how far the points of all parties
    reach together. Of no row anything.
    Assumes: semi-honest parties; the label party and the partner do not collude with each other.
    """

    shape: TallyShape
    me: PartyId
    points: CardPoints = field(repr=False)

    def __post_init__(self) -> None:
        self.shape.refuse_points(self.points)
        if self.me not in self.shape.further:
            raise ValueError(f"TallyFeature: {self.me} is the partner or no party of this tally")

    def steps(self, randomness: Randomness) -> Steps[None]:
        """Take part. Raises: PeerError SHAPE."""
        levels = yield from _levels(self.shape, self.points)
        yield from split_levels(self.shape, levels, randomness)


def feature_role(shape: TallyShape, me: PartyId, points: CardPoints) -> TallyPartner | TallyFeature:
    """The role of feature party `me`."""
    return TallyPartner(shape, points) if me == shape.partner else TallyFeature(shape, me, points)


def _levels(shape: TallyShape, points: CardPoints) -> Steps[U8]:
    """Tell L what our points can be, and put them on the scale that it chooses. Raises: PeerError SHAPE."""
    yield from send(shape.label, PointRange(points.low, points.high))
    step = (yield from recv(shape.label, TallyStep)).step
    if -(-points.width // step) >= shape.levels:
        raise PeerError(shape.label, shape.step, "chose a step for which there are too few levels", "SHAPE")
    return points.levels(step)
