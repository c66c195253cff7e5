"""A scorecard of several banks and departments is the one of the pooled rows: bins, evidence, coefficients, points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rlwe_stand_in
import scorecard_cases
from mixed.mixed_cards import BANKS, DEPARTMENTS, NORTH, SOUTH, TAX, WATER, WEST, Town, made, play
from scorecard_cases import Kept

from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.metrics import rank_curve
from fedcredit.credit.woe import BinCounts, woe_table
from fedcredit.errors import ConfigError, DataError
from fedcredit.estimators.mixed_scorecard import MixedScorecard
from fedcredit.ids import PartyId

Cards = dict[PartyId, MixedScorecard]


@pytest.fixture(scope="module")
def town() -> Town:
    return made()


@pytest.fixture(scope="module")
def cards(town: Town) -> Cards:
    with pytest.MonkeyPatch.context() as patch:
        rlwe_stand_in.use(patch)
        return play(town)


def pooled(town: Town, cards: Cards) -> np.ndarray:
    """Weights of evidence of all columns in the card, of the rows of all banks."""
    n = town.at(None, held=False).size
    of = {"banks": cards[NORTH], **{party: cards[party] for party in DEPARTMENTS}}
    return np.column_stack([card.transform(town.of(party, None, held=False), n) for party, card in of.items()])


def points(town: Town, cards: Cards, bank: int | None, *, held: bool, without: str = "") -> np.ndarray:
    n = town.at(bank, held=held).size
    total = np.zeros(n, np.int64)
    for party, card in {"banks": cards[NORTH], **{party: cards[party] for party in DEPARTMENTS}}.items():
        if party != without:
            total += card.part_.totals(card.points(town.of(party, bank, held=held), n))
    return total


def test_coefficients_and_errors_are_those_of_all_rows(town: Town, cards: Cards) -> None:
    oracle = fit_logistic(pooled(town, cards), town.y[town.at(None, held=False)])
    columns = [column for party in (NORTH, *DEPARTMENTS) for column in cards[party].part_.columns]
    fit = cards[NORTH].outcome_.fit
    found = np.concatenate([[fit.values[0]], [column.coefficient for column in columns]])
    assert np.abs(found - oracle.estimates.values).max() < 2e-4
    assert np.allclose([c.standard_error for c in columns], oracle.estimates.standard_errors[1:], rtol=1e-3)
    assert fit.log_likelihood == pytest.approx(oracle.log_likelihood, rel=1e-5)


@pytest.mark.slow
def test_under_encryption_it_is_the_card_of_one_label_party_with_all_rows() -> None:
    """With the banks' columns cut by hand, so that both cut them alike."""
    town = made(n=3000)
    for name, column in town.columns["banks"].items():
        town.columns["banks"][name] = replace(column, splits=(-1.0, -0.3, 0.3, 1.0))
    cards = play(town, iv_disclosure="exact")
    one = scorecard_cases.Case(
        {scorecard_cases.BANK: town.of("banks", None, held=False)}
        | {party: town.of(party, None, held=False) for party in DEPARTMENTS},
        town.y[town.at(None, held=False)],
        {scorecard_cases.BANK: town.of("banks", None, held=True)}
        | {party: town.of(party, None, held=True) for party in DEPARTMENTS},
        town.y[town.at(None, held=True)],
    )
    vertical = scorecard_cases.play(one, iv_disclosure="exact")
    for mixed, of in ((NORTH, scorecard_cases.BANK), (TAX, TAX), (WATER, WATER)):
        left, right = cards[mixed].part_, vertical[of].part_
        assert [c.name for c in left.columns] == [c.name for c in right.columns]
        for a, b in zip(left.columns, right.columns, strict=True):
            assert (a.bins.to_json(), a.rows, a.points) == (b.bins.to_json(), b.rows, b.points)
            assert a.coefficient == pytest.approx(b.coefficient, abs=2e-4)
    assert cards[NORTH].part_.base_points == vertical[scorecard_cases.BANK].part_.base_points
    rows = [[r["column"], r["kept"], r["rule"]] for r in cards[NORTH].outcome_.table.rows()]
    assert rows == [[r["column"], r["kept"], r["rule"]] for r in vertical[scorecard_cases.BANK].outcome_.table.rows()]
    for phase, tally in vertical[scorecard_cases.BANK].outcome_.tallies.items():
        assert np.array_equal(cards[NORTH].tallies_[phase].counts, tally.counts)


def test_evidence_is_of_the_rows_of_all_banks(town: Town, cards: Cards) -> None:
    y = town.y[town.at(None, held=False)]
    for column in cards[WEST].columns_:
        assert column.bins is not None
        assert column.table is not None
        values = town.of("banks", None, held=False)[column.column.name].values
        table = woe_table(BinCounts.of(column.bins.codes(values), y, column.bins.n_bins))
        assert np.array_equal(column.table.counts.events, table.counts.events)
        assert np.allclose(column.bins.evidence, table.woe)
    for party in DEPARTMENTS:
        for column in cards[party].columns_:
            if column.bins is None or column.bins.evidence is None:
                continue
            values = town.of(party, None, held=False)[column.column.name].values
            table = woe_table(BinCounts.of(column.bins.codes(values), y, column.bins.n_bins))
            # In steps of two to four standard errors: half a step off at most.
            error = np.sqrt(1 / table.counts.events + 1 / table.counts.non_events)
            assert (np.abs(np.array(column.bins.evidence) - table.woe) <= 2 * error).all()


