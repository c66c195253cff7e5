"""What parties compare when a job is to go on: their lists of checkpoints, as names and epochs without content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.store import Checkpoint

__all__ = ["Listing", "common", "digest_of", "listing_of", "parse_listing", "to_bytes"]

Listing: TypeAlias = tuple[tuple[str, int], ...]
"""(stage, epoch in which it was made) of each checkpoint, in order."""


def listing_of(checkpoints: Iterable[Checkpoint]) -> Listing:
    """The listing of what a store has."""
    return tuple((kept.stage, kept.epoch) for kept in checkpoints)


def to_bytes(listing: Listing) -> bytes:
    """Its canonical bytes."""
    return canonical([list(entry) for entry in listing])


def parse_listing(party: PartyId, data: bytes) -> Listing:
    """The listing that `party` sent. Raises: PeerError (MESSAGE_INVALID)."""
    try:
        found = json.loads(data)
        if type(found) is list and all(type(entry) is list and [*map(type, entry)] == [str, int] for entry in found):
            listing = tuple((str(stage), int(epoch)) for stage, epoch in found)
            to_bytes(listing)  # which half a character in a name would keep from being hashed later
            return listing
    except (ValueError, TypeError, RecursionError):
        pass
    raise PeerError(party, "Standing", "sent no list of checkpoints", "MESSAGE_INVALID")


def digest_of(listing: Listing) -> bytes:
    """Names a listing in an order to resume."""
    return hashlib.sha256(b"fedcredit/v1/checkpoints\0" + to_bytes(listing)).digest()


def common(listings: Sequence[Listing]) -> Listing:
    """The longest beginning that all listings share: a stage counts if all kept it from the same epoch."""
    shared: list[tuple[str, int]] = []
    for entries in zip(*listings, strict=False):
        if len(set(entries)) != 1:
            break
        shared.append(entries[0])
    return tuple(shared)
