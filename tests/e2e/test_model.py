"""A joint model from the command line: the folder of results is what design.md promises, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.conftest import run_cli, write_job

MODEL = """
[split]
holdout = 0.25
[[model]]
kind = "gbdt"
num_trees = 4
max_depth = 3
max_bin = 16
learning_rate = 0.3
"""


@pytest.fixture
def credit(tmp_path: Path) -> Path:
    """Two parties with 1,500 subjects in common; half of what decides the label is at the tax office."""
    rng = np.random.default_rng(5)
    n = 2000
    ids = np.char.zfill(np.arange(n).astype(str), 12)
    own, other, noise = rng.normal(size=(3, n)).round(4)
    label = (own + other + 0.5 * noise > 1.0).astype(int)
    for name, columns, rows in (
        ("bank", {"own": own, "noise": noise * 0 + rng.normal(size=n).round(4), "default": label}, slice(0, 1750)),
        ("tax", {"turnover": other, "staff": rng.integers(0, 40, n)}, slice(250, 2000)),
    ):
        header = ",".join(["id", *columns])
        stacked = np.stack([ids, *(values.astype(str) for values in columns.values())], axis=1)[rows]
        lines = [",".join(row) for row in stacked[rng.permutation(len(stacked))]]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n")
    return write_job(tmp_path, ["bank", "tax"], MODEL)


def simulate(job: Path, out: Path, timeout_s: float = 800) -> dict[str, Any]:
    done = run_cli("simulate", job, "--out", out, timeout_s=timeout_s)
    assert done.returncode == 0, done.stderr
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return metrics


def test_a_joint_model_leaves_what_was_promised(credit: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    metrics = simulate(credit, out)
    rows = metrics["rows"]
    assert rows["aligned"] == 1500
    assert rows["train"] + rows["test"] == 1500
    assert 300 < rows["test"] < 450
    (model,) = metrics["models"]
    assert model["kind"] == "gbdt"
    assert {"auc", "ks", "auc_alone", "ks_alone", "seconds", "bytes", "rounds", "phases", "importance"} <= model.keys()
    assert model["auc"] > model["auc_alone"] + 0.05
    assert {"job", "rows", "models", "traffic", "leakage", "environment"} <= metrics.keys()

    # Each party has its own part and no name, bin edge or path of the other's.
    parts = {party: list((out / "parties" / party / "model").rglob("*")) for party in ("bank", "tax")}
    assert all(any(path.is_file() for path in paths) for paths in parts.values())
    texts = {party: "".join(p.read_text() for p in paths if p.is_file()) for party, paths in parts.items()}
    assert "turnover" not in texts["bank"]
    assert "turnover" in texts["tax"]
    assert "noise" not in texts["tax"]
    assert "turnover" not in json.dumps(metrics)
    # What a party should know about its own table is there for itself alone.
    for party, column in (("bank", "noise"), ("tax", "turnover")):
        (quality,) = (out / "parties" / party / "jobs").glob("*/result/quality.json")
        found = json.loads(quality.read_text())
        assert found["rows"] == 1750
        assert column in {row["name"] for row in found["columns"]}
    assert not list((out / "audit").rglob("quality.json")) + list(out.glob("quality.json"))
    bank_folder = out / "parties" / "bank"
    assert not [p for p in bank_folder.rglob("*") if p.is_file() and b"turnover" in p.read_bytes()]
    report = (out / "report.html").read_text()
    assert "turnover" not in report
    assert "gbdt" in report


@pytest.mark.slow
def test_the_same_job_gives_the_same_model(credit: Path, tmp_path: Path) -> None:
    first, second = (simulate(credit, tmp_path / name) for name in ("first", "second"))
    for key in ("auc", "ks", "auc_train", "auc_alone", "importance"):
        assert first["models"][0][key] == second["models"][0][key], key
    for party in ("bank", "tax"):
        found = [
            {p.name: p.read_bytes() for p in (tmp_path / name / "parties" / party / "model").rglob("*") if p.is_file()}
            for name in ("first", "second")
        ]
        assert found[0] == found[1]
    credit.write_text(credit.read_text() + "hide_nodes = true\n")
    hidden = simulate(credit, tmp_path / "hidden")
    assert hidden["models"][0]["auc"] == pytest.approx(first["models"][0]["auc"], abs=1e-6)


@pytest.mark.slow
def test_a_split_by_time_trains_on_the_past(credit: Path, tmp_path: Path) -> None:
    table = tmp_path / "bank.csv"
    header, *lines = table.read_text().split()
    table.write_text("\n".join([f"{header},year", *(f"{line},{2000 + i % 10}" for i, line in enumerate(lines))]) + "\n")
    text = credit.read_text().replace("holdout = 0.25", 'time = "year"\nfrom = 2008')
    credit.write_text(text.replace('label = "default"', 'label = "default"\ndrop = ["year"]'))
    metrics = simulate(credit, tmp_path / "out")
    assert metrics["rows"]["test"] == pytest.approx(300, abs=40)
    assert "split.time" in {row["id"] for row in metrics["leakage"]}


@pytest.mark.slow
def test_sums_under_paillier_give_the_same_model(credit: Path, tmp_path: Path) -> None:
    """Over real processes: what carries the sums changes neither the model nor any figure of it."""
    text = credit.read_text()
    found = {}
    for backend in ("onehot", "paillier"):
        credit.write_text(text.replace("num_trees = 4", f'num_trees = 3\ngroupsum = "{backend}"'))
        metrics = simulate(credit, tmp_path / backend, timeout_s=800)
        (model,) = metrics["models"]
        assert model["groupsum"]["backend"] == backend
        assert model["groupsum"]["why"].startswith("the job names it")
        folder = tmp_path / backend / "parties"
        parts = {p.relative_to(folder).parts[0]: p.read_bytes() for p in folder.rglob("result/model/*/model.json")}
        roles = {row["through"].rpartition(".")[2] for row in metrics["leakage"]}
        assert ({"PaillierAsker", "PaillierHolder"} <= roles) == (backend == "paillier")
        assert ("Asker" in roles) == (backend == "onehot")
        found[backend] = parts, {name: model[name] for name in ("auc", "ks", "trees", "importance", "learning")}
    assert set(found["onehot"][0]) == {"bank", "tax"}
    assert found["onehot"] == found["paillier"]
