"""The rows that a job is bound to: kept through a restart, gone with the job, never half there."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from postgresql_server import Server
from table_database import Database
from table_files import spec_of

from fedcredit.errors import DataError
from fedcredit.node.snapshots import forget_snapshot, open_for_job, sweep
from fedcredit.tables import Resources

RESOURCES = Resources()


@pytest.fixture
def database(postgresql: Server, tmp_path: Path) -> Database:
    made = Database(postgresql, tmp_path)
    made.create("id text, x int", [("a", 1), ("b", 2), ("c", 3)])
    return made


def test_a_job_goes_on_with_its_rows_and_another_sees_new_ones(database: Database, tmp_path: Path) -> None:
    spec, folder = database.spec(), tmp_path / "node"
    folder.mkdir()
    with open_for_job(spec, folder, "one", RESOURCES) as table:
        first = table.fingerprint
    database.run(f"INSERT INTO {database.schema}.companies VALUES ('d', 4)")
    # As after a restart of the node.
    with open_for_job(spec, folder, "one", RESOURCES) as table:
        assert table.fingerprint == first
        assert table.n_rows == 3
    with open_for_job(spec, folder, "two", RESOURCES) as table:
        assert table.n_rows == 4
    assert json.loads((folder / "jobs" / "one" / "quality.json").read_text())["rows"] == 3
    forget_snapshot(folder, "one")
    forget_snapshot(folder, "one")
    assert [path.name for path in (folder / "snapshots").iterdir()] == ["two.parquet"]
    assert (folder / "snapshots").stat().st_mode & 0o777 == 0o700


def test_a_table_that_is_refused_leaves_no_snapshot(database: Database, tmp_path: Path) -> None:
    database.run(f"INSERT INTO {database.schema}.companies VALUES ('a', 4)")
    with pytest.raises(DataError):
        open_for_job(database.spec(), tmp_path, "one", RESOURCES)
    assert not list((tmp_path / "snapshots").iterdir())


def test_a_table_has_to_be_fresh_when_a_job_is_agreed_and_not_when_it_goes_on(tmp_path: Path) -> None:
    content = b"id,x,day\na,1,2024-01-01\nb,2,2024-01-31\n"
    spec = spec_of(tmp_path, content, updated="day", max_age_days=30, stale="refuse")
    late = datetime.date(2024, 3, 31)
    with pytest.raises(DataError) as refused:
        open_for_job(spec, tmp_path, "one", RESOURCES, late)
    assert refused.value.code == "TABLE_STALE"
    with open_for_job(spec, tmp_path, "two", RESOURCES, datetime.date(2024, 2, 1)) as table:
        assert table.quality.age_days == 1
    with open_for_job(spec, tmp_path, "two", RESOURCES, late) as table:
        assert table.n_rows == 2


def test_a_start_sweeps_what_no_job_needs(tmp_path: Path) -> None:
    for name in ("snapshots", "spill"):
        (tmp_path / name).mkdir()
    for name in ("one.parquet", "two.parquet", "three.parquet.partial"):
        (tmp_path / "snapshots" / name).write_text("")
    (tmp_path / "spill" / "fedcredit-spill-x").mkdir()
    (tmp_path / "spill" / "fedcredit-spill-x" / "rows.tmp").write_text("")
    sweep(tmp_path, {"two"})
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["two.parquet"]
    assert not list((tmp_path / "spill").iterdir())
    sweep(tmp_path / "new", set())


SCRIPT = """
import sys
from pathlib import Path
from fedcredit import failpoints
from fedcredit.node.snapshots import open_for_job
from fedcredit.tables import Resources, TableSpec
from fedcredit.tables.remote.secret import Secret
from fedcredit.tables.remote.sources import PostgresqlSource
failpoints.load()
url, schema, folder = sys.argv[1:]
source = PostgresqlSource(schema=schema, relation="companies", url=Secret(file=Path(url)), tls="disable")
spec = TableSpec(path=Path(folder), name="companies", source=source, id="id", id_type="text", useless="keep")
with open_for_job(spec, Path(folder), "one", Resources()) as table:
    print(table.fingerprint.hex())
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table.snapshot.written", "table.snapshot.kept"])
@pytest.mark.parametrize("action", ["kill", "error(ENOSPC)"])
def test_a_reading_that_breaks_off_leaves_all_rows_or_none(
    database: Database, tmp_path: Path, name: str, action: str
) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(database.url_file()), database.schema, str(folder)]
    quiet = {**os.environ, "PYTHONPATH": str(ROOT)}
    broken = {**quiet, "FEDCREDIT_INSECURE_FAILPOINTS": "1", "FEDCREDIT_FAILPOINTS": f"{name}={action}@1"}
    died = subprocess.run(command, env=broken, capture_output=True, timeout=300)
    assert died.returncode == (-signal.SIGKILL if action == "kill" else 1)
    assert (b"DISK_FULL" in died.stderr) == (action != "kill")
    with open_for_job(database.spec(), folder, "two", RESOURCES) as table:
        whole = table.fingerprint.hex()
    kept = folder / "snapshots" / "one.parquet"
    assert kept.exists() == (name == "table.snapshot.kept" and action == "kill")
    again = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=300)
    assert again.stdout.strip() == whole
    sweep(folder, {"one"})
    assert [path.name for path in (folder / "snapshots").iterdir()] == ["one.parquet"]
