"""F18, F21, F22: a second process for one party, parties of other versions, tables that changed."""

from __future__ import annotations

import asyncio

import pytest
from faults.desk import desk_in
from faults.town import BANK, PARTIES, REGISTRY, TAX, Town

from fedcredit.wire.control import Accepted

pytestmark = pytest.mark.anyio


async def test_a_second_process_of_a_party_is_told_who_has_it(town: Town, oracle: dict[str, bytes]) -> None:
    job = await town.submit()
    await town.until(job, lambda event: event.stage == "align")
    status, said = await town.run(TAX)
    assert status == 78
    first = town.nodes[TAX].process
    assert first is not None
    assert "LOCKED" in said
    assert f"process {first.pid} on " in said
    end = await town.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    assert town.result(job) == oracle
    assert {(party, "align") for party in PARTIES} <= town.begun(job)


SKEWED = "import fedcredit.node.specification as s; s.PROTOCOLS['groupsum'] = 99"


@pytest.mark.slow
async def test_versions_that_do_not_fit_are_found_before_any_data(town: Town) -> None:
    await town.kill(TAX)
    await town.up(TAX, before=SKEWED)
    job = await town.submit()
    end = await town.end(job)
    assert (end.stage, end.code, end.exit_status) == ("failed", "INCOMPATIBLE", 77)
    assert not town.begun(job)
    (problem,) = [p for p in town.failure(TAX, job) if p["code"] == "INCOMPATIBLE"]
    assert "99" in problem["what"], "its own people see both versions"


@pytest.mark.parametrize("change", ["row", "cell"])
async def test_a_table_that_changed_after_the_agreement_trains_nothing(town: Town, change: str) -> None:
    table = town.folder / "tax.csv"
    text = table.read_text()
    async with desk_in(town) as desk:
        proposal = desk.proposal()
        start = await desk.sign(await desk.propose(proposal))
        try:
            first, second, rest = text.split("\n", 2)
            changed = f"{second[:-1]}{(int(second[-1]) + 1) % 10}"
            table.write_text(text + "000000000999,1.0,1\n" if change == "row" else "\n".join((first, changed, rest)))
            for party in PARTIES:
                await desk.call(party, "Start", start, Accepted)
            end = await desk.end(TAX, proposal.id)
            assert (end.stage, end.code, end.exit_status) == ("failed", "DATASET_CHANGED", 65)
        finally:
            table.write_text(text)
        await desk.cancel(proposal.id)
        ends = await asyncio.gather(*(desk.end(party, proposal.id) for party in (BANK, REGISTRY)))
        assert {end.stage for end in ends} <= {"cancelled", "failed"}
    for party in PARTIES:
        assert not (town.nodes[party].folder / "jobs" / proposal.id / "result").exists()
