"""Two cities bin their rows together: neither sees the other's counts but through noise, and the bins are good ones."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.conftest import run_cli
from e2e.town import town

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.settling import PrebinShape, prebins_of, settle_column
from fedcredit.credit.woe import BinCounts, woe_table
from fedcredit.governance.policy import EVER
from fedcredit.governance.privacy import key_of, rho_units
from fedcredit.ids import PartyId
from fedcredit.node.store import Store
from fedcredit.node.store.stages import Checkpoint

pytestmark = pytest.mark.slow
CITIES = ("jining", "nanjing")
N = 20_000
COUNTS = "binning.0/counts"

JOB = """
[aggregate]
epsilon = 8.0
delta = 1e-6
[[model]]
kind = "{kind}"
split = "horizontal"
"""


def write(folder: Path) -> tuple[Path, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(12)
    columns = {"turnover": rng.normal(size=N).round(3), "debt": rng.exponential(size=N).round(2)}
    gone = rng.random(N) < 0.1
    z = -2.0 + columns["turnover"] + 0.4 * columns["debt"] + 0.8 * gone
    y = (rng.random(N) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    columns["debt"][gone] = np.nan
    text = '[job]\nname = "cities"\npurpose = "research"\nseed = 7\n'
    first = rng.random(N) < 0.4
    for city, of in zip(CITIES, (first, ~first), strict=True):
        mine = np.flatnonzero(of)
        cells = [np.where(v == "nan", "", v) for v in (columns[name][mine].astype(str) for name in columns)]
        rows = np.stack([np.char.zfill(mine.astype(str), 12), *cells, y[mine].astype(str)], axis=1)
        (folder / f"{city}.csv").write_text("\n".join(["id,turnover,debt,default", *map(",".join, rows)]) + "\n")
        text += f'[parties.{city}]\ntable = "{city}.csv"\nid = "id"\nid_type = "digits"\nlabel = "default"\n'
    path = folder / "JOB.toml"
    path.write_text(text + JOB.format(kind="binning"))
    return path, columns, y


def test_noised_bins_of_two_cities_resemble_the_exact_ones(tmp_path: Path) -> None:
    path, columns, y = write(tmp_path)
    done = run_cli("simulate", path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    metrics: dict[str, Any] = json.loads((tmp_path / "out" / "metrics.json").read_text())
    ids = {row["id"] for row in metrics["leakage"]}
    assert "aggregate.noised" in ids
    assert "aggregate.two" not in ids
    (model,) = metrics["models"]
    assert (model["noise"]["epsilon"], model["noise"]["delta"]) == (8.0, 1e-6)
    sigma = model["noise"]["sigma"]
    assert 0 < abs(model["rows"] - N) + abs(model["bads"] - int(y.sum())) < 1000
    parts = [p.read_bytes() for p in sorted((tmp_path / "out" / "parties").rglob("bins.json"))]
    assert len(parts) >= 2
    assert len(set(parts)) == 1
    params = BinParams()
    for column in json.loads(parts[0])["columns"]:
        values = columns[column["name"]]
        bins = ScorecardBins.from_json(column["bins"])
        counts = BinCounts.of(bins.codes(values), y, bins.n_bins)
        assert np.abs(counts.events - np.array(column["events"])).max() < 30 * sigma
        prebins = prebins_of(values, params)
        exact = settle_column(PrebinShape.of(prebins), BinCounts.of(prebins.codes(values), y, prebins.n_bins), params)
        assert exact.iv is not None
        assert column["iv"] == pytest.approx(exact.iv, rel=0.1)
        # On the true rows the noised bins part good from bad as well as the best bins do.
        assert woe_table(counts).total_iv > 0.93 * exact.iv


@pytest.mark.anyio
async def test_what_a_crash_makes_a_job_sum_again_is_the_same_release_and_costs_once(tmp_path: Path) -> None:
    path, _, _ = write(tmp_path)
    leader, victim = (PartyId(city) for city in CITIES)
    async with town(path, tmp_path / "out", lost_after_s=2.0) as place:
        # The sum is told to both; one of them dies before it has kept it.
        await place.crash(victim, f"job.stage.computed[{COUNTS}]=kill")
        job = await place.submit()
        await place.died(victim)
        async with asyncio.timeout(60):
            while COUNTS not in (before := kept(place.folder(leader), job)):  # noqa: ASYNC110 - another process keeps it
                await asyncio.sleep(0.1)
        assert COUNTS not in kept(place.folder(victim), job)
        await place.start(victim)
        events = await place.outcome(job)
        assert events[-1].stage == "succeeded"
        after = [kept(place.folder(city), job) for city in (leader, victim)]
        # How many starts that took is a matter of who noticed whom first.
        assert after[0][COUNTS].epoch == after[1][COUNTS].epoch >= 1
        assert after[0][COUNTS].digest == after[1][COUNTS].digest == before[COUNTS].digest
        assert len(set(place.models(job).values())) == 1
        for city in (leader, victim):
            with closing(Store.look(f"sqlite:///{place.folder(city) / 'store.sqlite'}")) as store:
                assert store.budgets.tally(key_of("main"), EVER) == (1, rho_units(8.0, 1e-6))


def kept(folder: Path, job: str) -> dict[str, Checkpoint]:
    with closing(Store.look(f"sqlite:///{folder / 'store.sqlite'}")) as store:
        return {checkpoint.stage: checkpoint for checkpoint in store.stages.checkpoints(job)}


def test_boosted_trees_with_noise_are_refused_by_name(tmp_path: Path) -> None:
    path, _, _ = write(tmp_path)
    path.write_text(path.read_text().replace('kind = "binning"', 'kind = "gbdt"'))
    done = run_cli("simulate", path, "--out", tmp_path / "out")
    assert done.returncode == 78
    assert "CONFIG_NOISE" in done.stderr
    assert "a gbdt is not made of sums with noise" in done.stderr
