"""Joint models on real records, from the command line, beside LightGBM on the pooled table.

The oracle sees what no party of the job does: all columns in one place. It gets the same bins (from the parties' model
parts), the same parameters and the same rows to train on, so what is left between the two is fixed point.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.conftest import ROOT, run_cli

from fedcredit.credit.metrics import auc
from fedcredit.estimators.alone import train_lightgbm
from fedcredit.estimators.parts import LabelPart, part_from_bytes
from fedcredit.node.specification import JobSpecification
from fedcredit.node.split import holdout_key
from fedcredit.protocols.boosting import BinnedColumns
from fedcredit.runtime.config import load_job
from fedcredit.tables import Rows, open_table
from fedcredit.tables.split import holdout_mask

pytestmark = [pytest.mark.slow, pytest.mark.shared]

DATA = ROOT.parent / "shared" / "data"

SBA = """
[job]
name = "sme-default"
purpose = "financing"
seed = 7
[parties.bank]
table = "{data}/sba/bank.csv"
id = "uscc"
label = "default"
drop = ["approval_year"]
[parties.registry]
table = "{data}/sba/registry.csv"
id = "uscc"
[parties.employment]
table = "{data}/sba/employment.csv"
id = "uscc"
[intersect]
mode = "auto"
[split]
{split}
[[model]]
kind = "gbdt"
num_trees = 50
max_depth = 5
max_bin = 32
learning_rate = 0.1
"""

DEFAULT_CREDIT = """
[job]
name = "default-credit"
purpose = "research"
seed = 7
[parties.guest]
table = "{data}/default_credit/default_credit_hetero_guest.csv"
id = "id"
id_type = "text"
label = "y"
[parties.host]
table = "{data}/default_credit/default_credit_hetero_host.csv"
id = "id"
id_type = "text"
[split]
{split}
[[model]]
kind = "gbdt"
num_trees = 30
max_depth = 3
max_bin = 32
learning_rate = 0.3
"""


def simulate(folder: Path, text: str, split: str) -> tuple[Path, dict[str, Any]]:
    if not DATA.exists():
        pytest.skip("the data sets are not beside this checkout")
    job = folder / "JOB.toml"
    job.write_text(text.format(data=DATA, split=split))
    done = run_cli("simulate", job, "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return job, json.loads((folder / "out" / "metrics.json").read_text())


def pooled(job: Path, folder: Path) -> tuple[BinnedColumns, Any, Any, LabelPart]:
    """All parties' codes of the aligned rows in one table, the label, and the identifiers of the rows."""
    file = load_job(job)
    tables = {p: open_table(section.spec(job.parent, None)) for p, section in file.parties.items()}
    ids = {party: table.ids() for party, table in tables.items()}
    common = sorted(set.intersection(*(set(column.tolist()) for column in ids.values())))
    parts, coded, label = {}, [], None
    for party, table in tables.items():
        place = {name: row for row, name in enumerate(ids[party].tolist())}
        rows: Rows = table.read(np.array([place[name] for name in common], np.int64))
        label = rows.label if rows.label is not None else label
        part = part_from_bytes((folder / "parties" / party / "model" / "gbdt.0" / "model.json").read_bytes())
        parts[party] = part
        coded.append(part.columns.code(rows.columns, len(common)))
    joined = BinnedColumns(
        np.concatenate([c.codes for c in coded]),
        tuple(b for c in coded for b in c.groups),
        tuple(m for c in coded for m in c.missing),
    )
    part = parts[next(p for p, section in file.parties.items() if section.label is not None)]
    assert isinstance(part, LabelPart)
    return joined, label, np.array(common), part


def of_rows(columns: BinnedColumns, rows: Any) -> BinnedColumns:
    return BinnedColumns(np.ascontiguousarray(columns.codes[:, rows]), columns.groups, columns.missing)


@pytest.mark.parametrize(
    ("text", "aligned", "floor"), [(SBA, 17_620, 0.96), (DEFAULT_CREDIT, 30_000, 0.76)], ids=["sba", "default_credit"]
)
def test_the_joint_auc_is_lightgbms_on_the_pooled_table(tmp_path: Path, text: str, aligned: int, floor: float) -> None:
    job, metrics = simulate(tmp_path, text, "holdout = 0.2")
    rows, (model,) = metrics["rows"], metrics["models"]
    assert rows["aligned"] == aligned
    columns, label, ids, part = pooled(job, tmp_path / "out")
    specification = JobSpecification.parse((tmp_path / "out" / "specification.json").read_bytes())
    test = holdout_mask(ids.astype(f"S{ids.dtype.itemsize}"), 0.2, holdout_key(specification))
    assert (int((~test).sum()), int(test.sum())) == (rows["train"], rows["test"])
    oracle = train_lightgbm(of_rows(columns, ~test), label[~test], part.params)
    wanted = auc(label[test], oracle.predict(of_rows(columns, test)))
    assert abs(model["auc"] - wanted) < 0.003
    assert model["auc"] > max(floor, model["auc_alone"])


def test_an_out_of_time_split_tests_on_later_loans(tmp_path: Path) -> None:
    """No claim that joining helps here: loans after 2006 are another population; LightGBM pooled fares alike."""
    job, metrics = simulate(tmp_path, SBA, 'time = "approval_year"\nfrom = 2006')
    rows, (model,) = metrics["rows"], metrics["models"]
    columns, label, ids, part = pooled(job, tmp_path / "out")
    with (DATA / "sba" / "bank.csv").open(newline="") as file:
        year = {row["uscc"].encode(): int(row["approval_year"]) for row in csv.DictReader(file)}
    test = np.array([year[name] >= 2006 for name in ids.tolist()])
    assert (int((~test).sum()), int(test.sum())) == (rows["train"], rows["test"])
    oracle = train_lightgbm(of_rows(columns, ~test), label[~test], part.params)
    assert abs(model["auc"] - auc(label[test], oracle.predict(of_rows(columns, test)))) < 0.003
