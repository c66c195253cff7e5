"""`fedcredit bench binning`: bins, WOE and IV of all columns of two parties, over mutual TLS.

Settings: own, other (columns of the label party, of the feature party), bins (at most, and as many pre-bins), method.
Seconds: `binning` from the start of the model at the label party to its end, `counts` the part in group-by-sums, `job`
everything from start of the processes to the end. `processor`: seconds of processor time of all processes in all of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.identifiers import identifiers
from fedcredit.cli.benches.jobs import load, median, peak_memory, processor_seconds, run_job, scratch, write_table

__all__ = ["run"]

CASES: tuple[dict[str, int], ...] = (
    {"rows": 30_000, "own": 13, "other": 10},
    {"rows": 100_000, "own": 30, "other": 300},
)
WIDE = 10_000_000
"""Cells of a table from which on a case is one job: it is as long as several of the others."""


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    given = {name: int(options.number(name, 0)) for name in options.settings if name != "method"}
    cases = [{"rows": n, "own": 13, "other": 10} for n in options.rows] or list(CASES)
    for case in cases:
        full = {"bins": 10} | case | given
        cells = full["rows"] * (full["own"] + full["other"])
        yield _measure(full, options.settings.get("method", "quantile"), options.repeat if cells < WIDE else 1)


def _measure(case: dict[str, int], method: str, repeat: int) -> dict[str, Any]:
    jobs = []
    with scratch() as folder:
        _write_tables(folder, case)
        for _ in range(repeat):
            begun, spent = time.perf_counter(), processor_seconds()
            metrics = run_job(folder, _job(case, method))
            jobs.append((metrics["models"][0], time.perf_counter() - begun, processor_seconds() - spent))
            memory = peak_memory(metrics)
    models = [model for model, *_ in jobs]
    return {
        "case": case | {"method": method},
        "seconds": {
            "binning": median([m["seconds"]["binning"] for m in models]),
            "counts": median([_seconds(m, "counts") for m in models]),
            "job": median([seconds for _, seconds, _ in jobs]),
        },
        "processor": median([spent for *_, spent in jobs]),
        "load": load(),
        "bytes": models[0]["bytes"],
        "rounds": models[0]["rounds"],
        "rss_mib": memory,
    }


def _seconds(model: dict[str, Any], phase: str) -> float:
    return float(next(row["seconds"] for row in model["phases"] if row["phase"] == phase))


def _write_tables(folder: Path, case: dict[str, int]) -> None:
    rng = np.random.default_rng(7)
    n, own, other = case["rows"], case["own"], case["other"]
    table = rng.normal(size=(own + other, n)).astype(np.float32)
    weights = rng.normal(size=own + other) / np.sqrt(own + other)
    label = (rng.random(n) < 1 / (1 + np.exp(2 - 2 * (weights @ table)))).astype(np.uint8)
    ids = identifiers(0, n)
    mine = {f"x{k}": table[k].astype(np.float64) for k in range(own)}
    write_table(folder / "bank.parquet", ids, {"label": label} | mine)
    order = rng.permutation(n)
    theirs = {f"z{k}": table[own + k, order].astype(np.float64) for k in range(other)}
    write_table(folder / "tax.parquet", ids[order], theirs)


def _job(case: dict[str, int], method: str) -> dict[str, Any]:
    cut = {"prebins": case["bins"]} if method in ("optimal", "chimerge") else {}
    return {
        "job": {"name": "bench-binning", "purpose": "research", "seed": 7},
        "parties": {
            "bank": {"table": "bank.parquet", "id": "uscc", "label": "label"},
            "tax": {"table": "tax.parquet", "id": "uscc"},
        },
        "intersect": {"mode": "auto"},
        "model": [{"kind": "binning", "method": method, "max_bin": case["bins"]} | cut],
    }
