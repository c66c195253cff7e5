"""Rows that repeat an identifier: refused, or by the owner's choice left out but for the first, and counted."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest
from table_files import codes_of, contents, problems_of, spec_of

from fedcredit.errors import ConfigError
from fedcredit.runtime.config import TableSection
from fedcredit.tables import TableSpec, check_table, open_table

REPEATED = b"id,x,y\na,1,0\nb,2,1\na,3,1\nc,4,1\n b,5,0\na,6,0\n"


def test_they_are_refused_unless_the_owner_says_otherwise(tmp_path: Path) -> None:
    (problem,) = problems_of(spec_of(tmp_path, REPEATED, label="y"))
    assert problem.code == "ID_DUPLICATE"
    assert "3 such rows, first 3, 5, 6" in problem.what
    assert "duplicates = 'first'" in problem.fix


def test_the_first_of_them_stays_with_all_that_is_in_its_row(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, REPEATED, label="y", duplicates="first")
    assert contents(spec) == {"ids": ["a", "b", "c"], "label": [0, 1, 1], "x": [1.0, 2.0, 4.0]}
    with open_table(spec) as table:
        assert table.n_rows == 3
        assert table.read(np.array([2, 0])).columns["x"].values.tolist() == [4.0, 1.0]
        assert (table.quality.rows, table.quality.ids_duplicate, table.quality.positives) == (3, 3, 2)
        (warning,) = table.quality.warnings
    assert (warning.code, "3 rows" in warning.what) == ("ID_COLLAPSED", True)


def test_a_report_counts_what_was_left_out_and_is_good(tmp_path: Path) -> None:
    report = check_table("t", spec_of(tmp_path, REPEATED, label="y", duplicates="first"))
    assert (report.exit_status, [warning.code for warning in report.warnings]) == (0, ["ID_COLLAPSED"])
    assert report.quality is not None
    assert report.quality.counts()["ids_duplicate"] == 3


def test_what_is_wrong_in_a_row_that_stays_is_told_by_its_place_in_the_file(tmp_path: Path) -> None:
    content = b"id,x,y\na,1,0\na,2,1\nb,3,1\nc,4,7\n"
    problems = problems_of(spec_of(tmp_path, content, label="y", duplicates="first"))
    assert [(p.code, "row 4 (line 5)" in p.where) for p in problems] == [("LABEL_INVALID", True)]


def test_a_row_that_is_left_out_is_not_looked_at_but_for_its_identifier(tmp_path: Path) -> None:
    content = b"id,x,y\na,1,0\nb,1,1\na,oh,7\n"
    assert contents(spec_of(tmp_path, content, label="y", duplicates="first"))["x"] == [1.0, 1.0]
    assert codes_of(spec_of(tmp_path, b"id,x\na,1\na,2\n,3\n", duplicates="first")) == ["ID_INVALID"]


def test_it_is_the_same_rows_each_time_and_in_every_form_of_the_table(tmp_path: Path) -> None:
    n = 300_000
    subjects = np.random.default_rng(7).integers(0, n // 2, n)
    lines = "".join(f"i{subject},{row}\n" for row, subject in enumerate(subjects))
    spec = spec_of(tmp_path, f"id,x\n{lines}".encode(), duplicates="first")
    _, first = np.unique(subjects, return_index=True)
    expected = np.sort(first)
    parquet = tmp_path / "t.parquet"
    duckdb.execute(f"COPY (SELECT * FROM read_csv('{spec.path}')) TO '{parquet}' (FORMAT parquet)")
    other = TableSpec(path=parquet, id="id", id_type="text", duplicates="first")
    for one in (spec, spec, other):
        with open_table(one) as table:
            assert table.n_rows == expected.size
            assert np.array_equal(table.read().columns["x"].values, expected.astype(float))
            assert table.ids()[0] == f"i{subjects[0]}".encode()


def test_a_file_says_it_in_the_table_s_own_section() -> None:
    section = TableSection.model_validate({"table": "t.csv", "id": "id", "duplicates": "first"})
    assert section.spec(Path()).duplicates == "first"
    assert TableSection.model_validate({"table": "t.csv", "id": "id"}).spec(Path()).duplicates == "refuse"
    with pytest.raises(ConfigError, match="duplicates"):
        TableSpec(path=Path("t.csv"), id="id", duplicates="last")  # type: ignore[arg-type]
