"""CSV as files come: encodings, quotes, line ends, blank lines; what is accepted reads like the plain file."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_files import PLAIN, codes_of, contents, problems_of, spec_of

from fedcredit.errors import DataError
from fedcredit.tables import Limits, Resources
from fedcredit.tables.structure import CsvScan, Structure

SAME = {
    "no line end at the end": PLAIN.rstrip(b"\n"),
    "quoted header": PLAIN.replace(b"id,x,y", b'"id","x","y"'),
    "everything quoted": b'"id","x","y"\n"a","1.5","0"\n"b","2","1"\n"c","","1"\n',
    "CRLF": PLAIN.replace(b"\n", b"\r\n"),
    "CRLF and quotes": PLAIN.replace(b"id,x,y", b'"id","x","y"').replace(b"\n", b"\r\n"),
    "trailing blank lines": PLAIN + b"\n\n\n",
    "trailing blank lines, CRLF": (PLAIN + b"\n\n").replace(b"\n", b"\r\n"),
    "blank lines between": PLAIN.replace(b"\nb", b"\n\n\nb"),
    "blank lines before": b"\n\n" + PLAIN,
    "byte order mark": codecs.BOM_UTF8 + PLAIN,
    "byte order mark and quotes": codecs.BOM_UTF8 + PLAIN.replace(b"id,x,y", b'"id","x","y"'),
    "spaces around names and cells": b" id , x,y \n a ,1.5 , 0\nb, 2,1 \nc, ,1\n",
    "quoted empty cell": PLAIN.replace(b"c,,1", b'c,"",1'),
}


@pytest.mark.parametrize("content", SAME.values(), ids=SAME.keys())
def test_reads_like_the_plain_file(tmp_path: Path, content: bytes) -> None:
    plain = contents(spec_of(tmp_path, PLAIN, "plain.csv", label="y"))
    assert plain == {"ids": ["a", "b", "c"], "label": [0, 1, 1], "x": [1.5, 2.0, None]}
    assert contents(spec_of(tmp_path, content, label="y")) == plain


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16"])
@pytest.mark.parametrize("spilled", [False, True])
def test_declared_encodings(tmp_path: Path, encoding: str, spilled: bool) -> None:
    text = "id,城市\na,北京\nb,上海\nc,北京\n"
    spec = spec_of(tmp_path, text.encode(encoding), encoding=encoding)
    resources = Resources(spill_dir=tmp_path) if spilled else Resources()
    assert contents(spec, resources=resources)["城市"] == ["北京", "上海", "北京"]
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_undeclared_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    text = "id,x\na,1\nb,北京\n"
    for encoding, hint in (("gb18030", "gb18030"), ("utf-16", "utf-16")):
        (problem,) = problems_of(spec_of(tmp_path, text.encode(encoding)))
        assert problem.code == "CSV_ENCODING"
        assert hint in problem.fix
    assert "line 3" in problems_of(spec_of(tmp_path, text.encode("gb18030")))[0].where
    (problem,) = problems_of(spec_of(tmp_path, b"id,x\na,1\nb,\xff\xff\n"))
    assert (problem.code, problem.fix) == ("CSV_ENCODING", "export as UTF-8")
    assert codes_of(spec_of(tmp_path, "id,x\na,é\n".encode("latin-1") + b"\xff\xff", encoding="gbk")) == [
        "CSV_ENCODING"
    ]
    assert codes_of(spec_of(tmp_path, "id,x\na,北".encode()[:-1])) == ["CSV_ENCODING"]


def test_cut_characters_between_chunks_are_no_error(tmp_path: Path) -> None:
    # Three bytes a character and a chunk that is no multiple of three.
    text = "id,x\n" + "".join(f"a{i},{'京' * 40}{i % 3}\n" for i in range(20_000))
    spec = spec_of(tmp_path, text.encode())
    assert contents(spec)["x"][-1] == "京" * 40 + "1"


@pytest.mark.parametrize("content", [b"", codecs.BOM_UTF8, b"\n\n", b"id,x", b"id,x\n", b"id,x\r\n\r\n"])
def test_empty_file_and_header_only(tmp_path: Path, content: bytes) -> None:
    assert codes_of(spec_of(tmp_path, content)) == ["CSV_EMPTY"]


MALFORMED = {
    "NUL byte": (b"id,x\na,1\nb,\x002\n", "line 3", "NUL"),
    "unclosed quote": (b'id,x\na,1\nb,"2\nc,3\n', "row 2", "never closed"),
    "unclosed quote in the last cell": (b'id,x\na,1\nb,"', "row 2", "never closed"),
    "unclosed quote in the header": (b'id,"x\na,1\n', "t.csv", "never closed"),
    "too few cells": (b"id,x\na,1\nb\nc,3\n", "row 2", "line 3 has 1 cells"),
    "too many cells": (b"id,x\na,1\nb,2,3\n", "row 2", "line 3 has 3 cells"),
    "one comma too many": (b"id,x\na,1\nb,2,\n", "row 2", "3 cells"),
    "a line of spaces": (b"id,x\na,1\n  \n", "row 2", "1 cells"),
    "text after a quote": (b'id,x\na,"1"2\n', "row 1", "quote"),
    "quote in the middle": (b'id,x\na,1"2"\n', "row 1", "quote"),
    "space before a quote": (b'id,x\na, "1"\n', "row 1", "quote"),
    "LF among CRLF": (b"id,x\r\na,1\nb,2\r\n", "row 1", "line end"),
    "CRLF among LF": (b"id,x\na,1\r\nb,2\n", "row 1", "line end"),
    "CR in a cell": (b"id,x\na,1\r2\nb,2\n", "row 1", "line end"),
    "CR only": (b"id,x\ra,1\r", "t.csv", "line end"),
    "Parquet declared as CSV": (b"PAR1....PAR1", "t.csv", "Parquet"),
}


@pytest.mark.parametrize(("content", "place", "word"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(tmp_path: Path, content: bytes, place: str, word: str) -> None:
    problems = problems_of(spec_of(tmp_path, content, format="csv"))
    assert {p.code for p in problems} == {"CSV_MALFORMED"}
    assert place in problems[0].where
    assert word in problems[0].what


def test_all_ragged_rows_are_listed_up_to_a_bound(tmp_path: Path) -> None:
    few = b"id,x\na,1\nb\nc,3\nd,4,5\n"
    assert [p.where for p in problems_of(spec_of(tmp_path, few))] == ["t.csv, row 2", "t.csv, row 4"]
    many = problems_of(spec_of(tmp_path, b"id,x\n" + b"a\n" * 1000))
    assert len(many) == 21
    assert many[-1].code == "MORE_PROBLEMS"


def test_rows_are_counted_without_blank_lines_and_with_quoted_breaks(tmp_path: Path) -> None:
    content = b'id,x\n\na,"1\n2"\n\n\nb,3\nc\n'
    (problem,) = problems_of(spec_of(tmp_path, content))
    assert problem.where == "t.csv, row 3"
    assert "line 8 has 1 cells" in problem.what


def test_commas_breaks_and_quotes_inside_quotes(tmp_path: Path) -> None:
    content = b'id,"na""me",z\na,"1,2","u\nv"\nb,"""q""","w\r\nx"\n'
    assert contents(spec_of(tmp_path, content)) == {
        "ids": ["a", "b"],
        "label": None,
        'na"me': ["1,2", '"q"'],
        "z": ["u\nv", "w\r\nx"],
    }


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_declared(tmp_path: Path, delimiter: str) -> None:
    content = PLAIN.replace(b",", delimiter.encode())
    assert contents(spec_of(tmp_path, content, delimiter=delimiter))["x"] == [1.5, 2.0, None]
    problem = problems_of(spec_of(tmp_path, content))[-1]
    assert problem.code == "COLUMN_MISSING"
    assert "delimiter" in problem.fix


def test_one_column_with_blank_lines(tmp_path: Path) -> None:
    assert contents(spec_of(tmp_path, b"id\na\n\nb\n\n\n"))["ids"] == ["a", "b"]
    (problem,) = problems_of(spec_of(tmp_path, b'id\na\n\n""\nb\n'))
    assert (problem.code, problem.where) == ("ID_INVALID", "t.csv, column 'id', row 2")


def scan(content: bytes, chunk: int = 1 << 20) -> Structure:
    reader = CsvScan("t.csv", ",", Limits())
    for start in range(0, len(content), chunk):
        reader.feed(content[start : start + chunk])
    return reader.finish()


cells = st.text(st.sampled_from('a1 ,"\n京'), max_size=6)


@settings(max_examples=200)
@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=2, max_size=6)))
def test_scan_counts_what_the_csv_module_wrote(rows: list[list[str]]) -> None:
    for end in ("\n", "\r\n"):
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator=end).writerows(rows)
        structure = scan(out.getvalue().encode())
        assert (structure.n_rows, structure.n_columns) == (len(rows) - 1, len(rows[0]))


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r\n", b"\r", b'""', b'"b"']), max_size=24), st.integers(1, 5)
)
def test_scan_says_the_same_for_chunks_of_any_size(parts: list[bytes], chunk: int) -> None:
    content = b"i,j\n" + b"".join(parts)
    assert outcome(content, chunk) == outcome(content, 1 << 20)


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(["a", "b", ",", '"', "\n", " ", '""', '"b"', "\n\n", "x,y\n", '"p\nq",r\n']), max_size=16)
)
def test_scan_and_engine_agree_on_what_passes(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    # Python's own reader is the judge of the cells; what the scan accepts, the engine reads to the same cells.
    text = "id,x\n" + "".join(parts)
    try:
        structure = scan(text.encode())
    except DataError:
        return
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row][1:]
    assert structure.n_rows == len(rows)
    spec = spec_of(tmp_path_factory.mktemp("t"), text.encode())
    ids = [row[0].strip(" \n") for row in rows]
    if "" in ids or len(set(ids)) < len(ids) or any("\n" in i for i in ids):
        assert set(codes_of(spec)) <= {"ID_INVALID", "ID_DUPLICATE"}
        return
    found = contents(spec)
    assert found["ids"] == ids
    assert [v or "" for v in found["x"]] == [row[1].strip(" \n") for row in rows]


def outcome(content: bytes, chunk: int) -> Structure | list[str]:
    try:
        return scan(content, chunk)
    except DataError as error:
        return list(map(str, error.problems))
