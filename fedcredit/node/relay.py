"""Which side of a relay a node is on, from its party.toml."""

from __future__ import annotations

from fedcredit.ids import PartyId
from fedcredit.node.trust.keys import platform_address
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.address import RELAYED
from fedcredit.transport.limits import Limits
from fedcredit.transport.relay.hub import STREAM_WINDOW_BYTES, RelayLimits
from fedcredit.transport.relay.sides import MemberSide, PlatformSide

__all__ = ["frame_peers", "link_limits", "listen_address", "relay_side"]


def relay_side(config: PartyFile) -> MemberSide | PlatformSide | None:
    """What the node's transport is put into: the platform's side, a member's, or None for a node without a relay.

    A party that joins no relay may still have peers that do, so it can dial through the platform if it knows where
    that is.
    """
    relay = config.relay
    if config.party.kind == "platform":
        return _platform_side(config) if relay.serve else None
    via = PartyId(relay.via or config.trust.platform)
    known = platform_address(config)
    address = config.peers.get(via) or (known[1] if known is not None and known[0] == via else None)
    if address is None or address.startswith(RELAYED):
        return None
    joins = relay.via is not None
    return MemberSide(via, address, reachable=joins, all_through=joins and relay.outbound == "relay")


def frame_peers(config: PartyFile) -> dict[PartyId, str]:
    """The peers whose frames are taken: no platform sends any."""
    platform = {PartyId(config.relay.via or config.trust.platform)} if config.party.kind != "platform" else set()
    return {peer: address for peer, address in config.peers.items() if peer not in platform}


def link_limits(config: PartyFile, drain_s: float) -> Limits:
    """The limits of the node's links. A relay has calls for its members' connections, and small windows for them."""
    if not config.relay.serve:
        return Limits(lost_after_s=config.limits.lost_after_s, drain_s=drain_s)
    return Limits(
        lost_after_s=config.limits.lost_after_s,
        drain_s=drain_s,
        calls_per_peer=Limits().calls_per_peer + config.relay.connections,
        calls_in_all=Limits().calls_in_all + 2 * RelayLimits().connections_in_all,
        stream_window_bytes=STREAM_WINDOW_BYTES,
    )


def listen_address(config: PartyFile) -> str | None:
    """host:port to listen on; None for a node that is reached through the relay alone."""
    if not config.listens:
        return None
    listen = config.listen
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{host}:{listen.port}"


def _platform_side(config: PartyFile) -> PlatformSide:
    relay = config.relay
    rule = None
    if relay.may_dial is not None:
        rule = {PartyId(a): frozenset(map(PartyId, called)) for a, called in relay.may_dial.items()}
    limits = RelayLimits(connections=relay.connections, bytes_per_s=relay.bytes_per_s)
    return PlatformSide(config.me, may_dial=rule, limits=limits)
