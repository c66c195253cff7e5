"""Attacks on joint logistic regression, run on what each party saw: row 4 of the threat model."""

from __future__ import annotations

import numpy as np
import pytest
from attacks.measures import BOUND
from attacks.regression import (
    BANK,
    PARTIES,
    Fit,
    columns_from_correlations,
    labels_from_gradients,
    numbers_of_rows,
    scores_from_gradients,
)


def test_a_view_is_all_that_a_role_needs() -> None:
    fit = Fit(400, (1, 1, 1), (0.6, 0.8, 0.8), inference=True)
    again = fit.view[BANK].replay()
    assert np.array_equal(fit.X[BANK] @ again.estimates.values[1:], fit.partial[BANK])
    assert all(np.isfinite(fit.view[party].replay().estimates.values).all() for party in PARTIES)


@pytest.mark.slow
@pytest.mark.parametrize("inference", [False, True])
def test_numbers_of_a_row_say_nothing_of_it(inference: bool) -> None:
    """Shares, masks and ciphertexts of a whole fit, under encryption, three parties.

    24,000 rows: on the half that is judged a standard deviation of the AUC is 0.005 to 0.006.
    """
    for finding in numbers_of_rows(Fit(24_000, (2, 2, 2), (0.6, 0.8, 0.8), inference=inference)):
        assert abs(finding.advantage) < BOUND, finding
        # Two parties' shares put together.
        assert finding.control is not None
        assert finding.control > finding.guess + 0.15, finding


@pytest.mark.slow
def test_gradients_of_many_rows_say_nothing_of_one_without_standard_errors() -> None:
    """10,000 rows for each column. With them, as by default: `test_attacks_in_default_modes.py`."""
    found = [
        *labels_from_gradients(30_000, 3, inference=False, seeds=range(1)),
        scores_from_gradients(30_000, 3, inference=False, seeds=range(1)),
    ]
    for finding in found:
        assert abs(finding.advantage) < BOUND, finding


@pytest.mark.slow
def test_gradients_of_few_rows_say_what_their_page_says() -> None:
    """At the least number of rows that a fit takes, 40 for each column: labels, beyond what coefficients tell."""
    result, gradients = labels_from_gradients(800, 20, inference=True, seeds=range(4))
    assert result.advantage > 0.06
    assert gradients.success > result.success + 0.02
    # More equations, as from gradients of single rows, and nearly all labels are there.
    assert gradients.control is not None
    assert gradients.control > 0.9
    assert scores_from_gradients(800, 20, inference=True, seeds=range(4)).advantage > 0.01


@pytest.mark.slow
def test_the_information_matrix_estimates_columns_as_far_as_they_correlate() -> None:
    """As the page says: nothing of columns that do not, and much of those that do."""
    assert abs(columns_from_correlations(8000, 0.0).advantage) < BOUND
    assert columns_from_correlations(8000, 0.6).advantage > 0.1
