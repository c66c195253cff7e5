"""`fedcredit bench intersect`: two parties align their tables, from CSV on disk to aligned row numbers in the store.

Half of the identifiers are shared. Seconds: `total` from the start of the processes to the result on disk, `protocol`
the alignment alone. Settings: mode (fast or ecdh; by default fast, and ecdh too up to 100,000 rows), receiver_only (0).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.identifiers import identifiers
from fedcredit.cli.benches.jobs import align_seconds, median, peak_memory, run_job, scratch, write_table
from fedcredit.errors import Problem, UsageError
from fedcredit.protocols.intersect.choice import MODES

__all__ = ["run"]

SIZES = (10_000, 100_000, 1_000_000)
LARGE = {"ecdh": 500_000, "fast": 5_000_000}
"""Rows from which on a case is run once."""


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a size."""
    receiver_only = bool(options.number("receiver_only", 0))
    for rows in options.rows or SIZES:
        for mode in _modes(options, rows):
            repeat = options.repeat if rows < LARGE[mode] else 1
            yield _measure(rows, repeat, {"mode": mode, "receiver_only": receiver_only})


def _modes(options: Options, rows: int) -> Sequence[str]:
    asked = options.settings.get("mode")
    if asked is None:
        return [mode for mode in MODES if mode == "fast" or rows <= SIZES[1]]
    if asked not in MODES:
        raise UsageError(Problem("USAGE", "--set mode", "is no mode", f"one of {', '.join(MODES)}"))
    return [asked]


def _measure(rows: int, repeat: int, section: dict[str, Any]) -> dict[str, Any]:
    with scratch() as folder:
        _write_tables(folder, rows)
        totals, aligned, traffic, memory = [], [], [], []
        for _ in range(repeat):
            begun = time.perf_counter()
            metrics = run_job(folder, _job(section))
            totals.append(time.perf_counter() - begun)
            aligned.append(align_seconds(metrics))
            memory.append(peak_memory(metrics))
            traffic.append(sum(row["bytes"] for row in metrics["traffic"] if row["phase"].split("/")[0] == "align"))
        if metrics["rows"]["aligned"] != rows // 2:
            raise AssertionError(json.dumps(metrics["rows"]))
    return {
        "case": {"rows": rows, **section, "shared": rows // 2},
        "seconds": {"total": median(totals), "protocol": median(aligned)},
        "rate": round(rows / median(aligned)),
        "bytes": traffic[0],
        "bytes_per_item": round(traffic[0] / rows, 1),
        "rss_mib": memory[0],
    }


def _write_tables(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(7)
    mine, theirs = identifiers(0, rows), identifiers(rows - rows // 2, rows)
    write_table(folder / "bank.csv", rng.permutation(mine), {"label": rng.integers(0, 2, rows, dtype=np.uint8)})
    write_table(folder / "tax.csv", rng.permutation(theirs), {"x": rng.normal(size=rows).round(3)})


def _job(section: dict[str, Any]) -> dict[str, Any]:
    return {
        "job": {"name": "bench-intersect", "purpose": "research", "seed": 7},
        "parties": {
            "bank": {"table": "bank.csv", "id": "uscc", "label": "label"},
            "tax": {"table": "tax.csv", "id": "uscc"},
        },
        "intersect": section,
    }
