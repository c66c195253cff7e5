"""What a job costs: bytes, messages, rounds and seconds, for every stage and peer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from fedcredit.ids import PartyId
from fedcredit.observe import metrics

__all__ = ["LinkUse", "Meter", "StageTime"]


@dataclass(slots=True)
class LinkUse:
    """One stage's traffic with one peer.

    Units: bytes with envelopes. A round is a turn of ours: one send or more after a receive, or at the start; the
    number of times the link turned around is the sum of both ends' rounds.
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    rounds: int = 0


@dataclass(slots=True)
class StageTime:
    """One stage's seconds: in the role's own work (with encoding and decoding), waiting to send, waiting to receive."""

    compute_s: float = 0.0
    sending_s: float = 0.0
    waiting_s: float = 0.0


class Meter:
    """Counts of one party's job. Any thread may count; `now` is monotonic seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._links: dict[tuple[str, PartyId], LinkUse] = {}
        self._times: dict[str, StageTime] = {}
        self._our_turn: dict[tuple[str, PartyId], bool] = {}
        self._waited: dict[PartyId, float] = {}
        self._waiting: dict[object, tuple[PartyId, float]] = {}
        self._lock = threading.Lock()

    def sent(self, stage: str, peer: PartyId, wire_bytes: int) -> None:
        """Count one message to `peer`."""
        with self._lock:
            use = self._link(stage, peer)
            use.bytes_sent += wire_bytes
            metrics.BYTES.labels(peer, "sent").inc(wire_bytes)
            use.messages_sent += 1
            if not self._our_turn.get((stage, peer), False):
                use.rounds += 1
                metrics.ROUNDS.labels(peer).inc()
            self._our_turn[stage, peer] = True

    def received(self, stage: str, peer: PartyId, wire_bytes: int) -> None:
        """Count one message of `peer`."""
        with self._lock:
            use = self._link(stage, peer)
            use.bytes_received += wire_bytes
            metrics.BYTES.labels(peer, "received").inc(wire_bytes)
            use.messages_received += 1
            self._our_turn[stage, peer] = False

    @contextmanager
    def computing(self, stage: str) -> Iterator[None]:
        """Time a piece of the role's own work."""
        yield from self._timed(stage, "compute_s")

    @contextmanager
    def sending(self, stage: str, peer: PartyId) -> Iterator[None]:
        """Time a wait for room in the queue of `peer`."""
        with self._waiting_for(peer):
            yield from self._timed(stage, "sending_s")

    @contextmanager
    def waiting(self, stage: str, peer: PartyId) -> Iterator[None]:
        """Time a wait for a message of `peer`."""
        with self._waiting_for(peer):
            yield from self._timed(stage, "waiting_s")

    def waited(self) -> dict[PartyId, float]:
        """Seconds spent in waits for each peer so far, those that go on included."""
        with self._lock:
            found = dict(self._waited)
            for peer, since in self._waiting.values():
                found[peer] = found.get(peer, 0.0) + self._now() - since
            return found

    def link(self, stage: str, peer: PartyId) -> LinkUse:
        """The traffic of `stage` with `peer` so far."""
        with self._lock:
            return self._link(stage, peer)

    def snapshot(self) -> dict[str, Any]:
        """All counts as JSON: `links` is a list with `stage` and `peer`, `stages` a list with `stage`."""
        with self._lock:
            return {
                "links": [{"stage": s, "peer": p, **asdict(use)} for (s, p), use in self._links.items()],
                "stages": [{"stage": s, **asdict(spent)} for s, spent in self._times.items()],
            }

    def _link(self, stage: str, peer: PartyId) -> LinkUse:
        return self._links.setdefault((stage, peer), LinkUse())

    @contextmanager
    def _waiting_for(self, peer: PartyId) -> Iterator[None]:
        wait, since = object(), self._now()
        with self._lock:
            self._waiting[wait] = (peer, since)
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[wait]
                self._waited[peer] = self._waited.get(peer, 0.0) + self._now() - since

    def _timed(self, stage: str, what: str) -> Iterator[None]:
        start = self._now()
        try:
            yield
        finally:
            with self._lock:
                spent = self._times.setdefault(stage, StageTime())
                setattr(spent, what, getattr(spent, what) + self._now() - start)
