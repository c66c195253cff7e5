"""Levels of a party that holds no share: it splits them between L and H, modulo the number of levels.

Reveals: nothing: each of the two gets uniform numbers. Assumes: L and H do not collude.
"""

from __future__ import annotations

import numpy as np

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.tally.shape import TallyShape
from fedcredit.wire.tally import MAX_CHUNK_ROWS, LevelShares

__all__ = ["receive_levels", "split_levels"]


def split_levels(shape: TallyShape, levels: U8, randomness: Randomness) -> Steps[None]:
    """Send L and H a share each. Shapes: levels (n,)."""
    # Levels are a power of 2 that divides 256, so the lowest digits of uniform bytes are uniform and nothing wraps.
    below = np.uint8(shape.levels - 1)
    for first in range(0, shape.n_rows, MAX_CHUNK_ROWS):
        part = levels[first : first + MAX_CHUNK_ROWS]
        drawn = randomness.array(part.size) & below
        yield from send(shape.label, LevelShares(first, drawn))
        yield from send(shape.partner, LevelShares(first, (part - drawn) & below))


def receive_levels(sender: PartyId, shape: TallyShape) -> Steps[U8]:
    """One party's share for this one: (n,). Raises: PeerError SHAPE."""
    share = np.empty(shape.n_rows, np.uint8)
    for first in range(0, shape.n_rows, MAX_CHUNK_ROWS):
        got = yield from recv(sender, LevelShares)
        part = share[first : first + MAX_CHUNK_ROWS]
        if got.first != first or got.words.shape != part.shape:
            raise PeerError(sender, shape.step, "sent shares of other rows than are due", "SHAPE")
        part[:] = got.words
    if (share >= shape.levels).any():
        raise PeerError(sender, shape.step, "sent a share that is no level", "SHAPE")
    return share
