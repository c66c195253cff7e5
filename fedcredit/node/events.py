"""What happens in a job, in order, for whoever watches: stages begun and done, progress, states, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fedcredit.errors import FedcreditError, PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.observe import logs
from fedcredit.wire.control import JobEvent

__all__ = ["ENDS", "EventLog"]

ENDS = ("succeeded", "failed", "cancelled")
"""The states after which a job's log holds nothing more."""

_log = logs.get("job")


class EventLog:
    """The events of one job at one node. Append and watch on the node's event loop."""

    def __init__(self, party: PartyId, job: str) -> None:
        self._party, self._job = party, job
        self._events: list[JobEvent] = []
        self._grown = asyncio.Event()
        self.ended = False

    def state(self, state: str, error: FedcreditError | None = None) -> None:
        """Note a new state of the job; of a failure its code, exit status and culprit, never its text."""
        failed = {"code": error.code, "peer": getattr(error, "culprit", None)} if error is not None else {}
        said = {"state": state, **{key: value for key, value in failed.items() if value}}
        _log.info("job.state", job=self._job, **said)
        self._append("state", state, error=error)

    def stage(self, stage: str, what: str) -> None:
        """Note that `stage` is `begun` or `done`."""
        _log.info("job.stage", job=self._job, stage=stage, state=what)
        self._append(what, stage)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Note how far a stage is."""
        self._append("progress", stage, done=done, total=total)

    def note(self, name: str, detail: bytes) -> None:
        """Note a document that concerns the whole job, e.g. its specification."""
        self._append("note", name, detail=detail)

    def copy(self, event: JobEvent) -> None:
        """Take over an event of another node, under a number of this log."""
        self._add(
            JobEvent(
                seq=len(self._events) + 1,
                party=event.party,
                job=self._job,
                kind=event.kind,
                stage=event.stage,
                done=event.done,
                total=event.total,
                code=event.code,
                exit_status=event.exit_status,
                culprit=event.culprit,
                detail=event.detail,
            )
        )

    @property
    def events(self) -> tuple[JobEvent, ...]:
        """What happened so far."""
        return tuple(self._events)

    async def watch(self, after: int = 0) -> AsyncIterator[JobEvent]:
        """The events from number `after` + 1 on, until the job's end at this node."""
        position = after
        while True:
            while position < len(self._events):
                position += 1
                yield self._events[position - 1]
            if self.ended:
                return
            await self._grown.wait()

    def _append(
        self,
        kind: str,
        stage: str,
        *,
        done: int = 0,
        total: int = 0,
        error: FedcreditError | None = None,
        detail: bytes = b"",
    ) -> None:
        self._add(
            JobEvent(
                seq=len(self._events) + 1,
                party=self._party,
                job=self._job,
                kind=kind,
                stage=stage,
                done=done,
                total=total,
                code="" if error is None else error.code[:64],
                exit_status=0 if error is None else error.exit_status,
                culprit=error.culprit[:64] if isinstance(error, PeerLost | PeerError) else "",
                detail=detail,
            )
        )

    def _add(self, event: JobEvent) -> None:
        if self.ended:
            return
        self._events.append(event)
        self.ended = event.kind == "state" and event.stage in ENDS and event.party == self._party
        # Everyone who waits holds the old event; the new one is for what comes next.
        self._grown.set()
        self._grown = asyncio.Event()
