"""Which machine an address of a database leads to, as far as that needs no network."""

from __future__ import annotations

import ipaddress

__all__ = ["on_this_machine"]


def on_this_machine(hosts: str) -> bool:
    """Whether all of libpq's `hosts`, names or addresses separated by commas, are this machine: loopback or a socket.

    An empty one is a socket. A name counts as elsewhere, whatever it may resolve to, but for localhost.
    """
    return all(_is_loopback(host.strip()) for host in hosts.split(","))


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
