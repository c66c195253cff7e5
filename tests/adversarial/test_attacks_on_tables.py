"""Attacks on tables of counts and on correlations, run on what each party saw: rows 3 and 4 of the threat model."""

from __future__ import annotations

from dataclasses import fields

import pytest
from attacks.measures import BOUND
from attacks.tables import (
    MIN_CELL,
    columns_from_correlations_alone,
    group_of_one_row,
    hidden_cells_of_two_jobs,
    numbers_of_correlations,
    rows_of_a_rare_value,
)

from fedcredit.credit.statistics_params import StatisticsParams


def test_cells_are_as_large_as_in_a_job() -> None:
    (default,) = [field.default for field in fields(StatisticsParams) if field.name == "min_cell"]
    assert default == MIN_CELL


def test_two_tables_that_differ_by_a_row_tell_its_group() -> None:
    """As the page says: of two jobs, against which only the budgets of a policy stand."""
    assert group_of_one_row().success == 1.0


def test_no_hidden_cell_follows_from_one_table_and_many_do_from_two() -> None:
    """Two hundred tables of six categories. A job does not make two such tables over one column; two jobs may."""
    one, two = hidden_cells_of_two_jobs()
    assert one.success == 0.0
    assert two.success > 0.2


def test_what_comes_of_correlations_is_noise_row_by_row() -> None:
    """20,000 rows: on the half that is judged a standard deviation of the AUC is 0.006."""
    (finding,) = numbers_of_correlations(20_000)
    assert finding.adversary == "feature party"
    assert abs(finding.advantage) < BOUND
    assert finding.control is not None
    assert finding.control > 0.9


def test_correlations_over_few_rows_say_what_their_page_says() -> None:
    """Twenty rows a column are what the protocol asks for; with 10,000 nothing is left."""
    few, many = columns_from_correlations_alone(1000, 50, range(2)), columns_from_correlations_alone(30_000, 3)
    assert few.success == pytest.approx(0.61, abs=0.03)
    assert abs(many.advantage) < BOUND
    assert rows_of_a_rare_value().success == 1.0
