"""Partial scores of a party that holds no share: it splits them between A and H.

Reveals: nothing: each of the two gets uniform numbers. Assumes: A and H do not collude.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import KeyedRandomness, Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.linear.fixed import centred, scores_to_shares
from fedcredit.protocols.linear.shape import LinearShape
from fedcredit.wire.linear import MAX_CHUNK_WORDS, ScoreShares

__all__ = ["receive_scores", "split_scores"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


def split_scores(shape: LinearShape, scores: F64, randomness: Randomness, secret: bytes | None = None) -> Steps[None]:
    """Send A and H a share each. Shapes: scores (n,).

    With `secret`, 32 bytes, the same scores are split alike whenever it happens, so that a fit that was cut off and is
    made again rounds alike. Other scores are then split by a stream of their own, so that no mask is used twice.
    """
    if secret is not None:
        parties = f"{shape.label} {shape.partner}".encode()
        drawn_by = secret + digest.blake3(parties) + digest.blake3(scores.tobytes())
        randomness = KeyedRandomness(digest.derive("fedcredit v1 split scores", drawn_by), "shares")
    first = rlwe.masks(randomness, shape.n_rows)
    second = centred(scores_to_shares(scores) - first)
    for to, share in ((shape.label, first), (shape.partner, second)):
        for start in range(0, shape.n_rows, MAX_CHUNK_WORDS):
            yield from send(to, ScoreShares(start, share[start : start + MAX_CHUNK_WORDS]))


def receive_scores(sender: PartyId, shape: LinearShape) -> Steps[I64]:
    """One party's share for this one: (n,). Raises: PeerError SHAPE."""
    share = np.empty(shape.n_rows, np.int64)
    for start in range(0, shape.n_rows, MAX_CHUNK_WORDS):
        got = yield from recv(sender, ScoreShares)
        part = share[start : start + MAX_CHUNK_WORDS]
        if got.first != start or got.words.shape != part.shape:
            raise PeerError(sender, shape.step, "sent shares of other rows than are due", "SHAPE")
        part[:] = got.words
    return centred(share)
