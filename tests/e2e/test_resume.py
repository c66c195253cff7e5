"""A node is killed at a chosen point and started again: the job goes on, to the same model byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from e2e.conftest import write_job, write_tables
from e2e.town import Town, town

from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM
from fedcredit.wire.control import JobEvent

pytestmark = pytest.mark.anyio
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
def anyio_backend() -> str:
    """One event loop for the module, whose tests share a town."""
    return "asyncio"


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
    job = await place.submit()
    await place.died(victim)
    await place.start(victim)
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    return job


FAST = [
    (TAX, "job.stage.computed[gbdt.0/tree.2]=kill"),
    (BANK, "job.stage.kept[gbdt.0/tree.2]=kill"),
]
SLOW = [
    (TAX, "job.proposed.kept=kill"),
    (REGISTRY, "job.signed.kept=kill"),
    (BANK, "job.start.kept=kill"),
    (TAX, "job.stage.begun[align]=kill"),
    (BANK, "job.stage.computed[align]=kill"),
    (REGISTRY, "job.stage.kept[align]=kill"),
    (BANK, "job.stage.begun[gbdt.0/setup]=kill"),
    (TAX, "job.stage.kept[gbdt.0/tree.4]=kill"),
    (BANK, "job.stage.begun[gbdt.0/predict]=kill"),
    (TAX, "job.stage.begun[finish]=kill"),
    (BANK, "job.stage.kept[finish]=kill"),
    (TAX, "job.result.written=kill"),
    (BANK, "job.result.recorded=kill"),
    (REGISTRY, "job.result.renamed=kill"),
    (BANK, "job.result.noted=kill"),
    (TAX, "job.end.recorded=kill"),
    (BANK, "job.end.kept=kill"),
    (PLATFORM, "platform.submit.kept=kill"),
    (PLATFORM, "platform.specification.kept=kill"),
    (PLATFORM, "platform.start.kept=kill"),
]
PLANS = [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


@pytest.mark.parametrize(("victim", "plan"), PLANS, ids=lambda value: str(value))
async def test_a_killed_node_comes_back_and_the_model_is_the_same(
    place: Town, wanted: dict[str, bytes], victim: PartyId, plan: str
) -> None:
    job = await survive(place, victim, plan)
    assert place.models(job) == wanted
