"""The platform's answers to operators: take a job, show what happens in it, cancel it, stop.

A job is a task of its own from the moment it is taken; what becomes of it is in its events. It is in the store before
its submitter hears of it, and a platform that was restarted takes up again what has not ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Container
from typing import Any

from pydantic import ValidationError

from fedcredit import failpoints
from fedcredit.errors import ConfigError, FedcreditError, Problem, RefusedError, rebuilt
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical, parse_canonical
from fedcredit.node.coordinator import Coordinator
from fedcredit.node.events import EventLog
from fedcredit.node.jobs.waits import PASSING
from fedcredit.node.overview import listed, platform_job, platform_summary
from fedcredit.node.rpc import ControlClient, Method, backoff
from fedcredit.node.specification import FORMAT, PROTOCOLS, JobSpecification
from fedcredit.node.store import JobState, PlatformJob, Store
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import LimitsSection
from fedcredit.wire.control import (
    Accepted,
    CancelJob,
    JobEvent,
    JobReport,
    JobSubmitted,
    ListJobs,
    ShowJob,
    ShutdownRequest,
    SubmitJob,
    WatchJob,
)

_lines = logs.get("job")

__all__ = ["Members", "PlatformNode", "make_proposal"]

MOST_OPEN = 100
"""Jobs of one member that have not ended. The platform keeps each of them in memory, and asks all its parties."""

Connect = Callable[[PartyId], ControlClient]


class PlatformNode:
    """One platform. `connect` reaches a party's control service; `addresses` is what parties are told of each other."""

    def __init__(
        self,
        me: PartyId,
        addresses: dict[PartyId, str],
        connect: Connect,
        store: Store,
        clock: Clock,
        limits: LimitsSection,
        shut_down: asyncio.Event,
    ) -> None:
        self._me, self._addresses, self._connect, self._store = me, addresses, connect, store
        self._clock, self._limits, self._shut_down = clock, limits, shut_down
        self._logs: dict[str, EventLog] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._coordinators: dict[str, Coordinator] = {}
        self._operators: frozenset[PartyId] = frozenset()

    def methods(self, operators: tuple[PartyId, ...]) -> list[Method]:
        """The calls of `fedcredit.v1.Platform`, each with its callers."""
        self._operators = frozenset({self._me, *operators})
        members = Members(self._operators, self._addresses)
        return [
            Method("Submit", SubmitJob, members, handle=self._submit),
            Method("WatchAll", WatchJob, members, stream=self._watch),
            Method("CancelAll", CancelJob, members, handle=self._cancel),
            Method("List", ListJobs, members, handle=self._list),
            Method("Show", ShowJob, members, handle=self._show),
            Method("Stop", ShutdownRequest, self._operators, handle=self._stop),
        ]

    def recover(self) -> None:
        """After a start: take up again all jobs that have not ended."""
        for kept in self._store.platform.unfinished():
            failpoints.hit("platform.job.recovered", kept.id)
            self._take_up(kept, EventLog.restored(self._me, kept.id, self._store.events))

    async def stop(self) -> None:
        """Leave the jobs to the parties, which go on; the next start takes them up again."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*(log.flushed() for log in self._logs.values()))

    async def _submit(self, caller: PartyId, request: SubmitJob) -> JobSubmitted:
        proposal = make_proposal(parse_canonical(request.definition), self._me, caller)
        parties = proposal.data_parties
        if caller not in self._operators and caller not in parties:
            raise RefusedError(Problem("PERMISSION_DENIED", f"{caller} at Submit", "takes no part in this job"))
        if unknown := [party for party in parties if party not in self._addresses]:
            what = f"{', '.join(unknown)}: not a party that this platform knows"
            raise ConfigError(Problem("PEER_UNKNOWN", "parties", what, "add it to [peers] of the platform"))
        kept = await asyncio.to_thread(
            self._store.platform.submit,
            proposal.id,
            request.request,
            hashlib.sha256(request.definition).digest(),
            definition=request.definition,
            proposal=proposal.to_bytes(),
            submitter=caller,
            most_open=None if caller in self._operators else MOST_OPEN,
        )
        failpoints.hit("platform.submit.kept", kept.id)
        # The same request may have come before, to this process or to the one before it.
        if kept.id == proposal.id:
            self._take_up(kept, EventLog(self._me, kept.id, self._store.events))
        return JobSubmitted(kept.id)

    def _take_up(self, kept: PlatformJob, log: EventLog) -> None:
        proposal = JobSpecification.parse(kept.proposal)
        parties = [party for party in proposal.data_parties if party in self._addresses]
        clients = {party: self._connect(party) for party in parties}
        addresses = {party: self._addresses[party] for party in parties}
        limits = self._limits.peer_timeout_s, self._limits.slow_after_s
        coordinator = Coordinator(kept, clients, addresses, log, self._store, self._clock, *limits)
        self._logs[kept.id], self._coordinators[kept.id] = log, coordinator
        self._tasks[kept.id] = asyncio.create_task(self._run(kept.id, coordinator, log), name=kept.id)

    async def _run(self, job: str, coordinator: Coordinator, log: EventLog) -> None:
        try:
            error = await coordinator.run()
        except asyncio.CancelledError:
            raise
        except Exception as bug:  # noqa: BLE001 - the end of the line: whatever it was, the job has to end
            _lines.error("job.bug", job=job, error=type(bug).__name__, places=logs.places(bug))
            error = FedcreditError(Problem("INTERNAL", "platform", type(bug).__name__))
            await coordinator.cancel(error.code)
        self._coordinators.pop(job, None)  # From here on it has ended, and nobody can cancel it any more.
        await self._end(job, log, JobState.SUCCEEDED if error is None else JobState.FAILED, error)

    async def _end(self, job: str, log: EventLog, state: JobState, error: FedcreditError | None) -> None:
        """Write how a job ended. An end that is kept already stays: a cancellation may have come just after it."""
        pauses = backoff()
        while True:
            try:
                await asyncio.to_thread(self._store.platform.update, job, state, error=error)
                break
            except FedcreditError as refused:
                if refused.code == "JOB_STATE":
                    kept = await asyncio.to_thread(self._store.platform.job, job)
                    assert kept is not None, "a job that was taken up is in the store"
                    state, error = kept.state, _error_of(kept)
                    break
                if refused.code not in PASSING:
                    raise
                # A full disk, say. The job has ended, and says so as soon as that can be written.
                _lines.warning("job.end_unkept", job=job, code=refused.code)
            await asyncio.sleep(next(pauses))
        failpoints.hit("platform.end.kept", job)
        log.state(state, error)
        await log.flushed()
        for memory in (self._logs, self._tasks, self._coordinators):
            memory.pop(job, None)

    def _log(self, job: str) -> EventLog:
        if job in self._logs:
            return self._logs[job]
        if (kept := self._store.platform.job(job)) is None:
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {job}", "is not known here"))
        log = EventLog.restored(self._me, job, self._store.events)
        if kept.state.final and not log.ended:
            # The process ended between the end of the job and the note of it.
            log.state(kept.state, _error_of(kept))
        return log

    async def _watch(self, caller: PartyId, request: WatchJob) -> AsyncIterator[JobEvent]:
        self._visible(caller, request.job)
        async for event in self._log(request.job).watch(request.after):
            yield event

    async def _cancel(self, caller: PartyId, request: CancelJob) -> Accepted:
        proposal = self._visible(caller, request.job)
        if caller not in self._operators and caller != proposal.submitter:
            raise RefusedError(Problem("PERMISSION_DENIED", f"{caller} at CancelAll", "did not submit this job"))
        if (coordinator := self._coordinators.pop(request.job, None)) is not None:
            # A task of the node: a caller that hangs up does not leave the job half cancelled.
            stopped, log = self._tasks[request.job], self._log(request.job)
            cancelling = self._cancel_for_good(request.job, stopped, coordinator, log)
            self._tasks[request.job] = asyncio.create_task(cancelling, name=f"cancel {request.job}")
        if (task := self._tasks.get(request.job)) is not None:
            await asyncio.shield(task)
        return Accepted()

    async def _cancel_for_good(
        self, job: str, running: asyncio.Task[None], coordinator: Coordinator, log: EventLog
    ) -> None:
        running.cancel()
        await asyncio.wait({running}, timeout=10)
        if job not in self._logs:
            return  # it has ended meanwhile
        # The parties come first: a platform that dies in between finds the job cancelled at them.
        await coordinator.cancel("CANCELLED")
        await self._end(job, log, JobState.CANCELLED, RefusedError(Problem("CANCELLED", "job", "was cancelled")))

    async def _list(self, caller: PartyId, request: ListJobs) -> JobReport:
        def report() -> bytes:
            proposals = (JobSpecification.parse(kept.proposal) for kept in self._store.platform.newest())
            seen = itertools.islice((p for p in proposals if self._sees(caller, p)), request.limit)
            return listed([platform_summary(proposal, self._told(proposal.id)) for proposal in seen])

        return JobReport(await asyncio.to_thread(report))

    async def _show(self, caller: PartyId, request: ShowJob) -> JobReport:
        proposal = self._visible(caller, request.job)
        return JobReport(canonical(platform_job(proposal, await asyncio.to_thread(self._told, proposal.id))))

    def _told(self, job: str) -> list[JobEvent]:
        """What happened so far: as kept, and what is in memory alone, the latest progress above all."""
        kept = [JobEvent.decode(data) for data in self._store.events.after(job)]
        last = kept[-1].seq if kept else 0
        log = self._logs.get(job)
        recent = [event for event in (log.events if log else ()) if event.seq > last or event.kind == "progress"]
        return sorted([*kept, *recent], key=lambda event: event.seq)

    def _visible(self, caller: PartyId, job: str) -> JobSpecification:
        """The job, to an operator or whoever takes part; for others it does not exist. Raises RefusedError."""
        kept = self._store.platform.job(job)
        proposal = None if kept is None else JobSpecification.parse(kept.proposal)
        if proposal is None or not self._sees(caller, proposal):
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {job}", "is not known here"))
        return proposal

    def _sees(self, caller: PartyId, proposal: JobSpecification) -> bool:
        return caller in self._operators or caller in {proposal.submitter, *(entry.id for entry in proposal.parties)}

    async def _stop(self, caller: PartyId, request: ShutdownRequest) -> Accepted:
        self._shut_down.set()
        return Accepted()


class Members:
    """Operators, and whoever the platform knows an address of at the moment it is asked."""

    def __init__(self, operators: frozenset[PartyId], known: Container[PartyId]) -> None:
        self._operators, self._known = operators, known

    def __contains__(self, party: object) -> bool:
        return party in self._operators or party in self._known


def make_proposal(definition: Any, platform: PartyId, submitter: PartyId | None = None) -> JobSpecification:
    """A new proposal from what `submitter`, else the platform itself, hands in. Raises RefusedError or ConfigError."""
    if not isinstance(definition, dict) or not isinstance(definition.get("job"), dict):
        raise RefusedError(Problem("SPEC_INVALID", "definition", "is not a job"))
    name = str(definition["job"].get("name", ""))
    draft = {
        **definition,
        "format": FORMAT,
        "id": f"{name}-{secrets.token_hex(6)}",
        "nonce": secrets.token_hex(32),
        "platform": platform,
        "submitter": submitter or platform,
        "protocols": PROTOCOLS,
        "leakage": [],
    }
    try:
        bare = JobSpecification.model_validate_json(canonical(draft))
    except ValidationError as invalid:
        where = ".".join(map(str, invalid.errors()[0]["loc"]))
        raise RefusedError(Problem("SPEC_INVALID", f"definition: {where}", "is not what it must be")) from None
    made = bare.model_copy(update={"leakage": bare.derive_leakage()})
    return JobSpecification.parse(made.to_bytes())


def _error_of(kept: PlatformJob) -> FedcreditError | None:
    return rebuilt(kept.problems, kept.exit_status) if kept.problems else None
