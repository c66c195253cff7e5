"""Index files of the process before: which of them a node that is started anew answers from at once."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.test_verify_serving import CODES, section, written

from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.node.verification import kept_indexes
from fedcredit.node.verification.building import build, columns_of, resources_of
from fedcredit.node.verification.kept_indexes import KeptIndexes, keep, recall, sources_seen
from fedcredit.node.verification.serving import offer_of
from fedcredit.runtime.verify_file import VerifySection

NOW = datetime.datetime(2026, 5, 4, 9, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits until its file was changed long ago."""
    monkeypatch.setattr(kept_indexes, "SETTLED_NS", -(10**18))


def declared(folder: Path, **more: object) -> VerifySection:
    return section(folder, **{"recorded": "updated_on", "fresh_days": 40, **more})


def made(folder: Path, declared: VerifySection) -> KeptIndexes:
    """What a process makes of the tables and keeps."""
    resources, indexes = resources_of(folder, 256, 1), folder / "indexes"
    seen = sources_seen(declared, folder)
    columns = columns_of(folder, declared, resources)
    offer = offer_of(declared, VerifyPolicy(), columns)
    found = [
        build(register, declared, folder, indexes, resources, NOW.date(), matched=offer.matches(item))
        for item, register in offer.registers.items()
    ]
    assert seen is not None
    assert seen == sources_seen(declared, folder)
    kept = KeptIndexes(columns, tuple(found), NOW)
    keep(indexes, declared, offer, kept, seen)
    return kept


def recalled(folder: Path, declared: VerifySection, now: datetime.datetime = NOW) -> KeptIndexes | None:
    return recall(folder / "indexes", declared, folder, VerifyPolicy(), now)


def test_what_has_not_changed_is_known_again(tmp_path: Path) -> None:
    written(tmp_path)
    kept = made(tmp_path, declared(tmp_path))
    assert recalled(tmp_path, declared(tmp_path)) == kept
    # However long ago: a file that is as it was would be read as it was.
    assert recalled(tmp_path, declared(tmp_path), NOW + datetime.timedelta(days=30)) == kept
    assert CODES[0] not in (tmp_path / "indexes" / "kept.json").read_text()


def _flip(folder: Path) -> None:
    (index,) = (folder / "indexes").glob("*.index")
    data = bytearray(index.read_bytes())
    data[len(data) // 2] ^= 1
    index.write_bytes(data)


def _lose(folder: Path) -> None:
    for index in (folder / "indexes").glob("*.index"):
        index.unlink()


def _say(folder: Path, **said: object) -> None:
    record = folder / "indexes" / "kept.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | said))


def _elsewhere(folder: Path) -> None:
    record = json.loads((folder / "indexes" / "kept.json").read_text())
    (index,) = (folder / "indexes").glob("*.index")
    index.rename(folder / index.name)
    _say(folder, built=[one | {"path": f"../{index.name}"} for one in record["built"]])


def _miscount(folder: Path) -> None:
    record = json.loads((folder / "indexes" / "kept.json").read_text())
    _say(folder, built=[one | {"records": one["records"] + 1} for one in record["built"]])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: written(folder, f"{CODES[0]},true,5,10,2026-04-30\n"),
        lambda folder: (folder / "water.csv").touch(),
        lambda folder: (folder / "water.csv").unlink(),
        lambda folder: (folder / "indexes" / "kept.json").unlink(),
        lambda folder: (folder / "indexes" / "kept.json").write_text("[[["),
        lambda folder: (folder / "indexes" / "kept.json").write_text("[]"),
        lambda folder: _say(folder, read_at=1e300),
        lambda folder: _say(folder, columns={}),
        lambda folder: _say(folder, built=[]),
        _flip,
        _lose,
        _elsewhere,
        _miscount,
    ],
)
def test_whatever_is_not_as_it_was_is_read_anew(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    written(tmp_path)
    same = declared(tmp_path)
    made(tmp_path, same)
    spoil(tmp_path)
    assert recalled(tmp_path, same) is None


@pytest.mark.parametrize(
    "change",
    [
        {"fields": {"avg_monthly_usage_6m": "近3个月月均用水量"}},
        {"missing": ["5"]},
        {"recorded": None, "fresh_days": None},
        {"fresh_days": 1},
        {"complete": True},
    ],
)
def test_a_table_that_is_declared_otherwise_is_read_anew(tmp_path: Path, change: dict[str, object]) -> None:
    written(tmp_path)
    made(tmp_path, declared(tmp_path))
    assert recalled(tmp_path, declared(tmp_path, **change)) is None


def test_another_version_reads_anew_and_so_does_a_day_on_which_the_table_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    made(tmp_path, declared(tmp_path))
    assert recalled(tmp_path, declared(tmp_path), NOW + datetime.timedelta(days=37)) is not None
    assert recalled(tmp_path, declared(tmp_path), NOW + datetime.timedelta(days=38)) is None
    monkeypatch.setattr(kept_indexes, "__version__", "0.1.1")
    assert recalled(tmp_path, declared(tmp_path)) is None


def test_a_file_that_was_just_changed_is_not_trusted_to_look_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    monkeypatch.setattr(kept_indexes, "SETTLED_NS", 3600 * 10**9)
    assert sources_seen(declared(tmp_path), tmp_path) is None


def test_an_index_of_a_table_elsewhere_counts_as_long_as_one_of_a_running_node(tmp_path: Path) -> None:
    written(tmp_path)
    kept = made(tmp_path, declared(tmp_path))
    (tmp_path / "url").touch(0o600)
    remote: dict[str, object] = {"relation": "public.water", "url_file": "url"}
    elsewhere = section(tmp_path, postgresql=remote, table=None)
    seen = sources_seen(elsewhere, tmp_path)
    assert seen is not None
    keep(tmp_path / "indexes", elsewhere, offer_of(elsewhere, VerifyPolicy(), kept.columns), kept, seen)
    day = datetime.timedelta(hours=24)
    assert [recalled(tmp_path, elsewhere, NOW + late) == kept for late in (0 * day, day, 1.01 * day, -0.01 * day)] == [
        True,
        True,
        False,
        False,
    ]
    (tmp_path / "url").write_text("postgresql://elsewhere/water")
    assert recalled(tmp_path, elsewhere) is None
    named = section(tmp_path, postgresql={"relation": "public.water", "url_env": "URL"}, table=None)
    assert sources_seen(named, tmp_path) is None


def test_codes_that_may_be_asked_for_privately_are_those_that_were_read(tmp_path: Path) -> None:
    written(tmp_path)
    private = declared(tmp_path).model_copy(update={"private": ("water_fee",)})
    kept = made(tmp_path, private)
    (members,) = (one.members for one in kept.built)
    assert members is not None
    assert recalled(tmp_path, private) == kept
    assert recalled(tmp_path, declared(tmp_path)) is None
    members.write_bytes(members.read_bytes()[:-18])
    assert recalled(tmp_path, private) is None
