"""What both sides of a vector oblivious linear evaluation know beforehand: session, parties, sizes of pieces.

Reveals: nothing that is not in it already; all of it is public to the pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from fedcredit.errors import FedcreditError, Problem
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.kernels.vole import MAX_ELEMENTS, PIECE_KEY_BYTES, U64, Piece
from fedcredit.protocols.transfers import Transfers
from fedcredit.wire.vole import MAX_PIECE

__all__ = ["Correlation", "Progress"]

PIECE_ELEMENTS: Final = 1 << 20
"""Elements of a piece unless told otherwise: one twice as large halves the traffic and outgrows a common cache."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """The public frame of one pair's evaluations.

    `session` is 32 bytes that no other run shares; the codes of all pieces follow from it, so it must be fixed before
    either side draws anything. `piece_elements` bounds a piece and so the memory: beside the result, 32 bytes for each
    element of a piece at the sender, 64 at the receiver. Range: 1 to 2^21. Raises: ValueError.
    """

    session: bytes
    sender: PartyId
    receiver: PartyId
    piece_elements: int = PIECE_ELEMENTS

    def __post_init__(self) -> None:
        if len(self.session) != digest.KEY_BYTES:
            raise ValueError("Correlation: a session is 32 bytes")
        if self.sender == self.receiver:
            raise ValueError("Correlation: sender and receiver are one party")
        if not 1 <= self.piece_elements <= MAX_ELEMENTS:
            raise ValueError(f"Correlation: pieces of {self.piece_elements} elements are not in [1, 2^21]")

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"vole {self.sender} to {self.receiver}"

    def transfers(self) -> Transfers:
        """The base transfers of the session: the receiver plants, the sender chooses by its Delta."""
        return Transfers(self.session, self.receiver, self.sender, "vole", self.step)

    def pieces(self, first: int, count: int) -> list[Piece]:
        """The pieces, numbered from `first`, of `count` elements, as even as can be. Raises: ValueError."""
        if count < 0:
            raise ValueError(f"Correlation: {count} elements")
        n = -(-count // self.piece_elements)
        if first + n > MAX_PIECE:
            raise ValueError(f"Correlation: {n} more pieces after {first}")
        bounds = [count * i // n for i in range(n + 1)] if n else [0]
        return [Piece(self._key(first + i), stop - start) for i, (start, stop) in enumerate(pairwise(bounds))]

    def scratch(self, pieces: Sequence[Piece], words: int) -> U64:
        """Memory for the cells of one piece after the other, `words` words each."""
        return np.empty((max((piece.cells for piece in pieces), default=0), words), np.uint64)

    def _key(self, number: int) -> bytes:
        names = f"{self.sender}/{self.receiver}".encode()
        material = self.session + number.to_bytes(4, "big") + names
        return digest.derive("fedcredit v1 vole piece", material, PIECE_KEY_BYTES)


@dataclass(slots=True)
class Progress:
    """How far a session is: nothing of it is ever used twice, and an abort burns it."""

    pieces: int = 0
    columns: int = 0
    open: bool = True

    @contextmanager
    def going(self, step: str) -> Iterator[None]:
        """Hold the session while one call is at it. It stays closed unless the call comes to its end.

        Raises: FedcreditError (OT_CHECK_FAILED) when an earlier call has not ended well, or has not ended.
        """
        if not self.open:
            what = "the session is in use or was aborted; its base transfers are burnt"
            raise FedcreditError(Problem("OT_CHECK_FAILED", step, what, "set up a new session"))
        self.open = False
        yield
        self.open = True
