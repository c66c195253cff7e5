"""Messages of the base transfers, which group-by-sum and vector oblivious linear evaluation begin with.

One party plants seeds, the other chooses by the bits of its secret Delta: `docs/protocols/groupsum.md`, set-up.
Reveals: of every message, its size, which is fixed. Assumes: both parties are semi-honest; an authenticated link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedcredit.kernels.group import POINT_BYTES
from fedcredit.kernels.onehot import KEY_BYTES, U8
from fedcredit.wire._gen import transfers_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, blob

__all__ = ["BASE_TRANSFERS", "SeedSums", "TransferChoices", "TransferKey"]

BASE_TRANSFERS: Final = 128


@dataclass(frozen=True, slots=True, repr=False)
class TransferKey(Message, tag=0x20, proto=pb.TransferKey):
    """The planter's key of the 128 base transfers, `aG`. Reveals: nothing. Assumes: a semi-honest planter."""

    point: bytes = blob(POINT_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class TransferChoices(Message, tag=0x21, proto=pb.TransferChoices):
    """The chooser's two points for each base transfer; its choice is hidden in which of them it knows.

    Reveals: nothing: both points of a pair are uniform. Assumes: a semi-honest chooser; random
    oracle into the group.
    """

    points: U8 = array("u1", 3, BASE_TRANSFERS * 2 * POINT_BYTES)

    def validate(self) -> None:
        if self.points.shape != (BASE_TRANSFERS, 2, POINT_BYTES):
            raise MessageInvalid("TransferChoices.points", "not 128 pairs of points", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class SeedSums(Message, tag=0x22, proto=pb.SeedSums):
    """Both sides' sums of each level of the 32 seed trees, each under the key of its base transfer.

    Reveals: to the chooser, the 15 of 16 seeds of each tree that its secret leaves open.
    Assumes: computational Diffie-Hellman.
    """

    blocks: U8 = array("u1", 3, BASE_TRANSFERS * 2 * KEY_BYTES)

    def validate(self) -> None:
        if self.blocks.shape != (BASE_TRANSFERS, 2, KEY_BYTES):
            raise MessageInvalid("SeedSums.blocks", "not 128 pairs of blocks", "ARRAY_INVALID")
