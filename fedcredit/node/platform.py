"""The platform's answers to operators: take a job, show what happens in it, cancel it, stop.

A job is a task of its own from the moment it is taken; what becomes of it is in its events.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Container
from typing import Any

from pydantic import ValidationError

from fedcredit.errors import ConfigError, FedcreditError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.coordinator import Coordinator
from fedcredit.node.events import EventLog
from fedcredit.node.overview import listed, platform_job, platform_summary
from fedcredit.node.rpc import ControlClient, Method
from fedcredit.node.specification import FORMAT, PROTOCOLS, JobSpecification, canonical, parse_canonical
from fedcredit.runtime.clock import Clock
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

__all__ = ["PlatformNode"]

Connect = Callable[[PartyId], ControlClient]


class PlatformNode:
    """One platform. `connect` reaches a party's control service; `addresses` is what parties are told of each other."""

    def __init__(
        self, me: PartyId, addresses: dict[PartyId, str], connect: Connect, clock: Clock, shut_down: asyncio.Event
    ) -> None:
        self._me, self._addresses, self._connect = me, addresses, connect
        self._clock, self._shut_down = clock, shut_down
        self._logs: dict[str, EventLog] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._requests: dict[str, tuple[bytes, str]] = {}
        self._proposals: dict[str, JobSpecification] = {}
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

    async def stop(self) -> None:
        """Cancel what runs, at every party, and wait for it."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _submit(self, caller: PartyId, request: SubmitJob) -> JobSubmitted:
        digest = hashlib.sha256(request.definition).digest()
        if (kept := self._requests.get(request.request)) is not None:
            if kept[0] != digest:
                raise RefusedError(Problem("CONFLICT", "submit", "this request came with another job before"))
            return JobSubmitted(kept[1])
        proposal = make_proposal(parse_canonical(request.definition), self._me, caller)
        parties = [PartyId(entry.id) for entry in proposal.parties]
        if caller not in self._operators and caller not in parties:
            raise RefusedError(Problem("PERMISSION_DENIED", f"{caller} at Submit", "takes no part in this job"))
        if unknown := [party for party in parties if party not in self._addresses]:
            what = f"{', '.join(unknown)}: not a party that this platform knows"
            raise ConfigError(Problem("PEER_UNKNOWN", "parties", what, "add it to [peers] of the platform"))
        log = self._logs[proposal.id] = EventLog(self._me, proposal.id)
        self._proposals[proposal.id] = proposal
        clients = {party: self._connect(party) for party in parties}
        addresses = {party: self._addresses[party] for party in parties}
        coordinator = Coordinator(proposal, clients, addresses, log, self._clock)
        self._tasks[proposal.id] = asyncio.create_task(self._run(coordinator, log), name=proposal.id)
        self._requests[request.request] = (digest, proposal.id)
        return JobSubmitted(proposal.id)

    async def _run(self, coordinator: Coordinator, log: EventLog) -> None:
        try:
            error = await coordinator.run()
        except asyncio.CancelledError:
            log.state("cancelled", RefusedError(Problem("CANCELLED", "job", "was cancelled")))
            raise
        except Exception as bug:
            log.state("failed", FedcreditError(Problem("INTERNAL", "platform", type(bug).__name__)))
            raise
        log.state("succeeded" if error is None else "failed", error)

    async def _watch(self, caller: PartyId, request: WatchJob) -> AsyncIterator[JobEvent]:
        self._visible(caller, request.job)
        async for event in self._logs[request.job].watch(request.after):
            yield event

    async def _cancel(self, caller: PartyId, request: CancelJob) -> Accepted:
        proposal = self._visible(caller, request.job)
        if caller not in self._operators and caller != proposal.submitter:
            raise RefusedError(Problem("PERMISSION_DENIED", f"{caller} at CancelAll", "did not submit this job"))
        task = self._tasks[request.job]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=10)
        return Accepted()

    async def _list(self, caller: PartyId, request: ListJobs) -> JobReport:
        seen = [proposal for proposal in self._proposals.values() if self._sees(caller, proposal)]
        newest = reversed(seen[-request.limit :])
        return JobReport(listed([platform_summary(one, self._logs[one.id].events) for one in newest]))

    async def _show(self, caller: PartyId, request: ShowJob) -> JobReport:
        proposal = self._visible(caller, request.job)
        return JobReport(canonical(platform_job(proposal, self._logs[proposal.id].events)))

    def _visible(self, caller: PartyId, job: str) -> JobSpecification:
        """The job, to an operator or whoever takes part; for others it does not exist. Raises RefusedError."""
        proposal = self._proposals.get(job)
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
