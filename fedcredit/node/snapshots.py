"""A party's table for one job: opened, described for its own people, and bound to a snapshot if it is not a file.

FOLDER/snapshots/JOB.parquet    the rows of a database or an interface, from the offer to the end of the job
FOLDER/tables/NAME.*.json       what is known of a file that was read before, so that it need not be read again
FOLDER/tables/NAME.set          what stands for the set of its subjects (`fedcredit.node.subjects`)
FOLDER/jobs/JOB/quality.json    what the party should know of its table before the job uses it
"""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
from collections.abc import Collection
from functools import partial
from pathlib import Path

from fedcredit.node.durable_files import replace_file
from fedcredit.observe import logs
from fedcredit.tables import Table, open_table
from fedcredit.tables.engine import SPILL_PREFIX
from fedcredit.tables.spec import Limits, Resources, TableSpec
from fedcredit.tables.standing import declaration, file_seen, recognised, record_of

__all__ = ["forget_snapshot", "open_for_job", "sweep"]

_QUALITY = "quality.json"

_log = logs.get("table")


def open_for_job(
    spec: TableSpec,
    folder: Path,
    job: str,
    resources: Resources,
    today: datetime.date | None = None,
    *,
    standing: bool = False,
) -> Table:
    """The table that `spec` declares, with the rows that `job` is bound to if it is bound already.

    `today`: the day on which the table has to be fresh; it has to be so when the job is agreed, not any more when the
    job goes on. `standing`: a file that has not changed since it was read for an earlier such job is not read, unless
    its rows are asked for. Raises: as `open_table`.
    """
    described = folder / "jobs" / job / _QUALITY
    if described.exists():
        today = None  # the job was agreed before
    if spec.source is None and standing:
        table = _standing(spec, folder, resources, today)
    elif spec.source is None:
        table = open_table(spec, resources=resources, today=today)
    else:
        snapshot = _snapshot(folder, job)
        snapshot.parent.mkdir(mode=0o700, exist_ok=True)
        bound = snapshot.exists()
        try:
            table = open_table(spec, resources=resources, snapshot=snapshot, today=today)
        except BaseException:
            if not bound:
                forget_snapshot(folder, job)
            raise
    try:
        _describe(table, described, job)
    except BaseException:
        table.close()
        raise
    return table


def forget_snapshot(folder: Path, job: str) -> None:
    """Delete the rows that `job` was bound to; it has ended. Nothing happens if there are none."""
    _snapshot(folder, job).unlink(missing_ok=True)


def sweep(folder: Path, unfinished: Collection[str]) -> None:
    """Before a node starts: delete rows that a process left behind, but for those of `unfinished` jobs."""
    kept = {_snapshot(folder, job).name for job in unfinished}
    for path in (folder / "snapshots").glob("*"):
        if path.name not in kept:
            path.unlink(missing_ok=True)
    for path in (folder / "spill").glob(f"{SPILL_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def _snapshot(folder: Path, job: str) -> Path:
    return folder / "snapshots" / f"{job}.parquet"


def _standing(spec: TableSpec, folder: Path, resources: Resources, today: datetime.date | None) -> Table:
    limits, declared = Limits(), declaration(spec, today)
    record = folder / "tables" / f"{spec.title}.{declared[:16]}.json"
    with contextlib.suppress(FileNotFoundError):
        read = partial(open_table, spec, limits=limits, resources=resources, today=today)
        if (known := recognised(record.read_bytes(), spec, declared, limits, read)) is not None:
            return known
    before = file_seen(spec, limits)
    table = open_table(spec, limits=limits, resources=resources, today=today)
    try:
        found = record_of(table, table.profiled(), declared, before, file_seen(spec, limits))
        if found is not None:
            record.parent.mkdir(mode=0o700, exist_ok=True)
            replace_file(record, found)
    except BaseException:
        table.close()
        raise
    return table


def _describe(table: Table, path: Path, job: str) -> None:
    if path.exists():
        return
    quality = table.profiled()
    _log.info("table.profiled", job=job, **quality.counts())
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(quality.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(path, text.encode())
