"""Five cities with the same columns: one of them is killed at any point, and the job goes on without it, or ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from e2e.town import Town, town

from fedcredit.ids import PartyId
from fedcredit.node.local import PLATFORM
from fedcredit.wire.control import JobEvent

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CITIES = tuple(PartyId(name) for name in ("jining", "nanjing", "zaozhuang", "jinan"))
LEADER, OTHER = CITIES[0], CITIES[2]

JOB = """
[split]
holdout = 0.25
[aggregate]
threshold = {threshold}
wait_s = 1
[[model]]
kind = "gbdt"
split = "horizontal"
num_trees = 3
max_depth = 3
max_bin = 8
[[model]]
kind = "logistic"
split = "horizontal"
[[model]]
kind = "scorecard"
split = "horizontal"
max_features = 2
"""


def write(folder: Path, threshold: int) -> Path:
    """Tables of different sizes and default rates, and their job."""
    rng = np.random.default_rng(8)
    text = '[job]\nname = "cities"\npurpose = "research"\nseed = 7\n'
    for k, city in enumerate(CITIES):
        n = 500 + 250 * k
        x, z = rng.normal(size=n) + 0.2 * k, rng.integers(0, 40, n)
        bad = rng.random(n) < 1 / (1 + np.exp(2.2 - 0.3 * k - x - 0.03 * z))
        keys = np.char.zfill((np.arange(n) + 10_000 * k).astype(str), 12)
        rows = np.stack([keys, x.round(4).astype(str), z.astype(str), bad.astype(int).astype(str)], axis=1)
        # Each has its columns in an order of its own.
        order = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [0, 2, 1, 3]][k]
        header = np.array(["id", "x", "z", "default"])
        lines = [",".join(row) for row in np.vstack([header, rows])[:, order]]
        (folder / f"{city}.csv").write_text("\n".join(lines) + "\n")
        text += f'[parties.{city}]\ntable = "{city}.csv"\nid = "id"\nid_type = "digits"\nlabel = "default"\n'
    path = folder / "JOB.toml"
    path.write_text(text + JOB.format(threshold=threshold))
    return path


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("cities")
    async with town(write(folder, 3), folder / "out", lost_after_s=2.0, peer_timeout_s=90.0) as made:
        yield made


def told(events: list[JobEvent]) -> str:
    return "\n".join(f"{e.seq} {e.party}: {e.kind} {e.stage} {e.code} {e.culprit}" for e in events[-40:])


async def without(place: Town, victim: PartyId, plan: str) -> tuple[str, list[JobEvent]]:
    """A job during which `victim` dies by `plan` and stays away; its name, and what happened."""
    await place.restore()
    await place.crash(victim, plan)
    job = await place.submit()
    await place.died(victim)
    return job, await place.outcome(job)


def same_everywhere(place: Town, job: str, cities: tuple[PartyId, ...]) -> dict[str, bytes]:
    """The models, which all cities that are left have alike."""
    found = place.models(job)
    parts: dict[str, set[bytes]] = {}
    for name, content in found.items():
        city, _, file = name.partition("/")
        if city in cities and not file.endswith("own.json"):
            parts.setdefault(file, set()).add(content)
    assert parts
    assert all(len(contents) == 1 for contents in parts.values()), sorted(found)
    return {file: min(contents) for file, contents in parts.items()}


async def test_all_cities_end_with_the_same_models_and_figures(place: Town) -> None:
    await place.restore()
    job = await place.submit()
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    models = same_everywhere(place, job, CITIES)
    assert set(models) == {
        "model/gbdt.0/model.lightgbm.txt",
        "model/logistic.1/logistic.json",
        "model/scorecard.2/scorecard.json",
    }
    # What the tables were made with, whatever the order of each one's columns.
    fitted = {
        column["name"]: column["coefficient"]
        for column in json.loads(models["model/logistic.1/logistic.json"])["columns"]
    }
    assert 0.8 < fitted["x"] < 1.2
    assert 0.03 < fitted["z"] < 0.05
    metrics = place.metrics(job)
    assert metrics["rows"]["aligned"] == 500 + 750 + 1000 + 1250
    for model in metrics["models"]:
        assert model["auc"] > 0.7
        assert model["bytes"] > 0
        assert model["within"]["pairs"] > 0
    for city in CITIES[1:]:
        own = json.loads((place.folder(city) / "jobs" / job / "result" / "metrics.json").read_text())
        for mine, leaders in zip(own["models"], metrics["models"], strict=True):
            assert mine["auc"] == leaders["auc"]


PLANS = [
    (OTHER, "job.stage.begun[gbdt.0/tree.1]=kill"),
    (LEADER, "job.stage.kept[gbdt.0/tree.1]=kill"),
    (OTHER, "job.stage.begun[logistic.1/fit.1]=kill"),
    (LEADER, "job.stage.begun[scorecard.2/counts]=kill"),
    (OTHER, "job.stage.begun[finish]=kill"),
]


@pytest.mark.parametrize(("victim", "plan"), PLANS, ids=lambda value: str(value))
async def test_the_job_goes_on_without_a_city_that_is_killed(place: Town, victim: PartyId, plan: str) -> None:
    job, events = await without(place, victim, plan)
    assert events[-1].stage == "succeeded", told(events)
    left = tuple(city for city in CITIES if city != victim)
    assert len(same_everywhere(place, job, left)) == 3
    (gone,) = [json.loads(e.detail) for e in events if e.party == PLATFORM and e.stage == "left_out"]
    assert gone["party"] == victim
    for city in left:
        assert (place.folder(city) / "jobs" / job / "result" / "metrics.json").exists()


async def test_a_city_that_is_back_is_told_that_the_job_went_on(place: Town) -> None:
    await place.restore()
    await place.crash(OTHER, "job.stage.begun[rows]=kill")
    job = await place.submit()
    await place.died(OTHER)
    await place.until(job, PLATFORM, "state", "left_out")
    await place.start(OTHER)
    events = await place.outcome(job)
    assert events[-1].stage == "succeeded", told(events)
    failure = place.folder(OTHER) / "jobs" / job / "failure.json"
    async with asyncio.timeout(120):
        while not failure.exists():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.2)
    (problem,) = json.loads(failure.read_text())["problems"]
    # If the job had ended before it was back, nobody was left to tell it.
    assert problem["code"] in ("LEFT_OUT", "PEER_LOST")


async def test_where_all_are_needed_the_job_ends_and_names_who_is_lost(tmp_path: Path) -> None:
    async with town(write(tmp_path, 4), tmp_path / "out", lost_after_s=2.0, peer_timeout_s=6.0) as made:
        _, events = await without(made, OTHER, "job.stage.begun[gbdt.0/tree.1]=kill")
        assert events[-1].stage == "failed", told(events)
        assert events[-1].code == "PEER_LOST"
        assert events[-1].culprit == OTHER
