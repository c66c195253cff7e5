"""The end of a job: nobody publishes before everybody has kept all that it needs to publish, too.

Without it a party could publish and be done, and then another lose its last stages, which can only be made together.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.finish import AllKept

__all__ = ["FinishFollower", "FinishLeader"]


@dataclass(frozen=True, slots=True)
class FinishLeader:
    """The label party hears of all `peers`, then tells them.

    Reveals: nothing but that everybody's stages are kept, to everybody. Assumes: authenticated links.
    """

    peers: tuple[PartyId, ...]

    def steps(self) -> Steps[None]:
        """Wait for all, then let all go."""
        for peer in self.peers:
            yield from recv(peer, AllKept)
        for peer in self.peers:
            yield from send(peer, AllKept())


@dataclass(frozen=True, slots=True)
class FinishFollower:
    """Another party says that its stages are kept and waits until all have said so.

    Reveals: nothing but that this party's stages are kept, to the label party. Assumes: a semi-honest label party.
    """

    leader: PartyId

    def steps(self) -> Steps[None]:
        """Tell the leader, and wait for its word."""
        yield from send(self.leader, AllKept())
        yield from recv(self.leader, AllKept)
