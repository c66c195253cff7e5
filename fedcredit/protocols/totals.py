"""The total points of every row, to the label party, and no party's part of them where there are several.

P' -> L, H    PointShares    further parties: a share each of their points, modulo 2^64
H  -> L       PointShares    H's points and the shares that it was sent, summed

Unlike a tally this shows a number for every row: it is for rows that the label party may have scores of. **With one
feature party the total, less the label party's own points, is that party's part.** No kind of model in a job runs it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import DataError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U64
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.parties import refuse_parties
from fedcredit.wire.tally import MAX_CHUNK_ROWS, MAX_PARTIES, MAX_ROWS, PointShares

__all__ = ["TotalsFeature", "TotalsLabel", "TotalsPartner", "TotalsShape"]

I64: TypeAlias = npt.NDArray[np.int64]

_AT_ONCE = MAX_CHUNK_ROWS // 8


@dataclass(frozen=True, slots=True)
class TotalsShape:
    """What all parties know before they begin. `peers` are the feature parties, the partner H first.

    Reveals: nothing: all of it is public. Assumes: all parties were told the same.
    Raises: ConfigError CONFIG_VALUE, DataError ROWS_TOO_MANY.
    """

    label: PartyId
    peers: tuple[PartyId, ...]
    n_rows: int

    def __post_init__(self) -> None:
        parties = (self.label, *self.peers)
        refuse_parties(parties, MAX_PARTIES)
        if not 1 <= self.n_rows <= MAX_ROWS:
            what = f"{self.n_rows} rows, where from 1 to {MAX_ROWS} can be summed"
            raise DataError(Problem("ROWS_TOO_MANY", self.step, what))

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"total points over {', '.join(self.peers)}"


@dataclass(frozen=True, slots=True, eq=False)
class TotalsLabel:
    """Learns the total points of every row. Shapes: points (n,), its own.

    Reveals: to this party, the total of every row; with one feature party, that party's points of every row.
    Assumes: semi-honest parties; this party and the partner do not collude.
    """

    shape: TotalsShape
    points: I64 = field(repr=False)

    def steps(self) -> Steps[I64]:
        """The totals, (n,). Raises: PeerError SHAPE."""
        total = _words(self.shape, self.points)
        for peer in self.shape.peers[1:]:
            total += yield from _receive(peer, self.shape)
        total += yield from _receive(self.shape.peers[0], self.shape)
        return total.view(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class TotalsPartner:
    """Brings its points, under those of the others. Shapes: points (n,).

    Reveals: to this party, nothing.
    Assumes: semi-honest parties; this party and the label party do not collude.
    """

    shape: TotalsShape
    points: I64 = field(repr=False)

    def steps(self) -> Steps[None]:
        """Take part. Raises: PeerError SHAPE."""
        total = _words(self.shape, self.points)
        for peer in self.shape.peers[1:]:
            total += yield from _receive(peer, self.shape)
        yield from _send(self.shape.label, total)


@dataclass(frozen=True, slots=True, eq=False)
class TotalsFeature:
    """Splits its points between the label party and the partner. Shapes: points (n,).

    Reveals: to this party, nothing.
    Assumes: semi-honest parties; the label party and the partner do not collude with each other.
    """

    shape: TotalsShape
    points: I64 = field(repr=False)

    def steps(self, randomness: Randomness) -> Steps[None]:
        """Take part."""
        first = randomness.words(self.shape.n_rows)
        yield from _send(self.shape.label, first)
        yield from _send(self.shape.peers[0], _words(self.shape, self.points) - first)


def _words(shape: TotalsShape, points: I64) -> U64:
    if points.shape != (shape.n_rows,) or points.dtype != np.int64:
        raise ValueError(f"total points: {points.shape} {points.dtype} of {shape.n_rows} rows")
    return points.astype(np.uint64)


def _send(to: PartyId, words: U64) -> Steps[None]:
    for first in range(0, words.size, _AT_ONCE):
        yield from send(to, PointShares(first, words[first : first + _AT_ONCE]))


def _receive(sender: PartyId, shape: TotalsShape) -> Steps[U64]:
    words = np.empty(shape.n_rows, np.uint64)
    for first in range(0, shape.n_rows, _AT_ONCE):
        got = yield from recv(sender, PointShares)
        part = words[first : first + _AT_ONCE]
        if got.first != first or got.words.shape != part.shape:
            raise PeerError(sender, shape.step, "sent points of other rows than are due", "SHAPE")
        part[:] = got.words
    return words
