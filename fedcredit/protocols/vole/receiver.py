"""The receiver: it has a and c of every evaluation c = a Delta + b."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.kernels import vole as kernels
from fedcredit.kernels.gf128 import ELEMENT_BYTES
from fedcredit.kernels.onehot import transfer_receive
from fedcredit.kernels.vole import U8, U32, U64, Offer, Piece
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.transfers import plant
from fedcredit.protocols.vole.shape import Correlation, Progress
from fedcredit.wire.vole import VoleChoices, VoleOffer

__all__ = ["VoleReceiver", "set_up_receiver"]

AHEAD = 2
"""Pieces whose choices are sent before the first one's trees have come."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The receiver's secrets of a piece whose choices are sent."""

    number: int
    noise: U64 = field(repr=False)
    places: U32 = field(repr=False)
    t: U64 = field(repr=False)


@dataclass(frozen=True, slots=True)
class VoleReceiver:
    """The receiver after set-up. `take` any number of times, as often as the sender does.

    Reveals: nothing to the receiver but the numbers of elements. Assumes: as `VoleSender`.
    """

    shape: Correlation
    seeds: U8 = field(repr=False)
    randomness: Randomness = field(repr=False, compare=False)
    progress: Progress = field(default_factory=Progress, repr=False, compare=False)

    def take(self, count: int) -> Steps[tuple[U8, U8]]:
        """`count` fresh elements: a and c, (count, 16) each, secret; `a` looks uniform to the sender.

        Raises: PeerError (OT_CHECK_FAILED), which burns the session; FedcreditError (OT_CHECK_FAILED) once it is burnt.
        """
        with self.progress.going(self.shape.step):
            a, c = (np.empty((count, ELEMENT_BYTES), np.uint8) for _ in range(2))
            pieces = self.shape.pieces(self.progress.pieces, count)
            scratch = self.shape.scratch(pieces, 4)
            chosen: deque[_Chosen] = deque()
            start = 0
            for i, piece in enumerate(pieces):
                # The next choices go out before this piece's trees come in, so that the sender always has work.
                while len(chosen) < AHEAD and i + len(chosen) < len(pieces):
                    chosen.append((yield from self._choose(pieces[i + len(chosen)])))
                rows = slice(start, start + piece.count)
                yield from self._open(piece, chosen.popleft(), scratch, a[rows], c[rows])
                start = rows.stop
        return a, c

    def _choose(self, piece: Piece) -> Steps[_Chosen]:
        """Draw places and noise of a piece and send its choices."""
        number = self.progress.pieces
        drawn = self.randomness.words(3 * piece.trees)
        noise = drawn[: 2 * piece.trees].reshape(piece.trees, 2)
        places = _below(piece.leaves, drawn[2 * piece.trees :])
        choices = kernels.choice_words(piece, noise, places)
        t, words = transfer_receive(self.seeds, self.progress.columns, choices)
        yield from send(self.shape.sender, VoleChoices(number, piece.count, words))
        self.progress.pieces += 1
        self.progress.columns += piece.columns
        return _Chosen(number, noise, places, t)

    def _open(self, piece: Piece, chosen: _Chosen, scratch: U64, a: U8, c: U8) -> Steps[None]:
        got = yield from recv(self.shape.sender, VoleOffer)
        if got.piece != chosen.number or got.blocks.shape != (piece.trees, 2 * piece.depth + 1, 2):
            what = "sent the trees of another size or piece"
            raise PeerError(self.shape.sender, self.shape.step, what, "OT_CHECK_FAILED")
        levels = got.blocks[:, :-1].reshape(piece.trees, piece.depth, 2, 2)
        offer = Offer(levels, got.blocks[:, -1])
        cells = kernels.receiver_cells(piece, chosen.t, chosen.places, chosen.noise, offer, scratch)
        kernels.receiver_share(piece, cells, a, c)


def set_up_receiver(shape: Correlation, randomness: Randomness) -> Steps[VoleReceiver]:
    """The receiver's side of the base transfers, once for a session. Raises: PeerError."""
    seeds = yield from plant(shape.transfers(), randomness)
    return VoleReceiver(shape, seeds, randomness)


def _below(bound: int, words: U64) -> U32:
    """Uniform numbers below `bound`, from 64 bits each: what the product has above them, without branch or division."""
    low, high = words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)
    n = np.uint64(bound)
    places: U32 = ((high * n + (low * n >> np.uint64(32))) >> np.uint64(32)).astype(np.uint32)
    return places
