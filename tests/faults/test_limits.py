"""F9, F11, F19, F20, F24: full disks, wrong clocks, scarce descriptors, bugs, and nodes that move."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from faults.town import BANK, PARTIES, PLATFORM, REGISTRY, TAX, Town
from free_ports import free_port

from fedcredit import failpoints
from fedcredit.ids import PartyId
from fedcredit.node.serve import watchdog
from fedcredit.runtime.toml import dump

pytestmark = pytest.mark.anyio

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


async def succeeds(town: Town, job: str, oracle: dict[str, bytes]) -> None:
    end = await town.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    for party in PARTIES:
        await town.state_becomes(party, job, "succeeded")
    assert town.result(job) == oracle


# -- disks ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    ["store.stage.written[gbdt.0/tree.1]=error(ENOSPC)@1", "store.result.written=error(ENOSPC)@1"],
    ids=["checkpoint", "result"],
)
async def test_a_job_waits_for_a_disk_that_refuses_a_write(town: Town, oracle: dict[str, bytes], place: str) -> None:
    await town.kill(TAX)
    await town.up(TAX, plan=place)
    job = await town.submit()
    waiting = await town.until(job, lambda event: event.party == TAX and event.stage == "waiting")
    assert waiting.code == "DISK_FULL"
    await succeeds(town, job, oracle)


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[None]:
    """A file system of its own for a folder, of so many MiB. Skips where nobody may mount one."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
async def test_a_job_waits_for_room_on_a_full_disk_and_goes_on_by_itself(
    tmp_path: Path, oracle: dict[str, bytes]
) -> None:
    """A real one: it fills while the job runs, and nothing that was kept is lost."""
    with small_disk(tmp_path / "town" / "out" / "parties" / TAX, 64):
        town = Town(tmp_path / "town")
        try:
            await town.start()
            folder = town.nodes[TAX].folder
            for peer in (BANK, REGISTRY):
                town.doors.way(TAX, peer).delay_s = town.doors.way(peer, TAX).delay_s = 0.05
            job = await town.submit()
            await town.until(job, lambda event: (event.kind, event.stage) == ("done", "align"))
            filling = asyncio.create_task(keep_full(folder))
            waiting = await town.until(job, lambda event: event.party == TAX and event.stage == "waiting")
            assert waiting.code == "DISK_FULL"
            refused = await town.end(await town.submit())
            assert refused.stage == "failed", "not begun without room"
            assert refused.code in ("DISK_FULL", "STORE_FULL")
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
            (folder / "filler").unlink()
            town.doors.heal()
            await succeeds(town, job, oracle)
        finally:
            await town.close()


async def keep_full(folder: Path) -> None:
    """Take all room there is, and what a node gives back of its own."""
    with (folder / "filler").open("wb", buffering=0) as file:
        while True:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            await asyncio.sleep(0.05)


# -- clocks --------------------------------------------------------------------------------------------------------


def clock(file: Path) -> dict[str, str]:
    """The environment of a process whose clock is off by what `file` says, from moment to moment."""
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.mark.slow
@pytest.mark.parametrize("skew", ["+5m", "-5m"])
async def test_clocks_too_far_apart_are_found_before_any_data(town: Town, tmp_path: Path, skew: str) -> None:
    (tmp_path / "clock").write_text(skew)
    await town.kill(TAX)
    await town.up(TAX, environment=clock(tmp_path / "clock"))
    job = await town.submit()
    end = await town.end(job)
    assert (end.stage, end.code, end.exit_status) == ("failed", "CLOCK_SKEW", 77)
    assert not town.begun(job)
    (problem,) = [problem for problem in town.failure(TAX, job) if problem["code"] == "CLOCK_SKEW"]
    assert "s apart" in problem["what"]


@pytest.mark.slow
async def test_a_proposal_that_stood_still_on_its_way_is_made_again(tmp_path: Path, oracle: dict[str, bytes]) -> None:
    """Its time is old when it comes, by more than the clocks may be apart; they are not apart."""
    town = Town(tmp_path / "town", limits={"clock_skew_s": 3.0, "lost_after_s": 60.0})
    try:
        await town.start()
        town.doors.hold(PLATFORM, TAX)
        job = await town.submit()
        # That the call takes more than three seconds is what is tested; a platform may take some to begin with it.
        await asyncio.sleep(10)
        town.doors.release(PLATFORM, TAX)
        await succeeds(town, job, oracle)
        assert "CLOCK_SKEW" in town.log(TAX), "the first call was refused"
    finally:
        await town.close()


@pytest.mark.slow
async def test_a_clock_that_jumps_while_a_job_runs_changes_nothing(
    town: Town, oracle: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "clock").write_text("+0")
    await town.kill(TAX)
    await town.up(TAX, environment=clock(tmp_path / "clock"))
    for peer in (BANK, REGISTRY):
        town.doors.way(TAX, peer).delay_s = town.doors.way(peer, TAX).delay_s = 0.02
    job = await town.submit()
    for skew in ("-50", "+55", "-30"):
        await asyncio.sleep(0.7)
        (tmp_path / "clock").write_text(skew)
    await succeeds(town, job, oracle)
    await town.terminate(TAX)
    status, said = await town.command("node", "fsck", str(town.nodes[TAX].folder))
    assert status == 0, said


