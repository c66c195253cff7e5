"""A node is killed in the middle of statistics and started again: the job goes on, to the same tables byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from e2e.conftest import write_job, write_tables
from e2e.town import Town, town

from fedcredit.ids import PartyId

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BANK, TAX, REGISTRY = PartyId("bank"), PartyId("tax"), PartyId("registry")

TABLES = """
[[model]]
kind = "statistics"
min_cell = 20
share = true
[[model.table]]
name = "bad_rate"
by = ["tax.x"]
sum = ["bank.label", "bank.y"]
[[model.table]]
name = "cross"
by = ["registry.x", "bank.x"]
"""


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    write_tables(folder, {"bank": (0, 900), "tax": (200, 1000), "registry": (100, 950)})
    job = write_job(folder, ["bank", "tax", "registry"], TABLES)
    async with town(job, folder / "out") as made:
        yield made


@pytest.fixture(scope="module")
async def wanted(place: Town) -> dict[str, bytes]:
    """The files of an uninterrupted run."""
    job = await place.submit()
    assert (await place.outcome(job))[-1].stage == "succeeded"
    files = place.models(job)
    assert {name.rpartition("/")[2] for name in files} == {"statistics.json", "bad_rate.csv", "cross.csv"}
    return files


@pytest.mark.parametrize(
    ("victim", "plan"),
    [
        (TAX, "job.stage.computed[statistics.0/table.0]=kill"),
        (BANK, "job.stage.kept[statistics.0/table.0]=kill"),
        (REGISTRY, "job.stage.begun[statistics.0/table.1]=kill"),
        (BANK, "job.stage.begun[statistics.0/share]=kill"),
    ],
    ids=str,
)
async def test_a_killed_node_comes_back_and_the_tables_are_the_same(
    place: Town, wanted: dict[str, bytes], victim: PartyId, plan: str
) -> None:
    await place.crash(victim, plan)
    submitting = asyncio.create_task(place.submit())
    await place.died(victim)
    await place.start(victim)
    job = await submitting
    assert (await place.outcome(job))[-1].stage == "succeeded"
    assert place.models(job) == wanted
