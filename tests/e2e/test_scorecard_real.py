"""Scorecards on real records, from the command line, beside the fit of the pooled table of weights of evidence.

The oracles see what no party of the job does: all columns in one place, coded with the parties' own bins. They are
statsmodels' GLM, and `fit_logistic` for scores of rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from e2e.test_real_data import DEFAULT_CREDIT, SBA, simulate

from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.metrics import auc
from fedcredit.estimators import CardPart
from fedcredit.node.specification import JobSpecification
from fedcredit.node.split import holdout_key
from fedcredit.runtime.config import load_job
from fedcredit.tables import open_table
from fedcredit.tables.split import holdout_mask

pytestmark = [pytest.mark.slow, pytest.mark.shared]

CARD = '[[model]]\nkind = "scorecard"\n'


def card(text: str, more: str = "") -> str:
    """The job with a scorecard in place of its model."""
    return text[: text.index("[[model]]")] + CARD + more


class Pooled:
    """All parties' weights of evidence in one table: rows to train on, and rows held out."""

    def __init__(self, job: Path, folder: Path) -> None:
        file = load_job(job)
        tables = {p: open_table(section.spec(job.parent, None)) for p, section in file.parties.items()}
        ids = {party: table.ids() for party, table in tables.items()}
        common = sorted(set.intersection(*(set(column.tolist()) for column in ids.values())))
        woe, points, self.parts, self.columns = [], np.zeros(len(common), np.int64), {}, []
        for party, table in tables.items():
            place = {name: row for row, name in enumerate(ids[party].tolist())}
            rows = table.read(np.array([place[name] for name in common], np.int64))
            path = folder / "parties" / party / "model" / "scorecard.0" / "scorecard.json"
            part = self.parts[party] = CardPart.from_bytes(path.read_bytes())
            woe.append(part.woe_of(rows.columns, len(common)))
            points += part.totals(part.points_of(rows.columns, len(common)))
            self.columns += list(part.columns)
            if rows.label is not None:
                self.label = rows.label
                self.first = part
        self.woe, self.points = np.concatenate(woe, axis=1), points
        names = np.array(common)
        specification = JobSpecification.parse((folder / "specification.json").read_bytes())
        self.test = holdout_mask(names.astype(f"S{names.dtype.itemsize}"), 0.2, holdout_key(specification))


def in_order(pooled: Pooled) -> np.ndarray:
    return np.array([pooled.first.intercept, *(column.coefficient for column in pooled.columns)])


@pytest.mark.parametrize(
    ("text", "how", "floor"),
    [(SBA, "exact", 0.85), (DEFAULT_CREDIT, "coarse", 0.75), (DEFAULT_CREDIT, "exact", 0.75)],
    ids=["sba over three parties", "default_credit", "default_credit, as optbinning has it"],
)
def test_the_card_is_the_fit_of_the_table_that_was_told(tmp_path: Path, text: str, how: str, floor: float) -> None:
    """The default, with no word of it in the job, and the table that optbinning has, where a job asks for that."""
    # Imported here: it takes a second, which each process that collects the tests would wait.
    import statsmodels.api as sm

    more = "" if how == "coarse" else f'iv_disclosure = "{how}"\n'
    job, metrics = simulate(tmp_path, card(text, more), "holdout = 0.2")
    assert f"binning.iv.{how}" in {row["id"] for row in metrics["leakage"]}
    (model,) = metrics["models"]
    pooled = Pooled(job, tmp_path / "out")
    train, test, y = ~pooled.test, pooled.test, pooled.label
    assert (int(train.sum()), int(test.sum())) == (metrics["rows"]["train"], metrics["rows"]["test"])
    oracle = fit_logistic(pooled.woe[train], y[train])
    assert in_order(pooled) == pytest.approx(oracle.estimates.values, rel=1e-3, abs=1e-3)
    rows = {row["column"]: row for row in model["coefficients"]}
    assert len(rows) == 1 + len(pooled.columns)
    found = np.array([row["p_value"] for row in rows.values()])
    assert found == pytest.approx(oracle.estimates.p_values, abs=1e-3)
    assert model["fit"]["log_likelihood"] == pytest.approx(oracle.log_likelihood, rel=1e-4)
    glm = sm.GLM(y[train], sm.add_constant(pooled.woe[train]), family=sm.families.Binomial()).fit()
    assert in_order(pooled) == pytest.approx(glm.params, rel=1e-3, abs=1e-3)
    assert found == pytest.approx(glm.pvalues, abs=1e-3)
    errors = [rows["intercept"]["standard_error"], *(column.standard_error for column in pooled.columns)]
    assert errors == pytest.approx(glm.bse, rel=1e-3)

    # The spread of points that the bank learns has the area of the pooled scores, of points and of probabilities.
    z = oracle.log_odds(pooled.woe[test])
    assert model["auc"] == pytest.approx(auc(y[test], z), abs=1e-3)
    assert model["auc"] == pytest.approx(auc(y[test], -pooled.points[test].astype(float)), abs=1e-3)
    assert model["auc"] > max(floor, model["auc_alone"])
    assert all(column.coefficient < 0 for column in pooled.columns), "no coefficient turns against its evidence"


def test_an_out_of_time_split_is_judged_on_later_loans(tmp_path: Path) -> None:
    _, metrics = simulate(tmp_path, card(SBA, "max_stability = 10.0\n"), 'time = "approval_year"\nfrom = 2006')
    (model,) = metrics["models"]
    assert {row["column"] for row in model["column_stability"]} >= {row["column"] for row in model["coefficients"][1:]}
    assert max(row["index"] for row in model["column_stability"]) > 0.1, "loans after 2006 are another population"
    assert model["stability"]["index"] > 0
    assert sum(band["rows"] for band in model["bands"]) == metrics["rows"]["test"]
