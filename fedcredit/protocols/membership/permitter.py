"""The platform: it sees consents and a blind, and makes of them the very elements that a permit is for.

It computes the elements itself from the subjects of consents that hold. So there is nothing to check of what a bank
says they are, and nobody's element gets a permit whose consent is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.oprf import OprfBlind
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId, party_id
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.filters import items_for
from fedcredit.wire.membership import MAX_CONSENTS, PermitGiven, PermitWanted

__all__ = ["MembershipPermitter", "elements_of"]

U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MembershipPermitter:
    """Answers `requester` with `permit`, which looks at the consents.

    Reveals: to it, which of the consents that it issued are used now, at which provider and for which question; not
    who is in the table. To the requester, which of them hold.
    Assumes: a requester that may deviate as it likes; this party's own silence towards the provider, which with the
    blind could open every element; authenticated links.
    """

    me: PartyId
    requester: PartyId

    def steps(self, permit: Callable[[PermitWanted], PermitGiven]) -> Steps[None]:
        """One permit."""
        wanted = yield from recv(self.requester, PermitWanted)
        yield from send(self.requester, permit(wanted))


def elements_of(wanted: PermitWanted, requester: PartyId, subjects: Sequence[str]) -> U8:
    """The blinded elements of `subjects`, as the requester will send them: (n, 32).

    Raises: PeerError (MESSAGE_INVALID, ID_DUPLICATE) that names the requester: no blind, or a subject twice.
    """
    if len(set(subjects)) != len(subjects):
        raise PeerError(requester, "membership/permit", "names a subject twice", "ID_DUPLICATE")
    try:
        blind = OprfBlind.from_bytes(wanted.blind)
    except ValueError:
        raise PeerError(requester, "membership/permit", "has no blind", "MESSAGE_INVALID") from None
    codes = np.array([subject.encode() for subject in subjects], np.bytes_)
    return blind.blind(items_for(codes, wanted.key, requester, party_id(wanted.provider), MAX_CONSENTS))
