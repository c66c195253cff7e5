"""What happens in a job, in order, for whoever watches: stages begun and done, progress, states, waits, the end.

Events are numbered, and the numbers only grow, also over restarts of the node: whoever watches can come back and go on
after the last number seen. All but progress are kept in the store, a moment after they were told.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from fedcredit.errors import FedcreditError, PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.observe import logs, metrics
from fedcredit.wire.control import JobEvent

__all__ = ["ENDS", "EventLog", "EventShelf"]

_log = logs.get("job")

ENDS = ("succeeded", "failed", "cancelled")
"""The states after which a job's log holds nothing more."""

REMEMBERED = 1024
"""Events kept in memory; older ones are read from the store."""

RESTART_GAP = 1 << 32
"""By how much numbers jump at a restart, so that those of events that were told but not kept are not used twice."""

RETRY_S = 1.0

MOST_COPIED, MOST_COPIED_BYTES = 50_000, 8 << 20
"""What is taken over of one other node in one job. A job of 10,000 trees has some 20,000 events in each start; beyond
these the node is heard no more but for the end, so that it cannot fill the disk and memory of the one that listens."""


class EventShelf(Protocol):
    """Where a node keeps the events of jobs: `fedcredit.node.store.events.Events`."""

    def add_all(self, job: str, events: Sequence[tuple[int, bytes]]) -> None:
        """Keep numbered events."""

    def after(self, job: str, seq: int = 0) -> list[bytes]:
        """The events with greater numbers than `seq`, in order."""


