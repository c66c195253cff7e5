"""Merged cards: parts of one model only, and documents from which a stranger's program gets our very points."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from card_readers import NS, PmmlCard, Row, score_json, score_table
from hypothesis import given, settings
from hypothesis import strategies as st
from scorecard_sample import PARTIES, SCALE, SPECIAL, sample

from fedcredit.credit.binning import Bins
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.errors import DataError
from fedcredit.estimators.scorecard_part import CardColumn, CardPart, OtherPart
from fedcredit.ids import PartyId
from fedcredit.report.card import MergedCard, card_json, card_table, merge_parts
from fedcredit.report.pmml import card_pmml
from fedcredit.tables import OTHER, Column


def parts(*names: str) -> list[CardPart]:
    return [sample().parts[name] for name in names or PARTIES]


def refusal(given: list[CardPart]) -> list[tuple[str, str]]:
    with pytest.raises(DataError) as caught:
        merge_parts(given)
    return [(problem.code, problem.where) for problem in caught.value.problems]


def row_of(card: MergedCard, k: int) -> dict[str, float | str | None]:
    """Row k of the sample's tables as plain values by variable."""
    found: dict[str, float | str | None] = {}
    for variable in card.variables:
        column = sample().columns[variable.party][variable.column.name]
        value = float(column.values[k])
        numeric = column.kind == "numeric"
        found[variable.name] = None if np.isnan(value) else value if numeric else column.levels[int(value)]
    return found


def own_points(column: CardColumn, value: float | str | None) -> int:
    """What this package gives for one value."""
    if column.kind == "numeric":
        rows = Column(column.name, "numeric", np.array([np.nan if value is None else float(value)]))
    else:
        levels = () if value is None else (str(value),)
        rows = Column(column.name, "categorical", np.array([np.nan if value is None else 0.0]), levels)
    return int(column.points_of(rows)[0])


def edge_values(column: CardColumn) -> Iterator[float | str | None]:
    """Values on both sides of every split, special, missing, extreme and unseen ones."""
    yield None
    if column.kind == "categorical":
        yield from column.levels
        yield "a level that nobody has seen"
        return
    for value in (*column.bins.special, *column.bins.splits, *column.bins.values.edges, 0.0, 1e300, -1e300):
        yield from (float(v) for v in (np.nextafter(value, -np.inf), value, np.nextafter(value, np.inf)))


def test_parts_of_one_model_are_one_card() -> None:
    card = merge_parts(parts("social_insurance", "bank", "tax"))
    assert [v.party for v in card.variables] == ["bank"] * 7 + ["social_insurance"] * 3 + ["tax"] * 5
    names = [v.name for v in card.variables]
    # Two parties have a column of this name, so theirs say whose they are.
    assert {"tax.continuous_months", "social_insurance.continuous_months", "tax_grade"} <= set(names)
    assert len(set(names)) == 15
    assert card == merge_parts(parts())
    for write in (card_json, card_table, card_pmml):
        assert write(card) == write(merge_parts(parts("tax", "social_insurance", "bank")))


def test_parts_that_are_not_one_model_are_refused() -> None:
    bank, tax, social = parts()
    assert refusal([tax, social]) == [("CARD_LABEL_PART_MISSING", "part of bank")]
    assert refusal([]) == [("CARD_LABEL_PART_MISSING", "part of the label party")]
    assert refusal([bank, tax]) == [("CARD_PART_MISSING", "part of social_insurance")]
    assert refusal([bank, tax, tax, social]) == [("CARD_PART_TWICE", "part of tax")]
    assert refusal([bank, bank, tax, social]) == [("CARD_PART_TWICE", "part of bank")]
    assert refusal([bank, bank, tax, tax, social])[1:] == [("CARD_PART_TWICE", "part of tax")]
    assert refusal([bank, replace(tax, model="another"), social]) == [
        ("CARD_PARTS_DIFFER", "parts of bank, tax, social_insurance")
    ]
    assert refusal([bank, replace(tax, n_reasons=9), social])[0][0] == "CARD_PARTS_DIFFER"
    fewer = replace(tax, columns=tax.columns[1:])
    assert refusal([bank, fewer, social]) == [("CARD_COLUMNS_DIFFER", "part of tax")]
    stranger = replace(tax, party=PartyId("customs"))
    assert refusal([bank, tax, social, stranger]) == [("CARD_COLUMNS_DIFFER", "part of customs")]
    assert refusal([bank]) == [("CARD_PART_MISSING", "part of tax"), ("CARD_PART_MISSING", "part of social_insurance")]


def test_a_name_that_stays_ambiguous_is_refused() -> None:
    bank, tax, social = parts()
    clash = replace(bank.columns[0], name="tax.continuous_months")
    assert refusal([replace(bank, columns=(clash, *bank.columns[1:])), tax, social]) == [
        ("CARD_COLUMN_CLASH", "tax.continuous_months")
    ]


