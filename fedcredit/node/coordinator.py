"""The platform's side of a job: propose, put the offers together, gather signatures, start, and see to its end.

The platform sees specifications, signatures and events. It carries no frame and no data. When a party fails, or is lost
for good, the others are told to stop; of all the ends reported, the one nearest to the cause is the job's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TypeVar

from fedcredit import failpoints
from fedcredit.errors import ConfigError, FedcreditError, PeerLost, Problem, RefusedError
from fedcredit.ids import PartyId, party_id
from fedcredit.node.approvals import approved_by_all
from fedcredit.node.canonical_json import canonical, parse_canonical
from fedcredit.node.events import EventLog
from fedcredit.node.jobs.peers import NAME_AFTER_S, slow_named
from fedcredit.node.jobs.waits import PASSING
from fedcredit.node.rpc import ControlClient, backoff
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobState, PlatformJob, Store
from fedcredit.node.supervision import Supervision, nearest_to_cause
from fedcredit.node.timely import timely_call
from fedcredit.runtime.clock import Clock
from fedcredit.transport.address import RELAYED, is_address
from fedcredit.wire.control import (
    Accepted,
    CancelJob,
    JobOffer,
    JobSignature,
    ProposeJob,
    SignJob,
    StartJob,
)
from fedcredit.wire.message import Message

__all__ = ["Coordinator"]

T = TypeVar("T", bound=Message)

REPLY_TIMEOUT_S = 600.0
"""A party may have to read a large table before it can make an offer."""

CANCEL_TIMEOUT_S = 8.0
END_GRACE_S = 15.0
"""How long the other parties may take to report their own end once one has failed."""


class Coordinator:
    """One job at the platform. `clients` reach the parties; `addresses` tell them where the others are.

    What has been agreed is kept as it comes, so that a platform that was restarted goes on where it was: every call to
    a party may be repeated.
    """

    def __init__(
        self,
        kept: PlatformJob,
        clients: Mapping[PartyId, ControlClient],
        addresses: Mapping[PartyId, str],
        log: EventLog,
        store: Store,
        clock: Clock,
        peer_timeout_s: float,
        slow_after_s: float = 30.0,
    ) -> None:
        self._kept, self._clients, self._addresses = kept, clients, canonical(dict(addresses))
        self._proposal = JobSpecification.parse(kept.proposal)
        self._log, self._store, self._clock, self._timeout_s = log, store, clock, peer_timeout_s
        self._slow_after_s = slow_after_s

    async def run(self) -> FedcreditError | None:
        """Take the job to its end; the error that ended it, or None."""
        try:
            specification = await self._agree()
            start = await self._sign(specification)
            await self._start(start)
        except FedcreditError as error:
            await self.cancel(error.code)
            return error
        supervision = Supervision(
            specification,
            start,
            self._clients,
            self._addresses,
            self._log,
            self._store,
            self._clock,
            self._timeout_s,
        )
        ends = await supervision.run()
        if any(ends):
            first = next(error for error in ends if error is not None)
            await self.cancel(first.code)
            ends += await supervision.ends(END_GRACE_S)
        found = [error for error in ends if error is not None]
        return nearest_to_cause(found) if found else None

    async def cancel(self, code: str) -> None:
        """Tell every party that the job ends here, and why. One that cannot be reached has been noticed already."""
        request = CancelJob(self._kept.id, code[:64])

        async def cancel(client: ControlClient) -> None:
            await client.call("Cancel", request, Accepted, timeout_s=CANCEL_TIMEOUT_S, attempts=1)

        await asyncio.gather(*map(cancel, self._clients.values()), return_exceptions=True)

    async def _agree(self) -> JobSpecification:
        if self._kept.specification is not None:
            return JobSpecification.parse(self._kept.specification)
        self._log.stage("agreement", "begun")
        submitted = datetime.fromisoformat(self._kept.created)
        if refusals := await approved_by_all(
            self._proposal, self._clients, self._log, self._clock, submitted, self._timeout_s, self._slow_after_s
        ):
            raise nearest_to_cause(refusals)
        offers = await self._ask_all("Propose", self._proposal_now, JobOffer)
        entries = {
            party: self._proposal.party(party).offering(
                rows=offer.rows,
                features=offer.features,
                commitment=offer.commitment,
                subjects=offer.subjects,
                certificate=offer.certificate,
                unbalanced=offer.unbalanced,
            )
            for party, offer in offers.items()
        }
        specification = self._proposal.with_offers(entries)
        await self._keep(specification=specification.to_bytes())
        failpoints.hit("platform.specification.kept", self._kept.id)
        self._log.note("specification", specification.to_bytes())
        return specification

    def _proposal_now(self) -> ProposeJob:
        now_ms = int(self._clock.now().timestamp() * 1000)
        return ProposeJob(self._kept.proposal, self._addresses, now_ms)

    async def _sign(self, specification: JobSpecification) -> StartJob:
        signatures = self._kept.signatures
        if signatures is None:
            signed = await self._ask_all("Sign", lambda: SignJob(specification.to_bytes()), JobSignature)
            signatures = canonical({party: reply.signature.hex() for party, reply in signed.items()})
            await self._keep(signatures=signatures)
            failpoints.hit("platform.signatures.kept", self._kept.id)
        return StartJob(specification.hash, signatures)

    async def _start(self, start: StartJob) -> None:
        if self._kept.state is JobState.RUNNING:
            return
        await self._ask_all("Start", lambda: start, Accepted)
        await self._keep(JobState.RUNNING)
        failpoints.hit("platform.start.kept", self._kept.id)
        self._log.stage("agreement", "done")
        self._log.state("running")

    async def _keep(
        self,
        state: JobState | None = None,
        *,
        specification: bytes | None = None,
        signatures: bytes | None = None,
    ) -> None:
        """Keep what is agreed; a disk that is full, say, may have room again before a peer would be given up."""
        update = self._store.platform.update
        begun, pauses = self._clock.monotonic(), backoff()
        while True:
            try:
                await asyncio.to_thread(
                    update, self._kept.id, state, specification=specification, signatures=signatures
                )
                return
            except FedcreditError as error:
                if error.code not in PASSING or self._clock.monotonic() - begun > self._timeout_s:
                    raise
            await asyncio.sleep(next(pauses))

    async def _ask_all(self, method: str, request: Callable[[], Message], reply: type[T]) -> dict[PartyId, T]:
        asks = [self._ask(party, method, request, reply) for party in self._clients]
        found = await asyncio.gather(*asks, return_exceptions=True)
        if errors := [answer for answer in found if isinstance(answer, BaseException)]:
            raise nearest_to_cause(errors)
        answers = [answer for answer in found if not isinstance(answer, BaseException)]
        return dict(zip(self._clients, answers, strict=True))

    async def _ask(self, party: PartyId, method: str, request: Callable[[], Message], reply: type[T]) -> T:
        """The party's answer to a request that is made anew each time it is sent, for it may tell the time.

        One that is away is named and asked again, for as long as a peer may be lost.
        """
        begun, pauses, named = self._clock.monotonic(), backoff(), False
        while True:
            try:
                async with slow_named(self._log, "agreement", party, self._slow_after_s):
                    answer = await timely_call(
                        self._clients[party],
                        method,
                        request(),
                        reply,
                        timeout_s=REPLY_TIMEOUT_S,
                        now=self._clock.monotonic,
                    )
                if named:
                    self._log.back("agreement", party, self._clock.monotonic() - begun)
                return answer
            except FedcreditError as error:
                seconds = self._clock.monotonic() - begun
                if not (isinstance(error, PeerLost) or error.code in PASSING) or seconds > self._timeout_s:
                    raise
                if not named and seconds >= NAME_AFTER_S:
                    self._log.waiting("agreement", party, seconds)
                    named = True
            await asyncio.sleep(next(pauses))


def addresses_of(data: bytes, parties: Collection[PartyId]) -> dict[PartyId, str]:
    """Where the platform says that `parties` of a job are; not all need be in it.

    Raises: RefusedError (SPEC_INVALID) for what is no address that may be dialled, or is of anybody else.
    """
    value = parse_canonical(data)
    if not isinstance(value, dict) or not all(isinstance(address, str) for address in value.values()):
        raise RefusedError(Problem("SPEC_INVALID", "addresses", "are not a table of texts"))
    try:
        found = {party_id(party): address for party, address in value.items()}
    except ConfigError:
        raise RefusedError(Problem("SPEC_INVALID", "addresses", "name something that is not a party")) from None
    if strangers := found.keys() - set(parties):
        raise RefusedError(Problem("SPEC_INVALID", "addresses", f"{min(strangers)} takes no part in the job"))
    for party, address in found.items():
        if not is_address(address, party):
            what = f"that of {party} is neither HOST:PORT nor {RELAYED}{party}"
            raise RefusedError(Problem("SPEC_INVALID", "addresses", what))
    return found
