"""Attacks on a scorecard's totals, run on what each party saw: row 5 of the threat model."""

from __future__ import annotations

import pytest
from attacks.measures import BOUND
from attacks.solving import bins_from_totals
from attacks.totals import Totals, numbers_of_rows, points_from_counts, rows_at_the_ends


@pytest.mark.parametrize("parties", [2, 3])
def test_counts_say_no_more_of_points_than_labels_do(parties: int) -> None:
    """20,000 rows: a standard deviation of the AUC is 0.004."""
    finding = points_from_counts(20_000, parties)
    assert abs(finding.advantage) < BOUND
    # Where totals are of rows, own points come off, and others' are left.
    assert finding.control == 1.0


@pytest.mark.slow
def test_counts_of_the_fewest_rows_say_little_more() -> None:
    """A hundred tallies of 50 rows each, the least that there is: together a standard deviation of 0.008."""
    finding = points_from_counts(50, 2, range(100))
    assert abs(finding.advantage) < 2 * BOUND
    assert rows_at_the_ends(50, range(20)).success < BOUND


@pytest.mark.slow
def test_numbers_of_a_row_say_nothing_of_it() -> None:
    """40,000 rows: on the half that is judged a standard deviation of the AUC is 0.004."""
    for finding in numbers_of_rows(Totals(40_000, 3)):
        assert abs(finding.advantage) < BOUND, finding
        assert finding.control is not None
        assert finding.control > 0.99, finding


def test_totals_of_rows_give_bins_away_where_there_are_few_columns() -> None:
    """As the page of `totals` says, which no job runs: all of one column, most of two, less of ten."""
    one, two, ten = (bins_from_totals(5000, columns) for columns in (1, 2, 10))
    assert one.success == 1.0
    assert two.advantage > 0.5
    assert BOUND < ten.advantage < two.advantage
    # With two feature parties, sums over both: as over twice the columns of one.
    assert bins_from_totals(5000, 1, parties=3).advantage < one.advantage
