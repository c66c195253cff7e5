"""Ports for what tests start, and start again.

They lie below those that Linux gives to whoever asks for any: such a port may be somebody else's connection by the time
that a node which has left it for a moment comes back, and the node then has no port to listen on.
"""

from __future__ import annotations

import itertools
import os
import socket

__all__ = ["free_port"]

_FIRST, _COUNT = 20_000, 12_000
# Processes that test at the same time mostly have neighbouring numbers: each begins at a place of its own.
_numbers = itertools.count(os.getpid() * 997)


def free_port(more: int = 0) -> int:
    """A port of 127.0.0.1 that nobody listens on, and `more` such ports right behind it; never the same one twice."""
    while True:
        ports = [_FIRST + next(_numbers) % _COUNT for _ in range(1 + more)]
        if ports[-1] == ports[0] + more and all(map(_free, ports)):
            return ports[0]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
