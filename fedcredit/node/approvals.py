"""The platform's wait for people: a job begins when no party's policy refuses it and every person asked has said yes.

Parties are asked before any of them opens a table, and asked again until a person has decided. A wait is days long, so
a party that cannot be reached in the meantime is asked later; one that was never reached soon ends the job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from fedcredit.errors import FedcreditError, PeerLost, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.admission import APPROVAL_PENDING
from fedcredit.node.events import EventLog
from fedcredit.node.jobs.peers import NAME_AFTER_S, slow_named
from fedcredit.node.jobs.waits import PASSING
from fedcredit.node.rpc import ControlClient
from fedcredit.node.specification import JobSpecification
from fedcredit.node.timely import timely_call
from fedcredit.runtime.clock import Clock
from fedcredit.wire.control import Accepted, JobEvent, ProposeJob

__all__ = ["approved_by_all"]

CONSIDER_TIMEOUT_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.25, 30.0, 1.3


async def approved_by_all(
    proposal: JobSpecification,
    clients: Mapping[PartyId, ControlClient],
    log: EventLog,
    clock: Clock,
    submitted: datetime,
    peer_timeout_s: float,
    slow_after_s: float = 30.0,
) -> list[FedcreditError]:
    """Wait until every party would take part; why some would not, which ends the job. Notes in `log` who is awaited.

    A party may be away for `peer_timeout_s` when a job begins, as at any other time, and is named meanwhile. A wait
    longer than the job's `approval_timeout_h` is a reason, too (APPROVAL_TIMEOUT). It begins when the job was
    `submitted`, also if the platform has been started again since.
    """
    deadline = submitted + timedelta(hours=proposal.job.approval_timeout_h)
    begun = clock.monotonic()
    named: set[PartyId] = set()
    awaited: set[PartyId] = set()
    asked, pause_s = dict(clients), FIRST_PAUSE_S
    while True:
        answers = await asyncio.gather(
            *(_ask(proposal, party, client, log, clock, slow_after_s) for party, client in asked.items())
        )
        said = dict(zip(asked, answers, strict=True))
        pending = {party for party, error in said.items() if error is not None and error.code == APPROVAL_PENDING}
        away = {party for party, error in said.items() if error is not None and _is_away(error, party in awaited)}
        seconds = clock.monotonic() - begun
        for party in sorted(away - named) if seconds >= NAME_AFTER_S else ():
            log.waiting("agreement", party, seconds)
            named.add(party)
        for party in sorted(named - away):
            log.back("agreement", party, seconds)
            named.discard(party)
        if seconds >= peer_timeout_s:
            away &= awaited
        again = pending | away
        if errors := [error for party, error in said.items() if error is not None and party not in again]:
            return errors
        for party in sorted(pending - awaited):
            log.copy(_state(proposal.id, party, "pending", APPROVAL_PENDING))
        for party in sorted(awaited - again):
            log.copy(_state(proposal.id, party, "approved"))
        if not again:
            return []
        awaited, asked = pending | (away & awaited), {party: clients[party] for party in again}
        if awaited and clock.now() >= deadline:
            return [_too_long(proposal, party) for party in sorted(awaited)]
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * GROWTH, LONGEST_PAUSE_S)


async def _ask(
    proposal: JobSpecification, party: PartyId, client: ControlClient, log: EventLog, clock: Clock, slow_after_s: float
) -> FedcreditError | None:
    request = ProposeJob(proposal.to_bytes(), b"{}", int(clock.now().timestamp() * 1000))
    try:
        async with slow_named(log, "agreement", party, slow_after_s):
            await timely_call(client, "Consider", request, Accepted, timeout_s=CONSIDER_TIMEOUT_S, now=clock.monotonic)
    except FedcreditError as error:
        return error
    return None


def _is_away(error: FedcreditError, awaited: bool) -> bool:
    """Whether a party is away; or one of its people is awaited, and it has no room just now to hear that again."""
    return isinstance(error, PeerLost) or (awaited and error.code in PASSING)


def _state(job: str, party: PartyId, state: str, code: str = "") -> JobEvent:
    return JobEvent(
        seq=0,  # the log gives it its own number
        party=party,
        job=job,
        kind="state",
        stage=state,
        done=0,
        total=0,
        code=code,
        exit_status=0,
        culprit="",
        detail=b"",
        origin=0,
    )


def _too_long(proposal: JobSpecification, party: PartyId) -> RefusedError:
    hours = proposal.job.approval_timeout_h
    what = f"nobody at {party} approved the job within approval_timeout_h = {hours:g}"
    return RefusedError(Problem("APPROVAL_TIMEOUT", f"{party} at approval", what, "submit it again, or ask them"))
