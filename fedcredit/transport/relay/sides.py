"""The two sides of a relay, each ready to be put around a `GrpcTransport`.

side = MemberSide(platform, reachable=True, all_through=True)
transport = GrpcTransport(me, credentials, listen=None, local=side.local, route=side.route,
                          peers={platform: "platform.example:7443", bank: "relay://bank"})
await transport.start()
side.start(transport)
...
await transport.close()
await side.close()
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fedcredit.errors import RefusedError
from fedcredit.ids import PartyId
from fedcredit.transport.relay.hub import RelayHub, RelayLimits
from fedcredit.transport.relay.member import RelayMember, dial_through
from fedcredit.transport.relay.pipe import SocketEnd
from fedcredit.transport.relay.routes import LocalSockets, Routes
from fedcredit.transport.relay.service import RelayService

if TYPE_CHECKING:
    from fedcredit.transport.grpc import GrpcTransport

__all__ = ["MemberSide", "PlatformSide"]


class MemberSide:
    """A party that uses the relay of the platform `relay`, which is at the host:port `address` and no peer for frames.

    `reachable`: it joins, and takes the calls that come through; for a party that does not listen. `all_through`: it
    dials every peer through the relay, also one with a host:port, for a party that may reach nothing but the platform.
    Otherwise only peers at `relay://` addresses are.

    Reveals: to the relay, with whom this party speaks, when, and how many bytes. Assumes: nothing of the relay but that
    it may stop.
    """

    def __init__(self, relay: PartyId, address: str, *, reachable: bool, all_through: bool) -> None:
        self._relay, self._address, self._reachable = relay, address, reachable
        self._sockets = LocalSockets(self._carry)
        self.route = Routes(self._sockets, relay=relay, all_through=all_through)
        self.local: Path | None = self._sockets.path("server") if reachable else None
        self.services: tuple[RelayService, ...] = ()
        self.member: RelayMember | None = None
        self._transport: GrpcTransport | None = None

    def start(self, transport: GrpcTransport) -> None:
        """Begin, once `transport` listens."""
        self._transport = transport
        if self._reachable:
            self.member = RelayMember(lambda: transport.connection(self._relay, self._address), str(self.local))
            self.member.start()

    async def close(self) -> None:
        """Leave the relay. The transport is closed first, so that what it owes to peers still gets through."""
        if self.member is not None:
            await self.member.close()
        await self._sockets.close()

    async def _carry(self, peer: PartyId, end: SocketEnd) -> None:
        assert self._transport is not None, "nobody dials before the start"
        await dial_through(self._transport.connection(self._relay, self._address), peer, end)


class PlatformSide:
    """A platform that serves a relay to the peers its transport knows, and dials them through it itself.

    `may_dial` narrows who may call whom: callers that stand in it, to the peers named there; None lets every member
    call every other.
    """

    local: Path | None = None

    def __init__(
        self,
        me: PartyId,
        *,
        may_dial: Mapping[PartyId, frozenset[PartyId]] | None = None,
        limits: RelayLimits | None = None,
    ) -> None:
        self._me, self._may_dial = me, may_dial
        self._sockets = LocalSockets(self._carry)
        self._transport: GrpcTransport | None = None
        self.route = Routes(self._sockets, relay=me, all_through=False)
        self.hub = RelayHub(self._is_member, self._rule, self._straight, limits)
        self.services = (RelayService(self.hub),)

    def start(self, transport: GrpcTransport) -> None:
        """Begin. Until then nobody is a member."""
        self._transport = transport

    async def close(self) -> None:
        """Hang up what the platform itself has dialled."""
        await self._sockets.close()

    def _is_member(self, party: PartyId) -> bool:
        return self._transport is not None and (party == self._me or self._transport.address(party) is not None)

    def _rule(self, caller: PartyId, to: PartyId) -> bool:
        return self._may_dial is None or caller == self._me or to in self._may_dial.get(caller, frozenset())

    def _straight(self, party: PartyId) -> Awaitable[SocketEnd] | None:
        """A connection to a party with a host:port, for callers that may reach nothing but the platform."""
        assert self._transport is not None, "nobody is a member before the start"
        address = self._transport.address(party)
        if address is None or "://" in address:
            return None
        host, _, port = address.rpartition(":")
        return SocketEnd.connect(host.strip("[]"), int(port))

    async def _carry(self, peer: PartyId, end: SocketEnd) -> None:
        # gRPC finds the connection closed, waits a little, and dials again.
        with contextlib.suppress(RefusedError):
            await self.hub.dial(self._me, peer, end)
