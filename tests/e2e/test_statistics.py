"""Statistics from the command line, at three parties that are processes of their own: figures, files, refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.conftest import run_cli

N = 2500
TABLES = """
[[model]]
kind = "statistics"
min_cell = 50
[[model.table]]
name = "by_level"
by = ["tax.level"]
sum = ["bank.loan"]
spread = true
[[model.table]]
name = "cross"
by = ["tax.level", "bank.branch"]
sum = ["bank.loan"]
[[model.table]]
name = "use"
by = ["water.use"]
"""


@pytest.fixture
def pooled() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(11)
    level = rng.choice(4, N, p=[0.6, 0.3, 0.09, 0.01])
    branch = np.where(rng.random(N) < 0.95, level % 2, 1 - level % 2)
    return {
        "bank": {"loan": np.round(rng.lognormal(9, 1, N), 2), "branch": np.array(["north", "south"])[branch]},
        "tax": {"level": np.array(["A", "B", "C", "D"])[level]},
        "water": {"use": np.round(rng.gamma(2, 100, N), 1)},
    }


@pytest.fixture
def job(tmp_path: Path, pooled: dict[str, dict[str, np.ndarray]]) -> Path:
    """No party has a label; the bank, named first, asks."""
    ids = np.char.zfill(np.arange(N).astype(str), 12)
    lines = ['[job]\nname = "sectors"\npurpose = "supervision"\nseed = 3']
    for party, columns in pooled.items():
        rows = [",".join(row) for row in np.stack([ids, *(v.astype(str) for v in columns.values())], axis=1)]
        (tmp_path / f"{party}.csv").write_text("\n".join([",".join(["id", *columns]), *rows]) + "\n")
        lines.append(f'[parties.{party}]\ntable = "{party}.csv"\nid = "id"\nid_type = "digits"')
    lines.append("[parties.water.columns.use]\nsplits = [100, 300]")
    path = tmp_path / "JOB.toml"
    path.write_text("\n".join(lines))
    return path


def simulate(job: Path, out: Path, model: str) -> Any:
    text = job.read_text()
    job.write_text(text + model)
    done = run_cli("simulate", job, "--out", out)
    job.write_text(text)
    return done


def test_tables_are_those_of_the_pooled_rows(job: Path, tmp_path: Path, pooled: Any) -> None:
    out = tmp_path / "out"
    done = simulate(job, out, TABLES)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    (model,) = metrics["models"]
    assert (model["kind"], model["rows"]) == ("statistics", N)
    assert model["bytes"] > 0
    level = np.where(np.isin(pooled["tax"]["level"], ["D"]), "(others)", pooled["tax"]["level"])
    loan, branch = pooled["bank"]["loan"], pooled["bank"]["branch"]
    by_level, cross, use = model["tables"]
    # D has fewer than 50 rows, and is counted with the next larger level.
    for b, name in enumerate(by_level["columns"]):
        some = np.isin(level, ["(others)", "C"]) if name == "(others)" else level == name
        assert by_level["count"][0][b] == some.sum()
        assert by_level["sums"]["bank.loan"][0][b] == pytest.approx(loan[some].sum(), abs=0.01)
        assert by_level["spreads"]["bank.loan"][0][b] == pytest.approx(loan[some].std(ddof=1), rel=1e-4)
        for k, own in enumerate(cross["rows"]):
            n = int((some & (branch == own)).sum())
            assert cross["count"][k][b] in (n, None)
            assert n >= 50 or cross["count"][k][b] is None
    assert sum(use["count"][0]) == N
    assert use["columns"] == ["below 100", "100 to 300", "from 300"]
    assert {row["id"] for row in metrics["leakage"]} >= {"statistics.groups", "statistics.cells", "statistics.sums"}

    # The asker has the tables; the others what they lent, and no figure of the bank's.
    (path,) = (out / "parties" / "bank" / "model").rglob("by_level.csv")
    assert [line["count"] for line in csv.DictReader(path.read_text().splitlines())] == [
        str(n) for n in by_level["count"][0]
    ]
    for party in ("tax", "water"):
        (path,) = (out / "parties" / party / "model").rglob("statistics.json")
        assert json.loads(path.read_text())["tables"] == []
        files = [path for path in (out / "parties" / party / "model").rglob("*") if path.is_file()]
        assert [path.name for path in files] == ["statistics.json"]
    assert "Joint tables" in (out / "report.html").read_text()
    assert "by_level" in done.stdout
    assert "100 to 300" in done.stdout


@pytest.mark.slow
def test_tables_that_are_shared_are_at_every_party_and_under_paillier_the_same(job: Path, tmp_path: Path) -> None:
    found = []
    for backend in ("onehot", "paillier"):
        out = tmp_path / backend
        text = TABLES.replace("min_cell = 50", f'min_cell = 50\nshare = true\ngroupsum = "{backend}"')
        done = simulate(job, out, text)
        assert done.returncode == 0, done.stderr
        (model,) = json.loads((out / "metrics.json").read_text())["models"]
        assert model["groupsum"]["backend"] == backend
        found.append(model["tables"])
        for party in ("tax", "water"):
            (path,) = (out / "parties" / party / "model").rglob("statistics.json")
            theirs = json.loads(path.read_text())["tables"]
            assert [table["count"] for table in theirs] == [table["count"] for table in model["tables"]]
            assert len(list((out / "parties" / party / "model").rglob("*.csv"))) == 3
    assert found[0] == found[1]


def test_a_column_that_nobody_has_is_refused_before_anything_is_computed(job: Path, tmp_path: Path) -> None:
    done = simulate(job, tmp_path / "out", TABLES.replace("tax.level", "tax.levels"))
    assert done.returncode == 77, done.stderr
    assert "COLUMN_MISSING" in done.stderr
    assert not (tmp_path / "out" / "metrics.json").exists()
