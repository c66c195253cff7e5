"""F4, F5, F6 on control calls: replies that are lost, calls made many times at once, calls for other jobs.

The test plays the platform. What a call did is read from the party's store and audit log.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from faults.desk import Desk, complete, desk_in
from faults.doors import OUTSIDE
from faults.town import PARTIES, PLATFORM, TAX, Town

from fedcredit.errors import FedcreditError, PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.wire.control import Accepted, HealthReply, HealthRequest, JobOffer, JobSignature, SignJob, StartJob
from fedcredit.wire.message import Message

pytestmark = pytest.mark.anyio

MANY = 64


@pytest.fixture
async def desk(town: Town) -> AsyncIterator[Desk]:
    """The platform's desk, with the test at it."""
    async with desk_in(town) as made:
        yield made


async def lose_reply(desk: Desk, method: str, job: str, request: Message, reply: type[Any]) -> bytes:
    """Make a call at tax whose reply never arrives; the reply that was kept there."""
    doors, client = desk.town.doors, desk.client(PLATFORM, TAX)
    await client.call("Health", HealthRequest(), HealthReply, timeout_s=120)
    doors.hold(TAX, OUTSIDE)
    calling = asyncio.create_task(client.call(method, request, reply, timeout_s=120, attempts=1))
    kept = []
    async with asyncio.timeout(120):
        while not kept:
            kept = desk.town.query(TAX, "SELECT reply FROM calls WHERE job = ? AND method = ?", job, method)
            await asyncio.sleep(0.02)
    desk.cut(TAX)
    doors.release(TAX, OUTSIDE)
    with pytest.raises(PeerLost):
        await calling
    return bytes(kept[0][0])


def audited(town: Town, party: str, job: str) -> list[str]:
    """What the audit log of a party says of a job."""
    lines = (town.nodes[PartyId(party)].folder / "audit" / "entries.jsonl").read_text().splitlines()
    return [entry["event"] for line in lines if (entry := json.loads(line)).get("job") == job]


async def test_a_call_whose_reply_is_lost_is_answered_as_before(desk: Desk, oracle: dict[str, bytes]) -> None:
    town = desk.town
    proposal = desk.proposal()
    job, propose = proposal.id, await desk.propose_request(proposal)
    kept = await lose_reply(desk, "Propose", job, propose, JobOffer)
    offers = {party: await desk.call(party, "Propose", propose, JobOffer) for party in PARTIES}
    assert offers[TAX].encode() == kept

    spec = complete(proposal, offers)
    signing = SignJob(spec.to_bytes())
    kept = await lose_reply(desk, "Sign", job, signing, JobSignature)
    signed = audited(town, TAX, job)
    assert (await desk.call(TAX, "Sign", signing, JobSignature)).encode() == kept
    assert audited(town, TAX, job) == signed, "signed once"

    start = await desk.sign(spec)
    kept = await lose_reply(desk, "Start", job, start, Accepted)
    for party in PARTIES:
        assert (await desk.call(party, "Start", start, Accepted)).encode() == kept
    for party in PARTIES:
        end = await desk.end(party, job)
        assert (end.stage, end.code) == ("succeeded", "")
        events = audited(town, party, job)
        assert [events.count(name) for name in ("job_accepted", "result_released", "job_done")] == [1, 1, 1]
    assert town.result(job) == oracle
    assert (await desk.call(TAX, "Start", start, Accepted)).encode() == kept, "and after the end, too"


async def test_the_platforms_own_calls_survive_lost_requests_and_replies(town: Town, oracle: dict[str, bytes]) -> None:
    """The connection between platform and tax breaks again and again while a job is agreed and runs."""
    submitting = asyncio.create_task(town.submit())
    broken = 0
    for _ in range(8):
        broken += town.doors.cut(PLATFORM, TAX)
        await asyncio.sleep(0.1)
    job = await submitting
    async with asyncio.timeout(120):
        while not broken:
            broken += town.doors.cut(PLATFORM, TAX)
            await asyncio.sleep(0.1)
    end = await town.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    assert town.result(job) == oracle
    for table, where in (("jobs", "id"), ("calls", "job")):
        rows = town.query(TAX, f"SELECT count(*) FROM {table} WHERE {where} = ?", job)
        assert rows[0][0] == {"jobs": 1, "calls": 3}[table], table


