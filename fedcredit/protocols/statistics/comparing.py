"""Which cells have too few rows, found by their owner under shares: nobody learns how many rows a small cell has.

The rows of cell j are `theirs[j] - ours[j]` modulo 2^64, one share at each side. There are fewer than `least` exactly
if the holder's share is one of ours, ours + 1, .., ours + least - 1. So the two compare shares as they would compare
identifiers: each masks by a secret exponent, and masks again what the other has masked.

    P -> A   CellPoints         H(j, theirs)^p
    A -> P   CellPointsAgain    H(j, theirs)^pa
    A -> P   SmallPoints        H(j, ours + t)^a,  t = 0 .. least - 1 in random order
    P        a cell is too small if one of its points, to the p, is that of its own share

Reveals: to the holder, which cells are too small; to the asker nothing.
Assumes: decisional Diffie-Hellman in ristretto255, a random oracle; semi-honest parties. An asker that makes other
points than these can have a small cell taken for a large one.
"""

from __future__ import annotations

import numpy as np

from fedcredit.crypto.commutative import CommutativeKey
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.group import BadPoint
from fedcredit.kernels.onehot import U8, U64
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.statistics.cells import Bool, items_of
from fedcredit.wire.statistics import POINTS_PER_CHUNK, CellPoints, CellPointsAgain, SmallPoints

__all__ = ["find_small", "help_find_small"]


def find_small(
    asker: PartyId, step: str, session: bytes, theirs: U64, least: int, randomness: Randomness
) -> Steps[Bool]:
    """At the holder: which cells have fewer than `least` rows. Shapes: theirs (cells,). Raises: PeerError."""
    key, cells = CommutativeKey.generate(randomness), theirs.size
    own = key.mask(items_of(session, np.arange(cells), theirs))
    for run in _runs(cells):
        yield from send(asker, CellPoints(run.start, own[run]))
    again = np.empty_like(own)
    for run in _runs(cells):
        got = yield from recv(asker, CellPointsAgain)
        again[run] = _due(asker, step, got.first, got.points, run)
    small = np.zeros(cells, bool)
    for run in _runs(cells * least):
        wrong = yield from recv(asker, SmallPoints)
        points = _due(asker, step, wrong.first, wrong.points, run)
        try:
            points = key.mask_again(points)
        except BadPoint:
            raise PeerError(asker, step, "sent what is no point", "POINT_INVALID") from None
        cell = np.arange(run.start, run.stop) // least
        small[cell[(points == again[cell]).all(axis=1)]] = True
    return small


def help_find_small(
    holder: PartyId, step: str, session: bytes, ours: U64, least: int, randomness: Randomness
) -> Steps[None]:
    """At the asker: mask what the holder needs to find its small cells. Shapes: ours (cells,). Raises: PeerError."""
    key, cells = CommutativeKey.generate(randomness), ours.size
    for run in _runs(cells):
        got = yield from recv(holder, CellPoints)
        points = _due(holder, step, got.first, got.points, run)
        try:
            again = key.mask_again(points)
        except BadPoint:
            raise PeerError(holder, step, "sent what is no point", "POINT_INVALID") from None
        yield from send(holder, CellPointsAgain(run.start, again))
    # Orders of all cells at once: a sort of random words within each.
    order = np.argsort(randomness.words(cells * least).reshape(cells, least), axis=1).astype(np.uint64)
    shares = (ours[:, None] + order).ravel()
    for run in _runs(cells * least):
        items = items_of(session, np.arange(run.start, run.stop) // least, shares[run])
        yield from send(holder, SmallPoints(run.start, key.mask(items)))


def _due(peer: PartyId, step: str, first: int, points: U8, run: slice) -> U8:
    if (first, len(points)) != (run.start, run.stop - run.start):
        raise PeerError(peer, step, "sent the points of other cells", "SHAPE")
    return points


def _runs(n: int) -> list[slice]:
    return [slice(first, min(first + POINTS_PER_CHUNK, n)) for first in range(0, n, POINTS_PER_CHUNK)]
