"""A party's part of a scorecard: the same bytes back, points as the bins say, and no part that is not whole."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scorecard_sample import PARTIES, SCALE, SPECIAL, sample

from fedcredit.credit.points import bin_points, rounded
from fedcredit.errors import DataError
from fedcredit.estimators.scorecard_part import CardColumn, CardPart, OtherPart
from fedcredit.ids import PartyId
from fedcredit.tables import Column


def document(party: str = "bank") -> dict[str, Any]:
    return json.loads(sample().parts[party].to_bytes())


def read(document: dict[str, Any]) -> CardPart:
    return CardPart.from_bytes(json.dumps(document).encode())


def refusal(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(DataError) as caught:
        read(document)
    assert {problem.code for problem in caught.value.problems} == {"MODEL_INVALID"}
    return {problem.where: problem.what for problem in caught.value.problems}


@pytest.mark.parametrize("party", PARTIES)
def test_a_part_comes_back_as_it_was(party: str) -> None:
    part = sample().parts[party]
    again = CardPart.from_bytes(part.to_bytes())
    assert again == part
    assert again.to_bytes() == part.to_bytes()
    assert part.role == ("label" if party == "bank" else "feature")


def test_the_document_is_the_documented_one() -> None:
    keys = "format kind role model party label_party scale rounding intercept base_points others columns n_reasons"
    assert list(document()) == keys.split()
    of_column = "name kind levels bins names rows coefficient standard_error points reference"
    assert {tuple(column) for column in document("tax")["columns"]} == {tuple(of_column.split())}
    assert document("tax")["intercept"] is None
    assert document("tax")["others"] == []
    assert document()["others"] == [{"party": "tax", "columns": 5}, {"party": "social_insurance", "columns": 3}]


def test_scores_are_what_the_fit_says_but_for_rounding() -> None:
    s = sample()
    points = {party: s.parts[party].points_of(s.columns[party], s.label.size) for party in PARTIES}
    score = sum(s.parts[party].totals(points[party]) for party in PARTIES)
    exact = np.full(s.label.size, SCALE.base_points(s.fit.intercept))
    for party in PARTIES:
        for k, column in enumerate(s.parts[party].columns):
            codes = column.bins.codes(s.columns[party][column.name].values)
            exact += bin_points(column.bins.woe(codes), column.coefficient, SCALE)
            assert np.array_equal(points[party][:, k], np.array(column.points)[codes])
    f = sum(len(part.columns) for part in s.parts.values())
    assert np.abs(score - exact).max() <= (f + 1) / 2
    for party in PARTIES:
        low, high = s.parts[party].point_range
        totals = s.parts[party].totals(points[party])
        assert low <= totals.min() < totals.max() <= high


def test_reasons_are_the_columns_that_fall_shortest() -> None:
    part = sample().parts["tax"]
    worst = np.array([[min(column.points) for column in part.columns]])
    shortfall = [column.reference - min(column.points) for column in part.columns]
    assert part.reasons(worst)[0].tolist() == sorted(range(5), key=lambda k: -shortfall[k])[:3]
    best = np.array([[max(column.points) for column in part.columns]])
    assert part.reasons(best).tolist() == [[-1, -1, -1]]


def test_references_are_neutral_average_or_best() -> None:
    s = sample()
    column, own = s.columns["tax"]["tax_grade"], s.parts["tax"].columns[0]

    def made(how: Any) -> float:
        rows = list(own.rows)
        return CardColumn.of(column, own.bins, rows, own.coefficient, None, SCALE, reference=how).reference

    assert made("neutral") == 0
    assert made("best") == max(own.points)
    assert made("average") == pytest.approx(np.average(own.points, weights=own.rows))


def test_levels_are_known_by_name_in_another_table() -> None:
    s = sample()
    grade, own = s.columns["tax"]["tax_grade"], s.parts["tax"].columns[0]
    assert own.name == "tax_grade"
    shuffled = ("Z", *reversed(grade.levels))
    to = np.array([shuffled.index(level) for level in grade.levels], np.float64)
    gone = np.isnan(grade.values)
    values = np.where(gone, np.nan, to[np.where(gone, 0, grade.values).astype(int)])
    other = Column("tax_grade", "categorical", values, shuffled)
    assert np.array_equal(own.points_of(other), own.points_of(grade))
    # A level that training did not see goes where the others went.
    unseen = Column("tax_grade", "categorical", np.zeros(1), ("Z",))
    assert own.bins.groups is not None
    listed = {level for group in own.bins.groups for level in group}
    assert own.points_of(unseen) == own.points[own.bins.codes(np.array([float(len(grade.levels))]))[0]]
    assert len(grade.levels) not in listed
    none = Column("tax_grade", "categorical", np.full(2, np.nan), ())
    assert own.points_of(none).tolist() == [own.points[own.bins.values.missing_code]] * 2


def test_special_and_missing_values_have_their_points() -> None:
    own = next(c for c in sample().parts["social_insurance"].columns if c.name == "headcount_trend")
    column = Column(own.name, "numeric", np.array([SPECIAL, np.nan]))
    by_name = dict(zip(own.names, own.points, strict=True))
    assert own.points_of(column).tolist() == [by_name["-1"], own.points[own.bins.values.missing_code]]


def test_a_table_that_lacks_a_column_or_has_another_kind_is_refused() -> None:
    s = sample()
    part, table = s.parts["tax"], dict(s.columns["tax"])
    del table["tax_grade"], table["vat_paid_12m"]
    with pytest.raises(DataError) as caught:
        part.points_of(table, s.label.size)
    assert [(p.code, p.where) for p in caught.value.problems] == [
        ("COLUMN_MISSING", "tax_grade"),
        ("COLUMN_MISSING", "vat_paid_12m"),
    ]
    grade = part.columns[0]
    with pytest.raises(DataError, match="COLUMN_KIND"):
        grade.points_of(Column("tax_grade", "numeric", np.zeros(3)))
    with pytest.raises(DataError, match="VALUE_LEVEL"):
        grade.points_of(Column("tax_grade", "categorical", np.array([3.0]), ("A",)))


def test_what_is_wrong_is_said_with_its_place() -> None:
    wrong = document()
    wrong["columns"][0]["points"].pop()
    wrong["columns"][1]["coefficient"] = "much"
    wrong["columns"][2]["names"][0] = ""
    wrong["surprise"] = 1
    del wrong["n_reasons"]
    found = refusal(wrong)
    assert set(found) == {"columns[1].coefficient", "columns[2].names[0]", "surprise", "n_reasons"}
    assert "much" not in str(found)
    wrong = document()
    wrong["columns"][0]["points"].pop()
    wrong["columns"][2]["bins"]["values"]["edges"] = [1, 1]
    assert refusal(wrong) == {
        "columns[0].points": f"has {len(document()['columns'][0]['points']) - 1} entries for 6 bins",
        "columns[2].bins": "are not bins of this version",
    }


def change(path: str, value: Any, party: str = "bank") -> dict[str, Any]:
    changed = document(party)
    at: Any = changed
    *way, last = path.split("/")
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    at[int(last) if last.isdigit() else last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("format", 2, "format"),
        ("kind", "gbdt", "kind"),
        ("role", "feature", "role"),
        ("rounding", "exact", "rounding"),
        ("model", "", "model"),
        ("party", "Bank", "party"),
        ("party", "tax", "intercept, base_points"),
        ("scale/odds", 0, "odds"),
        ("scale/pdo", float("nan"), "scale.pdo"),
        ("intercept", None, "intercept, base_points"),
        ("base_points", 1, "base_points"),
        ("base_points", 588.9, "base_points"),
        ("others/0/party", "bank", "others"),
        ("others/0/columns", 0, "others[0].columns"),
        ("n_reasons", 0, "n_reasons"),
        ("columns/0/kind", "numeric", "columns[0].bins"),
        ("columns/1/levels", ["a"], "columns[1].levels"),
        ("columns/0/levels/1", "manufacturing", "columns[0].levels"),
        ("columns/0/levels", [], "columns[0].bins"),
        ("columns/1/name", "industry", "columns"),
        ("columns/0/points/2", 9, "columns[0].points"),
        ("columns/0/points/2", True, "columns[0].points[2]"),
        ("columns/0/points/2", 10**7, "columns[0].points[2]"),
        ("columns/0/rows/0", -1, "columns[0].rows[0]"),
        ("columns/0/coefficient", 0.0, "columns[0].points"),
        ("columns/0/coefficient", float("inf"), "columns[0].coefficient"),
        ("columns/0/standard_error", -0.1, "columns[0].standard_error"),
        ("columns/0/reference", None, "columns[0].reference"),
        ("columns/0/bins/evidence", None, "columns[0].bins"),
        ("columns/0/bins/values/missing_code", 7, "columns[0].bins"),
    ],
)
def test_every_part_that_does_not_hold_together_is_refused(path: str, value: Any, where: str) -> None:
    assert where in refusal(change(path, value))


def test_a_feature_party_lists_no_others_and_a_label_party_need_not() -> None:
    assert "others" in refusal(change("others", [{"party": "bank", "columns": 1}], "tax"))
    part = sample().parts["bank"]
    assert CardPart.from_bytes(replace(part, others=()).to_bytes()).others == ()
    with pytest.raises(DataError, match="others"):
        replace(part, others=(OtherPart(PartyId("tax"), 1), OtherPart(PartyId("tax"), 2)))


def test_points_that_no_fit_gives_are_refused_however_they_come() -> None:
    part = sample().parts["tax"]
    bent = replace(part.columns[0], points=(1, 2, 3, 4, 5))
    with pytest.raises(DataError, match=r"columns\[0\].points"):
        replace(part, columns=(bent,))
    with pytest.raises(ValueError, match="no weights of evidence"):
        CardColumn.of(
            Column("x", "numeric", np.zeros(1)), replace(part.columns[1].bins, evidence=None), (1,), 1.0, None, SCALE
        )


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format":1}', b"1" * 5000, b'{"format":' + b"9" * 5000],
)
def test_what_is_no_part_is_refused(data: bytes) -> None:
    with pytest.raises(DataError) as caught:
        CardPart.from_bytes(data)
    assert caught.value.code == "MODEL_INVALID"
    assert len(caught.value.problems) <= 21


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_document_is_refused_or_is_a_part(data: st.DataObject) -> None:
    changed: Any = copy.deepcopy(document(data.draw(st.sampled_from(PARTIES))))
    at, key = changed, data.draw(st.sampled_from(sorted(changed)))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just([]), st.just({}))
    at[key] = data.draw(values)
    try:
        part = read(changed)
    except DataError as refused:
        codes = {problem.code for problem in refused.problems}
    else:
        codes = {"MODEL_INVALID"}
        assert CardPart.from_bytes(part.to_bytes()) == part
        for column in part.columns:
            exact = rounded(bin_points(np.array(column.bins.evidence), column.coefficient, part.scale))
            assert np.abs(exact - column.points).max() <= 1
    assert codes == {"MODEL_INVALID"}
