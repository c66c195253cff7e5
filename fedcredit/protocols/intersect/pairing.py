"""A secret key for every two parties, and the sharing of zero that follows from it without another message.

Each party XORs the pseudorandom functions of its keys with all others. Over all parties every function occurs twice, so
the shares of one item XOR to zero, and any subset of them looks random to whoever lacks one of the keys.
Source: Kolesnikov, Matania, Pinkas, Rosulek, Trieu, CCS 2017 (unconditional zero-sharing).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels import digest, group
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import STEP, blaming
from fedcredit.wire.intersect import PairKey

__all__ = ["add_zero_share", "agree_on_keys"]

U8: TypeAlias = npt.NDArray[np.uint8]


def agree_on_keys(
    me: PartyId, others: Sequence[PartyId], ssid: bytes, randomness: Randomness
) -> Steps[tuple[bytes, ...]]:
    """A fresh key with each of `others`, by Diffie-Hellman over links that authenticate the sender.

    Reveals: nothing.
    Raises: PeerError (POINT_INVALID).
    """
    secret = randomness.scalar()
    mine = group.multiply_base(_point(secret)).tobytes()
    for other in others:
        yield from send(other, PairKey(mine))
    keys = []
    for other in others:
        theirs = (yield from recv(other, PairKey)).point
        if theirs == mine:
            raise PeerError(other, f"{STEP}/keys", "sent this party's own key back", "POINT_INVALID")
        with blaming(other, "keys"):
            shared = group.multiply(_point(theirs), secret).tobytes()
        ends = sorted([(me, mine), (other, theirs)])
        names = b"".join(len(name).to_bytes(1, "big") + name.encode() + point for name, point in ends)
        keys.append(digest.derive("fedcredit v1 intersect pair", ssid + names + shared))
    return tuple(keys)


def add_zero_share(keys: Sequence[bytes], items: U8, into: U8) -> None:
    """XOR this party's share of zero for every item into `into`, in place. Shapes: items (n, 16), into (n, 16)."""
    for key in keys:
        digest.keyed_xor(key, items, into)


def _point(encoding: bytes) -> U8:
    return np.frombuffer(encoding, np.uint8).reshape(1, 32)
