"""Parties over gRPC with mutual TLS: one port each, one stream in each direction between two of them.

    transport = GrpcTransport(me, credentials, listen="127.0.0.1:7443", peers={bank: "bank.example:7443"})
    await transport.start()
    channel = transport.open(ssid, "align", peers=[bank])
    result = await drive(role.steps(), channel, deadline_s=600, meter=meter)
    await transport.close()

A party is whoever its certificate says. The sender dials; frames go one way, receipts come back. A stream that breaks
is dialled again and goes on where the peer's receipts end, so a short outage is a delay; who waits for a peer that
stays away for `Limits.lost_after_s`, or that has closed its transport, gets PeerLost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import grpc
import grpc.aio

from fedcredit.errors import ConfigError, FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.transport.channel import Packet
from fedcredit.transport.connections import Connection
from fedcredit.transport.gate import Gate, caller_of
from fedcredit.transport.grpc_server import FrameService
from fedcredit.transport.heap import keep_frame_memory
from fedcredit.transport.identity import Credentials
from fedcredit.transport.inbox import OpenStage
from fedcredit.transport.keyring import Keyring
from fedcredit.transport.limits import Limits
from fedcredit.transport.links import Link, OutFlow
from fedcredit.transport.options import CARRY, server_options
from fedcredit.wire.frame import Abort, check_stage

__all__ = ["Connection", "Credentials", "GrpcChannel", "GrpcTransport", "Keyring", "Limits", "caller_of"]

if TYPE_CHECKING:
    Service: TypeAlias = grpc.GenericRpcHandler[bytes, bytes]

Route = Callable[[PartyId, str], str]
"""Gives the gRPC target to dial for a peer with some address. Raises ConfigError."""

_HANG_UP_S = 1.0
_ABORT_S = 2.0


class GrpcTransport:
    """One party's port and its links; a `Transport`. Lives on one event loop.

    `services` are further gRPC handlers of the same port. Only authenticated parties reach them; which of them may
    call what is theirs to decide, with `caller_of(context)`.
    """

    def __init__(
        self,
        me: PartyId,
        credentials: Credentials | Keyring,
        *,
        listen: str | None = "127.0.0.1:0",
        local: Path | None = None,
        route: Route | None = None,
        peers: Mapping[PartyId, str] | None = None,
        services: Sequence[Service] = (),
        limits: Limits | None = None,
    ) -> None:
        """`listen` is host:port, port 0 for any free one, None for none; `local` a unix socket to listen on as well.

        Plain `credentials` are a run's: their authority speaks for every party. An enrolled node gives its `Keyring`.
        Raises ConfigError if the certificate is not that of `me`.
        """
        self._keyring = Keyring.of_run(me, credentials) if isinstance(credentials, Credentials) else credentials
        self._keyring.credentials.check(me)
        self._me, self._listen, self._local = me, listen, local
        self._route = route or _straight
        self._limits = limits or Limits()
        self._addresses = {peer: address for peer, address in (peers or {}).items() if peer != me}
        self._services = tuple(services)
        self._frames = FrameService(self._limits, self._may_send, self._wake)
        self._expected: frozenset[PartyId] = frozenset()
        self._links: dict[PartyId, Link] = {}
        self._connections: dict[PartyId, Connection] = {}
        self._gate = Gate(self._limits, self._keyring)
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def me(self) -> PartyId:
        """This party."""
        return self._me

    @property
    def port(self) -> int:
        """The port that the server listens on, once started; 0 if it listens on none."""
        return self._port

    @property
    def local(self) -> Path | None:
        """The unix socket that the server listens on as well, if there is one."""
        return self._local

    async def start(self) -> None:
        """Listen. Raises ConfigError (PORT_IN_USE) if that is not possible."""
        keep_frame_memory()
        server = grpc.aio.server(
            options=server_options(self._limits),
            maximum_concurrent_rpcs=self._limits.calls_in_all,
            interceptors=[self._gate],
        )
        server.add_generic_rpc_handlers((self._frames, *self._services))
        local = None if self._local is None else f"unix:{self._local}"
        for address in [address for address in (self._listen, local) if address is not None]:
            try:
                port = server.add_secure_port(address, self._keyring.server_credentials())
            except RuntimeError as error:
                problem = Problem("PORT_IN_USE", "listen", f"cannot listen on {address}", "choose another port, or 0")
                raise ConfigError(problem) from error
            self._port = port if address == self._listen else self._port
        await server.start()
        self._server = server
        self._gate.start()
        self._keyring.unsubscribe(self._changed)
        self._keyring.subscribe(self._changed)

    def add_peer(self, peer: PartyId, address: str) -> None:
        """Know `peer` by its host:port from now on. Frames of parties that are not known are refused.

        One that has moved is dialled at its new address; what has no receipt is sent again.
        """
        if peer == self._me or self._addresses.get(peer) == address:
            return
        self._addresses[peer] = address
        if peer in self._connections:
            self._connections[peer].move(self._route(peer, address))
        if peer in self._links:
            self._links[peer].redial()

    def connection(self, peer: PartyId, address: str | None = None) -> Connection:
        """The way to `peer`, for calls of other services. It is closed with the transport.

        `address` is for one that is no peer, whose frames are refused. TLS proves that whoever answers there is
        `peer`. Raises ConfigError if no address is known.
        """
        if peer not in self._connections:
            address = self._addresses.get(peer, address)
            if address is None:
                raise ConfigError(Problem("PEER_UNKNOWN", f"peer {peer}", "no address is known", "add it to [peers]"))
            self._connections[peer] = Connection(peer, self._route(peer, address), self._keyring, self._limits)
        return self._connections[peer]

    @property
    def peers(self) -> frozenset[PartyId]:
        """All whose address is known."""
        return frozenset(self._addresses)

    def address(self, peer: PartyId) -> str | None:
        """What is known of where `peer` is."""
        return self._addresses.get(peer)

    def open(
        self,
        ssid: bytes,
        stage: str,
        *,
        peers: Collection[PartyId] | None = None,
        epoch: int = 0,
        survives: bool = False,
    ) -> GrpcChannel:
        """See `Transport.open`. Connects to the peers at once, so that one that goes away is noticed."""
        chosen = frozenset(self._addresses if peers is None else peers) - {self._me}
        check_stage(stage)
        inbound = self._frames.inbox.open(ssid, stage, chosen, epoch, survives=survives)
        links = {peer: self._link(peer) for peer in sorted(chosen)}
        flows = {peer: link.open(ssid, epoch, stage) for peer, link in links.items()}
        return GrpcChannel(self._me, ssid, epoch, stage, inbound, links, flows)

    def forget(self, ssid: bytes) -> None:
        """See `Transport.forget`. What is still under way to peers is delivered."""
        self._frames.inbox.forget(ssid)

    def expect(self, peers: Collection[PartyId]) -> None:
        """See `Transport.expect`."""
        self._expected |= frozenset(peers)

    def unreachable(self) -> Mapping[PartyId, float]:
        """See `Transport.unreachable`."""
        return {peer: link.down_s for peer, link in self._links.items() if link.down_s > 0}

    async def close(self) -> None:
        """Wait until peers have taken what was sent, at most `Limits.drain_s`, then hang up."""
        owed = any(link.owes_messages for link in self._links.values())
        with contextlib.suppress(TimeoutError):
            # An abort is a courtesy: whoever does not hear it finds us gone.
            async with asyncio.timeout(self._limits.drain_s if owed else min(_ABORT_S, self._limits.drain_s)):
                await asyncio.gather(*(link.drained() for link in self._links.values()))
        await asyncio.gather(*(link.close() for link in self._links.values()))
        self._frames.hang_up()
        self._keyring.unsubscribe(self._changed)
        if self._server is not None:
            await self._gate.stop()
            await self._server.stop(_HANG_UP_S)
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    def _link(self, peer: PartyId) -> Link:
        if peer not in self._links:
            connection = self.connection(peer)
            call = connection.stream_stream(CARRY, None, None)
            self._links[peer] = Link(
                self._me,
                peer,
                lambda: cast("grpc.aio.StreamStreamCall[bytes, bytes]", call(None, wait_for_ready=True)),
                self._limits,
                self._refused,
                self._frames.inbox.lose,
                self._own_fault,
            )
        return self._links[peer]

    def _may_send(self, peer: PartyId) -> bool:
        return peer in self._addresses or peer in self._expected

    def _wake(self) -> None:
        for link in self._links.values():
            link.wake()

    def _own_fault(self) -> FedcreditError | None:
        if not self._keyring.expired:
            return None
        what, fix = f"ended {self._keyring.expires:%F %T} UTC", "renew it; the job then goes on"
        return ConfigError(Problem("CERT_EXPIRED", f"certificate of {self._me}", what, fix))

    def _changed(self) -> None:
        """Our keys or whom we believe have changed: links go on with the new ones, or end with who is refused."""
        for peer in {*self._links, *self._connections}:
            if (refused := self._keyring.trust.refusal(peer)) is None:
                if peer in self._links:
                    self._links[peer].redial()
                continue
            if peer in self._links:
                self._links[peer].refuse(refused.as_peer_error)
            self._frames.inbox.lose(peer, refused.as_peer_error)
            if peer in self._connections:
                self._connections[peer].hang_up()

    def _refused(self, flow: OutFlow, error: FedcreditError) -> None:
        self._frames.inbox.fail(flow.ssid, flow.epoch, flow.stage, error)


class GrpcChannel:
    """One stage of one job over gRPC; a `Channel`."""

    def __init__(
        self,
        me: PartyId,
        ssid: bytes,
        epoch: int,
        stage: str,
        inbound: OpenStage,
        links: Mapping[PartyId, Link],
        flows: Mapping[PartyId, OutFlow],
    ) -> None:
        self._me, self._ssid, self._epoch, self._stage = me, ssid, epoch, stage
        self._inbound, self._links, self._flows = inbound, links, flows

    @property
    def me(self) -> PartyId:
        """This party."""
        return self._me

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self._stage

    async def send(self, to: PartyId, tag: int, body: bytes) -> int:
        """See `Channel.send`."""
        self._check_peer(to)
        return await self._links[to].send(self._flows[to], tag, body, partial(self._inbound.refuse_lost, to))

    async def receive(self, sender: PartyId) -> Packet:
        """See `Channel.receive`."""
        self._check_peer(sender)
        return await self._inbound.take(sender)

    def progress(self, peer: PartyId) -> int:
        """See `Channel.progress`: frames of `peer` that arrived, and frames of ours that it took."""
        return self._inbound.arrived(peer) + self._flows[peer].receipts

    def lose(self, peer: PartyId) -> None:
        """See `Channel.lose`."""
        self._inbound.lose(peer)

    async def abort(self, error: FedcreditError) -> None:
        """See `Channel.abort`."""
        self._inbound.end_job(error)
        self._leave()
        for link in self._links.values():
            link.abort(self._ssid, self._epoch, Abort.of(self._stage, error))

    async def close(self) -> None:
        """See `Channel.close`."""
        unread = self._leave()
        if unread is not None:
            error = PeerError(unread, self._stage, "sent a message that nobody asked for", "UNEXPECTED_MESSAGE")
            self._inbound.end_job(error)
            raise error

    def _leave(self) -> PartyId | None:
        for peer, flow in self._flows.items():
            self._links[peer].close_flow(flow)
        return self._inbound.close()

    def _check_peer(self, peer: PartyId) -> None:
        if peer not in self._flows:
            raise FedcreditError(f"{self._stage} has no peer {peer}")


def _straight(peer: PartyId, address: str) -> str:
    """The way to `peer` without a relay."""
    if "://" in address:
        what, fix = "is reached through a relay, and none is set up here", "add [relay], and the platform to [peers]"
        raise ConfigError(Problem("RELAY_MISSING", f"peer {peer}", what, fix))
    return address
