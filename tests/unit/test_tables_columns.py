"""Columns: names, values, labels, inference, levels; what is refused and where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_files import codes_of, contents, problems_of, spec_of

from fedcredit.errors import ConfigError
from fedcredit.tables import OTHER, ColumnSpec, Limits, TableSpec, dump_spec, infer, load_spec, open_table


def column(values: list[str], name: str = "x") -> bytes:
    return f"id,{name}\n".encode() + "".join(f'i{i},"{v}"\n' for i, v in enumerate(values)).encode()


def test_missing_columns_are_listed_with_the_nearest_name(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, b"ID,income,defualt\na,1,0\n", label="default", drop=("none",), time="incom")
    found = {(p.where.split("'")[1], p.fix) for p in problems_of(spec)}
    assert ("id", "did you mean 'ID'?") in found
    assert ("default", "did you mean 'defualt'?") in found
    assert ("incom", "did you mean 'income'?") in found
    assert {name for name, _ in found} == {"id", "default", "none", "incom"}
    assert set(codes_of(spec)) == {"COLUMN_MISSING"}


def test_columns_that_may_not_be_features_are_not_read(tmp_path: Path) -> None:
    data = b"id,x,secret,y\na,1,not-a-number,0\nb,2,7,1\n"
    kinds = (ColumnSpec("secret", "numeric"),)
    assert codes_of(spec_of(tmp_path, data, label="y", columns=kinds)) == ["VALUE_INVALID"]
    narrow = spec_of(tmp_path, data, label="y", columns=kinds, only=("x",))
    assert contents(narrow) == {"ids": ["a", "b"], "label": [0, 1], "x": [1.0, 2.0]}
    assert load_spec(dump_spec(narrow)) == narrow
    # It says what may be used; that a table has less is no mistake.
    assert contents(spec_of(tmp_path, data, only=("z",))) == {"ids": ["a", "b"], "label": None}


@pytest.mark.parametrize("header", ["id,x,x", "id,x, x ", "id,x,X", "id,ID,x", 'id,"x",x'])
def test_duplicate_columns_also_after_trimming_and_case_fold(tmp_path: Path, header: str) -> None:
    assert codes_of(spec_of(tmp_path, f"{header}\na,1,2\n".encode())) == ["COLUMN_DUPLICATE"] * 2


def test_column_names(tmp_path: Path) -> None:
    assert codes_of(spec_of(tmp_path, b"id,,x\na,1,2\n")) == ["COLUMN_UNNAMED"]
    assert codes_of(spec_of(tmp_path, b'id,"a\nb",x\na,1,2\n')) == ["COLUMN_NAME"]
    assert codes_of(spec_of(tmp_path, b"id," + b"n" * 300 + b"\na,1\n")) == ["COLUMN_NAME"]
    nasty = "x'); DROP TABLE raw; --"
    assert contents(spec_of(tmp_path, f'id,"{nasty}"\na,1\n'.encode())) == {"ids": ["a"], "label": None, nasty: [1.0]}


BAD_NUMBERS = {
    "NaN": "missing value",
    "nan": "missing value",
    "inf": "not finite",
    "-inf": "not finite",
    "+Infinity": "not finite",
    "1e400": "too large",
    "-1e400": "too large",
    "1,234": "thousands",
    "1_234": "thousands",
    "￥12": "currency",
    "$1,200.50": "currency",
    "12%": "percent",
    "１２": "full-width",
    "NULL": "missing value",
    "-": "missing value",
    "N/A": "missing value",
    "#DIV/0!": "missing value",
    "None": "missing value",
    "=1+1": "formula",
    "+-1": "text",
    "12 34": "text",
    "0x1F": "text",
}


@pytest.mark.parametrize(("bad", "word"), BAD_NUMBERS.items())
def test_numbers_gone_wrong(tmp_path: Path, bad: str, word: str) -> None:
    declared = (ColumnSpec("x", kind="numeric"),)
    values = ["1", "-2.5", bad, "", "+3e2", bad]
    # Undeclared, and unlike a number: a category like any other.
    for columns in (declared,) if bad in ("12 34", "0x1F") else (declared, ()):
        spec = spec_of(tmp_path, column(values), columns=columns)
        (problem,) = problems_of(spec)
        assert (problem.code, problem.where) == ("VALUE_INVALID", "t.csv, column 'x', row 3 (line 4)")
        assert word in problem.what
        assert "2 such rows, first 3, 6" in problem.what
        assert bad not in problem.what.replace("such rows", "") or bad in ("-", "NaN")


@pytest.mark.parametrize("marker", ["NULL", "-", "N/A", "NaN", "1,234", "inf", "it's"])
def test_declared_markers_are_missing(tmp_path: Path, marker: str) -> None:
    content = column(["1", marker, "", f" {marker} ", "2"])
    expected = [1.0, None, None, None, 2.0]
    assert contents(spec_of(tmp_path, content, missing=(marker,)))["x"] == expected
    assert contents(spec_of(tmp_path, content, columns=(ColumnSpec("x", missing=(marker,)),)))["x"] == expected


def test_a_mistake_among_many_numbers_is_no_category(tmp_path: Path) -> None:
    values = [str(i) for i in range(40)] + ["unheard of"]
    (problem,) = problems_of(spec_of(tmp_path, column(values)))
    assert problem.code == "VALUE_INVALID"
    assert "categorical" in problem.fix
    spec = spec_of(tmp_path, column(values), columns=(ColumnSpec("x", kind="categorical"),), max_levels=50)
    assert contents(spec)["x"] == values


def test_words_for_missing_are_no_category_unless_declared(tmp_path: Path) -> None:
    content = column(["red", "NULL", "blue", "red"])
    for kind in (None, "categorical"):
        (problem,) = problems_of(spec_of(tmp_path, content, columns=(ColumnSpec("x", kind=kind),)))  # type: ignore[arg-type]
        assert (problem.code, problem.where) == ("VALUE_INVALID", "t.csv, column 'x', row 2 (line 3)")
    levels = (ColumnSpec("x", levels=("red", "NULL", "blue")),)
    assert contents(spec_of(tmp_path, content, columns=levels))["x"] == ["red", "NULL", "blue", "red"]


NUMBER = re.compile(r"[ \t\r\n]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t\r\n]*")


@settings(max_examples=30)
@given(st.lists(st.text(st.sampled_from("0123456789.eE+-_ nainfx,\t"), max_size=8), min_size=1, max_size=60))
def test_engine_takes_for_a_number_what_the_grammar_says(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    def is_number(text: str) -> bool:
        return bool(NUMBER.fullmatch(text)) and abs(float(text)) != float("inf")

    texts = [t for t in texts if t.strip()]
    numbers = ["1", *(t for t in texts if is_number(t))]
    folder = tmp_path_factory.mktemp("t")
    kind = (ColumnSpec("x", kind="numeric"),)
    assert contents(spec_of(folder, column(numbers), columns=kind))["x"] == [float(t) for t in numbers]
    others = [t for t in texts if not is_number(t)]
    if others:
        (problem,) = problems_of(spec_of(folder, column(others), columns=kind))
        assert len(others) == 1 or f"{len(others)} such rows" in problem.what


def test_labels(tmp_path: Path) -> None:
    def codes(*labels: str) -> list[str]:
        rows = "".join(f"i{k},{v}\n" for k, v in enumerate(labels))
        return codes_of(spec_of(tmp_path, f"id,y\n{rows}".encode(), label="y"))

    assert codes("0", "2", "1") == ["LABEL_INVALID"]
    assert codes("0", "true", "1") == ["LABEL_INVALID"]
    assert codes("0", "-1", "1", "NaN") == ["LABEL_INVALID"]
    assert codes("0", "", "1") == ["LABEL_MISSING"]
    assert codes("0", "", "3", "0") == ["LABEL_MISSING", "LABEL_INVALID", "LABEL_ONE_CLASS"]
    assert codes("1", "1", "1.0") == ["LABEL_ONE_CLASS"]
    assert codes("0", "0") == ["LABEL_ONE_CLASS"]
    spec = spec_of(tmp_path, b"id,y\na,0\nb,1.0\nc,0.0\n", label="y")
    assert contents(spec) == {"ids": ["a", "b", "c"], "label": [0, 1, 0]}
    (problem,) = problems_of(spec_of(tmp_path, b"id,y\na,0\nb,1\nc,9\n", label="y"))
    assert problem.where == "t.csv, column 'y', row 3 (line 4)"


def test_useless_columns(tmp_path: Path) -> None:
    rows = "".join(f"i{i},7,,{'1' if i == 0 else ''},{'1' if i else ''},{i % 2}\n" for i in range(200))
    content = f"id,constant,empty,nearly,flag,good\n{rows}".encode()
    problems = problems_of(spec_of(tmp_path, content, useless="refuse"))
    assert [(p.code, p.where.split("'")[1]) for p in problems] == [
        ("COLUMN_CONSTANT", "constant"),
        ("COLUMN_EMPTY", "empty"),
        ("COLUMN_NEARLY_EMPTY", "nearly"),
    ]
    with open_table(spec_of(tmp_path, content, useless="drop")) as table:
        assert table.features == ("flag", "good")
        assert table.spec.drop == ("constant", "empty", "nearly")
        assert [c.useless for c in table.quality.columns][:3] == [p.code for p in problems]
        with open_table(table.spec) as again:
            assert again.features == table.features
    with open_table(spec_of(tmp_path, content, useless="keep")) as table:
        assert table.features == ("constant", "empty", "nearly", "flag", "good")
    assert codes_of(spec_of(tmp_path, b"id,x\na,1\nb,1.0\n", useless="refuse")) == ["COLUMN_CONSTANT"]


def test_dates(tmp_path: Path) -> None:
    content = column(["2023-02-28", "", "1970-01-02", "2024-02-29"])
    expected = [19416.0, None, 1.0, 19782.0]
    assert contents(spec_of(tmp_path, content))["x"] == expected
    declared = (ColumnSpec("x", kind="date"),)
    mixed = column(["2023/02/28", "", "19700102", "2024-2-29"])
    assert contents(spec_of(tmp_path, mixed, columns=declared))["x"] == expected
    for columns in ((), declared):
        (problem,) = problems_of(spec_of(tmp_path, column(["2023-02-28", "2023-02-30"]), columns=columns))
        assert (problem.code, problem.where) == ("VALUE_INVALID", "t.csv, column 'x', row 2 (line 3)")
        assert "no such day" in problem.what


def test_booleans_are_declared(tmp_path: Path) -> None:
    declared = (ColumnSpec("x", kind="boolean"),)
    content = column(["True", "no", "", "1", "是", "F"])
    assert contents(spec_of(tmp_path, content, columns=declared))["x"] == [1.0, 0.0, None, 1.0, 1.0, 0.0]
    assert codes_of(spec_of(tmp_path, column(["yes", "maybe"]), columns=declared)) == ["VALUE_INVALID"]


def test_levels_by_frequency_and_the_rare_ones_merged(tmp_path: Path) -> None:
    values = ["b"] * 4 + ["a"] * 5 + ["c", "d", "e"] + [""]
    with open_table(spec_of(tmp_path, column(values), max_levels=3)) as table:
        found = table.read().columns["x"]
        assert found.levels == ("a", "b", OTHER)
        assert found.values.tolist()[:12] == [1.0] * 4 + [0.0] * 5 + [2.0] * 3
        (quality,) = table.quality.columns
        assert (quality.kind, quality.missing, quality.levels, quality.other) == ("categorical", 1, 3, 3)
        complete = table.spec
    assert complete.columns == (ColumnSpec("x", kind="categorical", levels=("a", "b", OTHER)),)
    # The schema of one file reads another: what it does not know is OTHER.
    assert contents(spec_of(tmp_path, column(["z", "a", ""]), columns=complete.columns))["x"] == [OTHER, "a", None]


def test_declared_levels_keep_their_order_and_admit_no_other(tmp_path: Path) -> None:
    levels = (ColumnSpec("x", levels=("C", "B", "A")),)
    with open_table(spec_of(tmp_path, column(["A", "B", "C"]), columns=levels)) as table:
        assert table.read().columns["x"].values.tolist() == [2.0, 1.0, 0.0]
    (problem,) = problems_of(spec_of(tmp_path, column(["A", "D", "D"]), columns=levels))
    assert (problem.code, problem.what[:26]) == ("VALUE_INVALID", "none of the declared level")


def test_codes_with_letters_stay_categories(tmp_path: Path) -> None:
    values = ["11", "31-33", "44-45", "52", "31-33", "11"]
    assert contents(spec_of(tmp_path, column(values)))["x"] == values


def test_special_values_are_kept_and_named(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, column(["1", "-999", "3"]), columns=(ColumnSpec("x", special=(-999.0,)),))
    with open_table(spec) as table:
        found = table.read().columns["x"]
        assert (found.special, found.values.tolist()) == ((-999.0,), [1.0, -999.0, 3.0])
        assert table.spec.columns == (ColumnSpec("x", kind="numeric", special=(-999.0,)),)


def test_time_column(tmp_path: Path) -> None:
    content = b"id,when,x\na,2005,1\nb,2007,2\n"
    with open_table(spec_of(tmp_path, content, time="when", drop=("when",))) as table:
        assert table.features == ("x",)
        rows = table.read()
        assert rows.time is not None
        assert rows.time.tolist() == [2005.0, 2007.0]
    with open_table(spec_of(tmp_path, content, time="when")) as table:
        assert table.features == ("when", "x")
    assert codes_of(spec_of(tmp_path, b"id,when\na,2005\nb,\n", time="when")) == ["COLUMN_TIME"]
    assert codes_of(spec_of(tmp_path, b"id,when\na,early\nb,late\n", time="when")) == ["COLUMN_TIME"]


def test_all_problems_of_the_contents_come_together(tmp_path: Path) -> None:
    content = b"id,y,x,d\na,0,1,2023-02-30\na,2,NULL,2023-01-01\n,1,3,2023-01-02\n"
    assert codes_of(spec_of(tmp_path, content, label="y")) == [
        "ID_INVALID",
        "ID_DUPLICATE",
        "LABEL_INVALID",
        "VALUE_INVALID",
        "VALUE_INVALID",
    ]


def test_many_problems_are_capped(tmp_path: Path) -> None:
    names = ",".join(f"x{i}" for i in range(50))
    content = f"id,{names}\na{',1' * 50}\nb{',NULL' * 50}\n".encode()
    problems = problems_of(spec_of(tmp_path, content))
    assert len(problems) == 21
    assert (problems[-1].code, problems[-1].what) == ("MORE_PROBLEMS", "30 more problems")


def test_inferred_schema_can_be_kept(tmp_path: Path) -> None:
    content = b"id,y,n,c,d,t\na,0,1,u,2023-01-01,x\nb,1,,v,2023-01-02,x\nc,1,3,u,,y\n"
    spec = spec_of(tmp_path, content, label="y", drop=("t",), missing=("NULL",), root=tmp_path)
    complete = infer(spec)
    assert [(c.name, c.kind) for c in complete.columns] == [("n", "numeric"), ("c", "categorical"), ("d", "date")]
    assert load_spec(dump_spec(complete)) == complete
    assert contents(complete) == contents(spec)


def test_contradictory_declarations_are_all_listed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        TableSpec(
            path=Path("t.csv"),
            id="a",
            label="a",
            encoding="latin-1",  # type: ignore[arg-type]
            delimiter="ab",
            columns=(ColumnSpec("c", kind="numeric", levels=("x", "x")), ColumnSpec("c"), ColumnSpec("a")),
            missing=(" x",),
            max_levels=1,
        )
    assert len(caught.value.problems) >= 8
    assert {p.code for p in caught.value.problems} == {"CONFIG_TABLE"}
    for raw in ({"path": "t.csv", "id": "a", "lable": "y"}, {"path": "t.csv", "id": "a", "columns": {"x": {"kin": 1}}}):
        with pytest.raises(ConfigError, match="CONFIG_UNKNOWN_KEY"):
            load_spec(raw)
    with pytest.raises(ConfigError, match="CONFIG_TYPE"):
        load_spec({"path": "t.csv", "id": "a", "drop": "x"})


def test_limits_of_columns_rows_cells(tmp_path: Path) -> None:
    content = b"id,x,z\na,1,2\nb,2,3\n"
    assert codes_of(spec_of(tmp_path, content), Limits(max_columns=2)) == ["LIMIT_COLUMNS"]
    assert codes_of(spec_of(tmp_path, content), Limits(max_rows=1)) == ["LIMIT_ROWS"]
    long = column(["short", "x" * 70_000])
    (problem,) = problems_of(spec_of(tmp_path, long))
    assert (problem.code, problem.where) == ("LIMIT_CELL_BYTES", "t.csv, row 2")
    assert codes_of(spec_of(tmp_path, column(["x" * 2_000_000]))) == ["LIMIT_CELL_BYTES"]
    wide = b"id," + b",".join(b"x%d" % i for i in range(10_001)) + b"\n"
    assert codes_of(spec_of(tmp_path, wide + b"1\n")) == ["LIMIT_COLUMNS"]
    assert codes_of(spec_of(tmp_path, b'id,x\na,"' + b"x,\n" * 200_000), Limits(max_row_bytes=70_000)) == [
        "CSV_MALFORMED"
    ]
    assert codes_of(spec_of(tmp_path, b"id,x\na," + b",\t" * 90_000), Limits(max_row_bytes=70_000)) == [
        "LIMIT_ROW_BYTES"
    ]
