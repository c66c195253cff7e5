"""What benches share: tables of random columns on disk, and jobs run over them by real processes."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt

from fedcredit.cli.benches.identifiers import Ids
from fedcredit.node.local import simulate
from fedcredit.runtime.config import load_job
from fedcredit.runtime.toml import dump

__all__ = [
    "align_seconds",
    "load",
    "median",
    "peak_memory",
    "processor_seconds",
    "run_job",
    "scratch",
    "write_table",
]

F64: TypeAlias = npt.NDArray[np.float64]


def write_table(path: Path, ids: Ids, columns: Mapping[str, F64 | npt.NDArray[np.uint8]]) -> Path:
    """Write `uscc` and the columns as CSV or Parquet, by the file's suffix."""
    data = {"uscc": ids.astype("U18")} | dict(columns)
    with duckdb.connect() as connection:
        connection.register("data", data)
        kind = "parquet" if path.suffix == ".parquet" else "csv, header true"
        # The path is the bench's own, and COPY takes no parameters.
        connection.execute(f"COPY (SELECT * FROM data) TO '{path}' (FORMAT {kind})")  # noqa: S608
    return path


def run_job(folder: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    """Run `job`, the content of a job file, with all its parties in processes; metrics.json's content."""
    path = folder / "JOB.toml"
    tables = {key: value for key, value in job.items() if key != "model"}
    models = [dump({"model": model}).replace('["model"]', '[["model"]]') for model in job.get("model", ())]
    path.write_text(dump(tables) + "".join(models), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        return asyncio.run(simulate(load_job(path), Path(out) / "out"))


def peak_memory(metrics: Mapping[str, Any]) -> float | None:
    """The most memory that a party of the job had, in MiB."""
    found = [cost["peak_memory_mib"] for cost in metrics["cost"].values()]
    return None if None in found else max(found)


def align_seconds(metrics: Mapping[str, Any]) -> float:
    """Seconds that the label party aligned for, in one piece or bucket by bucket."""
    spent: float = sum(seconds for phase, seconds in metrics["seconds"].items() if phase.split("/")[0] == "align")
    return round(spent, 4)


def load() -> float:
    """How many threads had or wanted a processor over the last minute, of the bench and of others."""
    return round(os.getloadavg()[0], 1)


def processor_seconds() -> float:
    """Processor time of all processes that were started here and have ended: of a job, those of all parties."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-") as folder:
        yield Path(folder)


def median(values: Sequence[float]) -> float:
    """The median, to a tenth of a millisecond."""
    return round(statistics.median(values), 4)
