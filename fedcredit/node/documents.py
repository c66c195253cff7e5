"""Documents that nodes answer with, read by commands."""

from __future__ import annotations

import json
from typing import TypeVar

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId

__all__ = ["document_of"]

T = TypeVar("T", bound="dict[str, object] | list[dict[str, object]]")


def document_of(party: PartyId, data: bytes, kind: type[T], about: str = "jobs") -> T:
    """The JSON document that `party` sent. Raises: PeerError (MESSAGE_INVALID)."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        raise PeerError(party, "document", f"sent no document about {about}", "MESSAGE_INVALID")
    return found
