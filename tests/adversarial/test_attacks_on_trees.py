"""Attacks on joint boosting, run on what each party saw: rows 1, 2, 3 and 5 of the threat model.

Boosting has no mode in which nothing is to be learnt: `hide_nodes` protects labels, and columns are protected by
neither. So bounds are asserted where the table of leakage says that there is nothing, and elsewhere that what it says
is so.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import pytest
from attacks.measures import BOUND
from attacks.nodes import BANK, TAX, Trees, choices, labels_from_nodes
from attacks.scoring import bins_from_sides
from attacks.sums import histograms_of_trees

from fedcredit.credit.params import TreeParams
from fedcredit.estimators import GradientBoosting
from fedcredit.runtime.model_file import GbdtSection


def test_nodes_are_hidden_unless_somebody_asks_for_them() -> None:
    """What the tests below find of hidden nodes is what a job has by default."""
    assert GbdtSection.model_fields["hide_nodes"].default is True
    assert signature(GradientBoosting).parameters["hide_nodes"].default is True


def test_a_view_is_all_that_a_role_needs() -> None:
    """Played again from the record alone a party comes to the same end: so the record is complete."""
    case = Trees(500, (True, False), params=TreeParams(num_trees=2, max_depth=2))
    for party in (BANK, TAX):
        again, first = case.view[party].replay(), case.outcome.results[party]
        assert getattr(again, "splits", None) == getattr(first, "splits", None)
        assert np.array_equal(getattr(again, "scores", 0), getattr(first, "scores", 0))


def test_shown_nodes_tell_labels_as_their_page_says() -> None:
    clustering, known, wire = labels_from_nodes(4000, hide_nodes=False)
    assert clustering.advantage > 0.08
    assert known.advantage > 0.12
    assert abs(wire.success - 0.5) < 0.03


@pytest.mark.parametrize("hide_nodes", [False, True])
def test_own_splits_tell_which_own_columns_matter_in_both_modes(hide_nodes: bool) -> None:
    finding = choices(4000, hide_nodes=hide_nodes)
    assert finding.advantage > 0.04
    assert finding.control is not None
    assert finding.success < finding.control + BOUND


@pytest.mark.parametrize("hide_nodes", [False, True])
def test_histograms_give_groups_away_in_both_modes(hide_nodes: bool) -> None:
    """A column that no split uses; `test_histogram_inference.py` has larger tables."""
    assert histograms_of_trees(300, 30, hide_nodes=hide_nodes).success > 0.9


@pytest.mark.parametrize("hide_nodes", [False, True])
def test_sides_of_splits_give_bins_away_in_both_modes(hide_nodes: bool) -> None:
    found: list[Any] = []
    for trees in (1, 5, 20):
        exact, order = bins_from_sides(3000, trees, hide_nodes=hide_nodes)
        found.append(exact.success)
        assert order.advantage > 0.3
        assert order.control == 1.0
    assert found[0] < found[1] < found[2]
    assert found[2] > 0.8
