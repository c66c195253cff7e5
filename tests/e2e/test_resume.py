"""A node is killed at a chosen point and started again: the job goes on, to the same model byte for byte."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from e2e.conftest import write_job, write_tables
from e2e.town import Town, town

from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM
from fedcredit.protocols.intersect.buckets import BUCKET_ROWS
from fedcredit.wire.control import JobEvent

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BANK, TAX, REGISTRY = PartyId("bank"), PartyId("tax"), PartyId("registry")

MODEL = """
[split]
holdout = 0.25
[[model]]
kind = "gbdt"
num_trees = 5
max_depth = 3
max_bin = 8
bagging_fraction = 0.8
bagging_freq = 1
"""


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    write_tables(folder, {"bank": (0, 900), "tax": (200, 1000), "registry": (100, 950)})
    job = write_job(folder, ["bank", "tax", "registry"], MODEL)
    async with town(job, folder / "out") as made:
        yield made


@pytest.fixture(scope="module")
async def wanted(place: Town) -> dict[str, bytes]:
    """The models of an uninterrupted run."""
    job = await place.submit()
    assert (await place.outcome(job))[-1].stage == "succeeded"
    models = place.models(job)
    assert {name.split("/")[0] for name in models} == {"bank", "tax", "registry"}
    return models


def told(events: list[JobEvent]) -> str:
    """What happened last, for a failed assertion."""
    return "\n".join(f"{e.seq} {e.party}: {e.kind} {e.stage} {e.code} {e.culprit}" for e in events[-30:])


async def survive(place: Town, victim: PartyId, plan: str) -> str:
    """A job during which `victim` dies by `plan` and is started again; its name, once it has succeeded."""
    await place.crash(victim, plan)
    submitting = asyncio.create_task(place.submit())
    await place.died(victim)
    await place.start(victim)
    job = await submitting
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    return job


PLANS = [
    (TAX, "job.stage.computed[gbdt.0/tree.2]=kill"),
    (BANK, "job.stage.kept[gbdt.0/tree.2]=kill"),
    (REGISTRY, "job.signed.kept=kill"),
    (BANK, "job.start.kept=kill"),
    (TAX, "job.stage.begun[align]=kill"),
    (REGISTRY, "job.stage.kept[align]=kill"),
    (BANK, "job.stage.begun[gbdt.0/predict]=kill"),
    (BANK, "job.stage.kept[finish]=kill"),
    (BANK, "job.result.recorded=kill"),
    (REGISTRY, "job.result.renamed=kill"),
    (BANK, "job.end.kept=kill"),
    (PLATFORM, "platform.submit.kept=kill"),
    (PLATFORM, "platform.specification.kept=kill"),
    (PLATFORM, "platform.start.kept=kill"),
]


@pytest.mark.parametrize(("victim", "plan"), PLANS, ids=lambda value: str(value))
async def test_a_killed_node_comes_back_and_the_model_is_the_same(
    place: Town, wanted: dict[str, bytes], victim: PartyId, plan: str
) -> None:
    job = await survive(place, victim, plan)
    assert place.models(job) == wanted


async def test_a_platform_that_dies_is_not_missed_and_takes_the_job_up_again(
    place: Town, wanted: dict[str, bytes]
) -> None:
    await place.restore()
    job = await place.submit()
    await place.until(job, BANK, "begun", "gbdt.0/setup")
    await place.end(PLATFORM)
    await place.start(PLATFORM)
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    assert place.models(job) == wanted
    # The parties went on without it: nobody was told to start anew.
    assert place.metrics(job)["job"]["starts"] == 1
    numbers = [event.seq for event in events]
    assert numbers == sorted(set(numbers))
    ends = {(e.party, e.stage) for e in events if e.kind == "state" and e.stage == "succeeded"}
    assert ends == {(party, "succeeded") for party in (BANK, TAX, REGISTRY, PLATFORM)}


@pytest.fixture
async def unhurried(place: Town) -> AsyncIterator[Town]:
    """The town, with a registry that takes a second for each stage, so that a job can be met in its middle."""
    await place.restore()
    await place.crash(REGISTRY, "job.stage.begun=sleep(1)")
    yield place
    await place.crash(REGISTRY, "")


async def test_a_node_told_to_stop_leaves_at_a_checkpoint_within_ten_seconds(
    unhurried: Town, wanted: dict[str, bytes]
) -> None:
    job = await unhurried.submit()
    await unhurried.until(job, TAX, "begun", "gbdt.0/tree.1")
    begun = time.monotonic()
    assert await unhurried.end(TAX, signal.SIGTERM) == 0
    assert time.monotonic() - begun < 10
    await unhurried.start(TAX)
    events = await unhurried.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    assert unhurried.models(job) == wanted
    assert unhurried.metrics(job)["job"]["starts"] == 2


async def test_a_full_disk_is_a_wait_until_there_is_room(place: Town, wanted: dict[str, bytes]) -> None:
    await place.restore()
    await place.crash(TAX, "job.stage.computed[gbdt.0/tree.1]=error(ENOSPC)@1")
    job = await place.submit()
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    waits = [(e.party, e.code) for e in events if e.kind == "state" and e.stage == "waiting"]
    assert (TAX, "DISK_FULL") in waits
    assert place.models(job) == wanted


async def test_a_job_that_waits_can_be_cancelled(place: Town) -> None:
    await place.restore()
    await place.crash(TAX, "job.stage.begun[gbdt.0/tree.1]=kill")
    job = await place.submit()
    await place.died(TAX)
    assert place.operator is not None
    await place.operator.cancel(job)
    assert (await place.outcome(job))[-1].stage == "cancelled"
    await place.start(TAX)
    # Killed before it could hear of it, the party is told when it asks to go on.
    assert not place.models(job)


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Town]:
    """A town that gives up soon."""
    write_tables(tmp_path, {"bank": (0, 900), "tax": (200, 1000), "registry": (100, 950)})
    job = write_job(tmp_path, ["bank", "tax", "registry"], MODEL)
    async with town(job, tmp_path / "out", lost_after_s=4.0, peer_timeout_s=12.0) as made:
        yield made


async def test_a_party_that_never_returns_is_the_end_of_the_job_at_all_others(impatient: Town) -> None:
    await impatient.crash(TAX, "job.stage.computed[gbdt.0/tree.1]=kill")
    job = await impatient.submit()
    await impatient.died(TAX)
    events = await impatient.outcome(job)
    end = events[-1]
    assert (end.stage, end.code, end.culprit) == ("failed", "PEER_LOST", "tax"), told(events)
    ends = {e.party: (e.stage, e.code) for e in events if e.kind == "state" and e.party in (BANK, REGISTRY)}
    assert ends == {BANK: ("failed", "PEER_LOST"), REGISTRY: ("failed", "PEER_LOST")}, told(events)
    named = [e for e in events if e.culprit == TAX and (e.kind == "waiting" or e.stage == "waiting")]
    assert {BANK, PLATFORM} <= {e.party for e in named}, told(events)
    assert all(e.done <= 30 for e in named)
    assert not any(e.kind == "back" for e in events)
    for party in (BANK, REGISTRY):
        folder = impatient.folder(party) / "jobs" / job
        assert not list(folder.glob("result*"))
        assert "PEER_LOST" in (folder / "failure.json").read_text()
        log = (impatient.folder(party) / "audit" / "entries.jsonl").read_text()
        assert "job_failed" in log.splitlines()[-1]
        assert job in log.splitlines()[-1]


async def test_a_party_that_stands_still_is_named_within_half_a_minute_and_nothing_is_lost(
    unhurried: Town, wanted: dict[str, bytes]
) -> None:
    place = unhurried
    job = await place.submit()
    await place.until(job, TAX, "begun", "gbdt.0/tree.0")
    tax = place.children[TAX].process.pid
    os.kill(tax, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        named: set[str] = set()
        async for event in place.events(job):
            if event.kind == "waiting" and event.culprit == TAX:
                named.add(event.party)
            if {BANK, PLATFORM} <= named:
                break
        seconds = time.monotonic() - stopped
        assert seconds < 30, seconds
    finally:
        os.kill(tax, signal.SIGCONT)
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    assert any(e.kind == "back" and e.culprit == TAX for e in events)
    assert place.models(job) == wanted


@pytest.fixture
async def large(tmp_path: Path) -> AsyncIterator[Town]:
    """A town whose bank has more rows than one bucket of the intersection holds."""
    rows = BUCKET_ROWS["ecdh"]
    write_tables(tmp_path, {"bank": (0, rows + 1000), "tax": (rows - 1000, rows + 2000)})
    job = write_job(tmp_path, ["bank", "tax"], '[intersect]\nmode = "ecdh"\n')
    async with town(job, tmp_path / "out", lost_after_s=60.0, peer_timeout_s=240.0) as made:
        yield made


def begun(events: list[JobEvent], party: PartyId) -> Counter[str]:
    return Counter(e.stage for e in events if e.party == party and e.kind == "begun" and e.stage.startswith("align"))


@pytest.mark.slow
@pytest.mark.parametrize("victim", [TAX, BANK])
async def test_an_intersection_goes_on_from_the_buckets_that_are_kept(large: Town, victim: PartyId) -> None:
    """Killed in the second bucket, which nobody begins before the first is kept: the first is not run again."""
    job = await large.submit()
    whole = await large.outcome(job)
    assert whole[-1].stage == "succeeded", told(whole)
    once = Counter({"align/bucket.0": 1, "align/bucket.1": 1, "align": 1})
    assert begun(whole, BANK) == begun(whole, TAX) == once

    await large.crash(victim, "job.stage.computed[align/bucket.1]=kill")
    again = await large.submit()
    await large.died(victim)
    await large.start(victim)
    events = await large.outcome(again)
    assert events[-1].stage == "succeeded", told(events)
    for party in (BANK, TAX):
        stages = begun(events, party)
        assert stages["align/bucket.0"] == 1, told(events)
        assert 1 <= stages["align/bucket.1"] <= 2, told(events)
    assert begun(events, victim)["align/bucket.1"] == 2, told(events)
    (resumed,) = [json.loads(e.detail) for e in events if e.party == PLATFORM and e.stage == "resuming"]
    assert resumed["kept"] >= 2, "the check of the table and the first bucket"
    for party in (BANK, TAX):
        files = [large.folder(party) / "jobs" / name / "result" / "aligned.csv" for name in (job, again)]
        assert files[0].read_bytes() == files[1].read_bytes()
        assert len(files[0].read_text().splitlines()) == 1 + 2000


@pytest.fixture(scope="module")
async def fast(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """As `large`, for mode `fast`, whose buckets are larger."""
    folder = tmp_path_factory.mktemp("fast")
    rows = BUCKET_ROWS["fast"]
    write_tables(folder, {"bank": (0, rows + 1000), "tax": (rows - 1000, rows + 2000)})
    job = write_job(folder, ["bank", "tax"], '[intersect]\nmode = "fast"\n')
    async with town(job, folder / "out", lost_after_s=120.0, peer_timeout_s=500.0) as made:
        yield made


def aligned(place: Town, job: str) -> list[bytes]:
    return [(place.folder(party) / "jobs" / job / "result" / "aligned.csv").read_bytes() for party in (BANK, TAX)]


@pytest.fixture(scope="module")
async def unharmed(fast: Town) -> list[bytes]:
    """What an uninterrupted run aligns."""
    job = await fast.submit()
    events = await fast.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    assert begun(events, BANK) == Counter({"align/bucket.0": 1, "align/bucket.1": 1, "align": 1})
    found = aligned(fast, job)
    assert len(found[0].splitlines()) == 1 + 2000
    return found


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["align/bucket.0", "align/bucket.1", "align"])
@pytest.mark.parametrize("victim", [TAX, BANK])
async def test_a_fast_intersection_killed_in_any_bucket_comes_to_the_same_rows(
    fast: Town, unharmed: list[bytes], victim: PartyId, stage: str
) -> None:
    """SIGKILL when the bucket is computed and not kept yet, and when all are and their release is."""
    await fast.crash(victim, f"job.stage.computed[{stage}]=kill")
    job = await fast.submit()
    await fast.died(victim)
    await fast.start(victim)
    events = await fast.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    assert begun(events, victim)[stage] == 2, told(events)
    before = ["align/bucket.0", "align/bucket.1", "align"]
    for party in (BANK, TAX):
        stages = begun(events, party)
        # What both had kept is not run again; a peer may or may not have come as far as the victim.
        assert all(stages[kept] == 1 for kept in before[: before.index(stage)]), told(events)
        assert 1 <= stages[stage] <= 2, told(events)
    assert aligned(fast, job) == unharmed
