"""Attacks on whole scorecards, run on what the owner of columns is told in them: row 23 of the threat model."""

from __future__ import annotations

from attacks.cards import labels_by_a_card
from attacks.measures import BOUND

from fedcredit.credit.scorecard_params import ScorecardParams


def test_evidence_is_coarse_unless_somebody_asks_for_more() -> None:
    """What the tests below find of "coarse" is what a job has by default."""
    assert ScorecardParams().bins.iv_disclosure == "coarse"
    assert ScorecardParams.from_mapping({}).bins.iv_disclosure == "coarse"


def test_over_more_rows_a_card_tells_the_owner_of_columns_no_more_than_its_points_do() -> None:
    """Where columns do tell of labels, so do points, by what they are for; beyond them there is nothing. Over 1,000
    rows, and of columns that say nothing: `test_attacks_in_default_modes.py`."""
    finding = labels_by_a_card(3000, 10, 40, seeds=range(2), strength=0.3)
    assert finding.guess > 0.6
    assert finding.advantage < BOUND


def test_with_exact_weights_a_card_over_few_rows_tells_labels_of_noise() -> None:
    """As the page says: so it is the coarse weights that hold, and not the attack that is weak."""
    assert labels_by_a_card(1000, 0, 60, "exact").success > 0.65
