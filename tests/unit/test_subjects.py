"""What a party says of the set of its subjects: the same where the set is, for nobody else to work out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import ConfigError
from fedcredit.ids import PartyId
from fedcredit.node import subjects
from fedcredit.node.subjects import KEY_FILE, set_key, subjects_of

TAX, KEY = PartyId("tax"), bytes(range(32))


@given(st.sets(st.binary(min_size=1, max_size=6).filter(lambda b: not b.endswith(b"\0")), max_size=20), st.randoms())
def test_it_depends_on_the_set_alone(ids: set[bytes], random: st.Random) -> None:  # type: ignore[name-defined]
    order = list(ids)
    random.shuffle(order)
    one, other = np.array(sorted(ids), "S6"), np.array(order, "S40")
    assert subjects_of(KEY, TAX, one) == subjects_of(KEY, TAX, other)


@given(st.sets(st.integers(0, 99), min_size=1, max_size=20), st.sets(st.integers(0, 99), min_size=1, max_size=20))
def test_another_set_another_value(a: set[int], b: set[int]) -> None:
    one, other = (np.array([f"{i:03}".encode() for i in ids]) for ids in (a, b))
    assert (subjects_of(KEY, TAX, one) == subjects_of(KEY, TAX, other)) == (a == b)


def test_without_the_key_nobody_can_compare_it_with_a_list() -> None:
    ids = np.array([b"1", b"2"])
    values = {subjects_of(key, party, ids) for key in (KEY, bytes(32)) for party in (TAX, PartyId("bank"))}
    assert len(values) == 4


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.array([f"{i:05}".encode() for i in range(1_000)])
    whole = subjects_of(KEY, TAX, ids)
    monkeypatch.setattr(subjects, "_ROWS_AT_ONCE", 7)
    assert subjects_of(KEY, TAX, ids) == whole


def test_a_key_is_made_once_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    key = set_key(tmp_path)
    assert (len(key), set_key(tmp_path)) == (32, key)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    other.mkdir()
    assert set_key(other) != key


@pytest.mark.parametrize("damage", ["short", "readable"])
def test_a_key_that_is_none_or_anybody_s_is_refused(tmp_path: Path, damage: str) -> None:
    set_key(tmp_path)
    path = tmp_path / KEY_FILE
    if damage == "short":
        path.write_bytes(b"short")
    else:
        path.chmod(0o644)
    with pytest.raises(ConfigError) as refused:
        set_key(tmp_path)
    assert refused.value.code == "SECRET_INVALID"
