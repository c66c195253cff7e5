"""How a job stands at one of its parties, by that party's word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.node.jobs.checkpoints import Listing, parse_listing
from fedcredit.node.jobs.present import left_out_of
from fedcredit.node.store import JobState
from fedcredit.wire.resume import StandingReply

__all__ = ["Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a party says of the job."""

    state: JobState
    epoch: int
    listing: Listing
    ready: bool
    code: str
    culprit: str
    left_out: frozenset[PartyId]

    @classmethod
    def of(cls, party: PartyId, reply: StandingReply) -> Self:
        """What is in its reply. Raises: PeerError (MESSAGE_INVALID) for what cannot be; FedcreditError."""
        try:
            state = JobState(reply.state)
        except ValueError:
            raise PeerError(party, "Standing", "is in a state that does not exist", "MESSAGE_INVALID") from None
        listing, left_out = parse_listing(party, reply.checkpoints), left_out_of(reply.left_out)
        return cls(state, reply.epoch, listing, reply.ready, reply.code, reply.culprit, left_out)

    @property
    def live(self) -> bool:
        return self.state in (JobState.RUNNING, JobState.WAITING)
