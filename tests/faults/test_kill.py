"""F1, F2, F10, F17, F23, F26: nodes that die or are stopped in each phase of a job, and what becomes of the job.

A job whose node comes back ends with the very bytes of an uninterrupted run.
"""

from __future__ import annotations

import asyncio
import json
import time
from hashlib import sha256
from pathlib import Path

import pytest
from faults.store_view import spoil_checkpoint
from faults.town import BANK, PARTIES, PLATFORM, REGISTRY, TAX, Town

pytestmark = pytest.mark.anyio

RESUMED_S = 30.0
"""security.md asks for it, of a machine that has nothing else to do."""

LAST = "gbdt.0/tree.3"
AT_PARTIES = [
    "job.proposed.kept",
    "job.signed.kept",
    "job.start.kept",
    "job.stage.begun[align]",
    "job.stage.computed[align]",
    "store.stage.written[split]",
    "job.stage.computed[gbdt.0/setup]",
    "job.stage.begun[gbdt.0/tree.1]",
    "job.stage.computed[gbdt.0/tree.2]",
    f"store.stage.committed[{LAST}]",
    f"job.stage.kept[{LAST}]",
    "job.stage.begun[finish]",
    "job.result.written",
    "job.result.recorded",
    "job.result.renamed",
    "job.result.noted",
    "job.end.recorded",
    "job.end.kept",
]
AT_PLATFORM = [
    "platform.submit.kept",
    "platform.specification.kept",
    "platform.signatures.kept",
    "platform.start.kept",
    "store.event.written",
    "platform.end.kept",
]
FAST = [(TAX, "job.stage.computed[gbdt.0/tree.2]")]
# The label party runs other code at every second of them only.
SLOW = [(TAX, place) for place in AT_PARTIES if (TAX, place) not in FAST] + [
    (BANK, place) for place in AT_PARTIES[1::2]
]
SLOW += [(PLATFORM, place) for place in AT_PLATFORM]


async def ends_alike(town: Town, job: str, oracle: dict[str, bytes]) -> None:
    """The job ends well, with the result of a run that nothing happened to; its files are those of its manifests."""
    end = await town.end(job)
    assert (end.stage, end.code, end.culprit) == ("succeeded", "", "")
    for party in PARTIES:
        await town.state_becomes(party, job, "succeeded")
        result = town.nodes[party].folder / "jobs" / job / "result"
        for entry in json.loads((result / "manifest.json").read_text()):
            assert sha256((result / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
        assert not (result.parent / "result.partial").exists()
    assert town.result(job) == oracle


async def dies_and_comes_back(town: Town, oracle: dict[str, bytes], party: str, place: str) -> None:
    await town.kill(party)
    await town.up(party, plan=f"{place}=kill@1")
    submitting = asyncio.create_task(town.submit_patiently())
    assert await town.died(party) == -9
    if place in ("job.result.written", "job.result.recorded"):
        assert not list((town.nodes[party].folder / "jobs").glob(f"{newest(town, party)}/result")), "not seen by halves"
    await town.up(party)
    began = time.monotonic()
    job = await submitting
    await ends_alike(town, job, oracle)
    took = time.monotonic() - began
    if took > RESUMED_S:
        # Where other work shares the machine, what it takes is what jobs take that nothing happens to.
        began = time.monotonic()
        await ends_alike(town, await town.submit(), oracle)
        assert took < RESUMED_S + 3 * (time.monotonic() - began)


def newest(town: Town, party: str) -> str:
    return str(town.query(party, "SELECT id FROM jobs ORDER BY created DESC LIMIT 1")[0][0])


@pytest.mark.parametrize(("party", "place"), FAST)
async def test_a_job_survives_the_death_of_a_node(town: Town, oracle: dict[str, bytes], party: str, place: str) -> None:
    await dies_and_comes_back(town, oracle, party, place)


@pytest.mark.slow
@pytest.mark.parametrize(("party", "place"), SLOW)
async def test_a_job_survives_the_death_of_any_node_in_any_phase(
    town: Town, oracle: dict[str, bytes], party: str, place: str
) -> None:
    await dies_and_comes_back(town, oracle, party, place)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["job.stage.computed[gbdt.0/setup]", "job.stage.computed[gbdt.0/tree.2]"])
@pytest.mark.parametrize("party", [TAX, BANK])
async def test_a_job_under_paillier_survives_to_the_model_of_the_other_backend(
    town: Town, oracle: dict[str, bytes], party: str, place: str
) -> None:
    """The key dies with the session that it was made for; the next one leads to the same bytes."""
    definition = town.definition
    models = tuple(model.model_copy(update={"groupsum": "paillier"}) for model in definition.models)
    town.definition = definition.model_copy(update={"models": models})
    try:
        await dies_and_comes_back(town, oracle, party, place)
    finally:
        town.definition = definition


@pytest.mark.slow
@pytest.mark.parametrize("place", ["platform.epoch.kept", "platform.resume.sent", "platform.job.recovered"])
async def test_a_job_survives_the_death_of_the_platform_while_it_resumes_it(
    town: Town, oracle: dict[str, bytes], place: str
) -> None:
    await town.kill(PLATFORM, TAX)
    await town.up(PLATFORM, plan="" if "recovered" in place else f"{place}=kill@1")
    await town.up(TAX, plan="job.stage.kept[gbdt.0/tree.1]=kill@1")
    job = await town.submit_patiently()
    await town.died(TAX)
    if "recovered" in place:
        await town.kill(PLATFORM)
        await town.launch(PLATFORM, plan=f"{place}=kill@1")
    await town.up(TAX)
    await town.died(PLATFORM)
    await town.up(PLATFORM)
    await ends_alike(town, job, oracle)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["job.recovered", "job.resume.kept", "job.damage.kept"])
