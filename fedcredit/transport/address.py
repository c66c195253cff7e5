"""Where a party is, as text: HOST:PORT, or relay://NAME for one that is reached through the platform.

Peers tell each other where others are, and gRPC would dial more than that: files (`unix:`), virtual machines
(`vsock:`), lists of addresses (`ipv4:`). What somebody else says is checked here before it is dialled or kept.
"""

from __future__ import annotations

import re

__all__ = ["ADDRESS", "HOST_PORT", "RELAYED", "is_address"]

RELAYED = "relay://"
"""How an address begins whose party is reached through the platform; its name follows."""

_HOST_PORT = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+):[0-9]{1,5}"
_RELAYED = RELAYED + r"[a-z][a-z0-9_-]{0,31}"

HOST_PORT = rf"^{_HOST_PORT}$"
"""The form of an address that can be listened on or dialled; an IPv6 address stands in brackets."""

ADDRESS = rf"^({_HOST_PORT}|{_RELAYED})$"
"""The form of an address of a peer."""

_FORM = re.compile(rf"({_HOST_PORT}|{_RELAYED})")
_MAX_CHARACTERS = 255

_SCHEMES = frozenset({"dns", "google-c2p", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"})
"""What gRPC takes for a way to dial where a host of that name is meant."""


def is_address(text: str, party: str) -> bool:
    """Whether `text`, which came from somebody else, may be dialled for `party`."""
    if len(text) > _MAX_CHARACTERS or not _FORM.fullmatch(text):
        return False
    if text.startswith(RELAYED):
        return text == RELAYED + party
    host, _, port = text.rpartition(":")
    return host.lower() not in _SCHEMES and 0 < int(port) <= 65535
