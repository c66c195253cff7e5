"""What a transport gives to those above it: one `Channel` per job and stage, and nothing about what travels on it.

A transport moves packets: a message type's number and an encoded body, from one authenticated party to another, each
sender's packets in the order in which they were sent, none lost, none twice. It never looks into a body; encoding and
decoding happen where the work is done (`runtime.driver`), in a worker thread.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerError, PeerLost, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.wire.frame import Abort
from fedcredit.wire.message import Message, MessageInvalid, message_type

__all__ = [
    "Channel",
    "LostToPeer",
    "Packet",
    "Transport",
    "decode_packet",
    "error_of_abort",
    "loss_of_abort",
]


@dataclass(frozen=True, slots=True)
class Packet:
    """One message of an authenticated `sender`, still encoded. `wire_bytes` is its size with its envelope."""

    sender: PartyId
    tag: int
    body: bytes | memoryview = field(repr=False)
    wire_bytes: int


class Channel(Protocol):
    """One stage of one job, seen from one party. Hand it to `runtime.driver.drive`, which closes it."""

    @property
    def me(self) -> PartyId:
        """This party."""

    @property
    def stage(self) -> str:
        """The stage's name, e.g. `gbdt.0/tree.7`; it stands in errors and in the meter."""

    async def send(self, to: PartyId, tag: int, body: bytes) -> int:
        """Queue a packet for `to`; waits only while the bounded queue of that peer is full.

        Units: returns the bytes that it takes on the wire.
        Raises: PeerLost, PeerError or RefusedError once a peer is lost, has broken the protocol or ended the job.
        """

    async def receive(self, sender: PartyId) -> Packet:
        """The next packet of `sender`. Packets of others wait in their own bounded queues meanwhile.

        Raises: as `send`. An abort by any party of the job ends every wait of it.
        """

    def progress(self, peer: PartyId) -> int:
        """A number that grows whenever `peer` sends or takes something of this stage: slow is not lost."""

    def lose(self, peer: PartyId) -> None:
        """Go on without `peer`: what it sent or sends to this stage is taken and thrown away."""

    async def abort(self, error: FedcreditError) -> None:
        """Leave the stage and tell the peers that this party ends the job; never waits, never raises.

        Reveals: the error's code and exit status, and of a PeerLost its culprit; nothing else of it.
        """

    async def close(self) -> None:
        """Leave the stage, its work done. Packets already queued are still delivered.

        Raises: PeerError (UNEXPECTED_MESSAGE) when a peer sent what nobody read.
        """


class Transport(Protocol):
    """A party's links to its peers."""

    @property
    def me(self) -> PartyId:
        """This party."""

    def open(
        self,
        ssid: bytes,
        stage: str,
        *,
        peers: Collection[PartyId] | None = None,
        epoch: int = 0,
        survives: bool = False,
    ) -> Channel:
        """The channel of `stage` in job `ssid`; what peers sent to it before is waiting there.

        A stage is opened once. `peers` are the parties it speaks with: packets of others are refused, and they are told
        when this party gives up; None means all this transport knows. `epoch` counts the starts of a job; packets of
        an older epoch are refused. `survives`: a peer that gives up for a reason of its own, and not because somebody
        broke the protocol or refused, is lost to this stage and does not end the job.
        """

    def forget(self, ssid: bytes) -> None:
        """Drop all state of a finished job. What still arrives for it is thrown away."""

    def expect(self, peers: Collection[PartyId]) -> None:
        """Take frames of `peers` from now on, even where no address of them is known yet."""

    def unreachable(self) -> Mapping[PartyId, float]:
        """Peers of open stages that cannot be reached at the moment, and for how many seconds."""

    async def close(self) -> None:
        """Deliver what is queued, as far as peers let us, and hang up."""


def decode_packet(packet: Packet, stage: str) -> Message:
    """The message in `packet`. Raises PeerError naming its sender."""
    try:
        return message_type(packet.tag).decode(packet.body)
    except MessageInvalid as invalid:
        problem = invalid.problems[0]
        raise PeerError(packet.sender, stage, f"{problem.where}: {problem.what}", invalid.code) from invalid


class LostToPeer(PeerLost):
    """A peer has given up because it lost somebody: `lost`, by its word, if it said so. The culprit is the peer."""

    def __init__(self, peer: PartyId, stage: str, lost: PartyId | None) -> None:
        super().__init__(peer, stage, f"ended the job, having lost {lost or 'a peer'} itself")
        self.lost = lost

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.culprit, self.step, self.lost)


_OWN_REASONS: Final = frozenset(kind.exit_status for kind in (FedcreditError, DataError, ConfigError, PeerLost))


def loss_of_abort(peer: PartyId, stage: str, abort: Abort) -> PeerLost | None:
    """The loss that `peer`'s abort is to a `stage` that survives it; None where it does not: somebody is to blame."""
    return PeerLost(peer, stage, f"ended the job: {abort.code}") if abort.status in _OWN_REASONS else None


def error_of_abort(peer: PartyId, abort: Abort) -> FedcreditError:
    """What `peer`'s abort means here: it lost somebody, it refused, or it failed."""
    stage, code = abort.stage, abort.code
    if abort.status == PeerLost.exit_status:
        return LostToPeer(peer, stage, abort.lost)
    if abort.status == RefusedError.exit_status:
        return RefusedError(Problem(code, f"{peer} at {stage}", "refused, and ended the job"))
    return PeerError(peer, stage, "ended the job", code)
