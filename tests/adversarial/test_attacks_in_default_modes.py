"""Every kind of job as it is by default, attacked: success stays within 0.02 of a guess (`docs/attacks.md`).

Columns say nothing of labels here, nor of each other: whatever is found is more than what a model says by being one.
Where columns do say something, the guess has what the party's own part of the model says. Seeds are fixed, and rows so
many that 0.02 is three standard deviations or more of what chance does to a figure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
from attacks.bins import SHAPES, bad_rows_of_bins, labels_by_one_column, labels_by_several_columns
from attacks.cards import labels_by_a_card
from attacks.identifiers import MODES, Town, dictionary
from attacks.measures import BOUND, Finding
from attacks.nodes import labels_from_nodes
from attacks.regression import labels_from_gradients, scores_from_gradients
from attacks.sums import counts_of_one_round
from attacks.tables import groups_from_a_table, values_on_the_wire

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.node.specification import ModelEntry
from fedcredit.runtime.model_file import GbdtSection
from fedcredit.runtime.policy_file import INTERSECTION


def _binning() -> list[Finding]:
    """Labels, bad rows of bins, which columns tell, by their owner; the group of a row, by the label party."""
    how = BinParams().iv_disclosure
    by_shape = [attack(shape, how) for attack in (bad_rows_of_bins, labels_by_one_column) for shape in SHAPES]
    return [*by_shape, labels_by_several_columns(how), counts_of_one_round(2000, "rlwe")]


def _scorecard() -> list[Finding]:
    """Labels, by the owner of 60 columns that say nothing, over 1,000 rows; of five that do and of 40 that do not,
    beyond its points, which may be better than what it solves for."""
    how = ScorecardParams().bins.iv_disclosure
    found = [labels_by_a_card(1000, 0, 60, how, range(5)), labels_by_a_card(1000, 5, 40, how, range(2), strength=0.6)]
    assert found[1].guess > 0.65, "there is something that columns say"
    return found


def _statistics() -> list[Finding]:
    """The group of a row by the asker; the asker's values and categories by the party that lends its groups."""
    return [groups_from_a_table(20_000), *values_on_the_wire(20_000)]


def _intersect() -> list[Finding]:
    """Whether somebody outside the intersection is at the other party, in every mode that `auto` may take."""
    towns = [Town(2000, mode) for mode in MODES]
    return [dictionary(town, adversary) for town in towns for adversary in ("receiver", "holder")]


def _gbdt() -> list[Finding]:
    """Labels, by a feature party without a column that tells: 20,000 rows."""
    return list(labels_from_nodes(20_000, hide_nodes=GbdtSection.model_fields["hide_nodes"].default))


def _logistic() -> list[Finding]:
    """Labels by the partner, others' partial scores by the label party: 10,000 rows a column. Over fewer rows
    coefficients, which are the result, tell more, as their page says."""
    inference = LogisticParams().standard_errors
    found = labels_from_gradients(30_000, 3, inference=inference, seeds=range(1))
    return [*found, scores_from_gradients(30_000, 3, inference=inference, seeds=range(1))]


DEFAULTS: dict[str, Callable[[], list[Finding]]] = {
    "binning": _binning,
    "scorecard": _scorecard,
    "statistics": _statistics,
    INTERSECTION: _intersect,
    "gbdt": _gbdt,
    "logistic": _logistic,
}


def test_every_kind_of_job_is_attacked() -> None:
    kinds: Any = get_args(ModelEntry.model_fields["kind"].annotation)
    assert {*kinds, INTERSECTION} == set(DEFAULTS)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow) if k in ("gbdt", "logistic") else k for k in DEFAULTS]
)
def test_by_default_an_attack_is_no_better_than_a_guess(kind: str) -> None:
    findings = DEFAULTS[kind]()
    for finding in findings:
        assert finding.advantage < BOUND, finding
        # Nor is it worse by as much, which would be as good to somebody who turns it round.
        assert finding.advantage > -BOUND, finding
    controls = [finding.control - finding.guess for finding in findings if finding.control is not None]
    assert max(controls) > 0.15, "the same attacks find something where there is something"
