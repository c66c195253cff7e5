"""Says which peer a job waits for: one that is out of reach is named, and so is its return."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from fedcredit.ids import PartyId
from fedcredit.node.events import EventLog
from fedcredit.transport.channel import Transport

__all__ = ["NAME_AFTER_S", "PeerWatch"]

NAME_AFTER_S = 5.0
"""A link that is back within this is not worth a word. A peer that vanishes without a sound is noticed by keepalive
after 20 s at most, so that it is named within 30 s of its death."""

LOOK_S = 1.0


class PeerWatch:
    """Looks after the links to the `peers` of one run; `stage()` is what the run is at."""

    def __init__(
        self, transport: Transport, peers: Collection[PartyId], log: EventLog, stage: Callable[[], str]
    ) -> None:
        self._transport, self._peers, self._log, self._stage = transport, frozenset(peers), log, stage
        self._named: dict[PartyId, float] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Note who has gone or come back since the last time."""
        away = self._transport.unreachable()
        for peer in self._peers:
            seconds = away.get(peer, 0.0)
            if seconds >= NAME_AFTER_S:
                if peer not in self._named:
                    self._log.waiting(self._stage(), peer, seconds)
                self._named[peer] = seconds
            elif peer in self._named:
                self._log.back(self._stage(), peer, self._named.pop(peer))
