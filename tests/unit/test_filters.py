"""Filters as a node keeps them: made piece by piece, gone on with after a crash, changed by what changed."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fedcredit import failpoints
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import FedcreditError
from fedcredit.ids import PartyId
from fedcredit.node.filters import lent as module
from fedcredit.node.filters import mapped
from fedcredit.node.filters.held import HeldFilter
from fedcredit.node.filters.lent import LentFilter
from fedcredit.node.filters.records import KeptKey, LentRecord, read_label
from fedcredit.protocols.intersect.filters import FilterKey, SharedFilter, filter_bits

BANK, TAX = PartyId("bank"), PartyId("tax")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUARTER = timedelta(days=90)


def ids(*ranges: range) -> npt.NDArray[np.bytes_]:
    return np.array([f"{i:012}".encode() for numbers in ranges for i in numbers])


def table(number: int) -> bytes:
    """The fingerprint of a table."""
    return bytes([number]) * 32


@pytest.fixture
def lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LentFilter:
    monkeypatch.setattr(module, "ROWS_PER_PIECE", 100)
    return LentFilter(tmp_path, TAX, BANK, "main")


def key_of(lent: LentFilter, now: datetime = NOW, seed: int = 1) -> FilterKey:
    return lent.key_for(now, QUARTER, insecure_seeded(seed))


def followed(lent: LentFilter, found: npt.NDArray[np.bytes_], fingerprint: bytes) -> list[tuple[int, int]]:
    return list(lent.follow(key_of(lent), found, fingerprint))


def expected(lent: LentFilter, found: npt.NDArray[np.bytes_]) -> bytes:
    values = key_of(lent).values(found, len(found))
    return SharedFilter.of(key_of(lent).name, 1, values).content.tobytes()


def content(lent: LentFilter) -> bytes:
    current = lent.current()
    assert current is not None
    assert current.intact
    return current.content.tobytes()


def test_only_new_rows_are_evaluated(lent: LentFilter) -> None:
    first = ids(range(450))
    assert followed(lent, first, table(1)) == [(k, 5) for k in range(6)]
    assert content(lent) == expected(lent, first)
    assert lent.older() == []

    second = np.random.default_rng(1).permutation(ids(range(100, 500)))
    assert followed(lent, second, table(2)) == [(0, 1), (1, 1)]
    assert content(lent) == expected(lent, second)
    record = lent.record
    assert record is not None
    assert (record.label.version, record.fingerprint) == (2, table(2))
    assert [old.label.version for old in lent.older()] == [1]

    # The same rows in another order, in another file: no new version.
    assert followed(lent, second[::-1].copy(), table(3)) == []
    assert lent.record == LentRecord(record.label, table(3), record.rows, record.older)

    # Rows that went and nothing else.
    assert followed(lent, ids(range(100, 480)), table(4)) == [(0, 0)]
    assert content(lent) == expected(lent, ids(range(100, 480)))


def test_what_an_interrupted_start_has_made_is_not_made_again(lent: LentFilter) -> None:
    rows = ids(range(450))
    begun = lent.follow(key_of(lent), rows, table(1))
    assert [next(begun) for _ in range(4)] == [(k, 5) for k in range(4)]
    begun.close()
    assert lent.record is None
    assert followed(lent, rows, table(1)) == [(3, 5), (4, 5), (5, 5)]
    assert content(lent) == expected(lent, rows)


def test_other_rows_than_those_of_the_interrupted_start_begin_anew(lent: LentFilter) -> None:
    begun = lent.follow(key_of(lent), ids(range(450)), table(1))
    assert [next(begun) for _ in range(4)][-1] == (3, 5)
    begun.close()
    assert followed(lent, ids(range(1, 451)), table(2))[0] == (0, 5)
    assert content(lent) == expected(lent, ids(range(1, 451)))


@pytest.mark.parametrize("point", ["filter.piece.kept", "filter.version.kept"])
def test_a_crash_at_any_place_leaves_a_filter_that_is_whole(
    lent: LentFilter, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed(lent, ids(range(300)), table(1))
    hits = 0

    def crash(name: str, detail: str = "") -> None:
        nonlocal hits
        hits += name == point
        if name == point and hits == 2 - (point == "filter.version.kept"):
            raise OSError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "hit", crash)
        with pytest.raises(OSError, match="on purpose"):
            followed(lent, ids(range(50, 600)), table(2))
    wanted = ids(range(300)) if point == "filter.piece.kept" else ids(range(50, 600))
    assert content(lent) == expected(lent, wanted)
    followed(lent, ids(range(50, 600)), table(2))
    assert content(lent) == expected(lent, ids(range(50, 600)))


def test_a_key_is_renewed_by_age_and_on_demand_and_takes_all_with_it(lent: LentFilter, tmp_path: Path) -> None:
    first = key_of(lent)
    followed(lent, ids(range(300)), table(1))
    assert key_of(lent, NOW + QUARTER - timedelta(seconds=1), seed=2).name == first.name
    folder = tmp_path / "filters" / "lent" / "bank" / "main"
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    for now, renew in ((NOW + QUARTER, False), (NOW - timedelta(days=1), False), (NOW, True)):
        again = LentFilter(tmp_path, TAX, BANK, "main")
        before = again.kept_key
        fresh = again.key_for(now, QUARTER, insecure_seeded(now.day + renew), renew=renew)
        assert before is not None
        assert fresh.name != before.key.name
        assert again.record is None
        assert again.current() is None
        list(again.follow(fresh, ids(range(300)), table(1)))
    lent.forget()
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_an_entry_keeps_its_bits_while_they_do(lent: LentFilter) -> None:
    followed(lent, ids(range(256)), table(1))
    followed(lent, ids(range(257)), table(2))
    record = lent.record
    assert record is not None
    assert record.label.bits == filter_bits(257) == filter_bits(256) + 1
    followed(lent, ids(range(200)), table(3))
    record = lent.record
    assert record is not None
    assert record.label.bits == filter_bits(200) + 1


@pytest.mark.parametrize("name", ["record.json", "key.json", "rows.1", "filter.1"])
def test_damage_costs_time_and_nothing_else(lent: LentFilter, tmp_path: Path, name: str) -> None:
    followed(lent, ids(range(300)), table(1))
    path = tmp_path / "filters" / "lent" / "bank" / "main" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data[: -(name == "filter.1") or None])
    followed(lent, ids(range(301)), table(2))
    assert content(lent) == expected(lent, ids(range(301)))


def test_two_at_once_wait_for_each_other_and_not_for_ever(lent: LentFilter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "WAIT_S", 0.0)
    key = key_of(lent)
    begun = lent.follow(key, ids(range(300)), table(1))
    next(begun)
    with pytest.raises(FedcreditError) as busy:
        next(lent.follow(key, ids(range(300)), table(1)))
    assert busy.value.code == "FILTER_BUSY"
    assert "bank/main" in str(busy.value)
    begun.close()
    assert next(lent.follow(key, ids(range(300)), table(1))) == (0, 3)


def test_a_copy_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    held = HeldFilter(tmp_path, TAX, "main")
    assert held.current() is None
    for n in (300, 300, 500):
        with held.alone():
            room = held.room()
            values = insecure_seeded(n, "values").array(n, 16)
            current = SharedFilter.of(b"k" * 16, n, values, room)
            held.keep(current, room)
        again = HeldFilter(tmp_path, TAX, "main").current()
        assert again is not None
        assert again.label == current.label
        assert again.content.tobytes() == current.content.tobytes()
    folder = tmp_path / "filters" / "held" / "tax" / "main"
    assert len(list(folder.iterdir())) == 3
    (path,) = folder.glob("filter.*")
    with path.open("r+b") as file:
        file.write(b"x")
    assert held.current() is None
    (folder / "label.json").write_text("{}")
    assert held.current() is None


def test_room_that_is_not_there_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        mapped.reserve(tmp_path / "filter", 100)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "label": 3}', b"[" * 100_000, b"\xff"]
)
def test_what_is_no_record_is_said_to_be_none(data: bytes) -> None:
    for read in (LentRecord.parse, read_label, lambda data: KeptKey.parse(data, BANK, TAX)):
        with pytest.raises(FedcreditError) as damaged:
            read(data)
        assert damaged.value.code == "FILTER_DAMAGED"
