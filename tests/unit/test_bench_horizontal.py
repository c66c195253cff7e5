"""What `fedcredit bench horizontal` runs: a job that is one, over tables with all rows in them, and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from fedcredit.cli.bench import Options
from fedcredit.cli.benches import horizontal_gbdt
from fedcredit.runtime.config import load_job
from fedcredit.runtime.toml import dump


def test_a_case_is_a_job_over_rows_in_equal_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def run_job(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        models = dump({"model": job["model"][0]}).replace('["model"]', '[["model"]]')
        path = folder / "JOB.toml"
        path.write_text(dump({k: v for k, v in job.items() if k != "model"}) + models)
        assert load_job(path).layout == "horizontal"
        with duckdb.connect() as connection:
            for party in job["parties"].values():
                found = connection.execute(f"SELECT count(*), sum(label) FROM '{folder / party['table']}'").fetchone()
                assert found is not None
                seen.append((found[0], int(found[1])))
        phases = [{"phase": "tree", "bytes_sent": 60, "bytes_received": 30, "rounds": 6}]
        model = {"setup_seconds": 0.5, "tree_seconds": [0.2, 0.1, 0.3], "phases": phases, "auc": 0.81234}
        return {"models": [model], "cost": {"city0": {"peak_memory_mib": 200.0}, "city1": {"peak_memory_mib": 100.0}}}

    monkeypatch.setattr(horizontal_gbdt, "run_job", run_job)
    settings = {"parties": "3", "features": "4", "trees": "3"}
    (row,) = horizontal_gbdt.run(Options((300,), 2, settings))
    assert [rows for rows, _ in seen] == [100] * 6
    assert all(0 < bad < 100 for _, bad in seen)
    assert row["case"] == {"rows": 300, "parties": 3, "features": 4, "trees": 3, "depth": 5, "bins": 32}
    assert (row["bytes"], row["rounds"], row["rss_mib"], row["auc"]) == (30, 2, 200.0, 0.8123)
    assert row["seconds"]["per_tree"] == 0.2
    assert row["peer"]["lightgbm on pooled rows"]["ratio"] > 0
