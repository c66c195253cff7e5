"""`fedcredit node fsck`: silent about a whole folder, and every kind of damage is named."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from e2e.conftest import run_cli, write_job, write_tables

from fedcredit.errors import ConfigError, DataError
from fedcredit.node.own_store import lock_folder
from fedcredit.node.server import check_kept
from fedcredit.node.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a party after a job, and in the middle of the next one."""
    folder = tmp_path_factory.mktemp("ran")
    write_tables(folder, {"bank": (0, 700), "tax": (200, 800)})
    done = run_cli("simulate", write_job(folder, ["bank", "tax"]), "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    bank = folder / "out" / "parties" / "bank"
    for name in ("tls.key", "signing.key"):  # a simulation keeps none, and none is needed to check
        (bank / "keys" / name).touch(mode=0o600)
    store = Store.at(bank / "store.sqlite")
    store.jobs.propose("next", b"{}", b"n" * 32, b"f" * 32)
    for stage in ("validate", "align"):
        store.stages.finish("next", stage, stage.encode(), datetime.now(UTC))
    store.close()
    return bank


@pytest.fixture
def bank(ran: Path, tmp_path: Path) -> Path:
    return shutil.copytree(ran, tmp_path / "bank")


def result_of(bank: Path) -> Path:
    (result,) = bank.glob("jobs/*/result")
    return result


def sql(statement: str) -> Callable[[Path], None]:
    def damage(bank: Path) -> None:
        connection = sqlite3.connect(bank / "store.sqlite")
        connection.execute(statement)
        connection.commit()
        connection.close()

    return damage


def overwrite_pages(bank: Path) -> None:
    # Bytes of one table's pages, as a disk would lose them; the first page, with the schema, stays.
    path = bank / "store.sqlite"
    with path.open("r+b") as file:
        for offset in range(8192, path.stat().st_size, 4096):
            file.seek(offset + 8)
            file.write(b"\xff" * 64)


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(bank: Path) -> None:
        path = bank / name if name.startswith("audit") else result_of(bank) / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def with_another_digit(data: bytes) -> bytes:
    # The first digit there is becomes another; the rest, and the length, stay.
    return re.sub(rb"\d", lambda digit: b"1" if digit[0] != b"1" else b"2", data, count=1)


def test_what_a_node_writes_is_for_its_owner_alone(ran: Path) -> None:
    written = [*ran.glob("jobs/**/*"), *ran.glob("audit/*"), *ran.glob("store.sqlite*"), ran / "policy.seen"]
    assert len(written) > 10
    assert [str(path) for path in written if path.stat().st_mode & 0o077] == []


def test_a_folder_after_a_job_is_whole(ran: Path) -> None:
    checked = run_cli("node", "fsck", ran)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith("whole: 2 jobs, ")
    found = check_kept(ran)
    assert min(found.stages, found.files, found.entries) >= 2


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (sql("UPDATE stages SET state = x'00' WHERE job = 'next' AND position = 1"), "STATE_INVALID"),
        (sql("UPDATE stages SET state = NULL WHERE job = 'next' AND position = 1"), "STATE_INVALID"),
        (sql("UPDATE stages SET epoch = 7 WHERE job = 'next' AND position = 1"), "STORE_INCONSISTENT"),
        (sql("UPDATE stages SET position = 0 WHERE job = 'next'"), "STORE_INCONSISTENT"),
        (sql("UPDATE stages SET job = 'another' WHERE job = 'next' AND position = 1"), "STORE_INCONSISTENT"),
        (sql("UPDATE jobs SET state = 'lost'"), "STORE_INCONSISTENT"),
        (sql("UPDATE jobs SET problems = '{'"), "STORE_INCONSISTENT"),
        (sql("UPDATE jobs SET signatures = NULL WHERE id <> 'next'"), "STORE_INCONSISTENT"),
        (sql("UPDATE jobs SET ssid = zeroblob(32) WHERE id <> 'next'"), "STORE_INCONSISTENT"),
        (sql("UPDATE jobs SET state = 'waiting'"), "STORE_INCONSISTENT"),
        (sql("DELETE FROM results"), "RESULT_MISSING"),
        (sql("UPDATE audit_head SET size = size + 1"), "AUDIT_"),
        (sql("UPDATE audit_head SET root = zeroblob(32)"), "AUDIT_"),
        (sql("UPDATE schema_version SET version = 1"), "STORE_VERSION"),
        (overwrite_pages, "STORE_DAMAGED"),
        (lambda bank: (bank / "store.sqlite").unlink(), "STORE_MISSING"),
        (lambda bank: (result_of(bank) / "cost.json").unlink(), "RESULT_MISSING"),
        (lambda bank: (result_of(bank) / "more.json").touch(), "RESULT_DAMAGED"),
        (rewrite("cost.json", lambda data: data + b" "), "RESULT_DAMAGED"),
        (rewrite("audit/entries.jsonl", lambda data: data[data.index(b"\n") + 1 :]), "AUDIT_"),
        (rewrite("audit/entries.jsonl", with_another_digit), "AUDIT_"),
        (rewrite("audit/checkpoint", with_another_digit), "AUDIT_"),
        (lambda bank: shutil.rmtree(bank / "audit"), "AUDIT_"),
    ],
)
def test_damage_is_named(bank: Path, damage: Callable[[Path], object], code: str) -> None:
    damage(bank)
    before = {path: path.stat().st_mtime_ns for path in bank.rglob("*") if path.name != "node.lock"}
    with pytest.raises(DataError) as refused:
        check_kept(bank)
    assert any(problem.code.startswith(code) for problem in refused.value.problems)
    after = {path: path.stat().st_mtime_ns for path in before if path.exists()}
    assert {path: time for path, time in before.items() if path.is_file() and "store.sqlite-" not in path.name} == {
        path: time for path, time in after.items() if path.is_file() and "store.sqlite-" not in path.name
    }


def test_all_damage_is_told_at_once(bank: Path) -> None:
    sql("UPDATE stages SET state = x'00' WHERE job = 'next'")(bank)
    (result_of(bank) / "cost.json").unlink()
    shutil.rmtree(bank / "audit")
    checked = run_cli("node", "fsck", bank)
    assert checked.returncode == 65
    assert {line.partition(":")[0] for line in checked.stderr.splitlines()} == {
        "STATE_INVALID",
        "RESULT_MISSING",
        "AUDIT_TAMPERED",
    }


def test_a_running_node_is_not_checked(bank: Path) -> None:
    with lock_folder(bank), pytest.raises(ConfigError, match=f"LOCKED.*process {os.getpid()}"):
        check_kept(bank)
