"""Says which peer a job waits for: one that is out of reach is named, one that is there and slow, and their return."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

from fedcredit.ids import PartyId
from fedcredit.node.events import EventLog
from fedcredit.transport.channel import Transport

__all__ = ["NAME_AFTER_S", "PeerWatch", "Slowness", "slow_named"]

NAME_AFTER_S = 2.0
"""A link that is back within this is not worth a word. A peer that vanishes without a sound is noticed by keepalive
after 26 s at most (`transport.options`), so that it is named within 30 s of its death."""

LOOK_S = 1.0
STOPPED_S = 5 * LOOK_S
"""Who looks so late was itself stopped or starved, and knows nothing of how slow others were meanwhile."""


class Slowness:
    """How long one live peer keeps this party waiting. No I/O.

    It is slow once, of the last `2 * after_s` seconds, `after_s` went by in waits for it: one long wait, or many short
    ones of a long line. It has caught up once that is less than half of `after_s`.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._seen: deque[tuple[float, float]] = deque()
        self._begun: float | None = None
        self._say_at = 0.0

    def take(self, now: float, waited: float) -> float | None:
        """Take in all that was waited up to `now`, in seconds.

        Units: returns how long it has been slow when there is something to say, at first and whenever that has
        doubled; 0 when it has caught up; None when there is nothing new.
        """
        self._seen.append((now, waited))
        while now - self._seen[0][0] > 2 * self._after_s:
            self._seen.popleft()
        lately = waited - self._seen[0][1]
        if self._begun is None:
            if lately < self._after_s:
                return None
            self._begun, self._say_at = self._seen[0][1], 0.0
        elif 2 * lately < self._after_s:
            self._begun = None
            return 0.0
        so_far = waited - self._begun
        if so_far < self._say_at:
            return None
        self._say_at = 2 * so_far
        return so_far

    def forget(self) -> bool:
        """Begin anew; whether it was slow."""
        was_slow, self._begun = self._begun is not None, None
        self._seen.clear()
        return was_slow


class PeerWatch:
    """Looks after the links to the `peers` of one run; `stage()` is what the run is at, `waited()` the seconds that it
    has spent waiting for each."""

    def __init__(
        self,
        transport: Transport,
        peers: Collection[PartyId],
        log: EventLog,
        stage: Callable[[], str],
        waited: Callable[[], Mapping[PartyId, float]],
        slow_after_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport, self._peers, self._log, self._stage = transport, frozenset(peers), log, stage
        self._waited, self._now, self._looked = waited, now, now()
        self._named: dict[PartyId, float] = {}
        self._slowness = {peer: Slowness(slow_after_s) for peer in sorted(self._peers)}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Note who has gone, come back, become slow or caught up since the last time."""
        away = self._transport.unreachable()
        for peer in self._peers:
            seconds = away.get(peer, 0.0)
            if seconds >= NAME_AFTER_S:
                if peer not in self._named:
                    self._log.waiting(self._stage(), peer, seconds)
                self._named[peer] = seconds
            elif peer in self._named:
                self._log.back(self._stage(), peer, self._named.pop(peer))
        self._look_for_slow(away)

    def _look_for_slow(self, away: Collection[PartyId]) -> None:
        now, waited = self._now(), self._waited()
        stopped, self._looked = now - self._looked > STOPPED_S, now
        for peer, slowness in self._slowness.items():
            if stopped or peer in away:
                if slowness.forget():
                    self._log.slow(self._stage(), peer, 0)
            elif (seconds := slowness.take(now, waited.get(peer, 0.0))) is not None:
                self._log.slow(self._stage(), peer, seconds)


@asynccontextmanager
async def slow_named(log: EventLog, stage: str, peer: PartyId, after_s: float) -> AsyncIterator[None]:
    """Name `peer` as slow while the block, a call to it, takes longer than `after_s`, and whenever that has doubled."""
    said = 0.0

    async def say() -> None:
        nonlocal said
        while True:
            due = 2 * said or after_s
            await asyncio.sleep(due - said)
            said = due
            log.slow(stage, peer, said)

    saying = asyncio.create_task(say(), name=f"wait for {peer}")
    try:
        yield
    finally:
        saying.cancel()
        if said:
            log.slow(stage, peer, 0)
