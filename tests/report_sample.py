"""A small `metrics.json` with every key the report knows."""

from __future__ import annotations


def curve(power: float) -> dict[str, list[float]]:
    grid = [i / 20 for i in range(21)]
    return {"fpr": grid, "tpr": [x**power for x in grid]}


def model(**changes: object) -> dict[str, object]:
    bads = [40, 22, 14, 9, 6, 4, 2, 1, 1, 1]
    lift, found = [], 0
    for i, b in enumerate(bads):
        found += b
        lift.append(
            {
                "band": i + 1,
                "rows": 200,
                "bads": b,
                "bad_rate": b / 200,
                "cum_bads_share": found / 100,
                "lift": b / 10,
                "cum_lift": found / 100 / ((i + 1) / 10),
                "score_min": 0.2 - 0.02 * (i + 1),
                "score_max": 0.2 - 0.02 * i,
            }
        )
    grid = [i / 10 for i in range(11)]
    return {
        "kind": "gbdt",
        "name": "gbdt.0",
        "params": {"num_trees": 30, "learning_rate": 0.1, "hide_nodes": False},
        "auc": 0.8123,
        "ks": 0.4871,
        "gini": 0.6246,
        "logloss": 0.1561,
        "auc_train": 0.861,
        "ks_train": 0.55,
        "auc_alone": 0.7411,
        "ks_alone": 0.3502,
        "gini_alone": 0.4822,
        "seconds": 12.5,
        "bytes": 3 << 20,
        "rounds": 77,
        "trees": 30,
        "phases": [{"phase": "setup", "seconds": 3.0, "bytes_sent": 2048, "bytes_received": 1024, "rounds": 4}],
        "roc": {"joint": curve(0.3), "alone": curve(0.5)},
        "ks_curve": {"score": grid, "good": [x**0.4 for x in grid], "bad": grid},
        "lift": lift,
        "calibration": [{"predicted": 0.01 * i, "observed": 0.012 * i, "rows": 200} for i in range(1, 11)],
        "score_distribution": {"edges": grid, "good": [10 - i for i in range(10)], "bad": list(range(10))},
        "stability": {"index": 0.131, "bands": [{"band": 1, "train_share": 0.5, "test_share": 0.4}]},
        "confusion": [
            {"cutoff": 0.1, "tp": 60, "fp": 300, "tn": 1600, "fn": 40, "approval_rate": 0.82, "bad_rate": 0.0244}
        ],
        "importance": [
            {"party": "bank", "feature": "loan_amount", "gain": 30.0, "splits": 9},
            {"party": "tax", "feature": "tax.f3", "gain": 70.0, "splits": 11},
        ],
        "learning": {"tree": [1, 2, 3], "train_logloss": [0.3, 0.2, 0.15], "valid_logloss": [0.31, 0.23, 0.2]},
        **changes,
    }


def metrics(**changes: object) -> dict[str, object]:
    return {
        "job": {
            "name": "sme-default",
            "purpose": "financing",
            "hash": "ab" * 32,
            "seed": 7,
            "started": "2026-01-02T03:04:05Z",
            "parties": [
                {"id": "tax", "role": "feature", "rows": 9800, "features": 12},
                {"id": "bank", "role": "label", "rows": 7500, "features": 12},
            ],
            "split": {"holdout": 0.2},
        },
        "rows": {"aligned": 7350, "train": 5880, "test": 2000},
        "models": [model()],
        "traffic": [
            {"sender": "bank", "receiver": "tax", "phase": "align", "bytes": 1024, "messages": 3},
            {"sender": "bank", "receiver": "tax", "phase": "gbdt.0", "bytes": 1024, "messages": 4},
            {"sender": "tax", "receiver": "bank", "phase": "gbdt.0", "bytes": 4096, "messages": 5},
        ],
        "leakage": [
            {
                "party": "bank",
                "learns": "the side of each foreign split",
                "about": "every aligned row",
                "through": "gbdt",
            },
            {"party": "tax", "learns": "which rows share a node", "about": "aligned rows", "through": "gbdt"},
        ],
        "environment": {"machine": "2 cores", "commit": "abc1234"},
        **changes,
    }


def members(**changes: object) -> dict[str, object]:
    """Metrics of a job of three cities with the same columns for different subjects."""
    cities = ("lake", "ridge", "oasis")
    shared = model(
        kind="scorecard",
        split="horizontal",
        rows=9955,
        bads=649,
        auc_resolution=0.00042,
        ks_resolution=0.0185,
        within={"auc": 0.7713, "auc_alone": 0.7407, "pairs": 155521},
        importance=[{"party": "lake", "feature": "turnover", "gain": 30.0, "splits": 9}],
        columns=[{"party": "lake", "column": "turnover", "iv": 0.4, "bins": 5, "refused": None}],
        selection=[{"party": "lake", "column": "turnover", "kept": True, "rule": "iv", "iv": 0.4, "why": ""}],
        coefficients=[{"party": "lake", "column": "turnover", "standardised": -0.5, "coefficient": -0.7, "z": -4.0}],
        column_stability=[{"party": "lake", "column": "turnover", "index": 0.01, "points_shift": 0.2}],
        card={
            "purpose": "financing",
            "data": [{"party": city, "rows": None, "columns": 8} for city in cities],
            "limits": [],
            "leakage": [],
        },
    )
    told = (("how many rows", "sum of rows"), ("the whole card", "scorecard.0: card"))
    found: dict[str, object] = {
        "job": {
            "name": "five-cities",
            "purpose": "financing",
            "parties": [
                {"id": city, "role": "member" if k else "label", "rows": 1000, "features": 15}
                for k, city in enumerate(cities)
            ],
            "split": {"holdout": 0.25},
        },
        "rows": {"aligned": 3000, "train": 2000, "test": 1000},
        "models": [shared],
        "traffic": [
            {"sender": one, "receiver": other, "phase": "rows", "bytes": 4096, "messages": 3}
            for one in cities
            for other in cities
            if one != other
        ],
        "leakage": [
            {"party": city, "learns": learns, "about": ", ".join(c for c in cities if c != city), "through": through}
            for city in cities
            for learns, through in told
        ]
        + [{"party": "platform", "learns": "when each stage ends", "about": ", ".join(cities), "through": "job"}],
    }
    return metrics(**(found | changes))
