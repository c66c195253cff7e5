"""A scorecard from the command line: three parties, each with its own points, and the numbers of the pooled table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from card_readers import PmmlCard
from e2e.conftest import run_cli, write_job

from fedcredit.credit.glm import fit_logistic
from fedcredit.estimators import CardPart
from fedcredit.estimators.logistic_part import LogisticPart
from fedcredit.tables import Column

N = 4000
SPLIT = "[split]\nholdout = 0.3\n"


@pytest.fixture
def pooled() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(5)
    turnover, own, salary, pressure = rng.normal(size=(4, N)).round(4)
    special = np.where(rng.random(N) < 0.1, -999.0, rng.normal(size=N).round(3))
    branch = rng.choice(["north", "south", "east", "west"], N)
    logit = turnover + own - 1.2 + (branch == "east") - 1.8 * (special == -999.0) + 0.6 * pressure
    label = (rng.random(N) < 1 / (1 + np.exp(-logit))).astype(int)
    return {
        "bank": {"own": own, "salary": salary, "default": label},
        "tax": {"turnover": turnover, "branch": branch, "code": special},
        "water": {"pressure": pressure, "twin": (turnover + 0.4 * rng.normal(size=N)).round(4)},
    }


@pytest.fixture
def job(tmp_path: Path, pooled: dict[str, dict[str, np.ndarray]]) -> Path:
    ids = np.char.zfill(np.arange(N).astype(str), 12)
    for party, columns in pooled.items():
        lines = [",".join(row) for row in np.stack([ids, *(v.astype(str) for v in columns.values())], axis=1)]
        (tmp_path / f"{party}.csv").write_text("\n".join([",".join(["id", *columns]), *lines]) + "\n")
    path = write_job(tmp_path, ["bank", "tax", "water"])
    path.write_text(path.read_text() + "[parties.tax.columns.code]\nspecial = [-999]\n")
    return path


def simulate(job: Path, out: Path, model: str = "") -> dict[str, Any]:
    text = job.read_text()
    job.write_text(f'{text}\n{SPLIT}[[model]]\nkind = "scorecard"\n{model}\n')
    done = run_cli("simulate", job, "--out", out)
    job.write_text(text)
    assert done.returncode == 0, done.stderr
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return metrics


def part(out: Path, party: str) -> CardPart:
    (path,) = (out / "parties" / party / "model").rglob("scorecard.json")
    return CardPart.from_bytes(path.read_bytes())


def columns_of(pooled: dict[str, dict[str, np.ndarray]], mine: CardPart) -> dict[str, Column]:
    found = {}
    for column in mine.columns:
        values = pooled[mine.party][column.name]
        if column.kind == "categorical":
            values = np.array([column.levels.index(value) for value in values])
        found[column.name] = Column(column.name, column.kind, values.astype(float), column.levels)
    return found


def test_three_parties_have_the_card_of_the_pooled_table(
    job: Path, tmp_path: Path, pooled: dict[str, dict[str, np.ndarray]]
) -> None:
    out = tmp_path / "out"
    metrics = simulate(job, out)
    (model,) = metrics["models"]
    assert model["kind"] == "scorecard"
    assert metrics["rows"]["test"] > 1000
    parts = {party: part(out, party) for party in pooled}
    assert {p: [c.name for c in parts[p].columns] for p in parts} == {
        "bank": ["own"],
        "tax": ["turnover", "branch", "code"],
        "water": ["pressure"],
    }
    # The rows to train on are not known here, so what is compared are bins and evidence on all rows.
    woe = np.column_stack([parts[p].woe_of(columns_of(pooled, parts[p]), N) for p in parts])
    y = pooled["bank"]["default"].astype(np.uint8)
    everywhere = fit_logistic(woe, y)
    found = [column.coefficient for p in parts for column in parts[p].columns]
    assert np.abs(np.array(found) - everywhere.coefficients).max() < 4 * everywhere.estimates.standard_errors.max()

    rows = {row["column"]: row for row in model["coefficients"]}
    assert rows.keys() == {"intercept", "own", "tax.f0", "tax.f1", "tax.f2", "water.f0"}
    for p, names in (("tax", ["turnover", "branch", "code"]), ("water", ["pressure"])):
        for k, name in enumerate(names):
            column = next(c for c in parts[p].columns if c.name == name)
            told = rows[f"{p}.f{k}"]
            assert told["coefficient"] is None
            assert told["z"] == pytest.approx(column.coefficient / (column.standard_error or 0), rel=1e-6)
    assert model["auc"] > model["auc_alone"] + 0.05
    assert model["auc"] == pytest.approx(0.82, abs=0.05)
    gains = {row["party"]: row["auc_gain"] for row in model["contribution"]}
    assert gains.keys() == {"bank", "tax", "water"}
    assert min(gains.values()) > 0.005
    assert model["cutoffs"]
    assert sum(band["rows"] for band in model["bands"]) == metrics["rows"]["test"]
    kept = {row["column"]: row["rule"] for row in model["selection"] if not row["kept"]}
    assert kept == {"salary": "iv", "water.f1": "correlation"}
    ids = {row["id"] for row in metrics["leakage"]}
    assert ids >= {"binning.iv.coarse", "linear.model", "scorecard.significance", "scorecard.tally"}
    assert not ids & {"scorecard.card", "binning.iv.exact"}

    # Each party has its own columns and none of the others', by name or value.
    own_words = {"bank": "salary", "tax": "turnover", "water": "pressure"}
    for party in pooled:
        files = [path for path in (out / "parties" / party).rglob("*") if path.is_file()]
        for other, word in own_words.items():
            if other != party:
                assert not [path for path in files if word.encode() in path.read_bytes()]
    report = (out / "report.html").read_text()
    assert "turnover" not in report
    (page,) = (out / "parties" / "tax" / "model").rglob("scorecard.html")
    assert "turnover" in page.read_text()


@pytest.mark.slow
def test_one_card_in_one_place_if_the_job_says_so(
    job: Path, tmp_path: Path, pooled: dict[str, dict[str, np.ndarray]]
) -> None:
    """With signs that are fixed, and stability by month: everything that a policy has to accept by itself."""
    out = tmp_path / "out"
    for party in ("bank", "tax"):
        head, *lines = (tmp_path / f"{party}.csv").read_text().splitlines()
        months = [f"{line},{202401 + k % 3}" for k, line in enumerate(lines)]
        (tmp_path / f"{party}.csv").write_text("\n".join([f"{head},month", *months]) + "\n")
    asked = 'merged_card = true\nname = "card"\nmethod = "quantile"\nsigns = "fixed"\ntime = "month"\n'
    metrics = simulate(job, out, asked + "periods = 3\nperiod_scores = true")
    assert {"scorecard.card", "linear.signs", "scorecard.periods"} <= {row["id"] for row in metrics["leakage"]}
    (model,) = metrics["models"]
    assert [row["column"] for row in model["periods"]] == [None, *(c.name for c in part(out, "bank").columns)]
    for row in model["periods"]:
        assert [of["period"] for of in row["periods"]] == ["202401", "202402", "202403"]
        assert max(of["index"] for of in row["periods"]) < 0.2
    assert sum(of["rows"] for of in model["periods"][0]["periods"]) == metrics["rows"]["test"]
    assert "By period" in (out / "report.html").read_text()
    (page,) = (out / "parties" / "tax" / "model").rglob("scorecard.html")
    assert "By period" in page.read_text()
    folder = out / "parties" / "bank" / "model" / "card"
    for party in ("tax", "water"):
        assert (folder / f"scorecard.{party}.json").read_bytes() == (
            out / "parties" / party / "model" / "card" / "scorecard.json"
        ).read_bytes()

    # What an engine outside makes of the exported card are the scores of the parties' own parts.
    written = tmp_path / "card.pmml"
    done = run_cli("card", "export", *sorted(folder.glob("scorecard*.json")), "--format", "pmml", "--out", written)
    assert done.returncode == 0, done.stderr
    pmml, parts = PmmlCard(written.read_bytes()), [part(out, party) for party in pooled]
    scores = np.sum([mine.totals(mine.points_of(columns_of(pooled, mine), N)) for mine in parts], axis=0)
    for k in range(100):
        row = {c.name: pooled[mine.party][c.name][k].item() for mine in parts for c in mine.columns}
        assert pmml.score(row) == scores[k]


@pytest.mark.slow
def test_a_job_of_which_nothing_is_left_says_why(job: Path, tmp_path: Path) -> None:
    text = job.read_text()
    job.write_text(f'{text}\n{SPLIT}[[model]]\nkind = "scorecard"\niv_min = 5.0\n')
    done = run_cli("simulate", job, "--out", tmp_path / "out")
    assert done.returncode == 65
    assert "NO_COLUMNS_LEFT" in done.stderr


def test_a_wrong_key_of_a_scorecard_is_named(job: Path, tmp_path: Path) -> None:
    text = job.read_text()
    job.write_text(f'{text}\n{SPLIT}[[model]]\nkind = "scorecard"\nmax_feature = 3\niv_disclosure = "rounded"\n')
    done = run_cli("simulate", job, "--out", tmp_path / "out")
    assert done.returncode == 78
    assert "max_features" in done.stderr
    assert "iv_disclosure" in done.stderr


def test_numeric_columns_are_fitted_as_they_are(
    job: Path, tmp_path: Path, pooled: dict[str, dict[str, np.ndarray]]
) -> None:
    text, out = job.read_text(), tmp_path / "out"
    (tmp_path / "tax.csv").write_text(
        "id,turnover\n" + "".join(f"{k:012d},{v}\n" for k, v in enumerate(pooled["tax"]["turnover"]))
    )
    text = text.replace("[parties.tax.columns.code]\nspecial = [-999]\n", "")
    job.write_text(f'{text}\n{SPLIT}[[model]]\nkind = "logistic"\n')
    done = run_cli("simulate", job, "--out", out)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    (model,) = metrics["models"]
    assert [row["column"] for row in model["coefficients"]] == [
        *("intercept", "own", "salary", "tax.f0", "water.f0", "water.f1")
    ]
    X = np.column_stack([pooled[p][c] for p, c in (("bank", "own"), ("bank", "salary"), ("tax", "turnover"))])
    X = np.column_stack([X, pooled["water"]["pressure"], pooled["water"]["twin"]])
    everywhere = fit_logistic(X, pooled["bank"]["default"].astype(np.uint8))
    parts = [
        LogisticPart.from_bytes((out / "parties" / p / "model" / "logistic.0" / "logistic.json").read_bytes())
        for p in pooled
    ]
    found = np.array([column.coefficient for part in parts for column in part.columns])
    # The rows to train on are 70 of a hundred.
    assert (np.abs(found - everywhere.coefficients) < 4 * everywhere.estimates.standard_errors[1:]).all()
    assert model["auc"] > model["auc_alone"] + 0.05
    assert "logistic.range" in {row["id"] for row in metrics["leakage"]}
    assert "turnover" not in (out / "report.html").read_text()
