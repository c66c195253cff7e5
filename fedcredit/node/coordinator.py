"""The platform's side of a job: propose, put the offers together, gather signatures, start, and watch to the end.

The platform sees specifications, signatures and events. It carries no frame and no data. When a party fails or is
lost, the others are told to stop; of all the ends reported, the one nearest to the cause is the job's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from fedcredit.errors import ConfigError, FedcreditError, PeerError, PeerLost, Problem, RefusedError
from fedcredit.ids import PartyId, party_id
from fedcredit.node.approvals import approved_by_all
from fedcredit.node.events import ENDS, EventLog
from fedcredit.node.rpc import ControlClient, remote_error
from fedcredit.node.specification import JobSpecification, canonical, parse_canonical
from fedcredit.runtime.clock import Clock
from fedcredit.wire.control import (
    Accepted,
    CancelJob,
    JobEvent,
    JobOffer,
    JobSignature,
    ProposeJob,
    SignJob,
    StartJob,
    WatchJob,
)
from fedcredit.wire.message import Message

__all__ = ["Coordinator"]

T = TypeVar("T", bound=Message)

REPLY_TIMEOUT_S = 600.0
"""A party may have to read a large table before it can make an offer."""

JOB_TIMEOUT_S = 30 * 86_400.0
CANCEL_TIMEOUT_S = 8.0
END_GRACE_S = 15.0
"""How long the other parties may take to report their own end once one has failed."""

# What an address may be is for whoever dials; here it is short and printable.
_ADDRESS = re.compile(r"[!-~]{1,255}")


class Coordinator:
    """One job at the platform. `clients` reach the parties; `addresses` tell them where the others are."""

    def __init__(
        self,
        proposal: JobSpecification,
        clients: Mapping[PartyId, ControlClient],
        addresses: Mapping[PartyId, str],
        log: EventLog,
        clock: Clock,
    ) -> None:
        self._proposal, self._clients, self._addresses = proposal, clients, addresses
        self._log, self._clock = log, clock

    async def run(self) -> FedcreditError | None:
        """Take the job to its end; the error that ended it, or None. Cancelling cancels it at every party."""
        try:
            specification = await self._agree()
            self._log.note("specification", specification.to_bytes())
            await self._start(specification)
            self._log.state("running")
            return await self._watch_all()
        except FedcreditError as error:
            await self._cancel_all(error.code)
            return error
        except asyncio.CancelledError:
            await self._cancel_all("CANCELLED")
            raise

    async def _agree(self) -> JobSpecification:
        self._log.stage("agreement", "begun")
        if refusals := await approved_by_all(self._proposal, self._clients, self._log, self._clock):
            raise _nearest_to_cause(refusals)
        proposal = ProposeJob(
            self._proposal.to_bytes(), canonical(dict(self._addresses)), int(self._clock.now().timestamp() * 1000)
        )
        offers = await self._ask_all("Propose", proposal, JobOffer)
        entries = {
            party: self._proposal.party(party).offering(
                rows=offer.rows,
                features=offer.features,
                commitment=offer.commitment,
                certificate=offer.certificate,
            )
            for party, offer in offers.items()
        }
        return self._proposal.with_offers(entries)

    async def _start(self, specification: JobSpecification) -> None:
        signed = await self._ask_all("Sign", SignJob(specification.to_bytes()), JobSignature)
        signatures = canonical({party: reply.signature.hex() for party, reply in signed.items()})
        await self._ask_all("Start", StartJob(specification.hash, signatures), Accepted)
        self._log.stage("agreement", "done")

    async def _ask_all(self, method: str, request: ProposeJob | SignJob | StartJob, reply: type[T]) -> dict[PartyId, T]:
        async def ask(client: ControlClient) -> T:
            return await client.call(method, request, reply, timeout_s=REPLY_TIMEOUT_S)

        found = await asyncio.gather(*map(ask, self._clients.values()), return_exceptions=True)
        if errors := [answer for answer in found if isinstance(answer, BaseException)]:
            raise _nearest_to_cause(errors)
        answers = [answer for answer in found if not isinstance(answer, BaseException)]
        return dict(zip(self._clients, answers, strict=True))

    async def _watch_all(self) -> FedcreditError | None:
        watches = {asyncio.create_task(self._watch(party)) for party in self._clients}
        try:
            done, running = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            while running and not any(task.result() for task in done):
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if running:
                first = next(error for task in done if (error := task.result()) is not None)
                await self._cancel_all(first.code)
                await asyncio.wait(running, timeout=END_GRACE_S)
        finally:
            for task in watches:
                task.cancel()
        errors = [task.result() for task in watches if task.done() and not task.cancelled()]
        found = [error for error in errors if error is not None]
        return _nearest_to_cause(found) if found else None

    async def _watch(self, party: PartyId) -> FedcreditError | None:
        """Copy `party`'s events into the job's log until its end there; the error it ended with."""
        request = WatchJob(self._proposal.id, 0)
        stage = "start"
        try:
            async for event in self._clients[party].stream("Watch", request, JobEvent, timeout_s=JOB_TIMEOUT_S):
                if event.party != party:
                    return PeerError(party, "Watch", "reported events of another party", "EVENT_INVALID")
                self._log.copy(event)
                stage = event.stage if event.kind == "begun" else stage
                if event.kind == "state" and event.stage in ENDS:
                    return _error_of(event, party, stage)
        except PeerLost as lost:
            return PeerLost(party, stage, lost.reason)
        except FedcreditError as error:
            return error
        return PeerLost(party, stage, "stopped reporting")

    async def _cancel_all(self, code: str) -> None:
        request = CancelJob(self._proposal.id, code[:64])

        async def cancel(client: ControlClient) -> None:
            await client.call("Cancel", request, Accepted, timeout_s=CANCEL_TIMEOUT_S, attempts=1)

        # A party that cannot be reached any more has been noticed already.
        await asyncio.gather(*map(cancel, self._clients.values()), return_exceptions=True)


def _error_of(event: JobEvent, party: PartyId, stage: str) -> FedcreditError | None:
    if event.stage == "succeeded":
        return None
    if event.stage == "cancelled":
        return RefusedError(Problem("CANCELLED", f"{party} at {stage}", "was cancelled"))
    return remote_error(party, stage, event.code or "INTERNAL", event.exit_status, event.culprit)


def _nearest_to_cause(errors: Sequence[BaseException]) -> FedcreditError:
    """Of what parties reported, the likely cause: first their own faults, then losses, then echoes of an abort."""

    def distance(error: BaseException) -> int:
        if not isinstance(error, FedcreditError):
            return 0
        if error.code == "CANCELLED":
            return 4
        if isinstance(error, PeerLost):
            return 2 if error.reason in ("cannot be reached", "did not answer in time") else 3
        return 3 if isinstance(error, PeerError) else 1

    nearest = min(errors, key=distance)
    if isinstance(nearest, FedcreditError):
        return nearest
    return FedcreditError(Problem("INTERNAL", "platform", type(nearest).__name__))


def addresses_of(data: bytes) -> dict[PartyId, str]:
    """The addresses in a proposal. Raises RefusedError."""
    value = parse_canonical(data)
    if not isinstance(value, dict) or not all(isinstance(address, str) for address in value.values()):
        raise RefusedError(Problem("SPEC_INVALID", "addresses", "are not a table of texts"))
    try:
        found = {party_id(party): address for party, address in value.items()}
    except ConfigError:
        raise RefusedError(Problem("SPEC_INVALID", "addresses", "name something that is not a party")) from None
    if not all(_ADDRESS.fullmatch(address) for address in found.values()):
        raise RefusedError(Problem("SPEC_INVALID", "addresses", "are not all short and printable"))
    return found
