"""A party's answers to the platform: make an offer, sign what was agreed, start, report, resume, cancel.

Only the platform named in the party's own configuration may ask. Each answer is kept: the same call gets the same
answer again, and another call under the same name is a conflict. What was done and not answered when the node died is
answered when it is asked again.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import metadata
from typing import TypeVar
from weakref import WeakValueDictionary

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, PeerError, Problem, RefusedError
from fedcredit.governance.audit import Event, listed
from fedcredit.ids import PartyId
from fedcredit.node.admission import Admitted, admit, confirm, consider, keep_admitted, would_be_unbalanced
from fedcredit.node.agreement import AGREEMENT, agreement, check_signatures, commitment
from fedcredit.node.canonical_json import canonical, parse_canonical
from fedcredit.node.coordinator import addresses_of
from fedcredit.node.jobs import Premises, open_own_table
from fedcredit.node.jobs.desk import JobDesk
from fedcredit.node.newcomers import Newcomers
from fedcredit.node.rpc import Method
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobRow, JobState
from fedcredit.node.subjects import own_subjects
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
from fedcredit.wire.resume import ResumeJob, StandingReply, StandingRequest

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
        self._desk = JobDesk(premises, platform)
        self._newcomers = Newcomers(premises.clock)
        # A lock is there while somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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
            Method("Standing", StandingRequest, platform, handle=self._standing),
            Method("Resume", ResumeJob, platform, handle=self._resume),
            # Whether a department's node runs is the department's own affair.
            Method("Shutdown", ShutdownRequest, frozenset({self._premises.me}), handle=self._shutdown),
        ]

    def recover(self) -> None:
        """After a start: jobs that the last process left running wait to be resumed; agreements go on."""
        self._desk.recover()

    async def stop(self) -> None:
        """Take nothing new, let what runs come to its next checkpoint, and leave it waiting."""
        await self._desk.stop()

    async def _health(self, caller: PartyId, request: HealthRequest) -> HealthReply:
        return HealthReply(self._premises.me, "party", metadata.version("fedcredit"), self._now_ms())

    async def _consider(self, caller: PartyId, request: ProposeJob) -> Accepted:
        skew_s = self._skew_s(request)
        proposal = JobSpecification.parse(request.proposal)
        async with self._locks.setdefault(proposal.id, asyncio.Lock()):
            row = await asyncio.to_thread(self._premises.store.jobs.job, proposal.id)
            self._count(proposal.id, request.proposal, row)
            await consider(self._premises, caller, proposal, skew_s)
        return Accepted()

    async def _propose(self, caller: PartyId, request: ProposeJob) -> JobOffer:
        skew_s = self._skew_s(request)
        proposal = JobSpecification.parse(request.proposal)
        addresses = addresses_of(request.addresses, proposal.data_parties)
        # The platform's clock and the addresses are no part of the call: a repeated call may have others.
        offer = await self._once(
            proposal.id,
            "Propose",
            request.proposal,
            caller,
            JobOffer,
            lambda: self._make_offer(caller, proposal, request.proposal, skew_s),
        )
        for peer, address in addresses.items():
            self._learn(peer, address)
        return offer

    async def _make_offer(self, caller: PartyId, proposal: JobSpecification, body: bytes, skew_s: float) -> JobOffer:
        store = self._premises.store
        self._desk.refuse_when_stopping(proposal.id)
        row = await asyncio.to_thread(store.jobs.job, proposal.id)
        if row is not None and row.proposal == body and row.commitment_nonce is not None and not row.state.final:
            # The offer was made, and the node died before it could say so.
            return await self._offer(proposal, row.commitment_nonce, row.fingerprint or b"")
        self._count(proposal.id, body, row)
        admitted = await admit(self._premises, caller, proposal, skew_s)
        nonce = secrets.token_bytes(32)
        await asyncio.to_thread(keep_admitted, self._premises, proposal, nonce, admitted)
        failpoints.hit("job.proposed.kept", proposal.id)
        return await self._offer(proposal, nonce, admitted.table.fingerprint, admitted)

    async def _offer(
        self, proposal: JobSpecification, nonce: bytes, fingerprint: bytes, admitted: Admitted | None = None
    ) -> JobOffer:
        if admitted is None:
            table = await asyncio.to_thread(open_own_table, self._premises, proposal)
            subjects = await asyncio.to_thread(own_subjects, self._premises, table)
        else:
            table, subjects = admitted.table, admitted.subjects
        self._desk.hold(proposal.id, table)
        bound = commitment(fingerprint, nonce, self._premises.me)
        unbalanced = await asyncio.to_thread(would_be_unbalanced, self._premises, proposal)
        return JobOffer(table.n_rows, len(table.features), bound, self._signing.certificate, subjects, unbalanced)

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
        if row.state is JobState.SIGNED and row.specification == data:
            return JobSignature(self._signing.sign(AGREEMENT, agreement(me, specification.hash)))
        try:
            await asyncio.to_thread(confirm, self._premises, specification)
        except FedcreditError as error:
            self._desk.drop(specification.id, error)
            raise
        facts = {
            "specification": specification.hash.hex(),
            "purpose": specification.job.purpose,
            # What each party committed to: a later run with another set shows in the logs of all.
            **listed("subjects", (f"{entry.id}={entry.subjects}" for entry in specification.parties)),
            "leakage": hashlib.sha256(canonical([row.model_dump() for row in specification.leakage])).hexdigest(),
        }
        await asyncio.to_thread(self._premises.recorder.record, Event.JOB_ACCEPTED, specification.id, **facts)
        await asyncio.to_thread(store.jobs.sign, specification.id, data, specification.hash)
        failpoints.hit("job.signed.kept", specification.id)
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
        if row.state is not JobState.SIGNED and row.signatures == request.signatures:
            return Accepted()  # it was started, and the node died before it could say so
        await self._desk.start(row, specification, request.signatures)
        return Accepted()

    async def _watch(self, caller: PartyId, request: WatchJob) -> AsyncIterator[JobEvent]:
        async for event in self._desk.log(request.job).watch(request.after):
            yield event

    async def _standing(self, caller: PartyId, request: StandingRequest) -> StandingReply:
        row = await asyncio.to_thread(self._known, request.job)
        return self._desk.standing(row)

    async def _resume(self, caller: PartyId, request: ResumeJob) -> Accepted:
        row = await asyncio.to_thread(self._known, request.job)
        specification = JobSpecification.parse(row.specification or row.proposal)
        for peer, address in addresses_of(request.addresses, specification.data_parties).items():
            self._learn(peer, address)
        await self._desk.resume(row, request)
        return Accepted()

    async def _cancel(self, caller: PartyId, request: CancelJob) -> Accepted:
        row = await asyncio.to_thread(self._premises.store.jobs.job, request.job)
        if row is not None and not row.state.final:
            await self._desk.cancel(row, request.code)
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

    def _count(self, job: str, body: bytes, row: JobRow | None) -> None:
        """Count a proposal that is not kept here. Raises: RefusedError (QUOTA)."""
        if row is None or row.proposal != body:
            self._newcomers.count(job, conflict=row is not None)

    def _known(self, job: str) -> JobRow:
        row = self._premises.store.jobs.job(job)
        if row is None:
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {job}", "was not proposed here"))
        return row

    def _skew_s(self, request: ProposeJob) -> float:
        # Taken as soon as the call is here: what waits before it for a lock or a thread is no fault of a clock.
        return (self._now_ms() - request.time_ms) / 1000

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
