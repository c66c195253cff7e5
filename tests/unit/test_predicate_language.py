"""The language of predicates: what it means, what it refuses, and that it does nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predicate_native import native
from predicate_oracle import Oracle

from fedcredit.errors import ConfigError
from fedcredit.governance.predicates import grammar
from fedcredit.governance.predicates.answers import Enquiry, Outcome
from fedcredit.governance.predicates.compiler import Program, Type, compile_tree
from fedcredit.governance.predicates.grammar import MAX_CHARACTERS, MAX_DEPTH, MAX_TOKENS, parse
from fedcredit.governance.predicates.single import evaluate_one
from fedcredit.governance.predicates.vector import Rows, Subjects, column_of, evaluate
from fedcredit.runtime import predicate_file
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.predicate_file import GROUPS, load_predicates

ASOF = date(2024, 2, 29)
FIELDS: dict[str, Type] = {"n": "number", "m": "number", "t": "text", "f": "flag", "d": "date", "several": "texts"}
PRINTED: dict[str, dict[str, Type]] = {"a": FIELDS, "b": FIELDS}
PARAMETERS: dict[str, Type] = {"x": "number", "word": "text", "words": "texts"}
GIVEN = {"x": 1.0, "word": "p", "words": ("p", "q"), "subject": "S", "subject_name": "N", "institution": "B"}


def compiled(text: str) -> Program:
    used = {name: kind for name, kind in PARAMETERS.items() if f"${name}" in text.replace("$words", "$words ")}
    if "$words" in text and "$word " not in f"{text} ".replace(")", " ").replace(",", " "):
        used.pop("word", None)
    return compile_tree(parse(text), item="a", printed=PRINTED, assumed={}, parameters=used)


def one(text: str, *rows: dict[str, Any], others: tuple[dict[str, Any], ...] = ()) -> bool | None:
    """The answer by each of four evaluators, which must be the same."""
    records = {"a": list(rows), "b": list(others)}
    enquiry = Enquiry(asof=ASOF, parameters=GIVEN, complete=True)
    program = compiled(text)
    single = evaluate_one(program, records, enquiry).outcome
    columns = {
        item: Rows(
            np.zeros(len(held), np.int64),
            {name: column_of(kind, [row.get(name) for row in held]) for name, kind in FIELDS.items()},
        )
        for item, held in records.items()
    }
    whom = Subjects(np.array(["S"], object), np.array(["N"], object))
    assert evaluate(program, columns, whom, enquiry).outcomes.tolist() == [single]
    assert native(program, PRINTED, records, enquiry).outcome == single
    slow = Oracle("a", records, GIVEN, ASOF).answer(parse(text))
    assert slow is (None if single == Outcome.UNKNOWN else single == Outcome.YES)
    return slow


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "row", "answer"),
    [
        ("1 + 2 * 3 == 7", {}, True),
        ("(1 + 2) * 3 == 9", {}, True),
        ("5 - 2 - 1 == 2", {}, True),
        ("true or false and false", {}, True),
        ("not true or true", {}, True),
        ("not (true or true)", {}, False),
        ("n between 1 and 2 and true", {"n": 2.0}, True),
        ("n between 1 and 2 or false", {"n": 2.5}, False),
        ("n == 1 and f", {"n": 2.0}, False),
        ("n == 1 and f", {"n": 1.0}, None),
        ("n == 1 or f", {"n": 1.0}, True),
        ("f is null", {}, True),
        ("f is not null", {}, False),
        ("not f", {}, None),
        ("t in {'p','q'}", {"t": "q"}, True),
        ("t not in {'p','q'}", {"t": "q"}, False),
        ("t not in {'p','q'}", {}, None),
        ("n in {1, 2}", {"n": 2.0}, True),
        ("t in $words", {"t": "r"}, False),
        ("$word in several", {"several": ("a", "p")}, True),
        ("abs(n - 3) <= 1", {"n": 2.0}, True),
        ("days_since(d) == 366", {"d": day("2023-02-28")}, True),
        ("months_since(d) == 1", {"d": day("2024-01-30")}, True),
        ("months_since(d) == 2", {"d": day("2024-01-28")}, True),
        ("months_since(d) == 0", {"d": day("2024-02-29")}, True),
        ("months_since(d) <= 0", {"d": day("2024-03-15")}, True),
        ("years_since(d) == 0", {"d": day("2023-03-01")}, True),
        ("years_since(d) == 1", {"d": day("2023-02-28")}, True),
        ("years_since(d) == 4", {"d": day("2020-02-29")}, True),
        ("year(d) == 1969 and d < asof", {"d": day("1969-12-31")}, True),
        ("months_since(d) == 651", {"d": day("1969-12-31")}, False),
        ("d == asof", {"d": ASOF}, True),
        ("t == $subject", {"t": "S"}, True),
    ],
)
def test_what_an_expression_means(text: str, row: dict[str, Any], answer: bool | None) -> None:
    assert one(text, row) is answer


@pytest.mark.parametrize(
    ("text", "rows", "answer"),
    [
        ("any(f)", [], False),
        ("all(f)", [], True),
        ("count(f) == 0", [], True),
        ("sum(n) == 0", [], True),
        ("max(n) == 0", [], None),
        ("latest(n by d) == 0", [], None),
        ("exists", [], False),
        ("any(f)", [{"f": True}, {}], True),
        ("any(f)", [{"f": False}, {}], None),
        ("all(f)", [{"f": False}, {}], False),
        ("all(f)", [{"f": True}, {}], None),
        ("count(f) <= 9", [{"f": True}, {}], None),
        ("count(true) == 2", [{}, {}], True),
        ("sum(n where f) == 1", [{"n": 1.0, "f": True}, {"f": False}], True),
        ("sum(n where f) == 1", [{"n": 1.0, "f": True}, {"n": 0.0}], None),
        ("min(n where f) == 5", [{"n": 5.0, "f": True}, {"n": 1.0, "f": False}], True),
        ("max(d) == asof", [{"d": ASOF}, {"d": day("2000-01-01")}], True),
        ("n == 1", [{"n": 1.0}, {"n": 1.0}], None),
        ("latest(t by d) == 'p'", [{"t": "p", "d": ASOF}, {"t": "q", "d": day("2000-01-01")}], True),
        ("latest(t by d) == 'p'", [{"t": "p", "d": ASOF}, {"t": "p", "d": ASOF}], True),
        ("latest(t by d) == 'p'", [{"t": "p", "d": ASOF}, {"t": "q", "d": ASOF}], None),
        ("latest(t by d) == 'p'", [{"t": "p", "d": ASOF}, {"d": ASOF}], None),
        ("latest(t by d) == 'p'", [{"t": "p", "d": ASOF}, {"t": "p"}], None),
        ("any(n == max_of)", [], None),
    ],
)
def test_what_it_means_for_several_records(text: str, rows: list[dict[str, Any]], answer: bool | None) -> None:
    if "max_of" in text:
        with pytest.raises(ConfigError):
            compiled(text)
        return
    assert one(text, *rows) is answer


def test_records_of_another_item_are_looked_up() -> None:
    text = "any(t not in b.t)"
    assert one(text, {"t": "p"}, others=({"t": "q"},)) is True
    assert one(text, {"t": "p"}, others=({"t": "p"},)) is False
    assert one(text, {"t": "p"}, others=({},)) is None
    assert one(text, {"t": "p"}) is True
    assert one(text, {}) is True
    assert one(text, {}, others=({"t": "p"},)) is None
    assert one("exists and not b.any(n > 1)", {}, others=({"n": 1.0},)) is True


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("", "PREDICATE_SYNTAX", 1),
        ("any(", "PREDICATE_SYNTAX", 5),
        ("any(f))", "PREDICATE_SYNTAX", 7),
        ("f f", "PREDICATE_SYNTAX", 3),
        ("f = true", "PREDICATE_SYNTAX", 3),
        ("n == 1.", "PREDICATE_SYNTAX", 6),
        ("n == 1e9", "PREDICATE_SYNTAX", 6),
        ("n == 1234567890123456", "PREDICATE_SYNTAX", 6),
        ("n == 'p", "PREDICATE_SYNTAX", 6),
        ("t == 'p\n'", "PREDICATE_SYNTAX", 6),
        ('t == "p"', "PREDICATE_SYNTAX", 6),
        ("n == １", "PREDICATE_SYNTAX", 6),
        ("__import__('os')", "PREDICATE_SYNTAX", 1),
        ("f.__class__", "PREDICATE_SYNTAX", 3),
        ("n[0] == 1", "PREDICATE_SYNTAX", 2),
        ("open('x')", "PREDICATE_SYNTAX", 5),
        ("n == 1 if f else 2", "PREDICATE_SYNTAX", 8),
        ("n < 1 < 2", "PREDICATE_SYNTAX", 7),
        ("t in {}", "PREDICATE_SYNTAX", 7),
        ("t in {'p', 1}", "PREDICATE_SYNTAX", 6),
        ("t in {'p', n}", "PREDICATE_SYNTAX", 12),
        ("n between 1", "PREDICATE_SYNTAX", 12),
        ("f is true", "PREDICATE_SYNTAX", 6),
        ("$ == 1", "PREDICATE_SYNTAX", 3),
        ("$null == 1", "PREDICATE_SYNTAX", 2),
        ("latest(n) == 1", "PREDICATE_SYNTAX", 9),
        ("n", "PREDICATE_TYPE", 1),
        ("n == t", "PREDICATE_TYPE", 3),
        ("t < 'p'", "PREDICATE_TYPE", 3),
        ("f < true", "PREDICATE_TYPE", 3),
        ("several == several", "PREDICATE_TYPE", 9),
        ("t + t == t", "PREDICATE_TYPE", 3),
        ("n and f", "PREDICATE_TYPE", 1),
        ("not n", "PREDICATE_TYPE", 5),
        ("any(n)", "PREDICATE_TYPE", 5),
        ("sum(t) == 1", "PREDICATE_TYPE", 1),
        ("sum(f) == 1", "PREDICATE_TYPE", 1),
        ("abs(t) == 1", "PREDICATE_TYPE", 1),
        ("days_since(n) == 1", "PREDICATE_TYPE", 1),
        ("latest(n by t) == 1", "PREDICATE_TYPE", 13),
        ("t in t", "PREDICATE_TYPE", 6),
        ("n in {'p'}", "PREDICATE_TYPE", 3),
        ("n in b.t", "PREDICATE_TYPE", 3),
        ("{'p'} == t", "PREDICATE_SYNTAX", 1),
        ("nothing == 1", "PREDICATE_NAME", 1),
        ("?n == 1", "PREDICATE_NAME", 1),
        ("?nothing == 1", "PREDICATE_NAME", 1),
        ("$nothing == 1", "PREDICATE_NAME", 1),
        ("c.any(f)", "PREDICATE_NAME", 1),
        ("t in c.t", "PREDICATE_NAME", 6),
        ("t in b.nothing", "PREDICATE_NAME", 6),
        ("b.n == 1", "PREDICATE_RANGE", 1),
        ("any(any(f))", "PREDICATE_RANGE", 5),
        ("any(count(f) == 1)", "PREDICATE_RANGE", 5),
        ("sum(1) == 1", "PREDICATE_RANGE", 1),
        ("any(t == $subject or t == $subject_name)", "PREDICATE_KEY", 24),
        (" or ".join(["f"] * (MAX_TOKENS // 2 + 1)), "PREDICATE_LIMIT", 0),
        ("(" * (MAX_DEPTH + 2) + "f" + ")" * (MAX_DEPTH + 2), "PREDICATE_LIMIT", 0),
        ("not " * (MAX_DEPTH + 2) + "f", "PREDICATE_LIMIT", 0),
        (" " * MAX_CHARACTERS + "f", "PREDICATE_LIMIT", 0),
    ],
)
def test_what_is_no_predicate_is_refused_with_its_place(text: str, code: str, at: int) -> None:
    with pytest.raises(ConfigError) as refused:
        compiled(text)
    problem = refused.value.problems[0]
    assert problem.code == code
    assert not at or problem.where == f"expression, character {at}"


def test_the_largest_expression_is_taken() -> None:
    assert one(" or ".join(["f"] * (MAX_TOKENS // 2)), {"f": True}) is True
    assert one("(" * MAX_DEPTH + "f" + ")" * MAX_DEPTH, {"f": True}) is True
    assert one("n == " + "+".join(["1"] * (MAX_TOKENS // 2 - 1)), {"n": float(MAX_TOKENS // 2 - 1)}) is True


def expressions(draw: random.Random, depth: int, kind: Type, row: bool) -> str:
    """A random expression of a type; `row`: within an aggregate, where fields are those of a record."""

    def more(of: Type) -> str:
        return expressions(draw, depth - 1, of, row)

    if depth <= 0 or draw.random() < 0.15:
        leaves: dict[Type, list[str]] = {
            "number": ["n", "m", "0", "1", "2.5", "$x"],
            "flag": ["f", "true", "false"],
            "text": ["t", "'p'", "'q'", "$word"],
            "date": ["d", "asof"],
            "texts": ["several", "$words"],
        }
        return draw.choice(leaves[kind])
    if kind == "number":
        forms = [f"({more('number')} {draw.choice('+-*')} {more('number')})", f"abs({more('number')})"]
        forms += [f"{draw.choice(['days', 'months', 'years'])}_since({more('date')})", f"year({more('date')})"]
        if not row:
            inner, where = (expressions(draw, depth - 1, "flag", True) for _ in range(2))
            forms += [f"count({inner})", f"sum(n where {where})", f"min(m where {where})", "latest(n by d)", "max(n)"]
    elif kind == "flag":
        ordered = draw.choice(["number", "date"])
        equal = draw.choice(["number", "date", "text", "flag"])
        sign = draw.choice(["<", "<=", ">", ">="])
        forms = [
            f"({more('flag')} {draw.choice(['and', 'or'])} {more('flag')})",
            f"(not {more('flag')})",
            f"({more(ordered)} {sign} {more(ordered)})",  # type: ignore[arg-type]
            f"({more(equal)} {draw.choice(['==', '!='])} {more(equal)})",  # type: ignore[arg-type]
            f"({more('text')} {draw.choice(['in', 'not in'])} {draw.choice(['several', '$words', 'b.t'])})",
            f"({more('number')} in {{1, 2}})",
            f"({more('number')} between 0 and {more('number')})",
            f"({more(equal)} is {draw.choice(['null', 'not null'])})",  # type: ignore[arg-type]
        ]
        if not row:
            inner = expressions(draw, depth - 1, "flag", True)
            forms += [f"{draw.choice(['', 'b.'])}{draw.choice(['any', 'all'])}({inner})", "exists"]
    elif kind == "text" and not row:
        forms = ["latest(t by d)", "t"]
    elif kind == "date" and not row:
        forms = ["max(d)", "min(d where f)", "d"]
    else:
        return expressions(draw, 0, kind, row)
    return draw.choice(forms)


VALUES: dict[Type, list[Any]] = {
    "number": [None, 0.0, 1.0, 2.0, 2.5, -1.0],
    "flag": [None, True, False],
    "text": [None, "p", "q", "S"],
    "date": [None, ASOF, ASOF - timedelta(days=1), day("2020-02-29"), day("2024-03-31"), day("1960-05-05")],
    "texts": [None, (), ("p",), ("q", "r")],
}


@settings(max_examples=300, deadline=None, database=None)
@given(seed=st.integers(0, 2**32))
def test_four_evaluators_agree_on_any_expression(seed: int) -> None:
    draw = random.Random(seed)
    text = expressions(draw, 4, "flag", row=False)
    rows = [{name: draw.choice(VALUES[kind]) for name, kind in FIELDS.items()} for _ in range(draw.randrange(5))]
    own = draw.randrange(len(rows) + 1)
    try:
        program = compiled(text)
    except ConfigError as error:
        # A random tree may put two items side by side, or get too large. It is never ill typed.
        if error.code not in ("PREDICATE_RANGE", "PREDICATE_LIMIT"):
            raise
        return
    assert len(program.steps) <= MAX_TOKENS
    one(text, *rows[:own], others=tuple(rows[own:]))


@settings(max_examples=300, deadline=None, database=None)
@given(text=st.text(max_size=60) | st.text("anyfn tp'()$?.{},=<>!&|*+-0123", max_size=60))
def test_any_text_is_a_tree_or_refused(text: str) -> None:
    try:
        compiled(text)
    except ConfigError as refused:
        if not refused.code.startswith("PREDICATE_"):
            raise


FOLDER = predicate_file._FOLDER


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        (replaced("version = 1", "version = 0"), "CONFIG_VALUE", "version"),
        (replaced('title = "', 'titel = "'), "CONFIG_UNKNOWN_KEY", "titel"),
        (
            replaced('en = "Is the enterprise currently in water', 'eng = "Is'),
            "CONFIG_UNKNOWN_KEY",
            "water_in_arrears.eng",
        ),
        (replaced('subject = "enterprise"\n', ""), "CONFIG_MISSING_KEY", "water_in_arrears.subject"),
        (replaced('no_record = "unknown"', 'no_record = "yes"'), "CONFIG_VALUE", "water_in_arrears.no_record"),
        (replaced('id = "water_in_use"', 'id = "water_in_arrears"'), "PREDICATE_DUPLICATE", "water_in_arrears"),
        (replaced('item = "water_fee"', 'item = "water_bill"'), "PREDICATE_NAME", "water_in_arrears.item"),
        (
            replaced("any(currently_in_arrears)", "any(currently_in_arears)"),
            "PREDICATE_NAME",
            "expression, character 5",
        ),
        (replaced("any(currently_in_arrears)", "sum(currently_in_arrears)"), "PREDICATE_TYPE", "water_in_arrears.expr"),
        (
            replaced("any(currently_in_arrears)", "any(currently_in_arrears"),
            "PREDICATE_SYNTAX",
            "water_in_arrears.expr",
        ),
        (replaced("ladder = [0, 1, 3]", 'ladder = [0, "1"]'), "PREDICATE_LADDER", "parameters.n.ladder"),
        (replaced("ladder = [0, 1, 3]", "ladder = [0, 0]"), "PREDICATE_LADDER", "parameters.n.ladder"),
        (replaced(", ladder = [0, 1, 3]", ""), "PREDICATE_LADDER", "water_arrears_count.parameters.n"),
        (replaced("ladder = [0, 1, 3]", "ladder = [nan]"), "CONFIG_TYPE", "parameters.n"),
        (replaced("parameters = { n = ", "parameters = { k = "), "PREDICATE_NAME", "water_arrears_count"),
        (replaced('id = "jilin"', 'id = "atlantis"'), "PREDICATE_REGION", "regions.atlantis"),
        (replaced('id = "jilin"', 'id = "beijing"'), "PREDICATE_REGION", "regions.beijing"),
        (replaced('id = "jilin"', 'id = "nanjing"'), "PREDICATE_DUPLICATE", "regions.nanjing"),
        (replaced('"unprinted"', '"printed"'), "PREDICATE_REGION", "regions.jilin.fields"),
        (replaced('asked = "call"', 'asked = "release"'), "PREDICATE_AUTHORIZATION", "regions.jining"),
        (
            replaced('authorization = "enterprise"', 'authorization = "none"'),
            "PREDICATE_AUTHORIZATION",
            "regions.jilin",
        ),
        (lambda text: text.partition("[[predicate]]")[0], "CONFIG_TYPE", "predicate"),
        (lambda text: text.partition("[[predicate]]")[0] + "predicate = [1]", "CONFIG_TYPE", "predicate.1"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_name(
    change: Callable[[str], str], code: str, where: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(change((FOLDER / "utilities.toml").read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_predicates(path, shipped_catalogs())
    found = [(problem.code, problem.where) for problem in refused.value.problems]
    assert any(said == code and at.startswith(str(path)) and where in at for said, at in found), found


def test_no_other_file_lies_among_them() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(GROUPS)


def test_what_is_written_says_where_it_begins() -> None:
    tree = parse("  any( f )")
    assert isinstance(tree, grammar.Aggregate)
    assert tree.at == 2
