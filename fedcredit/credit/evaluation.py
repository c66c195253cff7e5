"""The figures of a model that a risk officer asks for, as plain numbers ready for `metrics.json`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.metrics import RankCurve, log_loss, rank_curve, risk_bands, stability_index

__all__ = ["evaluate"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

CURVE_POINTS = 200
"""Points a curve is thinned to; a screen shows no more."""
BANDS = 10
SCORE_BINS = 25
APPROVAL_RATES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def evaluate(
    y_train: U8, s_train: F64, y_test: U8, s_test: F64, alone: F64 | None = None, *, y_alone: U8 | None = None
) -> dict[str, Any]:
    """All figures of one model; everything is on the test rows unless it says train.

    `s_train`, `s_test` are predicted probabilities of default. `alone`: probabilities, for the same test rows, of the
    label party's own model, the comparison that says what the other parties' columns are worth; `y_alone`: their
    labels, where they are in another order than those of the joint model, whose rows may not be known one by one.

    Shapes: y_train, s_train (n,); y_test, s_test, alone (m,). Returns a JSON-able dict:

    | key | what |
    |---|---|
    | `auc`, `ks`, `gini`, `logloss` | see `metrics`; `auc_train`, `ks_train`, `gini_train`, `logloss_train` on train |
    | `auc_alone`, `ks_alone`, `gini_alone`, `logloss_alone` | of the label party's own model, if given |
    | `roc` | `joint` and, if given, `alone`: `fpr`, `tpr` from (0, 0) to (1, 1) |
    | `ks_curve` | shares of `good` and `bad` rows that score at most `score`, ascending |
    | `lift` | ten risk bands, riskiest first: rows, bads, bad rate, lift = bad rate over that of all, cumulative too |
    | `calibration` | mean `predicted` and `observed` bad rate in each band, ascending |
    | `score_distribution` | rows between neighbouring `edges`, `good` and `bad` |
    | `stability` | `index` between train and test over ten bands of the train scores, and the `bands` |
    | `confusion` | a row is rejected if it scores at least `cutoff`: `tp` bad rejected, `fp` good rejected, `tn` good
      approved, `fn` bad approved; `bad_rate` is that of the approved, null if none is |

    Raises: DataError LABEL_ONE_CLASS, SCORE_INVALID.
    """
    curve, train = rank_curve(y_test, s_test), rank_curve(y_train, s_train)
    figures = _headline(curve, y_test, s_test, "") | _headline(train, y_train, s_train, "_train")
    roc = {"joint": _roc(curve)}
    if alone is not None:
        y = y_test if y_alone is None else y_alone
        alone_curve = rank_curve(y, alone)
        figures |= _headline(alone_curve, y, alone, "_alone")
        roc["alone"] = _roc(alone_curve)
    return figures | {
        "roc": roc,
        "ks_curve": _ks_curve(curve),
        "lift": _lift(y_test, s_test),
        "calibration": _calibration(y_test, s_test),
        "score_distribution": _score_distribution(y_test, s_test),
        "stability": _stability(s_train, s_test),
        "confusion": _confusion(curve),
    }


def _headline(curve: RankCurve, y: U8, score: F64, suffix: str) -> dict[str, float]:
    return {
        f"auc{suffix}": curve.auc,
        f"ks{suffix}": curve.ks,
        f"gini{suffix}": 2.0 * curve.auc - 1.0,
        f"logloss{suffix}": log_loss(y, score),
    }


def _roc(curve: RankCurve) -> dict[str, list[float]]:
    fpr, tpr = np.r_[0.0, curve.fpr], np.r_[0.0, curve.tpr]
    keep = _thin(np.maximum(fpr, tpr))
    return {"fpr": fpr[keep].tolist(), "tpr": tpr[keep].tolist()}


def _ks_curve(curve: RankCurve) -> dict[str, list[float]]:
    # Shares that score at most score[k]: all but those strictly above it.
    good, bad = 1.0 - np.r_[0.0, curve.fpr[:-1]], 1.0 - np.r_[0.0, curve.tpr[:-1]]
    score, good, bad = curve.score[::-1], good[::-1], bad[::-1]
    keep = _thin(good + bad)
    # The maximum is what the curve is drawn for, so it must not be thinned away.
    keep = np.union1d(keep, [int(np.argmax(np.abs(good - bad)))])
    return {"score": score[keep].tolist(), "good": good[keep].tolist(), "bad": bad[keep].tolist()}


def _thin(along: F64) -> NDArray[np.intp]:
    """Indices of at most CURVE_POINTS - 1 points, evenly along an ascending quantity, both ends included."""
    n = along.size
    if n < CURVE_POINTS:
        return np.arange(n)
    targets = np.linspace(along[0], along[-1], CURVE_POINTS - 1)
    keep = np.clip(np.searchsorted(along, targets), 0, n - 1)
    keep[0], keep[-1] = 0, n - 1
    return np.unique(keep)


def _lift(y: U8, score: F64) -> list[dict[str, float | int]]:
    band = risk_bands(score, BANDS)
    rows, bads = np.bincount(band, minlength=BANDS), np.bincount(band, y > 0, BANDS).astype(np.int64)
    overall = bads.sum() / rows.sum()
    cum_rows, cum_bads = np.cumsum(rows), np.cumsum(bads)
    return [
        {
            "band": number,
            "rows": int(rows[b]),
            "bads": int(bads[b]),
            "bad_rate": float(bads[b] / rows[b]),
            "cum_bads_share": float(cum_bads[b] / cum_bads[-1]),
            "lift": float(bads[b] / rows[b] / overall),
            "cum_lift": float(cum_bads[b] / cum_rows[b] / overall),
            "score_min": float(score[band == b].min()),
            "score_max": float(score[band == b].max()),
        }
        for number, b in enumerate(np.flatnonzero(rows), start=1)
    ]


def _calibration(y: U8, score: F64) -> list[dict[str, float | int]]:
    band = risk_bands(score, BANDS)
    rows, bads, total = np.bincount(band), np.bincount(band, y > 0), np.bincount(band, score)
    return [
        {"predicted": float(total[b] / rows[b]), "observed": float(bads[b] / rows[b]), "rows": int(rows[b])}
        for b in np.flatnonzero(rows)[::-1]
    ]


def _score_distribution(y: U8, score: F64) -> dict[str, list[float] | list[int]]:
    # np.histogram_bin_edges widens the range by itself when all scores are equal.
    edges = np.histogram_bin_edges(score, SCORE_BINS)
    good, bad = (np.histogram(score[(y > 0) == is_bad], edges)[0].tolist() for is_bad in (False, True))
    return {"edges": edges.tolist(), "good": good, "bad": bad}


def _stability(s_train: F64, s_test: F64) -> dict[str, Any]:
    """Bands are cut at the deciles of the train scores, equal scores together; band 1 holds the lowest scores."""
    cuts = np.unique(np.quantile(s_train, np.linspace(0.1, 0.9, BANDS - 1)))
    train, test = (
        np.bincount(np.searchsorted(cuts, s, side="left"), minlength=cuts.size + 1) for s in (s_train, s_test)
    )
    bands = [
        {"band": k, "train_share": float(e / s_train.size), "test_share": float(a / s_test.size)}
        for k, (e, a) in enumerate(zip(train, test, strict=True), start=1)
    ]
    return {"index": stability_index(train.astype(np.float64), test.astype(np.float64)), "bands": bands}


def _confusion(curve: RankCurve) -> list[dict[str, float | int | None]]:
    """At the cut-offs that come nearest the usual approval rates, and at the one of the KS statistic; ascending."""
    n_bad, n_good = int(curve.bad[-1]), int(curve.good[-1])
    rejected = curve.bad + curve.good
    approval = 1.0 - rejected / rejected[-1]
    at = {int(np.argmin(np.abs(approval - rate))) for rate in APPROVAL_RATES}
    at.add(int(np.argmax(np.abs(curve.tpr - curve.fpr))))
    rows: list[dict[str, float | int | None]] = []
    for k in sorted(at, reverse=True):
        tp, fp = int(curve.bad[k]), int(curve.good[k])
        tn, fn = n_good - fp, n_bad - tp
        rows.append(
            {
                "cutoff": float(curve.score[k]),
                "tp": tp,
                "fp": fp,
                "tn": tn,
                "fn": fn,
                "approval_rate": float(approval[k]),
                "bad_rate": fn / (tn + fn) if tn + fn else None,
            }
        )
    return rows
