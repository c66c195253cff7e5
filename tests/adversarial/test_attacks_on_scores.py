"""Attacks on scores of single subjects, run on what a bank is told: rows 5 and 6 of the threat model.

The same attacks succeed on totals, so that they stay weak on bands is not their weakness. Seeds are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
from attacks.banding import HOW, Desk, bins_from_scores, card_from_scores, sums_from_repeats
from attacks.paths import Forest, bins_from_paths

TOTALS, TENTHS, NARROW, CHOSEN = HOW


@pytest.mark.parametrize(("columns", "solved"), [(1, 0.9), (2, 0.4)])
def test_totals_are_solved_for_bins_and_bands_hardly(columns: int, solved: float) -> None:
    """One answer about each of 1,500 subjects, whose points are known for every bin: a deviation is below 0.01."""
    totals, tenths, narrow, chosen = (bins_from_scores(1500, columns, how) for how in HOW)
    assert totals.success > solved
    assert tenths.advantage < 0.25 * columns**-0.5 < totals.advantage
    # The finest bands that terms allow say more, and most where a bank puts them.
    assert tenths.success < chosen.success < 0.8 * totals.success
    assert narrow.success < chosen.success


def test_a_card_is_extracted_by_as_many_totals_as_it_has_points_and_not_by_as_many_bands() -> None:
    """Ten columns of five bins have 41 unknown numbers; 50 answers, all bins known to the bank."""
    totals, subjects = card_from_scores(50, 5, TOTALS)
    assert totals.success == 1.0
    assert subjects.success == 1.0
    for how in (TENTHS, NARROW, CHOSEN):
        bands, others = card_from_scores(50, 5, how)
        assert bands.advantage < 0.1, how
        assert others.advantage < 0.1, how


def test_a_card_is_extracted_by_many_bands_as_the_page_says() -> None:
    """So budgets are needed: ten to twenty answers for each unknown number find it, ten if edges are chosen."""
    assert card_from_scores(800, 5, TENTHS, seeds=range(1))[0].success > 0.8
    assert card_from_scores(400, 5, CHOSEN, seeds=range(1))[0].success > 0.9


def test_a_subject_that_is_answered_about_often_has_no_secret_and_once_it_has() -> None:
    """So a provider answers once about a subject under one version."""
    assert sums_from_repeats(1, TENTHS).advantage < 0.05
    assert sums_from_repeats(1, NARROW).advantage < 0.15
    assert sums_from_repeats(8, NARROW).success > 0.95


def test_what_an_attack_is_told_is_what_the_protocols_say_and_true() -> None:
    desk = Desk(2)
    codes, own = desk.draw(200), desk.rng.integers(0, 301, 200)
    sums = desk.tables[np.arange(4)[:, None], codes].sum(axis=0)
    for how in HOW:
        low, high = desk.answers(codes, own, how)
        assert ((low <= sums) & (sums <= high)).all()
        assert (how == TOTALS) == (low == high).all()
    assert desk.asked == 4 * 200, "nobody is asked for twice"


def test_raw_scores_of_trees_give_foreign_bins_away_and_bands_no_more_than_their_bits() -> None:
    forest = Forest(40, 100)
    exact, bits = bins_from_paths(forest)
    assert exact.success > 0.8
    assert bits.success > 7.5, "of nine"
    for bands in (2, 10, 20):
        exact, bits = bins_from_paths(forest, bands)
        assert bits.success <= np.log2(bands)
        assert exact.advantage < 0.2
