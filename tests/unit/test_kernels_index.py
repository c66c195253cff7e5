"""Index files and programs over them, from Python: what is kept, what is matched, what is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predicate_native import built, native

from fedcredit.errors import DataError
from fedcredit.governance.predicates.answers import Enquiry, Outcome
from fedcredit.governance.predicates.compiler import Program, Type, compile_tree
from fedcredit.governance.predicates.grammar import parse
from fedcredit.governance.predicates.single import evaluate_one
from fedcredit.kernels import index

ASOF = date(2025, 6, 30)
TYPES: dict[str, dict[str, Type]] = {
    "a": {"unit": "text", "kinds": "texts", "day": "date", "amount": "number", "open": "flag"},
    "b": {"unit": "text"},
}
PARAMETERS: dict[str, Type] = {"unit": "text", "kinds": "texts"}


def program(text: str, **parameters: Type) -> Program:
    return compile_tree(parse(text), item="a", printed=TYPES, assumed={}, parameters=parameters)


def code(refused: pytest.ExceptionInfo[DataError]) -> str:
    return refused.value.code


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("any(unit == $unit)", {"unit": "ｕnit  1"}),
        ("any(unit != $unit)", {"unit": " UNIT 1 "}),
        ("any(unit in $kinds)", {"kinds": ("UNIT 1", "x")}),
        ("any($unit in kinds)", {"unit": "Straße"}),
        ("any($unit in b.unit)", {"unit": "UNIT 2"}),
        ("any($unit in {'Unit 3', 'y'})", {"unit": "UNIT３"}),
        ("latest(unit by day) == $unit", {"unit": "UNIT 1"}),
        ("unit == $unit", {"unit": "UNIT 1"}),
        ("any(unit == 'Unit 1' and unit == $unit)", {"unit": "UNIT 1"}),
    ],
)
def test_a_matched_text_is_compared_in_normal_form_and_no_other_is(text: str, given: dict[str, Any]) -> None:
    """The answer is that of the plain evaluator over records and parameters that were normalised beforehand."""
    records: dict[str, list[dict[str, Any]]] = {
        "a": [{"unit": "Unit\u30001", "kinds": ("STRASSE", "z"), "day": ASOF, "amount": 1.0, "open": True}],
        "b": [{"unit": "unit 2"}],
    }
    compiled = program(text, **{name: PARAMETERS[name] for name in given})
    forms = {"a": [dict(records["a"][0])], "b": [{"unit": "unit 2"}]}
    forms["a"][0].update(unit="unit 1", kinds=("strasse", "z"))
    asked = {
        name: index.normal_text(value) if isinstance(value, str) else tuple(map(index.normal_text, value))
        for name, value in given.items()
    }
    text_of_forms = text.replace("Unit", "unit")
    wanted = evaluate_one(
        program(text_of_forms, **{name: PARAMETERS[name] for name in given}),
        forms,
        Enquiry(asof=ASOF, parameters=asked),
    )
    found = native(compiled, TYPES, records, Enquiry(asof=ASOF, parameters=given), matched=tuple(given))
    if "unit == 'Unit 1' and" in text:
        # The constant is not matched: the register writes it with another space.
        assert found.outcome == Outcome.NO
    else:
        assert found.outcome == wanted.outcome
    as_they_are = native(compiled, TYPES, records, Enquiry(asof=ASOF, parameters=given))
    assert as_they_are == evaluate_one(compiled, records, Enquiry(asof=ASOF, parameters=given))


def test_subjects_that_are_found_by_name_are_found_by_any_spelling(tmp_path: Path) -> None:
    builder = index.Builder("a", "unit", {"unit": "text"}, normal_keys=True)
    names = index.text_column(["Steel Ltd", "Other"])
    builder.push(names, {"unit": (names, None)})
    builder.finish(tmp_path / "x.index")
    found = index.Index(tmp_path / "x.index")
    compiled = index.Program(program("count(unit == $subject_name) == 1").to_dict(), {"a": found})
    answers = compiled.answer(["S", "S"], names=["ＳＴＥＥＬ  ltd", "Steal Ltd"], parameters={}, asof=0)
    assert answers.outcomes.tolist() == [1, 3]


def test_an_index_says_what_it_holds(tmp_path: Path) -> None:
    builder = index.Builder("a", "uscc", {"unit": "text", "amount": "number"}, plain=frozenset({"unit"}))
    keys = index.text_column(["S", "T", "S"])
    columns: dict[str, index.Values] = {
        "unit": (keys, np.array([True, False, True])),
        "amount": (index.Numbers(np.arange(3.0)), None),
    }
    builder.push(keys, columns, days=np.array([3, 5, 4], np.int32), days_known=np.array([True, True, False]))
    size = builder.finish(tmp_path / "x.index")
    about = index.Index(tmp_path / "x.index").about()
    assert (about.item, about.key_field, about.subjects, about.records, about.bytes) == ("a", "uscc", 2, 3, size)
    assert (about.days, about.has_normal_keys) == ((3, 5), False)
    assert about.columns == (("amount", "number", False), ("unit", "text", False))
    assert index.Index(tmp_path / "x.index").count(["S", "T", "U"]).tolist() == [2, 1, 0]
    with pytest.raises(DataError) as refused:
        index.Program(
            program("any(unit == $unit)", unit="text").to_dict(), {"a": index.Index(tmp_path / "x.index")}, ["unit"]
        )
    assert code(refused) == "PROGRAM_INDEX"


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "x.index"
    builder = index.Builder("a", "", {})
    builder.push(index.text_column(["S"]), {})
    builder.finish(whole)
    data = whole.read_bytes()
    for changed, wanted in [
        (b"", "INDEX_FORMAT"),
        (data[:-1], "INDEX_FORMAT"),
        (b"x" + data[1:], "INDEX_FORMAT"),
        (data[:8] + b"\x02" + data[9:], "INDEX_VERSION"),
        (data[:128] + bytes([data[128] ^ 1]) + data[129:], "INDEX_CHECKSUM"),
        (data[:24] + bytes([data[24] ^ 1]) + data[25:], "INDEX_CHECKSUM"),
    ]:
        with pytest.raises(DataError) as refused:
            index.Index.of_bytes(changed)
        assert code(refused) == wanted
    for path in (tmp_path / "none.index", tmp_path):
        with pytest.raises(DataError) as refused:
            index.Index(path)
        assert code(refused) == "INDEX_IO"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (index.Numbers(np.array([np.inf])), "number"),
        (index.Numbers(np.array([1.0, 2.0])), "number"),
        (index.Dates(np.array([10**7], np.int32)), "date"),
        (index.TextColumn(np.array([0, 2]), np.array([97], np.uint8)), "text"),
        (index.TextColumn(np.array([0, 1]), np.array([0xFF], np.uint8)), "text"),
        (index.TextsColumn(np.array([0, 2]), index.text_column(["x"])), "texts"),
    ],
)
def test_values_that_are_none_are_refused(values: index.Column, kind: index.Kind) -> None:
    builder = index.Builder("a", "", {"x": kind})
    with pytest.raises(DataError) as refused:
        builder.push(index.text_column(["S"]), {"x": (values, None)})
    assert code(refused) == "INDEX_INPUT"
    with pytest.raises(ValueError, match="used up"):
        builder.push(index.text_column(["S"]), {"x": (values, None)})


def test_a_builder_takes_no_more_memory_than_it_may() -> None:
    builder = index.Builder("a", "", {}, max_bytes=1000)
    with pytest.raises(DataError) as refused:
        builder.push(index.text_column([f"S{number}" for number in range(100)]), {})
    assert code(refused) == "INDEX_LIMIT"
    with pytest.raises(DataError) as refused:
        index.Builder("a", "", {"x": "flag"}).push(index.text_column(["S"]), {})
    assert code(refused) == "INDEX_INPUT"


def step(**change: Any) -> dict[str, Any]:
    return {"op": "column", "type": "flag", "over": "a", "args": [], "value": "open", **change}


ANY = {"op": "any", "type": "flag", "over": "", "args": [0], "value": "a"}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"schema": "fedcredit-program/2"}, "PROGRAM_FORM"),
        ({"more": 1}, "PROGRAM_FORM"),
        ({"items": ["b"]}, "PROGRAM_FORM"),
        ({"items": ["a", "a"]}, "PROGRAM_FORM"),
        ({"steps": []}, "PROGRAM_FORM"),
        ({"steps": [step()]}, "PROGRAM_FORM"),
        ({"steps": [step(), {**ANY, "args": [1]}]}, "PROGRAM_STEP"),
        ({"steps": [step(), {**ANY, "args": []}]}, "PROGRAM_STEP"),
        ({"steps": [step(), {**ANY, "op": "anything"}]}, "PROGRAM_STEP"),
        ({"steps": [step(type="number", value="amount"), ANY]}, "PROGRAM_STEP"),
        ({"steps": [step(value="nothing"), ANY]}, "PROGRAM_STEP"),
        ({"steps": [step(over="c"), ANY]}, "PROGRAM_STEP"),
        ({"steps": [step(type="thing"), ANY]}, "PROGRAM_STEP"),
        ({"steps": [step(), {**ANY, "type": "number"}]}, "PROGRAM_FORM"),
        ({"steps": [step(), ANY, {**ANY, "args": [1]}]}, "PROGRAM_STEP"),
        ({"steps": [step()] * 600 + [ANY]}, "PROGRAM_LIMIT"),
        (
            {"steps": [step(), ANY, *({**ANY, "op": "and", "args": [at, at], "value": None} for at in range(1, 40))]},
            "PROGRAM_LIMIT",
        ),
    ],
)
def test_a_program_that_is_none_is_refused(change: dict[str, Any], wanted: str) -> None:
    good = program("any(open)").to_dict()
    found = built("a", TYPES["a"], [{"open": True}], ["S"])
    index.Program(good, {"a": found})
    with pytest.raises(DataError) as refused:
        index.Program({**good, **change}, {"a": found})
    assert code(refused) == wanted


def test_a_program_does_not_fit_an_index_of_another_item_or_type() -> None:
    good = program("any(open)").to_dict()
    other = built("b", TYPES["b"], [{"unit": "x"}], ["S"])
    texts = built("a", {"open": "text"}, [{"open": "x"}], ["S"])
    for found in (other, texts):
        with pytest.raises(DataError) as refused:
            index.Program(good, {"a": found})
        assert code(refused) == "PROGRAM_INDEX"
