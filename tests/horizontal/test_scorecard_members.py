"""A horizontal scorecard is the one of the pooled table: columns, coefficients, points, the spread of scores."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import statsmodels.api
from horizontal.card_members import played, pooled_card, tried
from horizontal.members import Split, made, sba_by_year
from horizontal.plain_sums import Board, PlainSums, federations, outcomes, parties
from scorecard_cases import Kept, numbers

from fedcredit import report
from fedcredit.credit.metrics import rank_curve
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.errors import ConfigError
from fedcredit.estimators import CardPart, Federation, HeldOut
from fedcredit.estimators.horizontal_scorecard import HorizontalScorecard
from fedcredit.estimators.scorecard import spread
from fedcredit.estimators.sums import Sums
from fedcredit.node.horizontal.card_figures import horizontal_card_figures
from fedcredit.report.card import card_json, card_table, merge_parts
from fedcredit.report.pmml import card_pmml

Cards = list[HorizontalScorecard]


@pytest.fixture(scope="module")
def three() -> tuple[Split, Cards]:
    split = made()
    return split, played(split)


def equal_to_the_pooled_card(split: Split, cards: Cards, **params: Any) -> None:
    """Every member has the same document; all that it says is what one party with all rows finds."""
    assert len({card.part_.to_bytes() for card in cards}) == 1
    card, pooled = cards[0], pooled_card(split, cards[0], **params)
    assert card.outcome_.table.names == pooled.table.names
    rows = [table.rows() for table in (card.outcome_.table, pooled.table)]
    for mine, theirs in zip(*rows, strict=True):
        assert (mine["column"], mine["kept"], mine["rule"], mine["iv"]) == tuple(
            theirs[key] for key in ("column", "kept", "rule", "iv")
        )
        if mine["figure"] is not None:
            assert mine["figure"] == pytest.approx(theirs["figure"], rel=1e-6, abs=1e-9)
    assert card.outcome_.stability.tolist() == pooled.stability.tolist()
    for mine, theirs in zip(card.part_.columns, pooled.part.columns, strict=True):
        assert (mine.bins, mine.rows, mine.points, mine.names) == (
            theirs.bins,
            theirs.rows,
            theirs.points,
            theirs.names,
        )
        assert mine.reference == pytest.approx(theirs.reference)
        assert abs(mine.coefficient - theirs.coefficient) < 1e-8
        assert abs(mine.standard_error - theirs.standard_error) < 1e-8
    assert abs(card.part_.intercept - pooled.part.intercept) < 1e-8
    assert card.part_.base_points == pooled.part.base_points
    assert card.outcome_.fit.log_likelihood == pytest.approx(pooled.fit.log_likelihood, rel=1e-12)
    for test, phase in ((False, "tally.train"), (True, "tally.test")):
        columns, y = split.test() if test else split.train()
        points = pooled.own_points[int(test)]
        assert card.score(columns).tolist() == points.tolist()
        found_y, found = spread(card.outcome_.tallies[phase])
        assert card.outcome_.tallies[phase].step == 1
        assert sorted(zip(found_y.tolist(), found.tolist(), strict=True)) == sorted(
            zip(y.tolist(), points.tolist(), strict=True)
        )


def test_a_card_of_three_very_unequal_members_is_the_pooled_one(three: tuple[Split, Cards]) -> None:
    equal_to_the_pooled_card(*three)
    kept = set(three[1][0].outcome_.table.names)
    assert {"own", "codes", "gone", "branch", "pressure"} <= kept
    assert len(kept & {"turnover", "twin"}) == 1


@pytest.mark.parametrize(
    ("split", "params"),
    [
        (made((0.02, 0.5, 0.3, 0.1, 0.08), seed=3), {"method": "chimerge", "signs": "fixed", "reference": "average"}),
        (made(by_hand=True, without_bad=2, seed=1), {"stepwise": False, "expected_sign": False, "max_features": 4}),
        (
            made(n=3000, seed=2),
            {"method": "quantile", "max_bin": 5, "l2": 1.0, "max_correlation": 1.0, "max_inflation": 3},
        ),
    ],
    ids=["five members", "by hand, a member without bad rows", "penalty and inflation"],
)
def test_cards_by_other_rules_are_the_pooled_ones(split: Split, params: dict[str, Any]) -> None:
    equal_to_the_pooled_card(split, played(split, **params), **params)


def test_coefficients_and_errors_are_those_of_statsmodels(three: tuple[Split, Cards]) -> None:
    split, cards = three
    columns, y = split.train()
    design = statsmodels.api.add_constant(cards[0].transform(columns))
    model = statsmodels.api.GLM(y, design, family=statsmodels.api.families.Binomial()).fit(tol=1e-14)
    part, fit = cards[0].part_, cards[0].outcome_.fit
    found = np.array([part.intercept, *(column.coefficient for column in part.columns)])
    assert np.abs(found - model.params).max() < 1e-8
    assert np.abs(fit.errors - model.bse).max() < 1e-7
    assert fit.log_likelihood == pytest.approx(model.llf, rel=1e-10)
    spreads = cards[0].transform(columns).std(axis=0)
    figures = horizontal_card_figures(cards[0], ScorecardParams(), **WORDS)
    said = {row["column"]: row for row in figures["coefficients"]}
    for j, column in enumerate(part.columns, start=1):
        assert said[column.name]["standardised"] == pytest.approx(model.params[j] * spreads[j - 1], rel=1e-9)
        assert said[column.name]["p_value"] == pytest.approx(model.pvalues[j], rel=1e-5, abs=1e-12)


@pytest.mark.shared
@pytest.mark.parametrize("members", [3, 5])
def test_a_card_over_years_of_loans_is_the_pooled_one(members: int) -> None:
    split = sba_by_year(members)
    rates = [split.train(k)[1].mean() for k in range(members)]
    assert max(rates) > 1.5 * min(rates), "members differ"
    cards = played(split)
    equal_to_the_pooled_card(split, cards)
    figures = horizontal_card_figures(cards[0], ScorecardParams(), **WORDS | {"members": parties(members)})
    curve = rank_curve(split.test()[1], -cards[0].score(split.test()[0]).astype(float))
    assert abs(figures["auc"] - curve.auc) < 1e-12
    # Bad rates differ by year, and a member's own card knows its own; of two loans of one member it knows less.
    ranked = [
        horizontal_card_figures(c, ScorecardParams(), labels=split.test(k)[1], **WORDS)["own"]
        for k, c in enumerate(cards)
    ]
    weights = [(of["rows"] - of["bads"]) * of["bads"] for of in ranked]
    for key in ("auc", "auc_alone"):
        mean = np.average([of[key] or 0.0 for of in ranked], weights=weights)
        assert figures["within"][key] == pytest.approx(mean, rel=1e-12)


def test_weights_and_an_offset_are_every_members_own() -> None:
    split = made(n=3000, seed=4)
    rng = np.random.default_rng(0)
    split.columns["times"] = numbers("times", rng.integers(1, 4, split.y.size))
    split.columns["prior"] = numbers("prior", rng.normal(size=split.y.size).round(1))
    params = {"weight": "times", "offset": "prior", "base_score": 500}
    cards = played(split, **params)
    pooled = pooled_card(split, cards[0], **params)
    assert {c.column.name for c in cards[1].columns_}.isdisjoint({"times", "prior"})
    for mine, theirs in zip(cards[1].part_.columns, pooled.part.columns, strict=True):
        assert abs(mine.coefficient - theirs.coefficient) < 1e-8
    y, points = spread(cards[1].outcome_.tallies["tally.test"])
    assert rank_curve(y, -points).auc == pytest.approx(
        rank_curve(split.test()[1], -pooled.own_points[1].astype(float)).auc
    )


WORDS: dict[str, Any] = {
    "name": "scorecard.0",
    "members": parties(3),
    "purpose": "financing",
    "leakage": ("horizontal.card",),
}


def test_every_member_scores_with_reasons(three: tuple[Split, Cards]) -> None:
    split, cards = three
    columns, y = split.test()
    points, total = cards[2].points(columns), cards[2].score(columns)
    assert (points.sum(axis=1) + cards[2].part_.base_points == total).all()
    bad = cards[2].predict_proba(columns)[:, 1]
    assert bad[y > 0].mean() > bad[y == 0].mean() + 0.1
    assert bad.mean() == pytest.approx(y.mean(), abs=0.03)
    names = [column.name for column in cards[2].part_.columns]
    for row, reasons in list(zip(points.tolist(), cards[2].reasons(columns), strict=True))[:200]:
        short = sorted((p, f) for f, p in enumerate(row) if p < 0)[:4]
        assert reasons == [names[f] for _, f in short]


def test_the_whole_card_is_one_document_that_exports(three: tuple[Split, Cards]) -> None:
    part = CardPart.from_bytes(three[1][1].part_.to_bytes())
    merged = merge_parts([part])
    assert [v.name for v in merged.variables] == [column.name for column in part.columns]
    assert b"Scorecard" in card_pmml(merged)
    assert card_table(merged).count(b"\n") > len(part.columns)
    assert b'"merged-scorecard"' in card_json(merged)


def test_figures_are_those_of_the_report(three: tuple[Split, Cards]) -> None:
    split, cards = three
    columns, y = split.test()
    each = [horizontal_card_figures(card, ScorecardParams(), **WORDS) for card in cards]
    assert each[0] == each[1] == each[2]
    figures = each[0]
    curve = rank_curve(y, -cards[0].score(columns).astype(float))
    assert figures["auc"] == curve.auc
    assert figures["ks"] == curve.ks
    assert (figures["rows"], figures["bads"]) == (split.train()[1].size, int(split.train()[1].sum()))
    # Each member with its own card: the rows of all of them, scored apart.
    alone = np.concatenate([card.alone_.points for card in cards]).astype(float)
    assert figures["auc_alone"] == pytest.approx(rank_curve(y, -alone).auc, abs=1e-3)
    assert figures["within"]["auc_alone"] < figures["within"]["auc"]
    for row in figures["column_stability"]:
        if row["points_shift"] is not None:
            at = [c.name for c in cards[0].part_.columns].index(row["column"])
            shift = cards[0].points(columns)[:, at].mean() - cards[0].points(split.train()[0])[:, at].mean()
            assert row["points_shift"] == pytest.approx(shift)
    tables = {row["column"]: row for row in figures["columns"]}
    assert sum(cell["bads"] for cell in tables["codes"]["table"]) == split.train()[1].sum()
    own = horizontal_card_figures(cards[1], ScorecardParams(), labels=split.test(1)[1], **WORDS)["own"]
    assert own["rows"] == split.test(1)[1].size
    assert own["auc"] == rank_curve(split.test(1)[1], -cards[1].score(split.test(1)[0]).astype(float)).auc
    page = {"job": {"name": "j", "parties": [{"id": p, "role": "member"} for p in parties(3)]}, "models": [figures]}
    shown = report.render(page)
    assert "Base points" in shown
    assert "pressure" in shown


def test_a_member_without_a_class_has_no_card_alone() -> None:
    split = made(without_bad=2, n=3000)
    cards = played(split)
    assert cards[2].alone_.card is None
    assert len(set(cards[2].alone_.points.tolist())) == 1
    assert cards[0].alone_.card is not None
    own = horizontal_card_figures(cards[2], ScorecardParams(), labels=split.test(2)[1], **WORDS)["own"]
    assert own["auc"] is None


TWO_FITS: dict[str, Any] = {"iv_min": 0.0, "method": "quantile", "max_bin": 5}
"""Noise comes into the first fit, and leaves."""


def test_it_goes_on_from_the_stages_that_are_kept() -> None:
    split = made(n=3000)
    whole = [Kept() for _ in range(3)]
    first = played(split, kept=whole, **TWO_FITS)
    phases = [stage.removeprefix("scorecard/") for stage in whole[0].made]
    assert phases[:8] == ["total", "cuts", "rows", "counts", "held", "moments", "fit.0", "fit.1"]
    assert phases[-5:] == ["card", "tally.train", "tally.test", "tally.alone", "within"]
    # All members keep the same: sums over all of them.
    assert whole[0].states == whole[1].states == whole[2].states
    for until in ("held", "fit.1", "tally.test"):
        cut = [Kept(until=until) for _ in range(3)]
        assert {type(found) for found in tried(split, kept=cut, **TWO_FITS)} == {ConnectionError}
        again = [Kept(of.states) for of in cut]
        cards = played(split, kept=again, **TWO_FITS)
        assert again[1].made[0] == f"scorecard/{until}"
        assert cards[1].part_.to_bytes() == first[1].part_.to_bytes()
        assert again[2].states == whole[2].states


def test_sums_are_all_that_is_seen() -> None:
    board = Board(parties(3))
    played(made(n=3000), board=board)
    phases = {label.removeprefix("sums/scorecard/").split(".")[0] for label in board.totals}
    assert phases == {"columns", "total", "cuts", "rows", "counts", "held", "moments", "fit", "card", "tally", "within"}
    held = board.totals["sums/scorecard/held"]
    assert held.size < 2 + 9 * 12


def test_no_column_left_and_held_out_labels_of_one_class_say_so() -> None:
    split = made(n=1500)
    assert {found.code for found in tried(split, iv_min=9.0)} == {"NO_COLUMNS_LEFT"}
    one = replace(split, y=np.where(split.held, 0, split.y).astype(np.uint8))
    cards = played(one)
    with pytest.raises(Exception, match="LABEL_ONE_CLASS"):
        horizontal_card_figures(cards[0], ScorecardParams(), **WORDS)


def test_members_that_come_to_different_cards_are_told() -> None:
    split = made(n=1500)

    async def work(sums: PlainSums, k: int) -> HorizontalScorecard:
        columns, label = split.train(k)
        return await HorizontalScorecard(n_reasons=3 + (k == 1)).fit(sums.federation, columns, label, sums=sums)

    found = outcomes(3, work)
    assert {error.code for error in found} == {"CARD_DIFFERS"}


def test_as_many_columns_as_sums_are_made_of_are_compared() -> None:
    split = made(n=3000)
    cards = played(split, max_features=1, iv_min=0.0)
    rules = {row["column"]: row["rule"] for row in cards[0].outcome_.table.rows()}
    assert list(rules.values()).count("number") >= 2
    assert len(cards[0].part_.columns) == 1


def test_rows_need_not_be_held_out() -> None:
    split = made(n=2000)
    cards = played(replace(split, held=np.zeros(split.y.size, bool)))
    assert cards[0].held_.rows == 0
    assert cards[0].outcome_.tallies.keys() == {"tally.train"}
    assert (cards[0].outcome_.stability == -1).all()
    assert cards[0].alone_tally_ is None
    assert math.isfinite(cards[0].outcome_.fit.log_likelihood)


@pytest.mark.parametrize("params", [{"merged_card": True}, {"time": "month"}, {"method": "width", "max_bin": 5}])
def test_what_has_no_meaning_over_members_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="CONFIG_CONFLICT"):
        HorizontalScorecard(**params)


def test_parameters_are_scikit_learns() -> None:
    card = HorizontalScorecard(max_features=5)
    assert card.get_params() == {"max_features": 5}
    assert card.set_params(pdo=40).get_params() == {"max_features": 5, "pdo": 40}
    with pytest.raises(ConfigError, match="not both"):
        HorizontalScorecard(ScorecardParams(), pdo=3)


def test_under_masks_it_is_the_same_card(three: tuple[Split, Cards]) -> None:
    split, cards = three

    async def member(federation: Federation, k: int) -> HorizontalScorecard:
        columns, label = split.train(k)
        held, y = split.test(k)
        sums = await Sums.begin(federation, "scorecard/sums")
        return await HorizontalScorecard().fit(federation, columns, label, sums=sums, held_out=HeldOut(held, y.size, y))

    async def everybody() -> list[HorizontalScorecard]:
        return await asyncio.gather(*(member(of, k) for k, of in enumerate(federations(3))))

    masked = asyncio.run(everybody())
    assert len({card.part_.to_bytes() for card in masked}) == 1
    for mine, theirs in zip(masked[2].part_.columns, cards[2].part_.columns, strict=True):
        assert (mine.bins, mine.points) == (theirs.bins, theirs.points)
        assert abs(mine.coefficient - theirs.coefficient) < 1e-10
    assert masked[0].held_.freeze() == cards[0].held_.freeze()
