"""`fedcredit bench gbdt`: joint boosting between two parties, beside LightGBM in the clear on the same bins.

Settings: own, other (columns of the label party and of the feature party), depth, bins, trees, hide_nodes (0 or 1).
Seconds: `setup` once for a model, `per_tree` the median tree, `job` everything from start of the processes to the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.identifiers import identifiers
from fedcredit.cli.benches.jobs import median, peak_memory, run_job, scratch, write_table

__all__ = ["pooled_seconds", "run"]

CASES: tuple[dict[str, int], ...] = (
    {"rows": 30_000, "own": 13, "other": 10},
    {"rows": 150_000, "own": 5, "other": 5},
    {"rows": 150_000, "own": 5, "other": 5, "hide_nodes": 1},
    {"rows": 100_000, "own": 30, "other": 300, "trees": 5},
)
WIDE = 10_000_000
"""Cells of a table from which on a case is one job: its trees are runs enough."""

DEFAULTS = {"depth": 5, "bins": 32, "trees": 11, "hide_nodes": 0}


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    given = {name: int(options.number(name, 0)) for name in options.settings}
    cases = [{"rows": n, "own": 13, "other": 10} for n in options.rows] or list(CASES)
    for case in cases:
        full = DEFAULTS | case | given
        cells = full["rows"] * (full["own"] + full["other"])
        yield _measure(full, options.repeat if cells < WIDE else 1)


def _measure(case: dict[str, int], repeat: int) -> dict[str, Any]:
    with scratch() as folder:
        table, label = _write_tables(folder, case)
        jobs = []
        for _ in range(repeat):
            begun = time.perf_counter()
            metrics = run_job(folder, _job(case))
            jobs.append((metrics["models"][0], time.perf_counter() - begun))
            memory = peak_memory(metrics)
        peer = pooled_seconds(table, label, case)
    models = [model for model, _ in jobs]
    return {
        "case": case,
        "seconds": {
            "setup": median([m["setup_seconds"] for m in models]),
            "per_tree": median([s for m in models for s in m["tree_seconds"]]),
            "job": median([seconds for _, seconds in jobs]),
        },
        "bytes": _phase(models[0], "tree", "bytes") // case["trees"],
        "setup_bytes": _phase(models[0], "setup", "bytes"),
        "rounds": _phase(models[0], "tree", "rounds") // case["trees"],
        "rss_mib": memory,
        "auc": round(models[0]["auc"], 4),
        "peer": {"lightgbm in the clear": {"per_tree": peer}},
    }


def _phase(model: dict[str, Any], phase: str, what: str) -> int:
    row = next(row for row in model["phases"] if row["phase"] == phase)
    return int(row["bytes_sent"] + row["bytes_received"] if what == "bytes" else row[what])


def _write_tables(folder: Path, case: dict[str, int]) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    n, own, other = case["rows"], case["own"], case["other"]
    table = rng.normal(size=(own + other, n)).astype(np.float32)
    weights = rng.normal(size=own + other) / np.sqrt(own + other)
    score = 2 * (weights @ table) + 0.5 * table[0] * table[-1]
    label = (rng.random(n) < 1 / (1 + np.exp(2 - score))).astype(np.uint8)
    ids = identifiers(0, n)
    mine = {f"x{k}": table[k].astype(np.float64) for k in range(own)}
    write_table(folder / "bank.parquet", ids, {"label": label} | mine)
    order = rng.permutation(n)
    write_table(
        folder / "tax.parquet", ids[order], {f"z{k}": table[own + k, order].astype(np.float64) for k in range(other)}
    )
    return table, label


def _job(case: dict[str, int]) -> dict[str, Any]:
    return {
        "job": {"name": "bench-gbdt", "purpose": "research", "seed": 7},
        "parties": {
            "bank": {"table": "bank.parquet", "id": "uscc", "label": "label"},
            "tax": {"table": "tax.parquet", "id": "uscc"},
        },
        "intersect": {"mode": "auto"},
        # All but a hundredth of the rows are trained on, so that a case's rows are what its name says.
        "split": {"holdout": 0.01},
        "model": [
            {
                "kind": "gbdt",
                "num_trees": case["trees"],
                "max_depth": case["depth"],
                "max_bin": case["bins"],
                "hide_nodes": bool(case["hide_nodes"]),
            }
        ],
    }


def pooled_seconds(table: Any, label: Any, case: dict[str, int]) -> float:
    """Seconds a tree of LightGBM on the pooled columns, bins given, all cores."""
    import lightgbm

    settings = {
        "objective": "binary",
        "max_depth": case["depth"],
        "num_leaves": 2 ** case["depth"],
        "max_bin": case["bins"],
        "verbosity": -1,
    }
    data = lightgbm.Dataset(np.ascontiguousarray(table.T), label, params=settings)
    data.construct()
    lightgbm.train(settings, data, 5)
    begun = time.perf_counter()
    lightgbm.train(settings, data, 50)
    return round((time.perf_counter() - begun) / 50, 5)
