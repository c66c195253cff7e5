"""Attacks on binning, run on what each party saw: rows 3 and 23 of the threat model."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from attacks.bins import (
    SHAPES,
    TOLD,
    bad_rows_of_bins,
    label_by_a_difference,
    labels_by_many_bins,
    labels_by_one_column,
    labels_by_several_columns,
)
from attacks.measures import BOUND
from attacks.sums import counts_of_one_round, crafted_values, groups_on_the_wire

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import SettledColumn
from fedcredit.credit.telling import ROWS_A_COUNT, few_enough
from fedcredit.credit.woe import BinCounts, IvDisclosure, woe_table


@pytest.mark.parametrize("backend", ["rlwe", "onehot", "paillier"])
def test_counts_tell_the_group_of_a_row_no_better_than_a_guess(backend: str) -> None:
    finding = counts_of_one_round(2000, backend)
    assert abs(finding.advantage) < BOUND
    # The same sums, of values made for it, give each of 64 rows away; of ring-LWE see below.
    assert finding.control == (None if backend == "rlwe" else 1.0)


@pytest.mark.parametrize(("backend", "rows"), [("rlwe", 6), ("onehot", 64), ("paillier", 64)])
def test_crafted_values_read_one_word_of_each_sum_and_no_more(backend: str, rows: int) -> None:
    """So many rows of 2,000 exactly, out of every group; the others are guessed."""
    exact = rows / 2000
    finding = crafted_values(2000, backend)
    assert finding.success >= exact
    assert abs(finding.success - (exact + (1 - exact) * finding.guess)) < BOUND


@pytest.mark.slow
def test_choices_of_groups_on_the_wire_are_noise() -> None:
    """100,000 rows: on the half that is judged a standard deviation of the AUC is 0.0026."""
    finding = groups_on_the_wire(100_000)
    assert abs(finding.advantage) < BOUND
    assert finding.control == 1.0


def test_what_is_told_of_bins_is_all_tried() -> None:
    assert get_args(IvDisclosure) == TOLD
    assert BinParams().iv_disclosure == "none"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["none", "bins", "rank", "rounded"])
def test_labels_by_one_column_are_guessed_unless_weights_are_told(how: IvDisclosure, shape: str) -> None:
    """20,000 rows: a standard deviation of the AUC is 0.005."""
    finding = labels_by_one_column(shape, how)
    assert abs(finding.advantage) < BOUND


def test_weights_of_evidence_tell_labels_where_a_column_is_bad_at_both_ends() -> None:
    """And so the attack works: it finds what there is to find."""
    finding = labels_by_one_column("both ends", "exact")
    assert finding.advantage > 0.25
    assert finding.success == finding.control


@pytest.mark.parametrize("shape", SHAPES)
def test_exact_values_give_the_bad_rows_of_every_bin(shape: str) -> None:
    assert bad_rows_of_bins(shape, "exact").success > 0.999


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["none", "bins", "rank"])
def test_without_values_the_bad_rows_of_a_bin_are_guessed(how: IvDisclosure, shape: str) -> None:
    finding = bad_rows_of_bins(shape, how)
    assert abs(finding.advantage) < BOUND
    assert finding.control is not None
    assert finding.control > 0.99


@pytest.mark.parametrize("shape", ["one way", "two values"])
def test_rounded_values_give_bad_rows_of_bins_where_the_shape_of_a_column_is_known(shape: str) -> None:
    """As the page says: of two bins, or where log-odds rise evenly, one number is all that there is to know."""
    assert bad_rows_of_bins(shape, "rounded").success > 0.9


def test_only_with_none_do_own_columns_not_show_which_of_them_matter() -> None:
    """As the page says: to a party that did not know it, of five columns of which one tells. By "bins" it is the number
    of bins that does: where bins do not differ they are joined."""
    assert abs(labels_by_several_columns("none").advantage) < BOUND
    least: dict[IvDisclosure, float] = {"bins": BOUND, "coarse": 0.08, "rank": 0.08, "rounded": 0.08, "exact": 0.08}
    for how, advantage in least.items():
        finding = labels_by_several_columns(how)
        assert finding.advantage > advantage
        assert finding.control is not None
        assert finding.success < finding.control + BOUND


def test_bad_rows_of_many_bins_are_told_only_as_far_as_there_are_rows() -> None:
    """Without the limit 100 columns that say nothing give the labels of 1,000 rows away."""
    finding = labels_by_many_bins(1000, 100)
    assert finding.control is not None
    assert finding.control > 0.95
    # What 20 rows for each count leave, as the page says.
    assert 0.6 < finding.success < 0.8


def test_coarse_weights_of_columns_that_say_nothing_are_not_told() -> None:
    """What an owner is told in a scorecard by default, over few rows; in one of a hundred tables it is a column."""
    finding = labels_by_many_bins(1000, 100, "coarse", range(3))
    assert abs(finding.advantage) < BOUND
    assert finding.control is not None
    assert finding.control > 0.7


@pytest.mark.slow
def test_the_label_of_a_row_that_a_second_job_is_without_is_told_as_the_page_says() -> None:
    """Of 40 rows: by exact weights always, by coarse ones where one of them moves by a step. Two jobs are not what a
    job is by default; budgets of a policy are there for them."""
    assert label_by_a_difference("exact", trials=40).success == 1.0
    assert label_by_a_difference("coarse", trials=40).advantage < 0.15


def test_the_columns_that_say_most_are_told_first() -> None:
    def column(bad: list[int]) -> SettledColumn:
        counts = BinCounts(np.full(len(bad), 100, np.int64) - np.array(bad), np.array(bad, np.int64))
        return SettledColumn(np.arange(len(bad)), woe_table(counts))

    weak, strong, wide = column([20, 21]), column([10, 50]), column([11, 12, 13, 30, 31])
    refused = SettledColumn(np.zeros(3, np.int64), None, "BIN_TOO_SMALL")
    columns = (weak, strong, refused, wide)
    assert few_enough(columns, 6 * ROWS_A_COUNT) == columns
    told = few_enough(columns, 5 * ROWS_A_COUNT)
    assert [of.refused for of in told] == ["BINS_TOO_MANY", None, "BIN_TOO_SMALL", None]
    assert told[0].table is None
    assert not told[0].labels.any()
    # A narrow column has room where a wide one has not.
    assert [of.refused for of in few_enough(columns, 2 * ROWS_A_COUNT)][::3] == [None, "BINS_TOO_MANY"]
    assert [of.refused for of in few_enough(columns, 1)].count("BINS_TOO_MANY") == 3
