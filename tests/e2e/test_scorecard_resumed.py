"""A node dies while a scorecard is made and is started again: the job goes on, to the same card."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.conftest import write_job
from e2e.town import Town, town

from fedcredit.ids import PartyId

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BANK, TAX, WATER = PartyId("bank"), PartyId("tax"), PartyId("water")
MODEL = '[split]\nholdout = 0.25\n[[model]]\nkind = "scorecard"\n'


def write(folder: Path, n: int = 1500) -> None:
    rng = np.random.default_rng(4)
    own, turnover, debt, pressure = rng.normal(size=(4, n)).round(4)
    z = -1.0 - own - 0.8 * turnover + 0.7 * debt - 0.8 * pressure
    label = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int)
    tables = {
        "bank": {"own": own, "default": label},
        "tax": {"turnover": turnover, "debt": debt},
        "water": {"pressure": pressure},
    }
    ids = np.char.zfill(np.arange(n).astype(str), 12)
    for party, columns in tables.items():
        rows = [",".join(row) for row in np.stack([ids, *(v.astype(str) for v in columns.values())], axis=1)]
        (folder / f"{party}.csv").write_text("\n".join([",".join(["id", *columns]), *rows]) + "\n")


@pytest.fixture(scope="module", params=[2, 3])
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    write(folder)
    job = write_job(folder, ["bank", "tax", "water"][: request.param], MODEL)
    async with town(job, folder / "out") as made:
        yield made


def parts(place: Town, job: str) -> dict[str, dict[str, Any]]:
    """Each party's part, without the name of the training that it belongs to."""
    found = {name: json.loads(data) for name, data in place.models(job).items() if name.endswith("scorecard.json")}
    return {name: {key: value for key, value in part.items() if key != "model"} for name, part in found.items()}


@pytest.fixture(scope="module")
async def wanted(place: Town) -> dict[str, dict[str, Any]]:
    """The parts of an uninterrupted run."""
    job = await place.submit()
    assert (await place.outcome(job))[-1].stage == "succeeded"
    return parts(place, job)


@pytest.mark.parametrize(
    ("victim", "plan"),
    [
        (TAX, "job.stage.computed[scorecard.0/figures]=kill"),
        (BANK, "job.stage.kept[scorecard.0/moments]=kill"),
        (TAX, "job.stage.begun[scorecard.0/fit.0]=kill"),
        (BANK, "job.stage.computed[scorecard.0/fit.0]=kill"),
        (TAX, "job.stage.kept[scorecard.0/tally.test]=kill"),
    ],
    ids=lambda value: str(value),
)
async def test_a_killed_node_comes_back_and_the_card_is_the_same(
    place: Town, wanted: dict[str, dict[str, Any]], victim: PartyId, plan: str
) -> None:
    await place.crash(victim, plan)
    submitting = asyncio.create_task(place.submit())
    await place.died(victim)
    await place.start(victim)
    job = await submitting
    assert (await place.outcome(job))[-1].stage == "succeeded"
    found = parts(place, job)
    if len(wanted) == 2:
        assert found == wanted
        return
    # Three parties split scores by a secret of the job, and this is another job than the one that was not interrupted:
    # what rounding makes of the split may differ, by far less than a standard error.
    assert found.keys() == wanted.keys()
    for name, part in found.items():
        for mine, other in zip(part["columns"], wanted[name]["columns"], strict=True):
            assert mine["bins"] == other["bins"]
            assert mine["coefficient"] == pytest.approx(other["coefficient"], abs=1e-3 * other["standard_error"])
            assert np.abs(np.array(mine["points"]) - other["points"]).max() <= 1