def test_every_document_scores_the_sample_as_the_parties_do() -> None:
    s, card = sample(), merge_parts(parts())
    totals = {p: s.parts[p].totals(s.parts[p].points_of(s.columns[p], s.label.size)) for p in PARTIES}
    expected = np.sum(list(totals.values()), axis=0)
    as_json, as_table, pmml = card_json(card), card_table(card), PmmlCard(card_pmml(card))
    codes = np.flatnonzero(s.columns["social_insurance"]["headcount_trend"].values == SPECIAL)[:20]
    for k in [*range(60), *codes.tolist()]:
        row = row_of(card, k)
        assert score_json(as_json, row) == score_table(as_table, row) == pmml.score(row) == expected[k]
        assert pmml.probability(float(expected[k])) == pytest.approx(SCALE.probability(expected[k : k + 1] * 1.0)[0])


def check_edges(card: MergedCard) -> None:
    as_json, as_table, pmml = card_json(card), card_table(card), PmmlCard(card_pmml(card))
    middle: Row = {v.name: None for v in card.variables}
    base = {v.name: own_points(v.column, None) for v in card.variables}
    for variable in card.variables:
        for value in edge_values(variable.column):
            row = {**middle, variable.name: value}
            expected = card.base_points + sum((base | {variable.name: own_points(variable.column, value)}).values())
            assert score_json(as_json, row) == expected, (variable.name, value)
            assert pmml.score(row) == expected, (variable.name, value)
            listed = score_table(as_table, row)
            unseen = variable.column.kind == "categorical" and value not in (None, *variable.column.levels)
            assert listed == (None if unseen else expected), (variable.name, value)


def test_split_points_missing_special_and_unseen_values_score_the_same() -> None:
    check_edges(merge_parts(parts()))


@st.composite
def columns(draw: st.DrawFn, name: str) -> CardColumn:
    """Any column that a part may have: bins joined with missing and special values, groups of levels, no values."""
    categorical = draw(st.booleans())
    if categorical:
        levels = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True))
        levels = [level for level in levels if level.isprintable() and level != "missing"] or ["x"]
        levels += draw(st.sampled_from([[], [OTHER]]))
        order = draw(st.permutations(range(len(levels))))
        listed = order[: draw(st.integers(0, len(levels)))]
        n_groups = max(1, draw(st.integers(1, 4)))
        groups = tuple(tuple(listed[k::n_groups]) for k in range(n_groups))
        edges = tuple(sorted(draw(st.sets(st.integers(0, n_groups - 2)))) if n_groups > 1 else ())
        edges = tuple(edge + 0.5 for edge in edges)
    else:
        levels, groups, n_groups = [], None, None
        numbers = st.floats(-1e6, 1e6, allow_nan=False)
        edges = tuple(sorted(draw(st.sets(numbers, max_size=5))))
    own = draw(st.booleans())
    nothing = own and not edges and draw(st.booleans())
    n_values = 0 if nothing else len(edges) + 1
    values = Bins(edges, own, n_values if own else draw(st.integers(0, n_values - 1)), n_groups)
    special: tuple[float, ...] = ()
    codes: list[int] = []
    if not categorical:
        special = tuple(draw(st.lists(st.sampled_from([-999.0, -1.0, 0.5, *edges]), max_size=3, unique=True)))
        fresh = values.n_bins
        for _ in special:
            codes.append(draw(st.integers(0, fresh)))
            fresh = max(fresh, codes[-1] + 1)
    bins = ScorecardBins(values, special, tuple(codes), groups, draw(st.integers(0, (n_groups or 1) - 1)))
    woe = draw(st.lists(st.floats(-3, 3), min_size=bins.n_bins, max_size=bins.n_bins))
    column = Column(name, "categorical" if categorical else "numeric", np.zeros(0), tuple(levels))
    final = bins.with_evidence(np.array(woe))
    return CardColumn.of(column, final, [1] * bins.n_bins, draw(st.floats(-3, 3)), None, SCALE, reference="average")


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_card_scores_the_same_in_every_document(data: st.DataObject) -> None:
    bank = sample().parts["bank"]
    others = (OtherPart(PartyId("tax"), 1),)
    label = replace(bank, columns=(data.draw(columns("own")),), others=others)
    other = replace(sample().parts["tax"], columns=(data.draw(columns("theirs")),))
    card = merge_parts([label, other])
    for variable in card.variables:
        rules = variable.rules
        assert sum(rule.missing for rule in rules) == 1
        assert sum(rule.other for rule in rules) == (variable.column.kind == "categorical")
    check_edges(card)


def test_a_special_zero_is_found_by_either_of_its_texts() -> None:
    """Found by the test above: a program outside looks special values up by their text, and a zero has two."""
    edges = Bins(edges=(-3.0, -2.0, -1.0, -0.0, 1.0), missing=True, missing_code=6)
    bins = ScorecardBins(edges, special=(-999.0, -0.0), special_codes=(0, 0))
    woe = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    column = Column("theirs", "numeric", np.zeros(1))
    made = CardColumn.of(column, bins.with_evidence(woe), [1] * 7, 1.0, None, SCALE, reference="average")
    bank = sample().parts["bank"]
    others = (OtherPart(PartyId("tax"), 1),)
    label = replace(bank, columns=bank.columns[:1], others=others)
    check_edges(merge_parts([label, replace(sample().parts["tax"], columns=(made,))]))


