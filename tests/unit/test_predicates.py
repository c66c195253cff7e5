"""The predicates that come with the package: each has a yes, a no and an unknown, and four evaluators agree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predicate_cases import ASOF, CASES, INSTITUTION, ONLY_IF_COMPLETE, SUBJECT, SUBJECT_NAME
from predicate_native import native
from predicate_oracle import Oracle

from fedcredit.errors import UsageError
from fedcredit.governance.predicates.answers import Answer, Enquiry, Outcome, Reason
from fedcredit.governance.predicates.compiler import Type
from fedcredit.governance.predicates.grammar import parse
from fedcredit.governance.predicates.model import Compiled
from fedcredit.governance.predicates.single import evaluate_one
from fedcredit.governance.predicates.vector import Rows, Subjects, column_of, evaluate
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.predicate_file import printed_fields, shipped_predicates

PREDICATES = shipped_predicates()
PRINTED = printed_fields(shipped_catalogs().values())
Records = dict[str, list[dict[str, Any]]]


def types_of(compiled: Compiled) -> dict[str, dict[str, Type]]:
    """The types of the fields that a predicate looks at, by item."""
    item, program = compiled.predicate.item, compiled.program
    known = {name: {**PRINTED[name]} for name in program.items}
    known[item].update(compiled.predicate.assumed)
    return {name: {field: known[name][field] for field in program.fields.get(name, ())} for name in program.items}


def enquiry_of(compiled: Compiled, values: Mapping[str, Any], **more: Any) -> Enquiry:
    return compiled.enquiry(values, ASOF, institution=INSTITUTION, **more)


def alone(compiled: Compiled, records: Records, enquiry: Enquiry, **more: Any) -> Answer:
    """The answer by both evaluators for one subject, which must be the same, reason and all."""
    brought = {**enquiry.parameters, "subject": SUBJECT, "subject_name": SUBJECT_NAME}
    one = Enquiry(asof=enquiry.asof, parameters=brought, complete=enquiry.complete, max_age_days=enquiry.max_age_days)
    found = evaluate_one(compiled.program, records, one, **more)
    if "covered" not in more:
        # An index has the day of a record, so that without a record there is none.
        if not records.get(compiled.program.item):
            more, found = {}, replace(found, recorded=None)
        assert native(compiled.program, types_of(compiled), records, one, **more) == found
    return found


def together(
    compiled: Compiled, several: list[Records], enquiry: Enquiry, ages: list[date | None] | None = None
) -> Any:
    """The answers about several subjects, each with its own records, in one evaluation of columns."""
    rows = {}
    for item, fields in types_of(compiled).items():
        found = [(who, row) for who, records in enumerate(several) for row in records.get(item, [])]
        # Records of different subjects lie between each other in a real table.
        found.sort(key=lambda pair: repr(sorted(pair[1].items(), key=repr))) if len(several) > 1 else None
        columns = {name: column_of(kind, [row.get(name) for _, row in found]) for name, kind in fields.items()}
        rows[item] = Rows(np.array([who for who, _ in found], np.int64), columns)
    subjects = Subjects(
        np.array([SUBJECT] * len(several), object),
        np.array([SUBJECT_NAME] * len(several), object),
        recorded=None if ages is None else column_of("date", ages),
    )
    return evaluate(compiled.program, rows, subjects, enquiry)


def by_item(compiled: Compiled, records: Any) -> Records:
    return records if isinstance(records, dict) else {compiled.predicate.item: records}


def test_there_are_111_and_each_has_its_cases() -> None:
    assert len(PREDICATES) == 111
    assert set(CASES) == set(PREDICATES)


@pytest.mark.parametrize("name", PREDICATES)
def test_a_predicate_is_true_false_and_unknown(name: str) -> None:
    compiled = PREDICATES[name]
    values, yes, no, unknown = CASES[name]
    enquiry, closed = enquiry_of(compiled, values), enquiry_of(compiled, values, complete=True)
    wanted = [(Outcome.YES, by_item(compiled, yes), enquiry)]
    if no == ONLY_IF_COMPLETE:
        assert compiled.predicate.no_record == "unknown"
        wanted.append((Outcome.NO, {}, closed))
    else:
        wanted.append((Outcome.NO, by_item(compiled, no), enquiry))
    if unknown != "stale":
        wanted.append((Outcome.UNKNOWN, by_item(compiled, unknown), enquiry))
    for outcome, records, asked in wanted:
        assert alone(compiled, records, asked).outcome == outcome
        assert together(compiled, [records], asked).outcomes.tolist() == [outcome]
    old = enquiry_of(compiled, values, max_age_days=30)
    stale = alone(compiled, by_item(compiled, yes), old, recorded=ASOF - timedelta(days=31))
    fresh = alone(compiled, by_item(compiled, yes), old, recorded=ASOF - timedelta(days=30))
    assert (stale.outcome, stale.reason, fresh.outcome) == (Outcome.UNKNOWN, Reason.STALE, Outcome.YES)


def test_an_answer_about_nobodys_record_is_no_only_in_a_complete_register() -> None:
    complete = {name for name, compiled in PREDICATES.items() if compiled.predicate.no_record == "nothing"}
    providers = {"tax_bureau", "natural_resources_bureau"}
    for name, compiled in PREDICATES.items():
        found = [catalog.item(compiled.predicate.item) for catalog in shipped_catalogs().values()]
        assert (name in complete) == any(item is not None and item.provider.id in providers for item in found), name
        answer = alone(compiled, {}, enquiry_of(compiled, CASES[name][0]))
        if name not in complete:
            assert (answer.outcome, answer.reason) == (Outcome.UNKNOWN, Reason.NO_RECORD)
    asked = enquiry_of(PREDICATES["tax_in_arrears"], {})
    assert alone(PREDICATES["tax_in_arrears"], {}, asked).outcome == Outcome.NO
    # A register is complete for those it is about, and for nobody else.
    outside = alone(PREDICATES["tax_in_arrears"], {}, asked, covered=False)
    assert (outside.outcome, outside.reason) == (Outcome.UNKNOWN, Reason.NOT_COVERED)


def test_columns_mind_age_and_coverage_too() -> None:
    compiled = PREDICATES["water_in_arrears"]
    rows = {"water_fee": Rows(np.arange(3), {"currently_in_arrears": column_of("flag", [True, True, True])})}
    subjects = Subjects(
        np.array(list("abcd"), object),
        covered=np.array([True, True, False, True]),
        recorded=column_of("date", [ASOF, ASOF - timedelta(days=9), ASOF, None]),
    )
    found = evaluate(compiled.program, rows, subjects, enquiry_of(compiled, {}, max_age_days=8))
    assert found.outcomes.tolist() == [Outcome.YES, Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert found.reasons.tolist() == [Reason.DECIDED, Reason.STALE, Reason.NOT_COVERED, Reason.NO_RECORD]


def pools(compiled: Compiled, values: Mapping[str, Any]) -> dict[Type, list[Any]]:
    """Values near those that decide: constants of the program, parameters, days about the limits."""
    brought = [*values.values(), SUBJECT, SUBJECT_NAME, INSTITUTION, "other"]
    constants = [step.value for step in compiled.program.steps if step.op in ("constant", "one_of")]
    flat = [one for value in [*brought, *constants] for one in (value if isinstance(value, tuple) else (value,))]
    numbers = [float(one) for one in flat if isinstance(one, int | float)]
    near = {number + change for number in [*numbers, 0.0, 2024.0] for change in (-1.0, 0.0, 0.25, 1.0)}
    texts = sorted({one for one in flat if isinstance(one, str)})
    days = [ASOF + timedelta(days=change) for change in (-1100, -1096, -1095, -731, -730, -366, -365, -100, -62, 0, 1)]
    return {
        "number": sorted(near),
        "text": texts,
        "flag": [True, False],
        "date": days,
        "texts": [(), tuple(texts[:1]), tuple(texts)],
    }


@pytest.mark.parametrize("name", PREDICATES)
@settings(max_examples=3, deadline=None, database=None)
@given(data=st.data())
def test_four_evaluators_agree_on_a_few_records(name: str, data: st.DataObject) -> None:
    agree(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", PREDICATES)
@settings(max_examples=100, deadline=None, database=None)
@given(data=st.data())
def test_four_evaluators_agree_on_many_records(name: str, data: st.DataObject) -> None:
    agree(name, data)


def agree(name: str, data: st.DataObject) -> None:
    compiled = PREDICATES[name]
    values = CASES[name][0]
    pool = pools(compiled, values)
    items = {
        item: st.lists(
            st.fixed_dictionaries({field: st.none() | st.sampled_from(pool[kind]) for field, kind in fields.items()}),
            max_size=4,
        )
        for item, fields in types_of(compiled).items()
    }
    several = data.draw(st.lists(st.fixed_dictionaries(items), min_size=1, max_size=4))
    enquiry = enquiry_of(compiled, values, complete=True)
    tree = parse(compiled.predicate.expression)
    brought = {**enquiry.parameters, "subject": SUBJECT, "subject_name": SUBJECT_NAME}
    slow = [Oracle(compiled.predicate.item, records, brought, ASOF).answer(tree) for records in several]
    wanted = [Outcome.UNKNOWN if found is None else Outcome(int(found)) for found in slow]
    assert [alone(compiled, records, enquiry).outcome for records in several] == wanted
    assert together(compiled, several, enquiry).outcomes.tolist() == wanted


@pytest.mark.parametrize("name", PREDICATES)
def test_a_program_is_plain_data_in_one_order(name: str) -> None:
    said = PREDICATES[name].program.to_dict()
    assert json.loads(json.dumps(said)) == said
    for number, step in enumerate(said["steps"]):
        assert all(argument < number for argument in step["args"])
    assert (said["steps"][-1]["type"], said["steps"][-1]["over"]) == ("flag", "")


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("tax_arrears_within", {"x": 10001.0}, "PREDICATE_LADDER"),
        ("tax_arrears_within", {"x": "10000"}, "PREDICATE_PARAMETER"),
        ("tax_arrears_within", {"x": True}, "PREDICATE_PARAMETER"),
        ("tax_arrears_within", {"x": float("nan")}, "PREDICATE_PARAMETER"),
        ("tax_arrears_within", {}, "PREDICATE_PARAMETER"),
        ("tax_arrears_within", {"x": 0.0, "n": 1.0}, "PREDICATE_PARAMETER"),
        ("prop_area_match", {"unit_no": "U", "area": float("inf")}, "PREDICATE_PARAMETER"),
        ("prop_mortgaged", {"unit_no": ""}, "PREDICATE_PARAMETER"),
        ("prop_mortgaged", {"unit_no": "U" * 201}, "PREDICATE_PARAMETER"),
        ("power_risk_grade_in", {"accepted_grades": ()}, "PREDICATE_PARAMETER"),
        ("research_support_kind", {"kind": "其他"}, "PREDICATE_LADDER"),
    ],
)
def test_a_parameter_is_what_it_was_declared_to_be(name: str, values: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as refused:
        PREDICATES[name].enquiry(values, ASOF)
    assert refused.value.code == code


def test_a_predicate_on_the_enquirer_itself_needs_to_know_who_asks() -> None:
    with pytest.raises(UsageError) as refused:
        PREDICATES["prop_my_mortgage"].enquiry({"registration_no": "R1"}, ASOF)
    assert refused.value.code == "PREDICATE_PARAMETER"


def test_numbers_come_from_ladders_unless_the_enquirer_holds_the_value() -> None:
    free = {
        (name, parameter)
        for name, compiled in PREDICATES.items()
        for parameter, entry in compiled.predicate.parameters.items()
        if entry.type == "number" and not entry.ladder
    }
    assert free == {("prop_area_match", "area"), ("award_match", "amount")}


@pytest.mark.parametrize("name", ["water_in_arrears", "water_in_use", "water_not_dropped"])
def test_water_fees_ask_for_other_things_in_nanjing_and_jining(name: str) -> None:
    compiled, catalogs = PREDICATES[name], shipped_catalogs()
    nanjing, jining = (compiled.permission(catalogs[region]) for region in ("nanjing", "jining"))
    assert (nanjing.share, nanjing.release) == (frozenset(), {"enterprise"})
    assert (jining.share, jining.release) == ({"enterprise"}, {"enterprise"})
    terms = {terms.id: terms.asked for terms in compiled.predicate.regions}
    assert (terms["nanjing"], terms["jining"]) == ("release", "call")


def test_a_persons_records_ask_for_the_person() -> None:
    for name, compiled in PREDICATES.items():
        for terms in compiled.predicate.regions:
            found = compiled.permission(shipped_catalogs()[terms.id]).release
            assert found <= {compiled.predicate.subject}, name
    assert sum(compiled.predicate.subject == "person" for compiled in PREDICATES.values()) == 6


def test_records_are_found_by_the_field_that_the_region_prints() -> None:
    catalogs = shipped_catalogs()
    mortgages = PREDICATES["prop_mortgaged"]
    item = "enterprise_property_mortgage"
    assert mortgages.key(item, catalogs["nanjing"]) == ("mortgagor_id_number", "subject")
    assert mortgages.key(item, catalogs["jining"]) == ("mortgagor_name", "subject_name")
    assert mortgages.key(item, catalogs["jilin"]) is None
    third = PREDICATES["third_party_guarantor"]
    assert third.key("guarantee", catalogs["nanjing"]) == ("third_party_id_number", "subject")
