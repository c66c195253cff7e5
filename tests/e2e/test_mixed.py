"""Three banks with borrowers of their own and two departments: one card over all of them, in one job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from e2e.town import Town, town

from fedcredit.ids import PartyId

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
BANKS = tuple(PartyId(name) for name in ("icbc", "abc", "ccb"))
TAX, WATER = PartyId("tax"), PartyId("water")

MODEL = """
[split]
holdout = 0.25
[intersect]
min_size = 50
[[model]]
kind = "scorecard"
split = "mixed"
max_features = 5
"""


def write(folder: Path) -> Path:
    """Tables of banks of different sizes and default rates, of departments with rows of all of them, and their job."""
    rng = np.random.default_rng(5)
    text, keys_of, x_of = '[job]\nname = "mixed"\npurpose = "research"\nseed = 7\n', [], []
    for k, bank in enumerate(BANKS):
        n = 900 + 300 * k
        keys = np.char.zfill((np.arange(n) + 10_000 * k).astype(str), 12)
        own, foreign = rng.normal(size=n), rng.normal(size=(n, 2))
        bad = rng.random(n) < 1 / (1 + np.exp(1.6 - 0.4 * k - own - foreign @ [0.9, 0.7]))
        rows = np.stack([keys, own.round(4).astype(str), bad.astype(int).astype(str)], axis=1)
        (folder / f"{bank}.csv").write_text("\n".join(["id,turnover,default", *map(",".join, rows)]) + "\n")
        text += f'[parties.{bank}]\ntable = "{bank}.csv"\nid = "id"\nid_type = "digits"\nlabel = "default"\n'
        keys_of.append(keys[: n - 50])
        x_of.append(foreign[: n - 50])
    keys, x = np.concatenate(keys_of), np.concatenate(x_of)
    for j, (party, column) in enumerate(((TAX, "paid"), (WATER, "used"))):
        order = rng.permutation(keys.size)
        rows = np.stack([keys, x[:, j].round(4).astype(str)], axis=1)[order]
        (folder / f"{party}.csv").write_text("\n".join([f"id,{column}", *map(",".join, rows)]) + "\n")
        text += f'[parties.{party}]\ntable = "{party}.csv"\nid = "id"\nid_type = "digits"\n'
    path = folder / "JOB.toml"
    path.write_text(text + MODEL)
    return path


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("mixed")
    async with town(write(folder), folder / "out") as made:
        yield made


async def test_one_card_over_the_borrowers_of_all_banks(place: Town) -> None:
    job = await place.submit()
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", events[-5:]
    models = place.models(job)
    own = {name.partition("/")[0]: content for name, content in models.items() if name.endswith("/scorecard.json")}
    assert len({own[bank] for bank in BANKS}) == 1
    assert set(own) == {*BANKS, TAX, WATER}
    columns = {party: {column["name"] for column in json.loads(content)["columns"]} for party, content in own.items()}
    assert columns[BANKS[0]] == {"turnover"}
    assert columns[TAX] == {"paid"}
    assert columns[WATER] == {"used"}
    metrics = place.metrics(job)
    assert metrics["rows"]["aligned"] == 850 + 1150 + 1450
    (model,) = metrics["models"]
    assert model["rows"] == metrics["rows"]["train"]
    assert model["auc"] > model["auc_alone"] + 0.05
    assert {row["party"] for row in model["contribution"]} == {BANKS[0], TAX, WATER}
    assert all(row["auc_gain"] > 0 for row in model["contribution"])


async def test_a_department_that_is_killed_comes_back_and_the_card_is_made(place: Town) -> None:
    await place.restore()
    await place.crash(TAX, "job.stage.begun[scorecard.0/fit.0]=kill")
    submitting = asyncio.create_task(place.submit())
    await place.died(TAX)
    await place.start(TAX)
    job = await submitting
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", events[-5:]
    assert len({name for name in place.models(job) if name.endswith("/scorecard.json")}) == len(BANKS) + 2
    assert place.metrics(job)["job"]["starts"] == 2
