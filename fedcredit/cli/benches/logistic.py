"""`fedcredit bench logistic`: a logistic regression over numeric columns of two parties, over mutual TLS.

Rows are those that are fitted to; a quarter as many are held out. Settings: own, other (columns of the label party, of
the feature party), told (columns that say something of the label, as far as there are so many), errors (1: standard
errors, for 40 columns at most), groupsum (rlwe, or paillier, which takes minutes an iteration at 30,000 rows). Seconds:
`fit`, `per_iteration` (one gradient, with its share of all else in the fit), `total` (the model at the label party from
its start to its end), `job` (from the start of the processes to the end). `processor`: seconds of processor time of all
processes together in all of `job`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.jobs import load, median, peak_memory, processor_seconds, run_job, scratch
from fedcredit.cli.benches.scorecard import WIDE, over_tables, write_tables
from fedcredit.errors import Problem, UsageError

__all__ = ["run"]

CASES: tuple[dict[str, int], ...] = (
    {"rows": 30_000, "own": 13, "other": 10},
    {"rows": 100_000, "own": 30, "other": 300},
)


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row a case."""
    encryption = options.settings.get("groupsum", "rlwe")
    if encryption not in ("rlwe", "paillier"):
        raise UsageError(Problem("USAGE", f"--set groupsum={encryption}", "no such encryption", "rlwe or paillier"))
    given = {name: int(options.number(name, 0)) for name in options.settings if name != "groupsum"}
    cases = [{"rows": n, "own": 13, "other": 10} for n in options.rows] or list(CASES)
    for case in cases:
        full = {"told": 40, "errors": 0} | case | given
        cells = full["rows"] * (full["own"] + full["other"])
        found = _measure(full, options.repeat if cells < WIDE and encryption == "rlwe" else 1, encryption)
        yield found | {"case": found["case"] | {"groupsum": encryption}}


def _measure(case: dict[str, int], repeat: int, encryption: str) -> dict[str, Any]:
    jobs = []
    with scratch() as folder:
        write_tables(folder, case)
        for _ in range(repeat):
            begun, spent = time.perf_counter(), processor_seconds()
            model = {"kind": "logistic", "standard_errors": bool(case["errors"]), "groupsum": encryption}
            metrics = run_job(folder, over_tables("bench-logistic", model))
            jobs.append((metrics["models"][0], time.perf_counter() - begun, processor_seconds() - spent))
            memory = peak_memory(metrics)
    models = [model for model, *_ in jobs]
    return {
        "case": case | {"trained": models[0]["fit"]["rows"]},
        "seconds": {
            "fit": median([m["parts"]["fit"] for m in models]),
            "per_iteration": median([m["parts"]["per_iteration"] for m in models]),
            "total": median([m["seconds"] for m in models]),
            "job": median([seconds for _, seconds, _ in jobs]),
        },
        "gradients": models[0]["fit"]["gradients"],
        "processor": median([spent for *_, spent in jobs]),
        "load": load(),
        "bytes": models[0]["bytes"],
        "rounds": models[0]["rounds"],
        "rss_mib": memory,
    }
