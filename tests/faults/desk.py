"""A test that plays the platform: it makes the platform's calls itself, one by one, with the platform's own keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from faults.doors import OUTSIDE
from faults.town import PARTIES, Town

from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.local import PLATFORM
from fedcredit.node.pki import load_credentials
from fedcredit.node.platform import make_proposal
from fedcredit.node.rpc import ControlClient
from fedcredit.node.specification import JobSpecification
from fedcredit.transport.grpc import GrpcTransport
from fedcredit.wire.control import (
    Accepted,
    CancelJob,
    HealthReply,
    HealthRequest,
    JobEvent,
    JobOffer,
    JobSignature,
    ProposeJob,
    SignJob,
    StartJob,
    WatchJob,
)
from fedcredit.wire.message import Message

CALL_S = 120.0


class Desk:
    """`clients` reach the parties through their doors as the platform; the caller of the connections is `outside`."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.addresses = {party: town.addresses[party] for party in PARTIES}
        self._transports: list[GrpcTransport] = []
        own = self.transport(PLATFORM, *PARTIES)
        self._connections = {party: own.connection(party) for party in PARTIES}
        self.clients = {party: ControlClient(self._connections[party], "Party", party) for party in PARTIES}

    def transport(self, caller: PartyId, *callees: PartyId) -> GrpcTransport:
        """Links of `caller`, made here with its keys."""
        keys = self.town.nodes[caller].folder / "keys"
        credentials = load_credentials(keys / "tls.key", keys / "tls.crt", keys / "authorities.pem", me=caller)
        peers = {callee: self.town.addresses[callee] for callee in callees}
        self._transports.append(GrpcTransport(caller, credentials, peers=peers))
        return self._transports[-1]

    def client(self, caller: PartyId, callee: PartyId) -> ControlClient:
        """A client with a connection of its own."""
        return ControlClient(self.transport(caller, callee).connection(callee), "Party", callee)

    def proposal(self, **changes: Any) -> JobSpecification:
        """The town's job, proposed anew."""
        return make_proposal(self.town.definition.shared() | changes, PLATFORM)

    async def time_ms(self) -> int:
        """What a party takes for the time."""
        return (await self.call(PARTIES[0], "Health", HealthRequest(), HealthReply)).time_ms

    async def call(self, party: PartyId, method: str, request: Message, reply: Any) -> Any:
        """One call at one party, tried once."""
        return await self.clients[party].call(method, request, reply, timeout_s=CALL_S, attempts=1)

    def cut(self, party: PartyId) -> None:
        """Break all connections from here to a party; the next call dials anew.

        Left to itself, gRPC gives the next call to a connection that it has not seen break yet, and the call is lost.
        """
        self.town.doors.cut(party, OUTSIDE)
        self._connections[party].hang_up()

    async def propose_request(self, proposal: JobSpecification) -> ProposeJob:
        """The call's argument."""
        return ProposeJob(proposal.to_bytes(), canonical(self.addresses), await self.time_ms())

    async def propose(self, proposal: JobSpecification) -> JobSpecification:
        """Propose everywhere; the specification with all offers."""
        request = await self.propose_request(proposal)
        return complete(proposal, {party: await self.call(party, "Propose", request, JobOffer) for party in PARTIES})

    async def sign(self, spec: JobSpecification) -> StartJob:
        """Have it signed everywhere; the call that starts it."""
        signed = {p: await self.call(p, "Sign", SignJob(spec.to_bytes()), JobSignature) for p in PARTIES}
        return StartJob(spec.hash, canonical({party: reply.signature.hex() for party, reply in signed.items()}))

    async def end(self, party: PartyId, job: str) -> JobEvent:
        """The last event of a job at one party."""
        last = None
        async for event in self.clients[party].stream("Watch", WatchJob(job, 0), JobEvent, timeout_s=300):
            last = event
        assert last is not None
        return last

    async def cancel(self, job: str) -> None:
        """Cancel a job everywhere."""
        for party in PARTIES:
            await self.call(party, "Cancel", CancelJob(job, "CANCELLED"), Accepted)

    async def close(self) -> None:
        """Hang up."""
        for transport in self._transports:
            await transport.close()


@asynccontextmanager
async def desk_in(town: Town) -> AsyncIterator[Desk]:
    """A desk, cleared at the end."""
    desk = Desk(town)
    try:
        yield desk
    finally:
        await desk.close()


def complete(proposal: JobSpecification, offers: dict[PartyId, JobOffer]) -> JobSpecification:
    """The proposal with everybody's offer."""
    return proposal.with_offers(
        {
            party: proposal.party(party).offering(
                rows=offer.rows,
                features=offer.features,
                commitment=offer.commitment,
                subjects=offer.subjects,
                certificate=offer.certificate,
                unbalanced=offer.unbalanced,
            )
            for party, offer in offers.items()
        }
    )
