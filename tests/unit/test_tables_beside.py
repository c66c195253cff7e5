"""Columns that stand beside identifiers as they are in the file, for their owner alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from table_files import contents, problems_of, spec_of

from fedcredit.errors import ConfigError
from fedcredit.tables import open_table
from fedcredit.tables.export import identifier_lines, safe_cell, write_lines

TABLE = 'id,x,city,note\nc,1,"a, b",=1+1\na,2,,"say ""so"""\nb,3,杭州,007\n'


def test_they_are_text_and_take_part_in_nothing(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, TABLE.encode(), beside=("note", "city"), drop=("city", "note"))
    plain = spec_of(tmp_path, TABLE.encode(), drop=("city", "note"))
    assert contents(spec) == contents(plain)
    with open_table(spec) as table:
        assert table.features == ("x",)
        rows = np.array([1, 2, 0])
        lines = b"".join(identifier_lines(table.spec.key, table.ids(), rows, table.texts()))
        write_lines(tmp_path / "out.csv", iter([lines]))
    cells = [["a", 'say "so"', ""], ["b", "007", "杭州"], ["c", "=1+1", "a, b"]]
    assert list(csv.reader(io.StringIO(lines.decode(), newline=""))) == [
        ["id", "note", "city"],
        *([safe_cell(cell) for cell in row] for row in cells),
    ]
    assert (tmp_path / "out.csv").read_bytes() == lines
    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o600


def test_a_large_table_gives_every_row_its_own_cells(tmp_path: Path) -> None:
    n = 300_000
    numbers = np.random.default_rng(3).permutation(n)
    content = "id,city\n" + "".join(f"i{k},{'x' * (k % 5)}{k}\n" for k in numbers)
    with open_table(spec_of(tmp_path, content.encode(), beside=("city",), only=())) as table:
        rows = np.random.default_rng(4).permutation(n)[:1_000]
        lines = b"".join(identifier_lines(("id",), table.ids(), rows, table.texts())).decode().split("\r\n")
    wanted = [f"i{k},{'x' * (k % 5)}{k}" for k in numbers[rows]]
    assert lines == ["id,city", *wanted, ""]


def test_a_feature_may_stand_beside_as_well(tmp_path: Path) -> None:
    with open_table(spec_of(tmp_path, TABLE.encode(), beside=("x",), drop=("city", "note"))) as table:
        places, columns = table.texts()
        cells = columns["x"].tobytes().split(b"\0")
        assert [cells[place] for place in places] == [b"1", b"2", b"3"]
        assert table.read().columns["x"].values.tolist() == [1.0, 2.0, 3.0]


def test_what_cannot_stand_beside(tmp_path: Path) -> None:
    (problem,) = problems_of(spec_of(tmp_path, TABLE.encode(), beside=("town",)))
    assert (problem.code, "'town'" in problem.where) == ("COLUMN_MISSING", True)
    with pytest.raises(ConfigError, match="beside"):
        spec_of(tmp_path, TABLE.encode(), beside=("id",))
