"""A table that was read before is known again while its file is the same one, and read again when it is not."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedcredit.errors import DataError
from fedcredit.node import snapshots
from fedcredit.node.snapshots import open_for_job
from fedcredit.tables import Resources, Table, TableSpec, open_table, standing
from fedcredit.tables.standing import StandingTable

TEXT = "id,size,kind\n" + "".join(f"{i:012},{i % 97},{'ab'[i % 2]}\n" for i in range(300))


@pytest.fixture
def spec(tmp_path: Path) -> TableSpec:
    path = tmp_path / "tax.csv"
    path.write_text(TEXT)
    settle(path)
    return TableSpec(path=path, id="id", id_type="digits", name="main")


def settle(path: Path) -> None:
    """Wait until a change of the file would show in its times."""
    while max(path.stat().st_mtime_ns, path.stat().st_ctime_ns) + 2_000_000_000 > time.time_ns():
        time.sleep(0.05)


Opened = Callable[..., Table]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Opens for another job each time; `read` of it says how often the file was read."""
    count = {"jobs": 0, "reads": 0}

    def read(*arguments: Any, **named: Any) -> Table:
        count["reads"] += 1
        return open_table(*arguments, **named)

    monkeypatch.setattr(snapshots, "open_table", read)

    def one(spec: TableSpec, today: datetime.date | None = None) -> Table:
        count["jobs"] += 1
        return open_for_job(spec, tmp_path, f"job-{count['jobs']}", Resources(), today, standing=True)

    one.count = count  # type: ignore[attr-defined]
    return one


def reads(opened: Opened) -> int:
    found: int = opened.count["reads"]  # type: ignore[attr-defined]
    return found


def test_a_file_that_is_the_same_is_not_read(spec: TableSpec, opened: Opened, tmp_path: Path) -> None:
    with opened(spec) as first, opened(spec) as again:
        assert isinstance(again, StandingTable)
        assert reads(opened) == 1
        for name in ("n_rows", "features", "fingerprint", "spec"):
            assert getattr(again, name) == getattr(first, name)
        assert again.quality == again.profiled() == first.profiled()
        again.verify_unchanged()
        assert reads(opened) == 1
        assert again.ids().tolist() == first.ids().tolist()
        assert again.read().columns["size"].values.tolist() == first.read().columns["size"].values.tolist()
        again.verify_unchanged()
        assert reads(opened) == 2
    described = [(tmp_path / "jobs" / f"job-{k}" / "quality.json").read_bytes() for k in (1, 2)]
    assert described[0] == described[1]


def test_a_file_that_was_changed_is_read(spec: TableSpec, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(spec).close()
    kept = spec.path.stat()
    spec.path.write_text(TEXT.replace(",5,", ",6,"))
    os.utime(spec.path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert spec.path.stat().st_size == kept.st_size
    with monkeypatch.context() as slowly:
        slowly.setattr(standing, "SETTLED_NS", 3600 * 10**9)  # however long it takes to open a table here
        with opened(spec) as table:
            assert not isinstance(table, StandingTable)
        # It was changed a moment ago, and might be again without a trace: not yet one to be known again.
        with opened(spec) as table:
            assert not isinstance(table, StandingTable)
    settle(spec.path)
    opened(spec).close()
    with opened(spec) as table:
        assert isinstance(table, StandingTable)


def test_a_change_while_a_job_runs_is_noticed(spec: TableSpec, opened: Opened) -> None:
    opened(spec).close()
    with opened(spec) as table:
        spec.path.write_text(TEXT.replace("a", "b"))
        for use in (table.verify_unchanged, table.ids):
            with pytest.raises(DataError) as error:
                use()
            assert error.value.code == "DATASET_CHANGED"


def test_another_declaration_is_another_table(spec: TableSpec, opened: Opened, tmp_path: Path) -> None:
    opened(spec).close()
    narrow = TableSpec(path=spec.path, id="id", id_type="digits", name="main", only=("size",))
    with opened(narrow) as table:
        assert not isinstance(table, StandingTable)
    with opened(narrow) as table:
        assert isinstance(table, StandingTable)
        assert table.features == ("size",)
    for path in (tmp_path / "tables").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_text('{"declared": 3}')
    with opened(spec) as table:
        assert not isinstance(table, StandingTable)
        assert table.n_rows == 300


def test_a_table_that_has_to_be_fresh_is_read_every_day(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "dated.csv"
    path.write_text("id,x,at\n" + "".join(f"{i:012},{i},2026-03-01\n" for i in range(20)))
    settle(path)
    spec = TableSpec(path=path, id="id", id_type="digits", name="main", updated="at", max_age_days=2, stale="refuse")
    day = datetime.date(2026, 3, 2)
    opened(spec, day).close()
    with opened(spec, day) as table:
        assert isinstance(table, StandingTable)
    with pytest.raises(DataError) as error:
        opened(spec, datetime.date(2026, 3, 9))
    assert error.value.code == "TABLE_STALE"
