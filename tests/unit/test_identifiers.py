"""Identifiers of subjects: the arithmetic of social credit codes, their normal form, duplicates."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit import uscc
from fedcredit.errors import DataError
from fedcredit.kernels import identifiers
from fedcredit.tables import TableSpec, export, open_table, subject_id
from fedcredit.tables.export import safe_cell
from fedcredit.tables.identifiers import duplicates
from fedcredit.tables.spec import IdType

REAL = ("91350100M000100Y43", "91110000600037341L")
WIDE = {c: chr(ord(c) + 0xFEE0) for c in uscc.ALPHABET}

bodies = st.lists(st.integers(0, uscc.MODULUS - 1), min_size=17, max_size=17)


def code_of(body: list[int]) -> str:
    return bytes(uscc.codes(np.array([body], np.uint8))[0]).decode()


def fault_of(text: str) -> int:
    return int(uscc.faults(np.array([text.encode()], "S18"))[0])


@pytest.mark.parametrize("code", REAL)
def test_real_codes_are_valid(code: str) -> None:
    assert fault_of(code) == uscc.VALID
    assert subject_id(code) == code.encode()


def test_check_character_by_hand() -> None:
    # 31 - sum of value * 3^(i-1) mod 31, written out slowly.
    for code in REAL:
        total = sum(uscc.ALPHABET.index(c) * 3**i for i, c in enumerate(code[:17]))
        assert uscc.ALPHABET[(31 - total % 31) % 31] == code[17]


@given(bodies)
def test_codes_made_here_are_valid(body: list[int]) -> None:
    assert fault_of(code_of(body)) == uscc.VALID


@given(bodies, st.integers(0, 17), st.integers(1, 30))
def test_one_wrong_character_is_always_found(body: list[int], place: int, shift: int) -> None:
    code = code_of(body)
    other = uscc.ALPHABET[(uscc.ALPHABET.index(code[place]) + shift) % 31]
    assert fault_of(code[:place] + other + code[place + 1 :]) == uscc.BAD_CHECK


@given(bodies, st.integers(0, 16))
def test_neighbours_swapped_are_always_found(body: list[int], place: int) -> None:
    code = code_of(body)
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert (fault_of(swapped) == uscc.VALID) == (code[place] == code[place + 1])


@given(bodies, st.integers(0, 17), st.sampled_from("IOSVZ-iosvzabc*\x7f"))
def test_letters_outside_the_alphabet_are_found(body: list[int], place: int, letter: str) -> None:
    code = code_of(body)
    assert fault_of(code[:place] + letter + code[place + 1 :]) == uscc.BAD_CHARACTER


def test_arithmetic_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="want"):
        uscc.check_character(np.zeros((2, 18), np.uint8))
    with pytest.raises(ValueError, match="not below"):
        uscc.check_character(np.full((1, 17), 31, np.uint8))
    with pytest.raises(ValueError, match="S18"):
        uscc.faults(np.array([b"1"], "S17"))


@given(bodies, st.booleans(), st.booleans(), st.sampled_from(["", " ", "\t", "\u3000", "\u00a0 "]))
def test_normal_form_undoes_width_case_and_blanks(body: list[int], wide: bool, lower: bool, blank: str) -> None:
    code = code_of(body)
    text = code.lower() if lower else code
    text = "".join(chr(ord(c) + 0xFEE0) for c in text) if wide else text
    assert subject_id(blank + text + blank) == code.encode()


@pytest.mark.parametrize(
    ("text", "id_type", "code", "rule"),
    [
        ("", "uscc", "ID_INVALID", "empty"),
        ("   ", "text", "ID_INVALID", "empty"),
        ("91350100M000100Y4", "uscc", "ID_INVALID", "length"),
        ("91350100M000100Y433", "uscc", "ID_INVALID", "length"),
        ("350100M000100Y4", "uscc", "ID_INVALID", "length"),
        ("91350100M000100Y44", "uscc", "ID_INVALID", "check"),
        ("9I350100M000100Y43", "uscc", "ID_INVALID", "character"),
        ("91350100M000100Y4\u00e9", "uscc", "ID_INVALID", "character"),
        ("1.23E+17", "uscc", "ID_SCIENTIFIC", "scientific"),
        ("1.23E+17", "digits", "ID_SCIENTIFIC", "scientific"),
        ("9E+14", "text", "ID_SCIENTIFIC", "scientific"),
        ("12a", "digits", "ID_INVALID", "character"),
        ("a\u200bb", "text", "ID_INVALID", "character"),
        ("x" * 65, "text", "ID_INVALID", "length"),
    ],
)
def test_one_bad_identifier(text: str, id_type: IdType, code: str, rule: str) -> None:
    with pytest.raises(DataError, match=rule) as caught:
        subject_id(text, id_type)
    assert caught.value.code == code
    assert not text.strip() or text not in str(caught.value)


def test_digits_keep_leading_zeros_and_text_its_case() -> None:
    assert subject_id("００0123", "digits") == b"000123"
    assert subject_id(" aBc 中文 ", "text") == "aBc 中文".encode()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cn"]), max_size=20), min_size=1, max_size=20))
def test_a_column_says_what_one_identifier_says(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    texts = [t.replace("\0", "").replace('"', "").replace("\r", "") for t in texts]
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text("id,x\n" + "".join(f'"{t}",{i}\n' for i, t in enumerate([*texts, "a", "b"])))
    spec = TableSpec(path=path, id="id", id_type="text", useless="keep")
    assert outcome_of_column(spec) in outcomes_one_by_one([*texts, "a", "b"])


def outcome_of_column(spec: TableSpec) -> list[bytes] | str:
    try:
        with open_table(spec) as table:
            return [bytes(i) for i in table.ids()]
    except DataError as error:
        return error.code


def outcomes_one_by_one(texts: list[str]) -> list[list[bytes] | str]:
    """All identifiers, or the codes that a column of them may be refused with."""
    ids: list[bytes] = []
    codes: list[list[bytes] | str] = []
    for text in texts:
        try:
            ids.append(bytes(subject_id(text, "text")))
        except DataError as error:
            codes.append(error.code)
    if len(set(ids)) < len(ids):
        codes.append("ID_DUPLICATE")
    return codes or [ids]


@given(st.lists(st.sampled_from(["", "a", "b", "ab", "c" * 9, "c" * 10, "d" * 17]), max_size=30))
def test_duplicates_are_counted_as_by_hand(texts: list[str]) -> None:
    seen: set[str] = set()
    repeated = []
    for row, text in enumerate(texts):
        if text and text in seen:
            repeated.append(row)
        seen.add(text)
    assert duplicates(np.array([t.encode() for t in texts], "S17")) == (len(repeated), repeated[:3])


def table_of(tmp_path: Path, ids: list[str]) -> TableSpec:
    path = tmp_path / "ids.csv"
    path.write_text("uscc,x\n" + "".join(f"{text},{i}\n" for i, text in enumerate(ids)))
    return TableSpec(path=path, id="uscc")


def test_column_is_normalised_and_counted(tmp_path: Path) -> None:
    ids = [code_of([i] * 17) for i in range(1, 7)]
    written = [
        ids[0],
        f" {ids[1]}",
        ids[2].lower(),
        "".join(WIDE[c] for c in ids[3]),
        f"\u3000{ids[4].lower()} ",
        ids[5],
    ]
    with open_table(table_of(tmp_path, written)) as table:
        assert table.ids().dtype == np.dtype("S18")
        assert [i.decode() for i in table.ids()] == ids
        assert not table.ids().flags.writeable
        quality = table.quality
    lower = sum(any(c.isalpha() for c in ids[k]) for k in (2, 4))
    assert (quality.ids_blanks, quality.ids_full_width, quality.ids_lower_case) == (2, 2, lower)


def test_column_lists_every_rule_with_rows(tmp_path: Path) -> None:
    good, other = REAL
    written = [good, "", "1.23E+17", "123", good[:17] + "I", good[:17] + "4", other, other.lower(), f" {other}"]
    with pytest.raises(DataError) as caught:
        open_table(table_of(tmp_path, written))
    text = str(caught.value)
    assert [p.code for p in caught.value.problems] == ["ID_INVALID"] * 4 + ["ID_SCIENTIFIC", "ID_DUPLICATE"]
    for place, word in (("row 2 (line 3)", "empty"), ("row 4 (line 5)", "length"), ("row 5 (line 6)", "character")):
        assert f"{place}: {word}" in text or word in text.split(place)[1].splitlines()[0]
    assert "row 6 (line 7): wrong check character" in text
    assert "row 3 (line 4)" in text
    assert "2 such rows, first 8, 9" in text
    assert good not in text
    assert other not in text


def test_a_column_in_many_pieces_keeps_its_order(tmp_path: Path) -> None:
    # More rows than the engine reads in one piece or on one thread, of many lengths; one cell makes pieces small.
    rng = np.random.default_rng(3)
    ids = [f"{'x' * int(length)}{i}" for i, length in enumerate(rng.integers(0, 30, 300_000))]
    for long in ("", " " * 60_000):
        path = tmp_path / "long.csv"
        path.write_text("id,x\n" + "".join(f"{long if i == 7 else ''}{text},{i}\n" for i, text in enumerate(ids)))
        with open_table(TableSpec(path=path, id="id", id_type="text")) as table:
            assert table.ids().tolist() == [text.encode() for text in ids]
            assert table.quality.ids_blanks == (1 if long else 0)


def test_the_kernel_knows_the_categories_of_all_characters() -> None:
    points = [p for p in range(0x20, 0x110000) if unicodedata.category(chr(p)) not in ("Cn", "Cs", "Zs")]
    cells = "\0".join(f"a{chr(p)}b" for p in points)
    ids, rules, _ = identifiers.normalise(np.frombuffer(cells.encode(), np.uint8), len(points), "text", 64)
    for point, found, rule in zip(points, ids.tolist(), rules.tolist(), strict=True):
        try:
            assert (rule, found) == (0, subject_id(f"a{chr(point)}b", "text")), hex(point)
        except DataError:
            assert (rule, found) == (4, b""), hex(point)


@given(st.lists(st.binary(max_size=12).filter(lambda b: not b.endswith(b"\0")), min_size=1, max_size=30))
def test_rows_come_in_the_order_of_their_identifiers(values: list[bytes]) -> None:
    ids = np.array([b"91" + value for value in values], "S14")
    rows = np.arange(len(ids))[::-1]
    assert identifiers.in_order(ids, rows).tolist() == np.argsort(ids, kind="stable").tolist()


@given(st.lists(st.text(st.sampled_from("=+-@\t\r ＝,\"'a1.eE5中"), max_size=8), max_size=20))
def test_a_column_is_written_as_a_csv_writer_does(texts: list[str]) -> None:
    ids = np.array([t.encode() for t in texts], "S32")
    expected = io.StringIO()
    csv.writer(expected).writerows([safe_cell(t)] for t in texts)
    rows = np.arange(len(texts))
    assert identifiers.csv_lines(ids, rows).decode() == expected.getvalue()
    assert identifiers.csv_lines(ids, rows[::-1]).count(b"\n") == expected.getvalue().count("\n")


def test_a_file_of_identifiers_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_ROWS_AT_ONCE", 2)
    ids = np.array([b"91350100M000100Y43", b"=x", b"7"])
    pieces = list(export.identifier_lines(["=uscc"], ids, np.array([1, 0, 1])))
    assert pieces == [b"'=uscc\r\n", b"'=x\r\n91350100M000100Y43\r\n", b"'=x\r\n"]
    with pytest.raises(ValueError, match="rows"):
        list(export.identifier_lines(["uscc"], ids, np.array([3])))


@pytest.mark.parametrize(
    "call",
    [
        lambda: identifiers.normalise(np.zeros(2, np.int8), 1, "text", 64),
        lambda: identifiers.normalise(np.zeros(2, np.uint8), 1, "text", 64),
        lambda: identifiers.normalise(np.full(2, 255, np.uint8), 1, "text", 64),
        lambda: identifiers.repeats(np.zeros(2, np.uint8)),
        lambda: identifiers.in_order(np.array([b"a"]), np.array([1])),
        lambda: identifiers.csv_lines(np.array([b"a"]), np.array([0.5])),
        lambda: identifiers.csv_lines(np.array([b"a"]), np.array([-1])),
    ],
)
def test_kernels_refuse_wrong_shapes(call: Any) -> None:
    with pytest.raises(ValueError):
        call()


def test_a_million_codes_in_well_under_a_second_of_numpy() -> None:
    # No clock here: the whole column goes through in a bounded number of array calls, in chunks.
    values = np.random.default_rng(0).integers(0, 31, (200_000, 17), dtype=np.uint8)
    codes = uscc.codes(values)
    assert not uscc.faults(codes).any()
    assert duplicates(codes)[0] == len(codes) - len(np.unique(codes))
