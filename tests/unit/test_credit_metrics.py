"""Metrics against scikit-learn where it is installed, and against the definitions."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.credit.evaluation import CURVE_POINTS, evaluate
from fedcredit.credit.metrics import auc, gini, ks, log_loss, rank_curve, risk_bands, stability_index
from fedcredit.errors import DataError

labels = st.integers(2, 80).flatmap(
    lambda n: st.tuples(
        arrays(np.uint8, n, elements=st.integers(0, 1)),
        arrays(np.float64, n, elements=st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 1.0]) | st.floats(0, 1)),
    )
)


def scored(seed: int, n: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 8, n)
    y = (rng.random(n) < p).astype(np.uint8)
    noisy = np.clip(p + rng.normal(0, 0.05, n), 1e-4, 1 - 1e-4)
    return y, np.round(noisy, 2) if ties else noisy


@given(data=labels)
def test_auc_and_ks_are_what_they_are_defined_to_be(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, score = data
    assume(0 < y.sum() < y.size)
    bad, good = score[y == 1], score[y == 0]
    above = (bad[:, None] > good).mean() + (bad[:, None] == good).mean() / 2
    assert auc(y, score) == pytest.approx(above, abs=1e-12)
    assert gini(y, score) == pytest.approx(2 * above - 1, abs=1e-12)
    gaps = [abs((bad >= s).mean() - (good >= s).mean()) for s in score]
    assert ks(y, score) == pytest.approx(max(gaps), abs=1e-12)
    order = np.random.default_rng(0).permutation(y.size)
    assert auc(y[order], score[order]) == auc(y, score)


@pytest.mark.parametrize("ties", [False, True])
def test_scikit_learn_agrees(ties: bool) -> None:
    peer = pytest.importorskip("sklearn.metrics")
    y, score = scored(1, 5000, ties)
    assert auc(y, score) == pytest.approx(peer.roc_auc_score(y, score), abs=1e-12)
    assert log_loss(y, score) == pytest.approx(peer.log_loss(y, score), abs=1e-12)
    fpr, tpr, _ = peer.roc_curve(y, score)
    assert ks(y, score) == pytest.approx(np.max(tpr - fpr), abs=1e-12)


def test_log_loss_of_certain_predictions_is_finite() -> None:
    assert log_loss(np.array([1, 0], np.uint8), np.array([1.0, 0.0])) < 1e-12
    assert 30 < log_loss(np.array([1, 0], np.uint8), np.array([0.0, 1.0])) < 40


def test_one_class_and_broken_scores_are_refused() -> None:
    for y in (np.zeros(3, np.uint8), np.ones(3, np.uint8)):
        with pytest.raises(DataError) as error:
            auc(y, np.arange(3.0))
        assert error.value.code == "LABEL_ONE_CLASS"
    with pytest.raises(DataError) as error:
        auc(np.array([0, 1], np.uint8), np.array([np.nan, 1.0]))
    assert error.value.code == "SCORE_INVALID"
    with pytest.raises(ValueError, match="rank_curve"):
        rank_curve(np.array([0, 1], np.uint8), np.arange(3.0))


def test_risk_bands_keep_ties_together_and_ignore_order() -> None:
    assert np.bincount(risk_bands(np.arange(1000.0))).tolist() == [100] * 10
    assert risk_bands(np.arange(1000.0))[-1] == 0
    assert set(risk_bands(np.full(7, 0.5))) == {5} or set(risk_bands(np.full(7, 0.5))) == {4}
    score = np.round(np.random.default_rng(0).random(500), 2)
    bands = risk_bands(score)
    assert all(np.unique(bands[score == s]).size == 1 for s in np.unique(score))
    order = np.random.default_rng(1).permutation(500)
    assert (risk_bands(score[order]) == bands[order]).all()


def test_stability_index() -> None:
    assert stability_index(np.array([10.0, 20.0]), np.array([1.0, 2.0])) == pytest.approx(0.0)
    e, a = np.array([0.5, 0.5]), np.array([0.2, 0.8])
    assert stability_index(e * 1000, a * 1000) == pytest.approx(float(((a - e) * np.log(a / e)).sum()))
    assert np.isfinite(stability_index(np.array([10.0, 0.0]), np.array([0.0, 10.0])))
    with pytest.raises(ValueError, match="stability_index"):
        stability_index(np.zeros(2), np.ones(2))


@pytest.fixture(scope="module")
def figures() -> dict[str, object]:
    y_train, s_train = scored(2, 8000)
    y_test, s_test = scored(3, 2000)
    alone = np.clip(s_test + np.random.default_rng(4).normal(0, 0.1, 2000), 0, 1)
    return evaluate(y_train, s_train, y_test, s_test, alone)


def test_figures_are_json_and_complete(figures: dict) -> None:
    again = json.loads(json.dumps(figures, allow_nan=False))
    assert again == figures
    lists = {"roc", "ks_curve", "lift", "calibration", "score_distribution", "stability", "confusion"}
    numbers = {f"{name}{of}" for name in ("auc", "ks", "gini", "logloss") for of in ("", "_train", "_alone")}
    assert set(figures) == lists | numbers
    assert figures["auc"] > figures["auc_alone"]


def test_curves_are_thin_and_keep_their_area(figures: dict) -> None:
    for name in ("joint", "alone"):
        roc = figures["roc"][name]
        assert len(roc["fpr"]) == len(roc["tpr"]) <= CURVE_POINTS
        assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
        area = np.trapezoid(roc["tpr"], roc["fpr"])
        assert area == pytest.approx(figures["auc" if name == "joint" else "auc_alone"], abs=0.005)
    curve = figures["ks_curve"]
    assert len(curve["score"]) <= CURVE_POINTS
    assert (np.diff(curve["score"]) > 0).all()
    assert max(g - b for g, b in zip(curve["good"], curve["bad"], strict=True)) == pytest.approx(figures["ks"])
    assert (curve["good"][-1], curve["bad"][-1]) == (1, 1)


def test_lift_and_calibration_add_up(figures: dict) -> None:
    y, s = scored(3, 2000)
    lift = figures["lift"]
    assert [row["band"] for row in lift] == list(range(1, 11))
    assert sum(row["rows"] for row in lift) == 2000
    assert sum(row["bads"] for row in lift) == int(y.sum())
    assert lift[-1]["cum_bads_share"] == 1
    assert lift[-1]["cum_lift"] == pytest.approx(1)
    assert lift[0]["lift"] == pytest.approx(lift[0]["bad_rate"] / y.mean())
    assert lift[0]["score_max"] == s.max()
    assert all(a["score_min"] >= b["score_max"] for a, b in itertools.pairwise(lift))
    calibration = figures["calibration"]
    assert sum(row["predicted"] * row["rows"] for row in calibration) == pytest.approx(s.sum())
    assert sum(row["observed"] * row["rows"] for row in calibration) == pytest.approx(y.sum())
    assert (np.diff([row["predicted"] for row in calibration]) > 0).all()


def test_distribution_stability_and_confusion_add_up(figures: dict) -> None:
    y, s = scored(3, 2000)
    spread = figures["score_distribution"]
    assert len(spread["edges"]) == len(spread["good"]) + 1 == len(spread["bad"]) + 1
    assert (sum(spread["good"]), sum(spread["bad"])) == (int((y == 0).sum()), int(y.sum()))
    assert 0 <= figures["stability"]["index"] < 0.05
    assert sum(band["train_share"] for band in figures["stability"]["bands"]) == pytest.approx(1)
    for row in figures["confusion"]:
        rejected = s >= row["cutoff"]
        assert row["tp"] == int((rejected & (y == 1)).sum())
        assert row["fp"] == int((rejected & (y == 0)).sum())
        assert row["tp"] + row["fp"] + row["tn"] + row["fn"] == 2000
        assert row["approval_rate"] == pytest.approx(1 - rejected.mean())
        assert row["bad_rate"] == pytest.approx(y[~rejected].mean())
    assert (np.diff([row["cutoff"] for row in figures["confusion"]]) > 0).all()


def test_stability_bands_are_deciles_of_the_train_scores() -> None:
    rng = np.random.default_rng(0)
    y, s = np.tile([0, 1], 1000).astype(np.uint8), rng.random(2000)
    stability = evaluate(y, s, y, np.sqrt(s))["stability"]
    assert all(band["train_share"] == pytest.approx(0.1, abs=0.001) for band in stability["bands"])
    # The square root of a uniform score has 1 % below 0.1 and 19 % above 0.9.
    assert stability["bands"][0]["test_share"] == pytest.approx(0.01, abs=0.005)
    assert stability["bands"][-1]["test_share"] == pytest.approx(0.19, abs=0.02)
    assert stability["index"] > 0.25


def test_few_rows_and_few_distinct_scores() -> None:
    y, s = np.array([0, 1, 1, 0], np.uint8), np.array([0.5, 0.5, 0.5, 0.5])
    figures = evaluate(y, s, y, s)
    assert "auc_alone" not in figures
    assert (figures["auc"], figures["ks"], figures["gini"]) == (0.5, 0.0, 0.0)
    assert [row["rows"] for row in figures["lift"]] == [4]
    assert figures["confusion"][0]["bad_rate"] is None
    assert figures["stability"]["index"] == pytest.approx(0)
    json.dumps(figures, allow_nan=False)