class EventLog:
    """The events of one job at one node. Append and watch on the node's event loop.

    With a `shelf` they are kept; `restored` begins where an earlier process of the node left off.
    """

    def __init__(self, party: PartyId, job: str, shelf: EventShelf | None = None) -> None:
        self._party, self._job, self._shelf = party, job, shelf
        self._events: list[JobEvent] = []
        self._progress: dict[tuple[str, str], int] = {}
        self._last = 0
        self._on_shelf = 0  # every event up to this number is on the shelf alone
        self._unkept: list[JobEvent] = []
        self._writer: asyncio.Task[None] | None = None
        self._grown = asyncio.Event()
        self.ended = False
        self.origins: dict[str, int] = {}
        """Of events copied from another node: the number of the last one there."""
        self.ends: dict[str, JobEvent] = {}
        """How the job ended at other nodes, as far as that was copied."""
        self._copied: dict[str, tuple[int, int]] = {}
        self._bounded: set[str] = set()
        self._begun: dict[str, float] = {}

    @classmethod
    def restored(cls, party: PartyId, job: str, shelf: EventShelf) -> EventLog:
        """The log as an earlier process left it."""
        log = cls(party, job, shelf)
        for data in shelf.after(job):
            event = JobEvent.decode(data)
            log._on_shelf = event.seq
            log._note(event)
        log._last = log._on_shelf + RESTART_GAP if log._on_shelf else 0
        return log

    def state(self, state: str, error: FedcreditError | None = None, detail: dict[str, Any] | None = None) -> None:
        """Note a new state of the job; of a failure or wait its code, exit status and culprit, never its text."""
        failed = {"code": error.code, "peer": getattr(error, "culprit", None)} if error is not None else {}
        said = {"state": state, **{key: value for key, value in failed.items() if value}}
        _log.info("job.state", job=self._job, **said)
        self._append("state", state, error=error, detail=b"" if detail is None else json.dumps(detail).encode())

    def stage(self, stage: str, what: str) -> None:
        """Note that `stage` is `begun` or `done`."""
        _log.info("job.stage", job=self._job, stage=stage, state=what)
        if what == "begun":
            self._begun[stage] = time.monotonic()
        elif (begun := self._begun.pop(stage, None)) is not None:
            metrics.STAGE_SECONDS.labels(metrics.stage_kind(stage)).observe(time.monotonic() - begun)
        self._append(what, stage)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Note how far a stage is; only the latest is remembered."""
        self._append("progress", stage, done=done, total=total)

    def waiting(self, stage: str, peer: PartyId, seconds: float) -> None:
        """Note that `peer` has been out of reach for `seconds`, and that `stage` waits for it."""
        _log.warning("job.peer_away", job=self._job, stage=stage, peer=peer, seconds=int(seconds))
        self._append("waiting", stage, done=int(seconds), error=PeerLost(peer, stage, "is out of reach"))

    def back(self, stage: str, peer: PartyId, seconds: float) -> None:
        """Note that `peer` can be reached again after `seconds`."""
        _log.info("job.peer_back", job=self._job, stage=stage, peer=peer, seconds=int(seconds))
        self._append("back", stage, done=int(seconds), culprit=peer)

    def slow(self, stage: str, peer: str, seconds: float) -> None:
        """Note that `peer`, which can be reached, has kept `stage` waiting for `seconds`; 0 when it does no more.

        Nothing ends by it.
        """
        kind = "slow" if seconds else "caught_up"
        _log.info("job.peer_slow", job=self._job, stage=stage, peer=peer, state=kind, seconds=int(seconds))
        self._append(kind, stage, done=int(seconds), culprit=peer)

    def note(self, name: str, detail: bytes) -> None:
        """Note a document that concerns the whole job, e.g. its specification."""
        self._append("note", name, detail=detail)

    def copy(self, event: JobEvent) -> None:
        """Take over an event of another node, under a number of this log.

        Of one node that is `MOST_COPIED` events and `MOST_COPIED_BYTES`; after that only its end, and a note of this.
        """
        own = replace(event, seq=self._next(), job=self._job, origin=event.seq)
        if own.kind == "progress":
            own = replace(own, detail=b"")  # only the latest is remembered, so that each must be small
        if not self._is_too_much(own):
            self._add(own)
        elif _is_end(own):
            self._add(replace(own, detail=b""))
        else:
            self.origins[event.party] = event.seq
            if event.party not in self._bounded:
                self._bounded.add(event.party)
                _log.warning("job.reports_bounded", job=self._job, peer=event.party)
                self._append("bounded", "", culprit=event.party)

    @property
    def events(self) -> tuple[JobEvent, ...]:
        """What happened lately, as far as it is in memory."""
        return tuple(self._events)

    async def watch(self, after: int = 0) -> AsyncIterator[JobEvent]:
        """The events from number `after` + 1 on, until the job's end at this node."""
        position = after
        while True:
            if position < self._on_shelf and self._shelf is not None:
                until = self._on_shelf
                for data in await asyncio.to_thread(self._shelf.after, self._job, position):
                    event = JobEvent.decode(data)
                    if event.seq > until:
                        break
                    yield event
                position = until
            grown = self._grown
            # While a watcher is away, what it has not seen may move to the shelf.
            while position >= self._on_shelf and (told := self._first_after(position)) is not None:
                position = told.seq
                yield told
            if position < self._on_shelf:
                continue
            if self.ended:
                return
            if not grown.is_set():
                await grown.wait()

    async def flushed(self) -> None:
        """Wait until all events are kept, or cannot be."""
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=RETRY_S)

    def _first_after(self, position: int) -> JobEvent | None:
        at = bisect.bisect_right(self._events, position, key=lambda event: event.seq)
        return self._events[at] if at < len(self._events) else None

    def _next(self) -> int:
        return self._last + 1

    def _append(
        self,
        kind: str,
        stage: str,
        *,
        done: int = 0,
        total: int = 0,
        error: FedcreditError | None = None,
        culprit: str = "",
        detail: bytes = b"",
    ) -> None:
        self._add(
            JobEvent(
                seq=self._next(),
                party=self._party,
                job=self._job,
                kind=kind,
                stage=stage,
                done=done,
                total=total,
                code="" if error is None else error.code[:64],
                exit_status=0 if error is None else error.exit_status,
                culprit=(error.culprit if isinstance(error, PeerLost | PeerError) else culprit)[:64],
                detail=detail,
                origin=0,
            )
        )

    def _add(self, event: JobEvent) -> None:
        if self.ended:
            return
        self._last = event.seq
        again = event.kind == "progress" and self._forget_older(event)
        if event.kind == "progress":
            pass  # in memory alone
        elif self._shelf is not None:
            self._unkept.append(event)
            if self._writer is None or self._writer.done():
                self._writer = asyncio.get_running_loop().create_task(self._keep(), name=f"events {self._job}")
        self._events.append(event)
        self._note(event, again=again)
        # Everyone who waits holds the old event; the new one is for what comes next.
        self._grown.set()
        self._grown = asyncio.Event()

    def _note(self, event: JobEvent, *, again: bool = False) -> None:
        if event.origin:
            self.origins[event.party] = event.origin
            if not again:
                n_events, n_bytes = self._copied.get(event.party, (0, 0))
                self._copied[event.party] = (n_events + 1, n_bytes + _size(event))
            if _is_end(event):
                self.ends[event.party] = event
        if event.kind == "bounded":
            self._bounded.add(event.culprit)
        self.ended = self.ended or (_is_end(event) and event.party == self._party)

    def _is_too_much(self, event: JobEvent) -> bool:
        if event.kind == "progress" and (event.party, event.stage) in self._progress:
            return False  # it takes the place of an older one
        n_events, n_bytes = self._copied.get(event.party, (0, 0))
        return n_events >= MOST_COPIED or n_bytes + _size(event) > MOST_COPIED_BYTES

    def _forget_older(self, event: JobEvent) -> bool:
        """Drop what `event` takes the place of; whether there was any."""
        older = self._progress.get((event.party, event.stage), 0)
        at = bisect.bisect_left(self._events, older, key=lambda kept: kept.seq)
        if at < len(self._events) and self._events[at].seq == older:
            del self._events[at]
        again = (event.party, event.stage) in self._progress
        self._progress[event.party, event.stage] = event.seq
        return again

    async def _keep(self) -> None:
        """Write behind: many events that come close together are one transaction."""
        assert self._shelf is not None, "there is a shelf to keep them on"
        while self._unkept:
            batch = self._unkept[:REMEMBERED]
            try:
                await asyncio.to_thread(self._shelf.add_all, self._job, [(e.seq, e.encode()) for e in batch])
            except FedcreditError as error:
                # A job does not end because its diary cannot be written; the store's own writes say when it must wait.
                _log.warning("job.events_unkept", job=self._job, code=error.code)
                await asyncio.sleep(RETRY_S)
                continue
            del self._unkept[: len(batch)]
            self._shorten()

    def _shorten(self) -> None:
        """Drop the oldest events from memory, as far as they are on the shelf."""
        oldest_unkept = self._unkept[0].seq if self._unkept else self._last + 1
        while len(self._events) > REMEMBERED and self._events[0].seq < oldest_unkept:
            self._on_shelf = self._events.pop(0).seq


def _is_end(event: JobEvent) -> bool:
    return event.kind == "state" and event.stage in ENDS


def _size(event: JobEvent) -> int:
    """What an event takes, about: its texts and its detail, and a little for the numbers."""
    return 64 + sum(
        map(len, (event.party, event.job, event.kind, event.stage, event.code, event.culprit, event.detail))
    )
