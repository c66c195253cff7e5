"""The keys of a fit, of the kind that its shape names.

Reveals: nothing. Assumes: see `keys`.
"""

from __future__ import annotations

from fedcredit.crypto.randomness import Randomness
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear.keys import OwnKey, PeerKey
from fedcredit.protocols.linear.paillier_keys import PaillierOwnKey, PaillierPeerKey
from fedcredit.protocols.linear.rlwe_keys import RlweOwnKey, RlwePeerKey
from fedcredit.protocols.linear.shape import LinearShape

__all__ = ["own_key", "peer_key"]


def own_key(shape: LinearShape, randomness: Randomness) -> OwnKey:
    """A new key of this party's own."""
    if shape.encryption == "paillier":
        return PaillierOwnKey.fresh(shape, randomness)
    return RlweOwnKey.fresh(shape, randomness)


def peer_key(shape: LinearShape, owner: PartyId, randomness: Randomness) -> Steps[PeerKey]:
    """The key that `owner` announces. Raises: PeerError."""
    if shape.encryption == "paillier":
        return (yield from PaillierPeerKey.received(shape, owner, randomness))
    return (yield from RlwePeerKey.received(shape, owner, randomness))