def test_every_bank_has_the_banks_part_and_no_department_the_others(town: Town, cards: Cards) -> None:
    documents = {cards[bank].part_.to_bytes() for bank in BANKS}
    assert len(documents) == 1
    assert [(other.party, other.columns) for other in cards[NORTH].part_.others] == [(TAX, 2), (WATER, 2)]
    assert {c.name for c in cards[TAX].part_.columns} <= set(town.columns[TAX])
    assert not hasattr(cards[SOUTH], "outcome_")
    assert not hasattr(cards[SOUTH], "binning_")


@pytest.mark.parametrize("held", [False, True])
def test_scores_are_spread_as_all_points_in_one_place(town: Town, cards: Cards, held: bool) -> None:
    phase = "tally.test" if held else "tally.train"
    for bank, name in [(None, NORTH), *enumerate(BANKS)]:
        y, total = town.y[town.at(bank, held=held)], points(town, cards, bank, held=held)
        tally = cards[name].tallies_[phase] if bank is None else cards[name].own_tallies_[phase]
        off = tally.step / 2 * 3
        for label in (0, 1):
            found = np.repeat(tally.scores, tally.counts[:, label])
            assert found.size == np.sum(y == label)
            assert np.abs(np.sort(total[y == label]) - found).max() <= off
    assert all(
        np.array_equal(cards[bank].tallies_[phase].counts, cards[NORTH].tallies_[phase].counts) for bank in BANKS
    )


def test_the_card_says_more_with_departments_than_without(town: Town, cards: Cards) -> None:
    y = town.y[town.at(None, held=True)]
    whole = rank_curve(y, -points(town, cards, None, held=True).astype(float)).auc
    for department in DEPARTMENTS:
        left = points(town, cards, None, held=True, without=department)
        assert whole > rank_curve(y, -left.astype(float)).auc + 0.01


def test_a_bank_of_few_rows_counts_and_is_told_of_no_tally_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    town = made(n=2600, shares=(0.55, 0.42, 0.03), own=False)
    assert town.at(2, held=True).size < 50 <= town.at(2, held=False).size
    cards = play(town)
    assert "tally.test" not in cards[WEST].own_tallies_
    assert "tally.train" in cards[WEST].own_tallies_
    counted = cards[NORTH].tallies_["tally.test"].counts.sum()
    assert counted == town.at(0, held=True).size + town.at(1, held=True).size
    assert cards[WEST].part_.columns == ()
    oracle = fit_logistic(pooled(town, cards), town.y[town.at(None, held=False)])
    assert cards[NORTH].part_.intercept == pytest.approx(oracle.intercept, abs=2e-4)


@pytest.mark.slow
def test_a_job_that_goes_on_makes_the_same_card_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    town = made(n=1500)
    whole = {party: Kept() for party in (*BANKS, *DEPARTMENTS)}
    first = play(town, kept=whole)
    for until in ("counts.0", "fit.0"):
        cut = {party: Kept(until=until) for party in whole}
        with pytest.raises(ConnectionError):
            play(town, kept=cut)
        resumed = {party: Kept(kept.states) for party, kept in cut.items()}
        second = play(town, epoch=1, kept=resumed)
        assert {p: c.part_.to_bytes() for p, c in second.items()} == {p: c.part_.to_bytes() for p, c in first.items()}


def test_without_a_department_that_says_something_there_is_no_mixed_card() -> None:
    town = made(n=1500)
    for party in DEPARTMENTS:
        town.columns[party] = {"noise": replace(town.columns[WATER]["noise"])}
    with pytest.raises(DataError, match="no column of a department is left") as raised:
        play(town)
    assert raised.value.code == "NO_COLUMNS_LEFT"


def test_what_it_cannot_do_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="weight"):
        MixedScorecard(weight="amount")
    with pytest.raises(ConfigError, match="method"):
        MixedScorecard(method="width")


def test_banks_compare_it_with_what_they_have_without_departments(town: Town, cards: Cards) -> None:
    alone = [cards[bank].alone_ for bank in BANKS]
    assert len({card.part_.to_bytes() for card in alone if card is not None}) == 1
    assert alone[0] is not None
    assert [column.name for column in alone[0].part_.columns] == ["income"]
    y = town.y[town.at(None, held=True)]
    own = alone[0].score(town.of("banks", None, held=True))
    whole = points(town, cards, None, held=True)
    assert rank_curve(y, -whole.astype(float)).auc > rank_curve(y, -own.astype(float)).auc + 0.05
