"""A register in pieces: records of subjects with the types that the catalog gives their fields."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

from fedcredit.errors import DataError
from fedcredit.governance.predicates.compiler import Type
from fedcredit.kernels.index import Column, Dates, Flags, Numbers, TextColumn, TextsColumn
from fedcredit.tables.register import Piece, column_names, open_register
from fedcredit.tables.spec import TableSpec

CODES = ["91320100MA1MTQ0X09", "913200001000123456"]
COLUMNS: dict[str, tuple[str, Type]] = {
    "amount": ("amount", "number"),
    "paid": ("paid", "flag"),
    "since": ("since", "date"),
    "grade": ("grade", "text"),
    "marks": ("marks", "texts"),
}
HEADER = "uscc,amount,paid,since,grade,marks,updated,more\n"


def declared(path: Path, **other: object) -> TableSpec:
    beside = ("amount", "paid", "since", "grade", "marks", "updated")
    return TableSpec(path=path, id="uscc", id_type="text", only=(), beside=beside, **other)  # type: ignore[arg-type]


def written(folder: Path, *rows: str) -> Path:
    path = folder / "register.csv"
    path.write_text(HEADER + "".join(row + "\n" for row in rows), encoding="utf-8")
    return path


def texts_of(found: Column) -> list[str]:
    assert isinstance(found, TextColumn)
    data = found.letters.tobytes()
    return [data[a:b].decode() for a, b in zip(found.starts[:-1], found.starts[1:], strict=True)]


def read(path: Path, **other: object) -> tuple[list[Piece], int, datetime.date | None]:
    with open_register(declared(path, **other), COLUMNS, recorded="updated") as register:
        return list(register.pieces()), register.left_out, register.latest


def test_records_come_as_columns_with_their_types(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"{CODES[0]},1.5,true,2026-01-31, A ,x；y、 z,2026-05-01,1",
        f"{CODES[0].lower()},-,否,20260201,,,2026-04-01,2",
        ",7,1,2026-02-02,B,x,2026-05-09,3",
        f"{CODES[0]},2,0,,银行,单,,4",
    )
    (piece,), left_out, latest = read(path, missing=("-",))
    assert texts_of(piece.keys) == [CODES[0]] * 3
    assert left_out == 1
    assert latest == datetime.date(2026, 5, 1)  # of a record without a key nobody is told
    amount, known = piece.columns["amount"]
    assert isinstance(amount, Numbers)
    assert known is not None
    assert (amount.values.tolist(), known.tolist()) == ([1.5, 0.0, 2.0], [True, False, True])
    paid, known = piece.columns["paid"]
    assert isinstance(paid, Flags)
    assert known is not None
    assert (paid.values.tolist(), known.tolist()) == ([True, False, False], [True] * 3)
    since, known = piece.columns["since"]
    assert isinstance(since, Dates)
    assert known is not None
    assert (known.tolist(), int(since.values[1])) == ([True, True, False], 20485)
    grade, known = piece.columns["grade"]
    assert known is not None
    assert (texts_of(grade), known.tolist()) == (["A", "", "银行"], [True, False, True])
    marks, known = piece.columns["marks"]
    assert isinstance(marks, TextsColumn)
    assert known is not None
    assert (marks.lists.tolist(), texts_of(marks.texts)) == ([0, 3, 3, 4], ["x", "y", "z", "单"])
    assert known.tolist() == [True, False, True]
    assert piece.days is not None
    assert piece.days[1].tolist() == [True, True, False]


def test_a_cell_of_another_type_is_refused_without_its_value(tmp_path: Path) -> None:
    path = written(tmp_path, f"{CODES[0]},1,true,2026-01-31,A,,2026-05-01,1", f"{CODES[0]},zwei,ja,31.1.,A,,x,1")
    with pytest.raises(DataError) as refused:
        read(path)
    assert {p.code for p in refused.value.problems} == {"VALUE_INVALID"}
    assert len(refused.value.problems) == 4
    assert "zwei" not in str(refused.value)
    assert "row 2" in str(refused.value)


def test_columns_are_known_before_records_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, f"{CODES[0]},1,true,2026-01-31,A,,2026-05-01,1")
    assert column_names(declared(path)) == tuple(HEADER.strip().split(","))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="CSV_MALFORMED"):
        column_names(declared(path))
    with pytest.raises(DataError, match="PATH_MISSING"):
        column_names(declared(tmp_path / "none.csv"))


def test_many_records_stay_in_their_order(tmp_path: Path) -> None:
    n = 300_000
    path = tmp_path / "many.csv"
    rows = "".join(f"{CODES[0]},{k},1,,g{k % 7},,,\n" for k in range(n))
    path.write_text(HEADER + rows, encoding="utf-8")
    pieces, left_out, _ = read(path)
    assert left_out == 0
    found = [piece.columns["amount"][0] for piece in pieces]
    amounts = np.concatenate([one.values for one in found if isinstance(one, Numbers)])
    assert np.array_equal(amounts, np.arange(n))
    grades = [text for piece in pieces for text in texts_of(piece.columns["grade"][0])]
    assert grades == [f"g{k % 7}" for k in range(n)]
