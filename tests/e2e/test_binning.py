"""Federated binning from the command line: figures, own bins at each party, and the numbers of the pooled table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.conftest import run_cli, write_job

from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.woe import BinCounts, woe_table

N = 2000


@pytest.fixture
def pooled() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    turnover, own, salary = rng.normal(size=(3, N)).round(4)
    special = np.where(rng.random(N) < 0.1, -999.0, rng.normal(size=N).round(3))
    gone = np.where(rng.random(N) < 0.1, np.nan, rng.normal(size=N).round(3))
    branch = rng.choice(["north", "south", "east", "west"], N)
    logit = turnover + own - 1.2 + (branch == "east") - 0.7 * (special == -999.0)
    label = (rng.random(N) < 1 / (1 + np.exp(-logit))).astype(int)
    return {
        "bank": {"own": own, "salary": salary, "default": label},
        "tax": {"turnover": turnover, "branch": branch, "code": special, "gone": gone},
    }


@pytest.fixture
def job(tmp_path: Path, pooled: dict[str, Any]) -> Path:
    ids = np.char.zfill(np.arange(N).astype(str), 12)
    for party, columns in pooled.items():
        cells = [np.where(v == "nan", "", v) for v in (values.astype(str) for values in columns.values())]
        lines = [",".join(row) for row in np.stack([ids, *cells], axis=1)]
        (tmp_path / f"{party}.csv").write_text("\n".join([",".join(["id", *columns]), *lines]) + "\n")
    path = write_job(tmp_path, ["bank", "tax"])
    text = path.read_text() + "[parties.tax.columns.code]\nspecial = [-999]\n"
    path.write_text(text + "[parties.tax.columns.turnover]\nsplits = [-1, 0.5]\n")
    return path


def simulate(job: Path, out: Path, model: str) -> dict[str, Any]:
    text = job.read_text()
    job.write_text(f'{text}\n[[model]]\nkind = "binning"\n{model}\n')
    done = run_cli("simulate", job, "--out", out)
    job.write_text(text)
    assert done.returncode == 0, done.stderr
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return metrics


def part(out: Path, party: str) -> dict[str, Any]:
    (path,) = (out / "parties" / party / "model").rglob("bins.json")
    return {column["name"]: column for column in json.loads(path.read_text())["columns"]}


def test_every_column_has_the_bins_of_the_pooled_table(job: Path, tmp_path: Path, pooled: dict[str, Any]) -> None:
    out = tmp_path / "out"
    metrics = simulate(job, out, 'iv_disclosure = "exact"')
    assert metrics["rows"] == {"aligned": N, "train": N, "test": 0}
    (model,) = metrics["models"]
    assert model["kind"] == "binning"
    assert model["seconds"]["binning"] > 0
    assert model["bytes"] > 0
    assert model["rounds"] > 0
    assert {row["id"] for row in metrics["leakage"]} >= {"binning.shape", "binning.counts", "binning.iv.exact"}
    y = pooled["bank"]["default"].astype(np.uint8)
    told = {row["column"]: row for row in model["columns"]}
    assert told.keys() == {"own", "salary", "tax.f0", "tax.f1", "tax.f2", "tax.f3"}
    for party, columns in pooled.items():
        for number, (name, values) in enumerate((k, v) for k, v in columns.items() if k != "default"):
            mine = part(out, party)[name]
            bins = ScorecardBins.from_json(mine["bins"])
            numbers = values if name != "branch" else np.array([mine["levels"].index(v) for v in values], float)
            table = woe_table(BinCounts.of(bins.codes(numbers), y, bins.n_bins))
            assert mine["rows"] == table.counts.rows.tolist()
            assert mine["iv"] == told[name if party == "bank" else f"tax.f{number}"]["iv"] == table.total_iv
            assert bins.evidence == tuple(table.woe.tolist())
    assert ScorecardBins.from_json(part(out, "tax")["turnover"]["bins"]).splits == (-1.0, 0.5)
    assert -999.0 in ScorecardBins.from_json(part(out, "tax")["code"]["bins"]).special

    # Each party has its own columns and none of the other's, by name, value or count.
    for party, other in (("bank", "turnover"), ("tax", "salary")):
        files = [path for path in (out / "parties" / party).rglob("*") if path.is_file()]
        assert not [path for path in files if other.encode() in path.read_bytes()]
    assert all(column["events"] is None for column in part(out, "tax").values())
    assert "turnover" not in json.dumps(metrics)
    report = (out / "report.html").read_text()
    assert "turnover" not in report
    assert "salary" in report
    (page,) = (out / "parties" / "tax" / "model").rglob("bins.html")
    assert "turnover" in page.read_text()
    assert "The part of tax" in page.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["none", "bins", "rank", "rounded"])
def test_the_owner_is_told_what_the_job_says(job: Path, tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    metrics = simulate(job, out, f'iv_disclosure = "{how}"\nmethod = "quantile"')
    (model,) = metrics["models"]
    mine = part(out, "tax").values()
    assert all(column["bins"]["evidence"] is None for column in mine)
    foreign = [row for row in model["columns"] if row["party"] == "tax"]
    ids = {row["id"] for row in metrics["leakage"]}
    told = {f"binning.iv.{how}" for how in ("coarse", "rank", "rounded", "exact")} & ids
    assert ("binning.joined" in ids) == (how != "none")
    if how in ("none", "bins"):
        assert {column["iv"] for column in mine} == {None}
        # The label party keeps to itself what the owner is not told, on its own page.
        assert all(row["iv"] >= 0 for row in foreign)
        assert not told
    else:
        assert told == {f"binning.iv.{how}"}
        assert all(round(column["iv"], 2) == column["iv"] for column in mine)
    if how == "rank":
        assert sorted(row["rank"] for row in foreign) == [1, 2, 3, 4]
        assert {row["iv"] for row in foreign} == {None}


@pytest.mark.slow
def test_with_another_kind_in_the_job_bins_are_of_the_rows_to_train_on(job: Path, tmp_path: Path) -> None:
    model = '[[model]]\nkind = "gbdt"\nnum_trees = 2\nmax_depth = 2\n'
    metrics = simulate(job, tmp_path / "out", model)
    binned, trained = metrics["models"]
    assert (binned["kind"], trained["kind"]) == ("binning", "gbdt")
    assert binned["rows"] == metrics["rows"]["train"] < N
    assert trained["auc"] is not None
