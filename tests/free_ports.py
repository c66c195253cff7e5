"""Ports for what tests start, and start again.

They lie below those that Linux gives to whoever asks for any: such a port may be somebody else's connection by the time
that a node which has left it for a moment comes back, and the node then has no port to listen on. For the same reason
no two processes that test at the same time give out the same ones.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator

__all__ = ["free_port"]

_FIRST, _COUNT, _BLOCK = 20_000, 12_000, 200
_held: list[socket.socket] = []


def _blocks() -> Iterator[range]:
    """Ranges of ports that are this process's until it ends: the system lets one socket alone have a name."""
    many = _COUNT // _BLOCK
    for number in range(os.getpid(), os.getpid() + many):
        block = number % many
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0fedcredit-tests-ports-{block}")
        except OSError:
            mark.close()
            continue
        _held.append(mark)
        yield range(_FIRST + block * _BLOCK, _FIRST + (block + 1) * _BLOCK)
    raise AssertionError("other processes that test have all ports")


_numbers = itertools.chain.from_iterable(_blocks())


def free_port(more: int = 0) -> int:
    """A port of 127.0.0.1 that nobody listens on, and `more` such ports right behind it; never the same one twice."""
    while True:
        ports = [next(_numbers) for _ in range(1 + more)]
        if ports[-1] == ports[0] + more and all(map(_free, ports)):
            return ports[0]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
