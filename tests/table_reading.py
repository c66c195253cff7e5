"""A process that reads a table and says what it took; run with the URL's file, schema, relation and a folder."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from fedcredit.tables import Resources, TableSpec
from fedcredit.tables.remote.secret import Secret
from fedcredit.tables.remote.snapshot import take_snapshot
from fedcredit.tables.remote.sources import PostgresqlSource
from fedcredit.tables.spec import Limits


def main(url: str, schema: str, relation: str, folder: str) -> None:
    """Take a snapshot in 128 MiB of the engine's memory."""
    source = PostgresqlSource(schema=schema, relation=relation, url=Secret(file=Path(url)), tls="disable")
    spec = TableSpec(path=Path(folder), name=relation, source=source, id="uscc", id_type="digits", useless="keep")
    resources = Resources(memory_limit_bytes=128 << 20, spill_dir=Path(folder))
    snapshot = Path(folder) / "snapshot.parquet"
    started = time.perf_counter()
    take_snapshot(spec, snapshot, Limits(), resources)
    took, memory = time.perf_counter() - started, _peak_mib()
    size = snapshot.stat().st_size >> 20
    print(json.dumps({"seconds": took, "peak_mib": memory, "snapshot_mib": size}))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
