"""Messages of the vector oblivious linear evaluation: `docs/protocols/vole.md`.

The receiver gets a and c, the sender has Delta and gets b, c = a Delta + b, in pieces. Before them come the messages of
`wire.transfers`. Reveals: of every message, its size, which follows from the public number of elements.
Assumes: both parties are semi-honest; an authenticated link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedcredit.kernels.onehot import NIBBLES, U64
from fedcredit.kernels.vole import MAX_ELEMENTS, PIECE_KEY_BYTES, TREES, Piece
from fedcredit.wire._gen import vole_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, count

__all__ = ["MAX_PIECE", "VoleChoices", "VoleOffer"]

MAX_PIECE: Final = (1 << 31) - 1
_LARGEST: Final = Piece(bytes(PIECE_KEY_BYTES), MAX_ELEMENTS)


@dataclass(frozen=True, slots=True, repr=False)
class VoleChoices(Message, tag=0x50, proto=pb.VoleChoices):
    """The receiver's choice bits for the transfers of a piece, each nibble's under a pad: (32, columns, 2).

    Reveals: nothing: the sender does not know the pads. Assumes: AES in counter mode is pseudorandom.
    """

    piece: int = count(MAX_PIECE)
    elements: int = count(MAX_ELEMENTS, 1)
    words: U64 = array("u8", 3, 2 * NIBBLES * _LARGEST.columns)

    def validate(self) -> None:
        if self.words.shape[0] != NIBBLES or self.words.shape[2] != 2:
            raise MessageInvalid("VoleChoices.words", "not 32 rows of blocks", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class VoleOffer(Message, tag=0x51, proto=pb.VoleOffer):
    """Of each tree of the sender the sums of both sides of every level, under pads, and its total: (768, 2 d + 1, 2).

    Reveals: to the receiver, all leaves of each tree but the one in its secret place.
    Assumes: BLAKE3 is a random oracle, AES-128 an ideal cipher; the receiver chose by true places.
    """

    piece: int = count(MAX_PIECE)
    blocks: U64 = array("u8", 3, 2 * TREES * (2 * _LARGEST.depth + 1))

    def validate(self) -> None:
        if self.blocks.shape[0] != TREES or self.blocks.shape[1] % 2 == 0 or self.blocks.shape[2] != 2:
            raise MessageInvalid(
                "VoleOffer.blocks", "not two blocks a level and a total for each tree", "ARRAY_INVALID"
            )
