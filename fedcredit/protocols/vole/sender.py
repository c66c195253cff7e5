"""The sender: it has Delta, and b of every evaluation c = a Delta + b."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.kernels import vole as kernels
from fedcredit.kernels.gf128 import ELEMENT_BYTES
from fedcredit.kernels.onehot import NIBBLES, transfer_send
from fedcredit.kernels.vole import U8, U64, Piece
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.transfers import ChooserSeeds, choose
from fedcredit.protocols.vole.shape import Correlation, Progress
from fedcredit.wire.vole import VoleChoices, VoleOffer

__all__ = ["VoleSender", "set_up_sender"]


@dataclass(frozen=True, slots=True)
class VoleSender:
    """The sender after set-up. `take` any number of times, as often as the receiver does.

    Reveals: nothing to the sender but the numbers of elements. Assumes: as `docs/protocols/vole.md` has it: semi-honest
    parties, learning parity with noise for the expand-convolute code, AES-128, BLAKE3.
    """

    shape: Correlation
    base: ChooserSeeds = field(repr=False)
    randomness: Randomness = field(repr=False, compare=False)
    progress: Progress = field(default_factory=Progress, repr=False, compare=False)

    @property
    def delta(self) -> bytes:
        """The secret factor, 16 bytes, uniform; the same for the whole session."""
        return self.base.delta.to_bytes(ELEMENT_BYTES, "little")

    def take(self, count: int) -> Steps[U8]:
        """`count` fresh elements: b (count, 16), secret.

        Raises: PeerError (OT_CHECK_FAILED, SET_SIZE), which burns the session; FedcreditError (OT_CHECK_FAILED) once
        it is burnt.
        """
        with self.progress.going(self.shape.step):
            b = np.empty((count, ELEMENT_BYTES), np.uint8)
            pieces, start = self.shape.pieces(self.progress.pieces, count), 0
            scratch = self.shape.scratch(pieces, 2)
            for piece in pieces:
                yield from self._piece(piece, b[start : start + piece.count], scratch)
                start += piece.count
        return b

    def _piece(self, piece: Piece, b: U8, scratch: U64) -> Steps[None]:
        got = yield from recv(self.shape.receiver, VoleChoices)
        if got.piece != self.progress.pieces or got.words.shape != (NIBBLES, piece.columns, 2):
            raise self._refuse("sent choices of another size or piece", "OT_CHECK_FAILED")
        if got.elements != piece.count:
            raise self._refuse(f"makes {got.elements} elements where {piece.count} were due", "SET_SIZE")
        q = transfer_send(self.base.seeds, self.base.delta, self.progress.columns, got.words)
        roots = self.randomness.words(2 * piece.trees).reshape(piece.trees, 2)
        cells, offer = kernels.sender_cells(piece, self.base.delta, q, roots, scratch)
        blocks = np.concatenate([offer.levels.reshape(piece.trees, -1, 2), offer.totals[:, None]], axis=1)
        yield from send(self.shape.receiver, VoleOffer(self.progress.pieces, blocks))
        self.progress.pieces += 1
        self.progress.columns += piece.columns
        kernels.sender_share(piece, cells, b)

    def _refuse(self, what: str, code: str) -> PeerError:
        return PeerError(self.shape.receiver, self.shape.step, what, code)


def set_up_sender(shape: Correlation, randomness: Randomness) -> Steps[VoleSender]:
    """The sender's side of the base transfers, once for a session. Raises: PeerError."""
    base = yield from choose(shape.transfers(), randomness)
    return VoleSender(shape, base, randomness)
