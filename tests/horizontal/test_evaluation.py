"""Figures from cells of scores are those of the pooled rows, within the resolution that they state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from horizontal.plain_sums import Board, PlainSums, outcomes, parties, together
from scorecard_cases import Kept

from fedcredit.credit.bands import ScoreBands
from fedcredit.credit.evaluation import evaluate
from fedcredit.credit.metrics import auc, ks
from fedcredit.credit.points import PointScale
from fedcredit.errors import DataError
from fedcredit.estimators.horizontal_evaluation import MemberScores, MembersEvaluation, evaluate_members

RNG = np.random.default_rng(11)


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.5, 1.2, n)
    return (rng.random(n) < 1 / (1 + np.exp(-z - 0.2))).astype(np.uint8), 1 / (1 + np.exp(-z))


def judged(n: int, *samples: tuple[np.ndarray, np.ndarray], board: Board | None = None) -> list[MembersEvaluation]:
    owners = [np.random.default_rng(k).integers(0, n, y.size) for k, (y, _) in enumerate(samples)]

    async def work(sums: PlainSums, k: int) -> MembersEvaluation:
        own = [MemberScores(y[of == k], p[of == k]) for (y, p), of in zip(samples, owners, strict=True)]
        return await evaluate_members(sums, *own)

    return together(n, work, board)


@pytest.mark.parametrize(("members", "rows"), [(3, 1200), (5, 20_000)])
def test_figures_are_those_of_the_pooled_rows(members: int, rows: int) -> None:
    train, test, alone = sample(2 * rows, 1), sample(rows, 2), sample(rows, 3)
    board = Board(parties(members))
    each = judged(members, train, test, alone, board=board)
    assert all(one.freeze() == each[0].freeze() for one in each)
    found, true = each[0].figures, evaluate(*train, *test, alone[1], y_alone=alone[0])
    assert true.keys() < found.keys()
    for suffix, (y, p) in {"": test, "_train": train, "_alone": alone}.items():
        error = abs(found[f"auc{suffix}"] - auc(y, p))
        assert error <= found[f"auc_resolution{suffix}"] < 0.01
        assert error < 0.001
        assert 0 <= ks(y, p) - found[f"ks{suffix}"] <= found[f"ks_resolution{suffix}"]
        assert found[f"logloss{suffix}"] == pytest.approx(true[f"logloss{suffix}"], rel=1e-12)
        assert found[f"brier{suffix}"] == pytest.approx(((p - y) ** 2).mean(), rel=1e-12)
    assert len(board.totals) <= 12
    assert found["stability"]["index"] == pytest.approx(true["stability"]["index"], abs=5e-3)
    for mine, pooled in zip(found["calibration"], true["calibration"], strict=True):
        assert mine["predicted"] == pytest.approx(pooled["predicted"], rel=0.03)
        assert abs(mine["rows"] - pooled["rows"]) <= max(20, rows // 500)
    y, p = test
    for row in found["confusion"]:
        rejected = p >= row["cutoff"]
        assert (row["tp"], row["fp"]) == ((rejected & (y == 1)).sum(), (rejected & (y == 0)).sum())
    good, bad = (np.array(found["ks_curve"][key]) for key in ("good", "bad"))
    at = np.array(found["ks_curve"]["score"])
    assert bad == pytest.approx([(p[y == 1] <= score * (1 + 1e-15)).mean() for score in at], abs=1e-9)
    assert good == pytest.approx([(p[y == 0] <= score * (1 + 1e-15)).mean() for score in at], abs=1e-9)


def test_bands_of_points_are_counted_where_they_are_cut() -> None:
    train, test = sample(4000, 1), sample(2000, 2)
    scale = PointScale()
    found = judged(3, train, test)[0].bands(scale, 10)
    z = np.log(test[1] / (1 - test[1]))
    bands = ScoreBands(tuple(row["cutoff"] for row in found["cutoffs"]))
    true = bands.band_table(bands.counts(test[0], scale.score(z)))
    assert len(true) == len(found["bands"]) == 10
    for mine, pooled in zip(found["bands"], true, strict=True):
        assert abs(mine["rows"] - pooled["rows"]) <= 20


def test_a_score_of_few_values_is_exact() -> None:
    points = RNG.integers(-3, 4, 3000) / 2.0
    y = (RNG.random(3000) < 1 / (1 + np.exp(-points))).astype(np.uint8)
    p = 1 / (1 + np.exp(-points))
    found = judged(3, (y, p), (y, p))[0].figures
    true = evaluate(y, p, y, p)
    assert (found["auc_resolution"], found["ks_resolution"]) == (0.0, 0.0)
    for key in ("auc", "ks", "gini", "auc_train"):
        assert found[key] == pytest.approx(true[key], abs=1e-12)
    assert found["stability"]["index"] == 0.0
    assert [row["rows"] for row in found["lift"]] == [row["rows"] for row in true["lift"]]
    assert found["lift"][0]["score_max"] == pytest.approx(true["lift"][0]["score_max"], rel=1e-6)


def test_certain_predictions_and_members_without_rows_are_judged() -> None:
    y = np.r_[np.zeros(50, np.uint8), np.ones(50, np.uint8)]
    p = np.where(y == 1, 1.0, 0.0)
    kept = [Kept() for _ in range(3)]

    async def work(sums: PlainSums, k: int) -> MembersEvaluation:
        own = MemberScores(y, p) if k == 1 else MemberScores(y[:0], p[:0])
        return await kept[k]("evaluation", MembersEvaluation, lambda: evaluate_members(sums, own, own))

    found = together(3, work)
    assert found[0].figures["auc"] == 1.0
    assert found[0].figures["logloss"] == pytest.approx(0.0, abs=1e-12)
    assert MembersEvaluation.thaw(kept[2].states["evaluation"]).test.cells.counts.tolist() == [[50, 0], [0, 50]]


def test_labels_of_one_class_and_scores_that_are_none_are_errors() -> None:
    async def work(sums: PlainSums, k: int) -> Any:
        own = MemberScores(np.zeros(9, np.uint8), np.full(9, 0.5))
        return await evaluate_members(sums, own, own)

    assert {error.code for error in outcomes(3, work)} == {"LABEL_ONE_CLASS"}
    with pytest.raises(DataError, match="SCORE_INVALID"):
        MemberScores(np.zeros(1, np.uint8), np.array([np.nan]))