def test_rare_levels_score_as_the_table_called_them() -> None:
    """A table calls levels too rare "(other)", which may have a bin of its own: a program outside reads their names."""
    bank = sample().parts["bank"]
    bins = ScorecardBins(Bins((0.5, 1.5), False, 0, 3), groups=((0,), (3,), (1,)), other=2)
    column = Column("state", "categorical", np.zeros(0), ("CA", "FL", "NY", OTHER))
    state = CardColumn.of(column, bins.with_evidence(np.array([1.0, -1.0, 0.3])), [9, 9, 9], -1.0, None, SCALE)
    assert state.points == (29, -29, 9)
    card = merge_parts([replace(bank, columns=(state,), others=())])
    pmml, base = PmmlCard(card_pmml(card)), card.base_points
    # NY has no bin of its own and is with the others; what training did not list is what it called "(other)".
    for level, worth in (("CA", 29), ("FL", 9), ("NY", 9), (OTHER, -29), ("WY", -29), (None, 29)):
        row = {"state": level}
        assert own_points(state, level) == worth
        assert score_json(card_json(card), row) == pmml.score(row) == base + worth
        assert score_table(card_table(card), row) == (None if level == "WY" else base + worth)


def test_reasons_of_the_pmml_are_ours() -> None:
    card, tax = merge_parts(parts()), sample().parts["tax"]
    pmml = PmmlCard(card_pmml(card))
    for k in range(30):
        short = pmml.shortfalls(row_of(card, k))
        points = tax.points_of(sample().rows("tax", np.array([k])), 1)
        ours = [tax.columns[j].name for j in tax.reasons(points)[0] if j >= 0]
        theirs = {name.removeprefix("tax."): value for name, value in short.items()}
        of_tax = sorted((c.name for c in tax.columns), key=lambda name: -theirs[name])
        assert [theirs[name] for name in ours] == [theirs[name] for name in of_tax if theirs[name] > 0][: len(ours)]


def test_the_pmml_has_the_elements_of_the_standard_in_their_order() -> None:
    root = PmmlCard(card_pmml(merge_parts(parts()))).root
    assert root.get("version") == "4.4"
    assert [child.tag.removeprefix(NS) for child in root] == ["Header", "DataDictionary", "Scorecard"]
    model = root[2]
    assert [child.tag.removeprefix(NS) for child in model] == ["MiningSchema", "Output", "Characteristics"]
    assert (model.get("functionName"), model.get("initialScore")) == ("regression", "589")
    fields = [field.get("name") for field in root[1]]
    assert fields == [field.get("name") for field in model[0]] == [c.get("name") for c in model[2]]
    assert root[1].get("numberOfFields") == str(len(fields))
    assert [o.get("name") for o in model[1]] == ["score", "probability_bad", "reason_1", "reason_2", "reason_3"]


def with_levels(*levels: str) -> MergedCard:
    bank = sample().parts["bank"]
    industry = bank.columns[0]
    renamed = replace(industry, levels=(*levels, *industry.levels[len(levels) :]))
    return merge_parts([replace(bank, columns=(renamed,), others=())])


def test_text_of_any_kind_comes_through_or_is_refused() -> None:
    nasty = ['"quoted"', "a <b> & 'c'", "line\nbreak\ttab", "制造业 ", "\\"]
    card = with_levels(*nasty)
    for write, read in ((card_json, score_json), (card_table, score_table)):
        for level in nasty:
            assert read(write(card), {"industry": level}) == 589 + own_points(card.variables[0].column, level)
    pmml = PmmlCard(card_pmml(card))
    for level in nasty:
        assert pmml.score({"industry": level}) == 589 + own_points(card.variables[0].column, level)
    for level in ("\x00", "bell\x07", "\ufffe", "\ud800"):
        with pytest.raises(DataError, match="CARD_TEXT: industry"):
            card_pmml(with_levels(level))
    for level in ("missing", "a%,%b"):
        with pytest.raises(DataError, match="CARD_TEXT: industry"):
            card_table(with_levels(level))


def test_a_card_without_columns_is_no_pmml() -> None:
    bare = merge_parts([replace(sample().parts["bank"], columns=(), others=())])
    with pytest.raises(DataError, match="CARD_EMPTY"):
        card_pmml(bare)
    assert card_table(bare) == b"variable,bin,points\nbasepoints,,589\n"
    assert json.loads(card_json(bare))["variables"] == []


def test_the_json_has_the_documented_keys() -> None:
    document: dict[str, Any] = json.loads(card_json(merge_parts(parts())))
    assert " ".join(document) == "format kind model label_party scale intercept base_points n_reasons variables"
    assert " ".join(document["scale"]) == "base_score odds pdo factor offset"
    keys = {" ".join(variable) for variable in document["variables"]}
    assert keys == {"variable party column kind coefficient standard_error reference bins"}
    found = {(v["kind"], " ".join(b)) for v in document["variables"] for b in v["bins"]}
    assert found == {
        ("numeric", "bin from below special missing rows woe points"),
        ("numeric", "bin special missing rows woe points"),
        ("categorical", "bin levels others special missing rows woe points"),
    }