# -- scarce resources, bugs ----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_party_short_of_descriptors_refuses_or_waits_and_recovers(town: Town, oracle: dict[str, bytes]) -> None:
    await town.kill(TAX)
    await town.up(TAX, limits={resource.RLIMIT_NOFILE: 40})
    jobs = [await town.submit() for _ in range(8)]
    await asyncio.sleep(5)
    await town.kill(TAX)
    await town.up(TAX)
    ends = await asyncio.gather(*(town.end(job) for job in jobs))
    for job, end in zip(jobs, ends, strict=True):
        assert end.stage == "succeeded" or end.code not in ("", "INTERNAL"), (end.stage, end.code)
        if end.stage == "succeeded":
            assert town.result(job) == oracle
    await succeeds(town, await town.submit(), oracle)


def squeeze(town: Town, party: str, spare_mib: int) -> None:
    """From now on the system gives a node's process no more than so much memory on top of what it has.

    The town starts it anew after the test, however that ends.
    """
    node = town.nodes[PartyId(party)]
    node.special, process = True, node.process
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    has_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize:"))
    limit = (has_kib << 10) + (spare_mib << 20)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def relax(town: Town, party: str) -> None:
    process = town.nodes[PartyId(party)].process
    assert process is not None
    resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_a_job_that_needs_more_memory_than_there_is_does_not_begin(town: Town, oracle: dict[str, bytes]) -> None:
    # A process that has just begun would need the memory for libraries that it has not read yet.
    await succeeds(town, await town.submit(), oracle)
    # Room enough to read the table, which may take 40 MiB, and not for the ciphertexts of sums in so many bins.
    squeeze(town, TAX, 160)
    (small,) = town.definition.shared()["models"]
    wide = small | {"groupsum": "paillier", "params": {"num_trees": 1, "max_depth": 10, "max_bin": 255}}
    end = await town.end(await town.submit(models=[wide]))
    problems = town.failure(TAX, end.job)
    assert (end.stage, end.code) == ("failed", "MEMORY_SHORT"), problems
    (problem,) = [problem for problem in problems if problem["code"] == "MEMORY_SHORT"]
    assert "bytes are needed" in problem["what"]
    relax(town, TAX)
    await succeeds(town, await town.submit(), oracle)


@pytest.mark.slow
async def test_a_node_that_gets_no_more_memory_loses_nothing(town: Town, oracle: dict[str, bytes]) -> None:
    """Its job waits, or the process ends or stands still; nobody else is harmed, and with memory the job goes on."""
    for peer in (BANK, REGISTRY):
        town.doors.way(TAX, peer).delay_s = town.doors.way(peer, TAX).delay_s = 0.02
    job = await town.submit()
    await town.until(job, lambda event: (event.party, event.kind, event.stage) == (TAX, "done", "split"))
    before = len(town.log(TAX))
    squeeze(town, TAX, 0)
    # A process that stands still is ended by its own watchdog, and not before.
    async with asyncio.timeout(watchdog.LOOK_S * watchdog.MOST_MISSED + 60):
        while not lacks_memory(town, town.log(TAX)[before:]):  # noqa: ASYNC110 - another process meets it
            await asyncio.sleep(0.1)
    assert all(town.nodes[party].running for party in (BANK, REGISTRY, PLATFORM))
    assert town.state(BANK, job) in ("running", "waiting")
    await town.kill(TAX)
    status, said = await town.command("node", "fsck", str(town.nodes[TAX].folder))
    assert status == 0, said
    town.doors.heal()
    await town.up(TAX)
    await succeeds(town, job, oracle)
    await succeeds(town, await town.submit(), oracle)


def lacks_memory(town: Town, said: str) -> bool:
    return not town.nodes[TAX].running or "OUT_OF_MEMORY" in said or "MemoryError" in said


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["raise", "panic"])
async def test_a_bug_ends_one_job_and_says_nothing_of_what_it_met(
    town: Town, oracle: dict[str, bytes], bug: str
) -> None:
    await town.kill(TAX)
    await town.up(TAX, plan=f"job.stage.computed[gbdt.0/tree.0]={bug}@1")
    jobs = [await town.submit() for _ in range(3)]
    ends = await asyncio.gather(*(town.end(job) for job in jobs))
    assert sorted(end.stage for end in ends) == ["failed", "succeeded", "succeeded"]
    for job, end in zip(jobs, ends, strict=True):
        if end.stage == "succeeded":
            assert town.result(job) == oracle
        else:
            assert end.code == "INTERNAL"
            (problem,) = town.failure(TAX, job)
            assert problem["code"] == "INTERNAL"
            assert failpoints.TELLTALE not in str(problem)
    for node in town.nodes.values():
        assert failpoints.TELLTALE not in node.log.read_text()
        for file in node.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # the nodes run, and what they replace is gone
                assert not file.is_file() or failpoints.TELLTALE.encode() not in file.read_bytes(), file
    await succeeds(town, await town.submit(), oracle)


# -- moves ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def moved(town: Town, party: str) -> AsyncIterator[None]:
    """A node that does not run gets another port and another door; the platform is told by its file, and restarted."""
    node, file = town.nodes[TAX], town.nodes[PLATFORM].folder / "party.toml"
    text = file.read_text()
    node.port = free_port()
    address = await town.doors.add(party, node.port)
    changed = tomllib.loads(text)
    changed["peers"][party] = address
    file.write_text(dump(changed))
    await town.kill(PLATFORM)
    await town.up(PLATFORM, party)
    try:
        yield
    finally:
        town.addresses[TAX] = address


@pytest.mark.slow
async def test_a_party_that_moves_in_the_middle_of_a_job_is_found_again(town: Town, oracle: dict[str, bytes]) -> None:
    await town.kill(TAX)
    await town.up(TAX, plan="job.stage.kept[gbdt.0/tree.1]=kill@1")
    job = await town.submit_patiently()
    await town.died(TAX)
    async with moved(town, TAX):
        await succeeds(town, job, oracle)
