"""A party's answers to the platform: make an offer, sign what was agreed, start, report, cancel.

Only the platform named in the party's own configuration may ask. Each answer is kept: the same call gets the same
answer again, and another call under the same name is a conflict.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import metadata
from typing import TypeVar

from fedcredit.errors import FedcreditError, PeerError, Problem, RefusedError
from fedcredit.governance.audit import Event
from fedcredit.ids import PartyId
from fedcredit.node.admission import admit, confirm, consider, keep_admitted
from fedcredit.node.coordinator import addresses_of
from fedcredit.node.events import EventLog
from fedcredit.node.jobs import JobRun, Premises, open_own_table
from fedcredit.node.rpc import Method
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.snapshots import forget_snapshot
from fedcredit.node.specification import (
    AGREEMENT,
    JobSpecification,
    agreement,
    canonical,
    check_signatures,
    commitment,
    parse_canonical,
)
from fedcredit.node.store import JobRow, JobState
from fedcredit.tables import Table
from fedcredit.wire.control import (
    Accepted,
    CancelJob,
    HealthReply,
    HealthRequest,
    JobEvent,
    JobOffer,
    JobSignature,
    ProposeJob,
    ShutdownRequest,
    SignJob,
    StartJob,
    WatchJob,
)
from fedcredit.wire.message import Message

__all__ = ["PartyNode"]

M = TypeVar("M", bound=Message)

Learn = Callable[[PartyId, str], None]
"""Told where a peer of a job is."""


class PartyNode:
    """One data party. `methods` are its calls; `stop` is awaited when the process ends."""

    def __init__(
        self, premises: Premises, signing: SigningIdentity, platform: PartyId, learn: Learn, shut_down: asyncio.Event
    ) -> None:
        self._premises, self._signing, self._platform = premises, signing, platform
        self._learn, self._shut_down = learn, shut_down
        self._logs: dict[str, EventLog] = {}
        self._tables: dict[str, Table] = {}
        self._runs: dict[str, JobRun] = {}
        self._tasks: dict[str, asyncio.Task[JobState]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def methods(self, operators: tuple[PartyId, ...]) -> list[Method]:
        """The calls of `fedcredit.v1.Party`, each with its callers."""
        platform = frozenset({self._platform})
        return [
            Method("Health", HealthRequest, platform | set(operators), handle=self._health),
            Method("Consider", ProposeJob, platform, handle=self._consider),
            Method("Propose", ProposeJob, platform, handle=self._propose),
            Method("Sign", SignJob, platform, handle=self._sign),
            Method("Start", StartJob, platform, handle=self._start),
            Method("Watch", WatchJob, platform, stream=self._watch),
            Method("Cancel", CancelJob, platform, handle=self._cancel),
            Method("CancelOwn", CancelJob, frozenset({self._premises.me}), handle=self._cancel),
            Method("Shutdown", ShutdownRequest, platform, handle=self._shutdown),
        ]

    def recover(self) -> None:
        """After a start: jobs that the last process left unfinished have failed."""
        for row in self._premises.store.jobs.all():
            if not row.state.final and row.state is not JobState.PENDING:
                what, fix = "the node stopped while it ran", "run the job again"
                error = FedcreditError(Problem("INTERRUPTED", f"job {row.id}", what, fix))
                self._premises.store.jobs.end(row.id, JobState.FAILED, error)

    async def stop(self) -> None:
        """Cancel what runs and wait until each job has written its end."""
        for table in self._tables.values():
            table.close()
        for run in self._runs.values():
            run.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _health(self, caller: PartyId, request: HealthRequest) -> HealthReply:
        return HealthReply(self._premises.me, "party", metadata.version("fedcredit"), self._now_ms())

    async def _consider(self, caller: PartyId, request: ProposeJob) -> Accepted:
        proposal = JobSpecification.parse(request.proposal)
        async with self._locks.setdefault(proposal.id, asyncio.Lock()):
            await consider(self._premises, caller, proposal, request.time_ms)
        return Accepted()

    async def _propose(self, caller: PartyId, request: ProposeJob) -> JobOffer:
        proposal = JobSpecification.parse(request.proposal)
        # The platform's clock is no part of the call: a repeated call has a later one.
        body = request.proposal + request.addresses
        offer = await self._once(
            proposal.id, "Propose", body, caller, JobOffer, lambda: self._make_offer(caller, proposal, request)
        )
        for peer, address in addresses_of(request.addresses).items():
            self._learn(peer, address)
        return offer

    async def _make_offer(self, caller: PartyId, proposal: JobSpecification, request: ProposeJob) -> JobOffer:
        premises, me = self._premises, self._premises.me
        admitted = await admit(premises, caller, proposal, request.time_ms)
        table = admitted.table
        nonce = secrets.token_bytes(32)
        await asyncio.to_thread(keep_admitted, premises, proposal, nonce, admitted)
        self._logs[proposal.id], self._tables[proposal.id] = EventLog(me, proposal.id), table
        bound = commitment(table.fingerprint, nonce, me)
        return JobOffer(table.n_rows, len(table.features), bound, self._signing.certificate)

    async def _sign(self, caller: PartyId, request: SignJob) -> JobSignature:
        specification = JobSpecification.parse(request.specification)
        return await self._once(
            specification.id,
            "Sign",
            request.specification,
            caller,
            JobSignature,
            lambda: self._agree(caller, specification, request.specification),
        )

    async def _agree(self, caller: PartyId, specification: JobSpecification, data: bytes) -> JobSignature:
        store, me = self._premises.store, self._premises.me
        row = self._known(specification.id)
        if specification.proposal().to_bytes() != row.proposal:
            raise PeerError(caller, "agreement", "the specification is not the one proposed", "SPEC_CHANGED")
        mine = specification.party(me)
        bound = commitment(row.fingerprint or b"", row.commitment_nonce or b"", me).hex()
        if mine.commitment != bound or mine.certificate != self._signing.certificate.hex():
            raise PeerError(caller, "agreement", "our own offer was changed", "SPEC_CHANGED")
        if not all(entry.complete for entry in specification.parties):
            raise PeerError(caller, "agreement", "an offer is missing", "SPEC_CHANGED")
        try:
            await asyncio.to_thread(confirm, self._premises, specification)
        except FedcreditError:
            if (table := self._tables.pop(specification.id, None)) is not None:
                table.close()
            raise
        facts = {
            "specification": specification.hash.hex(),
            "purpose": specification.job.purpose,
            "leakage": hashlib.sha256(canonical([row.model_dump() for row in specification.leakage])).hexdigest(),
        }
        await asyncio.to_thread(self._premises.recorder.record, Event.JOB_ACCEPTED, specification.id, **facts)
        await asyncio.to_thread(store.jobs.sign, specification.id, data, specification.hash)
        return JobSignature(self._signing.sign(AGREEMENT, agreement(me, specification.hash)))

    async def _start(self, caller: PartyId, request: StartJob) -> Accepted:
        row = await asyncio.to_thread(self._premises.store.jobs.job_of, request.ssid)
        if row is None or row.specification is None:
            raise PeerError(caller, "start", "no such specification was signed here", "SPEC_UNKNOWN")
        specification = JobSpecification.parse(row.specification)
        body = request.ssid + request.signatures
        return await self._once(
            row.id, "Start", body, caller, Accepted, lambda: self._begin(caller, specification, row, request)
        )

    async def _begin(
        self, caller: PartyId, specification: JobSpecification, row: JobRow, request: StartJob
    ) -> Accepted:
        signatures = _signatures(caller, request.signatures)
        check_signatures(specification, signatures, self._signing.verify)
        await asyncio.to_thread(self._premises.store.jobs.start, row.id, request.signatures)
        log = self._logs.setdefault(row.id, EventLog(self._premises.me, row.id))
        table = self._tables.pop(row.id, None)
        if table is None:
            table = await asyncio.to_thread(open_own_table, self._premises, specification)
        run = JobRun(specification, self._premises, table, row.fingerprint or b"", log)
        self._runs[row.id] = run
        self._tasks[row.id] = asyncio.create_task(run.run(), name=row.id)
        return Accepted()

    async def _watch(self, caller: PartyId, request: WatchJob) -> AsyncIterator[JobEvent]:
        if request.job not in self._logs:
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {request.job}", "is not known here"))
        async for event in self._logs[request.job].watch(request.after):
            yield event

    async def _cancel(self, caller: PartyId, request: CancelJob) -> Accepted:
        row = self._premises.store.jobs.job(request.job)
        task = self._tasks.get(request.job)
        if task is not None:
            self._runs[request.job].cancel()
            await asyncio.wait({task}, timeout=5)
        elif row is not None and not row.state.final:
            error = RefusedError(Problem("CANCELLED", f"job {request.job}", "was cancelled before it began"))
            await asyncio.to_thread(self._premises.store.jobs.end, request.job, JobState.CANCELLED, error)
            if (table := self._tables.pop(request.job, None)) is not None:
                table.close()
            forget_snapshot(self._premises.folder, request.job)
            if request.job in self._logs:
                self._logs[request.job].state(JobState.CANCELLED, error)
        return Accepted()

    async def _shutdown(self, caller: PartyId, request: ShutdownRequest) -> Accepted:
        self._shut_down.set()
        return Accepted()

    async def _once(
        self,
        job: str,
        method: str,
        body: bytes,
        caller: PartyId,
        kind: type[M],
        answer: Callable[[], Awaitable[M]],
    ) -> M:
        """The reply kept for exactly this call, else what `answer` gives, kept."""
        store = self._premises.store
        async with self._locks.setdefault(job, asyncio.Lock()):
            kept = await asyncio.to_thread(store.calls.reply_to, job, method, body, caller)
            if kept is not None:
                return kind.decode(kept)
            reply = await answer()
            await asyncio.to_thread(store.calls.keep, job, method, body, reply.encode())
            return reply

    def _known(self, job: str) -> JobRow:
        row = self._premises.store.jobs.job(job)
        if row is None:
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {job}", "was not proposed here"))
        return row

    def _now_ms(self) -> int:
        return int(self._premises.clock.now().timestamp() * 1000)


def _signatures(caller: PartyId, data: bytes) -> dict[str, bytes]:
    value = parse_canonical(data)
    try:
        return {str(party): bytes.fromhex(signature) for party, signature in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise PeerError(
            caller, "start", "signatures are not a table of hexadecimal texts", "SIGNATURE_INVALID"
        ) from None
