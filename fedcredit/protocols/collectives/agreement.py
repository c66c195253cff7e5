"""All members compare a hash of what they should have alike, each with each, so that nobody's word is taken for it.

P -> all others   Agreed
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.collectives import Agreed

__all__ = ["Agreement"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Finds out whether all members have the same `digest` of `what`; `code` is that of the error if they have not.

    Reveals: to each member, whether each other one has the same; see `Agreed`. Assumes: semi-honest members.
    """

    me: PartyId
    members: tuple[PartyId, ...]
    what: str
    digest: bytes = field(repr=False)
    code: str

    def steps(self) -> Steps[None]:
        """Compare. Raises: PeerError (`code`)."""
        others = [member for member in self.members if member != self.me]
        for other in others:
            yield from send(other, Agreed(self.digest))
        for other in others:
            theirs = yield from recv(other, Agreed)
            if not hmac.compare_digest(theirs.digest, self.digest):
                raise PeerError(other, self.what, "has not the same as this member", self.code)
