"""F3, F7, F8: links between nodes that break, fall silent, crawl or spoil what they carry."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from faults.town import BANK, EVERYBODY, PARTIES, PLATFORM, REGISTRY, SIZES, TAX, Town

from fedcredit.wire.control import JobEvent

pytestmark = pytest.mark.anyio

ALIGNED = min(end for _, end in SIZES.values()) - max(begin for begin, _ in SIZES.values())

SLOWER_S = 0.01
"""Each piece on its way takes so long, so that a job lasts long enough to be hurt in its middle."""


async def begin(town: Town, stage: str = "split") -> str:
    """A job that is in the middle of its work, past `stage`."""
    for sender in PARTIES:
        for receiver in PARTIES:
            if sender != receiver:
                town.doors.way(sender, receiver).delay_s = SLOWER_S
    job = await town.submit()
    await town.until(job, lambda event: (event.kind, event.stage) == ("done", stage))
    return job


async def succeeds(town: Town, job: str, oracle: dict[str, bytes], timeout_s: float = 480) -> None:
    """The job ends well, with the result of a run that nothing happened to."""
    end = await town.end(job, timeout_s)
    assert (end.stage, end.code) == ("succeeded", "")
    assert town.result(job) == oracle


async def still_running(town: Town, job: str) -> None:
    assert {town.state(party, job) for party in PARTIES} == {"running"}


@pytest.mark.slow
@pytest.mark.parametrize("both", [True, False], ids=["both ways", "one way"])
@pytest.mark.parametrize("stage", ["agreement", "split"])
async def test_a_partition_of_five_seconds_is_a_delay(
    town: Town, oracle: dict[str, bytes], both: bool, stage: str
) -> None:
    job = await begin(town, stage)
    town.doors.hold(BANK, TAX, both=both)
    await asyncio.sleep(5)
    await still_running(town, job)
    town.doors.release(BANK, TAX)
    await succeeds(town, job, oracle)


@asynccontextmanager
async def patient(folder: Path, before: Callable[[Town], None] | None = None) -> AsyncIterator[Town]:
    """A town with the limits that a node has by default; `before` is done to it before its nodes start."""
    made = Town(folder, limits={"lost_after_s": 75.0})
    if before is not None:
        before(made)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@pytest.mark.slow
async def test_a_partition_of_a_minute_is_a_delay(tmp_path: Path, oracle: dict[str, bytes]) -> None:
    """Connections die of it, jobs do not: nothing is started again."""
    async with patient(tmp_path / "town") as town:
        job = await begin(town)
        for party in (BANK, REGISTRY):
            town.doors.hold(TAX, party, both=True)
        await asyncio.sleep(60)
        await still_running(town, job)
        town.doors.heal()
        await succeeds(town, job, oracle)
        assert town.query(TAX, "SELECT epoch FROM jobs WHERE id = ?", job) == [(0,)], "started once"


async def test_connections_that_break_again_and_again_are_a_delay(town: Town, oracle: dict[str, bytes]) -> None:
    job = await begin(town)
    rounds = 0
    async with asyncio.timeout(240):
        while rounds < 4:
            # A round in which none was there yet is none: how long it takes to dial anew is the machine's affair.
            rounds += town.doors.cut(BANK, TAX) + town.doors.cut(BANK, REGISTRY) > 0
            await asyncio.sleep(0.15)
    assert "succeeded" not in {town.state(party, job) for party in PARTIES}, "it was hurt while it ran"
    await succeeds(town, job, oracle)


async def test_bits_that_flip_below_tls_are_a_delay(town: Town, oracle: dict[str, bytes]) -> None:
    ways = town.doors.way(TAX, BANK), town.doors.way(BANK, TAX)
    before = sum(way.spoilt for way in ways)
    job = await begin(town, "agreement")
    for _ in range(3):
        for way in ways:
            way.flip = 1
        await asyncio.sleep(0.3)
    await succeeds(town, job, oracle)
    assert sum(way.spoilt for way in ways) > before, "something was spoilt"


def memory(town: Town) -> dict[str, float]:
    return {p: psutil.Process(pid).memory_info().rss / 2**20 for pid, p in town.pids().items()}


@pytest.mark.slow
async def test_a_slow_line_is_no_lost_peer(town: Town, oracle: dict[str, bytes]) -> None:
    """A tenth of a second and 100 kB/s each way: the others wait, in bounded memory, and nobody is given up."""
    # A process that has just begun has libraries to read that its first job needs.
    await succeeds(town, await town.submit(), oracle)
    before = memory(town)
    job = await begin(town, "agreement")
    for party in (BANK, REGISTRY):
        for way in (town.doors.way(TAX, party), town.doors.way(party, TAX)):
            way.delay_s, way.bytes_per_s = 0.1, 100_000
    await succeeds(town, job, oracle)
    after = memory(town)
    assert all(after[party] - before[party] < 64 for party in after), (before, after)


@pytest.mark.slow
async def test_a_live_peer_that_keeps_the_others_waiting_is_named(tmp_path: Path, oracle: dict[str, bytes]) -> None:
    """Tax stands still for a while. Its connections live, the job goes on; everybody sees whom it waits for."""
    town = Town(tmp_path / "town", limits={"lost_after_s": 75.0, "slow_after_s": 4.0})
    try:
        await town.start()
        job = await begin(town)
        town.signal(TAX, signal.SIGSTOP)
        named = await town.until(job, lambda e: (e.kind, e.party, e.culprit) == ("slow", PLATFORM, TAX), 60)
        shown = await town.operator.job(job)
        town.signal(TAX, signal.SIGCONT)
        assert named.code == ""
        assert named.done >= 4
        assert named.stage
        waiting = {row["peer"]: row["waiting"] for row in shown["slow"]}
        assert BANK in waiting[TAX]
        await still_running(town, job)
        town.doors.heal()
        await succeeds(town, job, oracle)
        assert (await town.operator.job(job))["slow"] == []
    finally:
        await town.close()


@pytest.mark.slow
async def test_ten_seconds_each_way_are_a_long_line_and_no_loss(tmp_path: Path) -> None:
    """Whatever tax says or hears takes ten seconds, from its first connection on: every answer takes twenty."""
    async with patient(tmp_path / "town", before=ten_seconds_from_tax) as town:
        job = await town.submit(models=[], split=None)
        events: list[JobEvent] = []
        async with asyncio.timeout(600):
            async for event in town.watch(job):
                events.append(event)
        assert (events[-1].stage, events[-1].code) == ("succeeded", "")
        for party in (BANK, TAX):
            result = town.nodes[party].folder / "jobs" / job / "result"
            assert len((result / "aligned.csv").read_text().splitlines()) == 1 + ALIGNED
        assert TAX in {event.culprit for event in events if event.kind == "slow" and event.party == PLATFORM}
        assert town.query(TAX, "SELECT epoch FROM jobs WHERE id = ?", job) == [(0,)], "started once"


def ten_seconds_from_tax(town: Town) -> None:
    for party in EVERYBODY:
        town.doors.way(TAX, party).latency_s = town.doors.way(party, TAX).latency_s = 10.0


@pytest.mark.slow
async def test_a_party_that_hardly_runs_is_no_lost_peer(town: Town, oracle: dict[str, bytes]) -> None:
    """Tax gets a twentieth of the time."""
    job = await begin(town, "agreement")

    async def starve() -> None:
        while True:
            town.signal(TAX, signal.SIGSTOP)
            await asyncio.sleep(0.38)
            town.signal(TAX, signal.SIGCONT)
            await asyncio.sleep(0.02)

    starving = asyncio.create_task(starve())
    try:
        # What a twentieth is of depends on the machine, and on what else it does meanwhile.
        await succeeds(town, job, oracle, 600)
    finally:
        starving.cancel()
        town.signal(TAX, signal.SIGCONT)
