"""Keys of several columns: joined so that none is mistaken for another, and written out as columns again."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_files import problems_of, spec_of

from fedcredit.errors import ConfigError
from fedcredit.kernels import identifiers
from fedcredit.runtime.config import TableSection, intersection, load_job
from fedcredit.tables import TableSpec, dump_spec, load_spec, open_table
from fedcredit.tables.export import identifier_lines, safe_cell

PEOPLE = "name,phone,x\n张三,0571 ,1\n张三,0572,2\n Li,０571,3\nLi,0571,4\n".encode()

parts = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6), min_size=2)


def array(texts: list[str]) -> Any:
    return np.array([text.encode() for text in texts], "S24")


@given(
    st.lists(st.tuples(st.text("a\x01\x02,", min_size=1, max_size=3), st.text("a\x01\x02,", max_size=3)), max_size=40)
)
def test_two_keys_are_one_exactly_where_all_their_parts_are(rows: list[tuple[str, str]]) -> None:
    keys = identifiers.join([array([a for a, _ in rows]), array([b for _, b in rows])])
    whole = [(row, key) for row, key in zip(rows, keys.tolist(), strict=True) if row[1]]
    assert len({row for row, _ in whole}) == len({key for _, key in whole}) == len(set(whole))
    assert all(key == b"" for row, key in zip(rows, keys.tolist(), strict=True) if not row[1])


@given(st.lists(st.lists(st.text("=+-@,\"'a1中 ", min_size=1, max_size=5), min_size=3, max_size=3), max_size=10))
def test_parts_and_what_stands_beside_them_are_written_as_a_csv_writer_does(rows: list[list[str]]) -> None:
    columns = [array([row[i] for row in rows]) for i in range(2)]
    beside = np.frombuffer("\0".join(row[2] for row in rows).encode(), np.uint8)
    order = np.arange(len(rows))[::-1].copy()
    expected = io.StringIO()
    csv.writer(expected).writerows([safe_cell(cell) for cell in row] for row in reversed(rows))
    assert identifiers.csv_lines(identifiers.join(columns), order, 2, [beside], order).decode() == expected.getvalue()


def test_a_key_does_not_depend_on_how_wide_a_table_s_longest_is(tmp_path: Path) -> None:
    ids = {}
    for name, more in (("one", b""), ("other", b"a much longer name than any,0123456789,5\n")):
        spec = spec_of(tmp_path, PEOPLE.replace(b"Li,0571,4\n", b"") + more, f"{name}.csv", id=("name", "phone"))
        with open_table(spec) as table:
            ids[name] = table.ids()[:3].tolist()
            assert table.features == ("x",)
    assert ids["one"] == ids["other"] == ["\x06张三\x040571".encode(), "\x06张三\x040572".encode(), b"\x02Li\x040571"]


def test_each_column_is_normalised_and_checked_by_its_own_type(tmp_path: Path) -> None:
    key: dict[str, Any] = {"id": ("name", "phone"), "id_type": ("text", "digits")}
    (repeated,) = problems_of(spec_of(tmp_path, PEOPLE, **key))
    assert (repeated.code, "column 'name,phone', row 4" in repeated.where) == ("ID_DUPLICATE", True)
    with open_table(spec_of(tmp_path, PEOPLE, **key, duplicates="first")) as table:
        assert table.n_rows == 3
        assert (table.quality.ids_blanks, table.quality.ids_full_width, table.quality.ids_duplicate) == (2, 1, 1)
    bad = problems_of(spec_of(tmp_path, b"name,phone,x\na,b,1\n,1,2\n", **key))
    assert {(p.code, p.where.split(", ")[1]) for p in bad} == {
        ("ID_INVALID", "column 'phone'"),
        ("ID_INVALID", "column 'name'"),
    }
    (missing,) = problems_of(spec_of(tmp_path, b"name,x\na,1\n", **key))
    assert (missing.code, "'phone'" in missing.where) == ("COLUMN_MISSING", True)
    long = b"name,phone,x\n" + b"n" * 60 + b",1,1\n" + b"n" * 65 + b",2,2\n"
    assert [p.code for p in problems_of(spec_of(tmp_path, long, **key))] == ["ID_INVALID"]


def test_the_result_has_the_columns_again(tmp_path: Path) -> None:
    with open_table(spec_of(tmp_path, PEOPLE, id=("name", "phone"), duplicates="first")) as table:
        rows = identifiers.in_order(table.ids(), np.array([0, 2]))
        lines = b"".join(identifier_lines(table.spec.key, table.ids(), rows))
    assert lines.decode() == "name,phone\r\nLi,0571\r\n张三,0571\r\n"


def test_a_declaration_keeps_its_key(tmp_path: Path) -> None:
    spec = TableSpec(path=tmp_path / "t.csv", id=("name", "phone"), id_type=("text", "digits"))
    assert load_spec(dump_spec(spec)) == spec
    assert TableSpec(path=tmp_path / "t.csv", id=("a", "b")).key_types == ("uscc", "uscc")
    for wrong in (
        {"id": ()},
        {"id": ("a", "b", "c", "d", "e")},
        {"id": ("a", "a")},
        {"id": ("a", "b"), "id_type": ("text",)},
        {"id": "a", "id_type": ("text", "text")},
        {"id": ("a", "b"), "label": "b"},
        {"id": ("a", "b"), "id_type": ("text", "name")},
    ):
        with pytest.raises(ConfigError):
            TableSpec(path=tmp_path / "t.csv", **wrong)  # type: ignore[arg-type]


JOB = """
[job]
name = "people"
purpose = "research"
[parties.bank]
table = "t.csv"
id = ["name", "phone"]
id_type = ["text", "digits"]
[parties.tax]
table = "t.csv"
id = ["full_name", "mobile"]
id_type = ["text", "digits"]
"""


def job_of(folder: Path, *changes: tuple[str, str]) -> Any:
    text = JOB
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "t.csv").write_text("x")
    (folder / "job.toml").write_text(text)
    return load_job(folder / "job.toml")


def test_a_job_says_the_types_that_its_tables_have_and_nothing_of_their_names(tmp_path: Path) -> None:
    shared = job_of(tmp_path).shared()
    assert shared["intersect"]["id_type"] == ["text", "digits"]
    assert "phone" not in repr(shared)
    section = job_of(tmp_path).file_table("bank")
    assert section.spec(tmp_path).key == ("name", "phone")
    assert section.model_dump(mode="json")["id"] == ["name", "phone"]
    assert TableSection(table="t.csv", id="uscc").model_dump(mode="json")["id"] == "uscc"
    nodes = intersection({"bank": "main", "tax": "main"}, {"id_type": ["text", "digits"]}, "research")
    assert nodes.shared()["intersect"]["id_type"] == ["text", "digits"]


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ('id_type = ["text", "digits"]', 'id_type = ["digits", "text"]', "parties", "CONFIG_CONFLICT"),
        ('id = ["name", "phone"]\nid_type = ["text", "digits"]', 'id = "name"', "parties", "CONFIG_CONFLICT"),
        ('["name", "phone"]', "7", "parties.bank.id", "CONFIG_TYPE"),
        ('["name", "phone"]', '["name", 7]', "parties.bank.id", "CONFIG_TYPE"),
        ('["name", "phone"]', "[]", "parties.bank.id", "CONFIG_VALUE"),
        ('["name", "phone"]', '["a", "b", "c", "d", "e"]', "parties.bank.id", "CONFIG_VALUE"),
        ('["name", "phone"]', '["name", "name"]', "parties.bank", "CONFIG_CONFLICT"),
        ('["name", "phone"]', '["name", "phone", "city"]', "parties.bank", "CONFIG_CONFLICT"),
        ('["text", "digits"]', '["text", "number"]', "parties.bank.id_type", "CONFIG_VALUE"),
        ("[parties.tax]", '[intersect]\nid_type = "uscc"\n[parties.tax]', "intersect.id_type", "CONFIG_CONFLICT"),
    ],
)
def test_a_key_that_cannot_be_is_refused_where_it_stands(
    tmp_path: Path, old: str, new: str, where: str, code: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        job_of(tmp_path, (old, new))
    assert (where, code) in [(p.where.rpartition(": ")[2], p.code) for p in refused.value.problems]
