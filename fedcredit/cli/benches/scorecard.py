"""`fedcredit bench scorecard`: a whole scorecard of two parties over mutual TLS, from bins to its judgement.

Rows are those that are fitted to; a quarter as many are held out. Settings: own, other (columns of the label party, of
the feature party), bins (at most), told (columns that say something of the label, as far as there are so many; as many
are kept at most). Seconds: `binning`, `selection`, `fit` (all fits, with standard errors), `per_iteration` (one
gradient with its share of the last fit), `evaluation`, `total` (the model at the label party from its start to its
end), `job` (everything from the start of the processes to the end). `processor`: seconds of processor time of all
processes together in all of `job`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.identifiers import identifiers
from fedcredit.cli.benches.jobs import load, median, peak_memory, processor_seconds, run_job, scratch, write_table

__all__ = ["WIDE", "over_tables", "run", "write_tables"]

CASES: tuple[dict[str, int], ...] = (
    {"rows": 30_000, "own": 13, "other": 10},
    {"rows": 100_000, "own": 30, "other": 300},
    {"rows": 1_000_000, "own": 20, "other": 20},
)
WIDE: Final = 10_000_000
"""Cells of a table from which on a case is one job: it is as long as several of the others."""
HELD_OUT: Final = 0.2
EFFECT: Final = 2.0
"""Spread of log-odds that the columns which say something make up together."""


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    given = {name: int(options.number(name, 0)) for name in options.settings}
    cases = [{"rows": n, "own": 13, "other": 10} for n in options.rows] or list(CASES)
    for case in cases:
        full = {"bins": 10, "told": 40} | case | given
        cells = full["rows"] * (full["own"] + full["other"])
        yield _measure(full, options.repeat if cells < WIDE else 1)


def _measure(case: dict[str, int], repeat: int) -> dict[str, Any]:
    jobs = []
    model = {"kind": "scorecard", "method": "quantile", "max_bin": case["bins"], "max_features": min(40, case["told"])}
    with scratch() as folder:
        write_tables(folder, case)
        for _ in range(repeat):
            begun, spent = time.perf_counter(), processor_seconds()
            metrics = run_job(folder, over_tables("bench-scorecard", model))
            jobs.append((metrics["models"][0], time.perf_counter() - begun, processor_seconds() - spent))
            memory = peak_memory(metrics)
    models = [model for model, *_ in jobs]
    parts = {name: median([m["parts"][name] for m in models]) for name in models[0]["parts"]}
    return {
        "case": case | {"trained": models[0]["fit"]["rows"]},
        "seconds": parts
        | {"total": median([m["seconds"] for m in models]), "job": median([seconds for _, seconds, _ in jobs])},
        "columns": sum(row["kept"] for row in models[0]["selection"]),
        "gradients": models[0]["fit"]["gradients"],
        "processor": median([spent for *_, spent in jobs]),
        "load": load(),
        "bytes": models[0]["bytes"],
        "rounds": models[0]["rounds"],
        "rss_mib": memory,
    }


def write_tables(folder: Path, case: dict[str, int]) -> None:
    """The tables of both parties, bank.parquet and tax.parquet, with rows to hold out beside those of the case."""
    rng = np.random.default_rng(7)
    n, own, other = round(case["rows"] / (1 - HELD_OUT)), case["own"], case["other"]
    table = rng.normal(size=(own + other, n)).astype(np.float32)
    # Half of those that say something are of either party, unless it has not so many.
    mine = min(own, max(case["told"] // 2, case["told"] - other))
    told = np.concatenate([np.arange(mine), own + np.arange(min(other, case["told"] - mine))])
    score = EFFECT * rng.choice([-1.0, 1.0], told.size) @ table[told] / np.sqrt(told.size)
    label = (rng.random(n) < 1 / (1 + np.exp(2 - score))).astype(np.uint8)
    ids = identifiers(0, n)
    columns = {f"x{k}": table[k].astype(np.float64) for k in range(own)}
    write_table(folder / "bank.parquet", ids, {"label": label} | columns)
    order = rng.permutation(n)
    theirs = {f"z{k}": table[own + k, order].astype(np.float64) for k in range(other)}
    write_table(folder / "tax.parquet", ids[order], theirs)


def over_tables(name: str, model: dict[str, Any]) -> dict[str, Any]:
    """A job with one model over the tables that `write_tables` wrote."""
    return {
        "job": {"name": name, "purpose": "research", "seed": 7},
        "parties": {
            "bank": {"table": "bank.parquet", "id": "uscc", "label": "label"},
            "tax": {"table": "tax.parquet", "id": "uscc"},
        },
        "intersect": {"mode": "auto"},
        "split": {"holdout": HELD_OUT},
        "model": [model],
    }
