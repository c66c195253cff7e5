"""The platform's answers to operators: take a job, show what happens in it, cancel it, stop.

A job is a task of its own from the moment it is taken; what becomes of it is in its events.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

from pydantic import ValidationError

from fedcredit.errors import ConfigError, FedcreditError, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.coordinator import Coordinator
from fedcredit.node.events import EventLog
from fedcredit.node.rpc import ControlClient, Method
from fedcredit.node.specification import FORMAT, PROTOCOLS, JobSpecification, canonical, parse_canonical
from fedcredit.runtime.clock import Clock
from fedcredit.wire.control import (
    Accepted,
    CancelJob,
    JobEvent,
    JobSubmitted,
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

    def methods(self, operators: tuple[PartyId, ...]) -> list[Method]:
        """The calls of `fedcredit.v1.Platform`, each with its callers."""
        callers = frozenset(operators)
        return [
            Method("Submit", SubmitJob, callers, handle=self._submit),
            Method("WatchAll", WatchJob, callers, stream=self._watch),
            Method("CancelAll", CancelJob, callers, handle=self._cancel),
            Method("Stop", ShutdownRequest, callers, handle=self._stop),
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
        proposal = make_proposal(parse_canonical(request.definition), self._me)
        parties = [PartyId(entry.id) for entry in proposal.parties]
        if unknown := [party for party in parties if party not in self._addresses]:
            what = f"{', '.join(unknown)}: not a party that this platform knows"
            raise ConfigError(Problem("PEER_UNKNOWN", "parties", what, "add it to [peers] of the platform"))
        log = self._logs[proposal.id] = EventLog(self._me, proposal.id)
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
        if request.job not in self._logs:
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {request.job}", "is not known here"))
        async for event in self._logs[request.job].watch(request.after):
            yield event

    async def _cancel(self, caller: PartyId, request: CancelJob) -> Accepted:
        if (task := self._tasks.get(request.job)) is None:
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {request.job}", "is not known here"))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=10)
        return Accepted()

    async def _stop(self, caller: PartyId, request: ShutdownRequest) -> Accepted:
        self._shut_down.set()
        return Accepted()


def make_proposal(definition: Any, platform: PartyId) -> JobSpecification:
    """A new proposal from what an operator submits. Raises RefusedError or ConfigError."""
    if not isinstance(definition, dict) or not isinstance(definition.get("job"), dict):
        raise RefusedError(Problem("SPEC_INVALID", "definition", "is not a job"))
    name = str(definition["job"].get("name", ""))
    draft = {
        **definition,
        "format": FORMAT,
        "id": f"{name}-{secrets.token_hex(6)}",
        "nonce": secrets.token_hex(32),
        "platform": platform,
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