async def test_a_job_survives_a_party_that_dies_again_as_it_comes_back(
    town: Town, oracle: dict[str, bytes], place: str
) -> None:
    await town.kill(TAX)
    await town.up(TAX, plan="job.stage.kept[gbdt.0/tree.1]=kill@1")
    job = await town.submit_patiently()
    await town.died(TAX)
    if place == "job.damage.kept":
        spoil_checkpoint(town.nodes[TAX].folder / "store.sqlite", job)
    await town.launch(TAX, plan=f"{place}=kill@1")
    assert await town.died(TAX) == -9
    await town.up(TAX)
    await ends_alike(town, job, oracle)


@pytest.mark.slow
async def test_a_lost_peer_is_named_and_nothing_ends_until_it_is_back(town: Town, oracle: dict[str, bytes]) -> None:
    await town.kill(TAX)
    await town.up(TAX, plan="job.stage.kept[gbdt.0/tree.1]=kill@1")
    job = await town.submit_patiently()
    await town.died(TAX)
    died = time.monotonic()
    named = await town.until(job, lambda event: event.culprit == TAX and event.code == "PEER_LOST", 40)
    assert time.monotonic() - died < 30
    assert named.party in (BANK, REGISTRY, PLATFORM)
    assert named.stage
    assert {town.state(party, job) for party in (BANK, REGISTRY)} <= {"running", "waiting"}
    await town.up(TAX)
    await ends_alike(town, job, oracle)


@pytest.mark.slow
async def test_a_party_that_never_returns_ends_the_job_everywhere_else(tmp_path: Path) -> None:
    """F2: after `peer_timeout_s`, as PEER_LOST of the one that is away; nothing half made is left."""
    town = Town(tmp_path / "town", limits={"peer_timeout_s": 12.0, "lost_after_s": 4.0})
    try:
        await town.start()
        await town.kill(TAX)
        await town.up(TAX, plan="job.stage.kept[gbdt.0/tree.1]=kill@1")
        job = await town.submit_patiently()
        await town.died(TAX)
        end = await town.end(job, 12 + 60)
        assert (end.stage, end.code, end.exit_status, end.culprit) == ("failed", "PEER_LOST", 69, TAX)
        for party in (BANK, REGISTRY):
            state = await town.state_becomes(party, job, "failed", "cancelled")
            folder = town.nodes[party].folder / "jobs" / job
            assert not (folder / "result").exists()
            assert not (folder / "result.partial").exists()
            audited = (town.nodes[party].folder / "audit" / "entries.jsonl").read_text().splitlines()
            ends = [e for line in audited if (e := json.loads(line))["job"] == job and e["event"] == "job_failed"]
            assert [entry["facts"]["state"] for entry in ends] == [state]
        # When it comes back at last, it finds the job ended.
        await town.up(TAX)
        await town.state_becomes(TAX, job, "failed", "cancelled", timeout_s=60)
    finally:
        await town.close()


@pytest.mark.slow
async def test_the_parties_finish_without_their_platform(town: Town, oracle: dict[str, bytes]) -> None:
    """F17: what runs goes on, to its end if nobody else is lost; the platform learns it afterwards."""
    await town.kill(PLATFORM)
    await town.up(PLATFORM, plan="platform.start.kept=kill@1")
    job = await town.submit_patiently()
    await town.died(PLATFORM)
    for party in PARTIES:
        await town.state_becomes(party, job, "succeeded")
    await town.up(PLATFORM)
    await ends_alike(town, job, oracle)


@pytest.mark.slow
@pytest.mark.parametrize("party", [TAX, PLATFORM])
async def test_a_node_that_is_told_to_stop_keeps_its_place(town: Town, oracle: dict[str, bytes], party: str) -> None:
    """F23: SIGTERM in the middle of a job ends the process with status 0 within ten seconds; the job goes on later."""
    for peer in (BANK, REGISTRY):
        town.doors.way(TAX, peer).delay_s = town.doors.way(peer, TAX).delay_s = 0.05
    job = await town.submit_patiently()
    await town.until(job, lambda event: (event.kind, event.stage) == ("done", "gbdt.0/setup"))
    began = time.monotonic()
    assert await town.terminate(party) == 0
    assert time.monotonic() - began < 12  # ten, and a little for a machine with other work
    town.doors.heal()
    await town.up(party)
    await ends_alike(town, job, oracle)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["last", "first"])
async def test_a_spoilt_checkpoint_is_set_aside_and_the_one_before_taken(
    town: Town, oracle: dict[str, bytes], which: str
) -> None:
    """F10: of a checkpoint that the disk has spoilt nothing is read and nothing thrown away."""
    await town.kill(TAX)
    await town.up(TAX, plan="job.stage.kept[gbdt.0/tree.2]=kill@1")
    job = await town.submit_patiently()
    await town.died(TAX)
    stage, spoilt = spoil_checkpoint(town.nodes[TAX].folder / "store.sqlite", job, first=which == "first")
    await town.up(TAX)
    await ends_alike(town, job, oracle)
    aside = town.nodes[TAX].folder / "jobs" / job / "damaged" / f"{stage.replace('/', '.')}.0"
    assert aside.read_bytes() == spoilt
