"""`fedcredit bench horizontal`: boosting over parties that have the same columns of different subjects, and LightGBM on
all rows in one place beside it, in turns.

Each party has a process of its own; links are gRPC with mutual TLS on loopback. `rows` are those of all parties
together, in parts of the same size. Settings: parties, features, depth, bins, trees.
Seconds: `setup` once for a model, edges of bins included; `per_tree` the median tree; `job` everything from the start
of the processes to the end. `bytes` and `rounds`: of a tree, at the leader, both ways. `peer` is LightGBM with the same
parameters on the pooled rows, which takes all cores; here all parties share them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.gbdt import pooled_seconds
from fedcredit.cli.benches.identifiers import identifiers
from fedcredit.cli.benches.jobs import load, median, peak_memory, run_job, scratch, write_table

__all__ = ["run"]

CASES: tuple[dict[str, int], ...] = (
    {"rows": 30_000, "parties": 3, "features": 20},
    {"rows": 30_000, "parties": 5, "features": 20},
    {"rows": 30_000, "parties": 10, "features": 20},
    {"rows": 150_000, "parties": 3, "features": 20},
    {"rows": 150_000, "parties": 3, "features": 60},
    {"rows": 150_000, "parties": 5, "features": 60},
)
DEFAULTS = {"parties": 3, "features": 20, "depth": 5, "bins": 32, "trees": 11}


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    given = {name: int(options.number(name, 0)) for name in options.settings}
    for case in [{"rows": n} for n in options.rows] or list(CASES):
        yield _measure(DEFAULTS | case | given, options.repeat)


def _measure(case: dict[str, int], repeat: int) -> dict[str, Any]:
    with scratch() as folder:
        table, label = _write_tables(folder, case)
        models, jobs, peers = [], [], []
        for _ in range(repeat):
            begun = time.perf_counter()
            metrics = run_job(folder, _job(case))
            jobs.append(time.perf_counter() - begun)
            models.append(metrics["models"][0])
            peers.append(pooled_seconds(table, label, case))
            memory = peak_memory(metrics)
    tree = next(row for row in models[0]["phases"] if row["phase"] == "tree")
    per_tree = median([seconds for model in models for seconds in model["tree_seconds"]])
    peer = median(peers)
    return {
        "case": case,
        "seconds": {
            "setup": median([model["setup_seconds"] for model in models]),
            "per_tree": per_tree,
            "job": median(jobs),
        },
        "bytes": int(tree["bytes_sent"] + tree["bytes_received"]) // case["trees"],
        "rounds": int(tree["rounds"]) // case["trees"],
        "rss_mib": memory,
        "auc": round(models[0]["auc"], 4),
        "load": load(),
        "peer": {"lightgbm on pooled rows": {"per_tree": peer, "ratio": round(per_tree / peer, 1)}},
    }


def _write_tables(folder: Path, case: dict[str, int]) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    n, features, parties = case["rows"], case["features"], case["parties"]
    table = rng.normal(size=(features, n))
    weights = rng.normal(size=features) / np.sqrt(features)
    score = 2 * (weights @ table) + 0.5 * table[0] * table[-1]
    label = (rng.random(n) < 1 / (1 + np.exp(2 - score))).astype(np.uint8)
    ids = identifiers(0, n)
    for party in range(parties):
        own = slice(party, None, parties)
        columns = {f"x{k}": np.ascontiguousarray(table[k, own]) for k in range(features)}
        write_table(folder / f"city{party}.parquet", ids[own], {"label": label[own]} | columns)
    return table, label


def _job(case: dict[str, int]) -> dict[str, Any]:
    return {
        "job": {"name": "bench-horizontal", "purpose": "research", "seed": 7},
        "parties": {
            f"city{party}": {"table": f"city{party}.parquet", "id": "uscc", "label": "label"}
            for party in range(case["parties"])
        },
        # All but a hundredth of the rows are trained on, so that a case's rows are what its name says.
        "split": {"holdout": 0.01},
        "model": [
            {
                "kind": "gbdt",
                "split": "horizontal",
                "num_trees": case["trees"],
                "max_depth": case["depth"],
                "max_bin": case["bins"],
            }
        ],
    }