async def many(desk: Desk, party: str, method: str, request: Message, reply: type[Any]) -> set[bytes]:
    """The different replies to the same call, made many times at once over several connections."""
    clients = [desk.client(PLATFORM, PartyId(party)) for _ in range(8)]

    async def one(number: int) -> bytes:
        while True:
            try:
                answer = await clients[number % 8].call(method, request, reply, timeout_s=120)
                return bytes(answer.encode())
            except PeerError as error:
                # QUOTA, which gRPC's own status says: only so many calls at a time. Nothing else is asked again.
                if (error.code, error.reason) != ("RPC_FAILED", "answered RESOURCE_EXHAUSTED"):
                    raise
            await asyncio.sleep(0.05)

    return set(await asyncio.gather(*map(one, range(MANY))))


@pytest.mark.slow
async def test_the_same_call_many_times_at_once_has_one_effect(desk: Desk, oracle: dict[str, bytes]) -> None:
    proposal = desk.proposal()
    propose = await desk.propose_request(proposal)
    for party in PARTIES:
        replies = await many(desk, party, "Propose", propose, JobOffer)
        assert len(replies) == 1
    spec = await desk.propose(proposal)
    assert len(await many(desk, TAX, "Sign", SignJob(spec.to_bytes()), JobSignature)) == 1
    start = await desk.sign(spec)
    starts = await asyncio.gather(*(many(desk, party, "Start", start, Accepted) for party in PARTIES))
    assert len(set.union(*starts)) == 1
    for party in PARTIES:
        end = await desk.end(party, proposal.id)
        assert (end.stage, end.code) == ("succeeded", "")
    assert desk.town.result(proposal.id) == oracle
    for party in PARTIES:
        events = audited(desk.town, party, proposal.id)
        assert [events.count(name) for name in ("job_accepted", "result_released", "job_done")] == [1, 1, 1]


async def test_calls_out_of_order_or_for_other_jobs_leave_a_job_alone(desk: Desk, oracle: dict[str, bytes]) -> None:
    proposal, other = desk.proposal(), desk.proposal()
    spec = await desk.propose(proposal)
    await desk.propose(other)
    start = await desk.sign(spec)

    async def refused(method: str, request: Message, reply: type[Any]) -> str:
        with pytest.raises(FedcreditError) as error:
            await desk.call(TAX, method, request, reply)
        return error.value.code

    # Too early: the other job has not been signed. Of another job: its parts do not fit this one.
    early = StartJob(bytes(32), start.signatures)
    assert await refused("Start", early, Accepted) == "SPEC_UNKNOWN"
    assert await refused("Sign", SignJob(other.to_bytes()), JobSignature) == "SPEC_CHANGED"
    changed = await desk.propose_request(proposal.model_copy(update={"nonce": "11" * 32}))
    assert await refused("Propose", changed, JobOffer) == "CONFLICT"
    for party in PARTIES:
        await desk.call(party, "Start", start, Accepted)
    assert await refused("Start", StartJob(spec.hash, b"{}"), Accepted) == "CONFLICT"
    assert await refused("Sign", SignJob(spec.model_copy(update={"nonce": "22" * 32}).to_bytes()), JobSignature) in (
        "CONFLICT",
        "SPEC_CHANGED",
    )
    for party in PARTIES:
        end = await desk.end(party, proposal.id)
        assert (end.stage, end.code) == ("succeeded", "")
    assert desk.town.result(proposal.id) == oracle
    await desk.cancel(other.id)
