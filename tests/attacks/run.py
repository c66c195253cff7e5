"""Run all attacks and print what each one finds.

    PYTHONPATH=tests python -m attacks.run [scores] > benchmarks/results/attacks.json

One JSON object a line: the `row` of docs/threat-model.md, what is attacked (`asset`), by whom, in which `mode`, how
(`attack`), the `metric`, the `rows`; `guess`, `success` and `advantage`, and of a view that leaks `control`. Seeds are
fixed, so a run gives the same numbers again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from attacks.banding import HOW, bins_from_scores, card_from_scores, sums_from_repeats
from attacks.bins import (
    SHAPES,
    TOLD,
    bad_rows_of_bins,
    label_by_a_difference,
    labels_by_many_bins,
    labels_by_one_column,
    labels_by_several_columns,
)
from attacks.cards import labels_by_a_card
from attacks.identifiers import MODES, Town, dictionary
from attacks.measures import Finding
from attacks.nodes import choices, labels_from_nodes
from attacks.paths import Forest, bins_from_paths
from attacks.regression import (
    Fit,
    columns_from_correlations,
    labels_from_gradients,
    numbers_of_rows,
    scores_from_gradients,
)
from attacks.scoring import bins_from_sides
from attacks.solving import bins_from_totals
from attacks.sums import counts_of_one_round, crafted_values, groups_on_the_wire, histograms_of_trees
from attacks.tables import (
    columns_from_correlations_alone,
    group_of_one_row,
    groups_from_a_table,
    hidden_cells_of_two_jobs,
    numbers_of_correlations,
    rows_of_a_rare_value,
    values_on_the_wire,
)
from attacks.totals import Totals, points_from_counts, rows_at_the_ends
from attacks.totals import numbers_of_rows as numbers_of_totals

CARDS = ((1000, 0, 60, 0.4), (1000, 5, 40, 0.6), (3000, 10, 100, 0.3), (3000, 40, 0, 0.25))
"""Rows; columns of a feature party that tell, and that do not; how much each of the former tells."""


def findings() -> Iterator[Finding]:
    """All attacks, in the order of the rows of the threat model."""
    for hidden in (True, False):
        yield from labels_from_nodes(20_000, hide_nodes=hidden)
        yield choices(20_000, hide_nodes=hidden)
    for backend in ("rlwe", "onehot", "paillier"):
        yield counts_of_one_round(2000, backend)
        yield crafted_values(2000, backend)
    yield groups_on_the_wire(100_000)
    for hidden in (True, False):
        yield histograms_of_trees(300, 30, hide_nodes=hidden)
        yield histograms_of_trees(2000, 5, hide_nodes=hidden)
    for inference in (False, True):
        yield from numbers_of_rows(Fit(24_000, (2, 2, 2), (0.6, 0.8, 0.8), inference=inference))
        for rows, columns, seeds in ((400 * (1 + inference), 20, 8), (2000, 20, 4), (4000, 4, 8), (30_000, 3, 2)):
            yield from labels_from_gradients(rows, columns, inference=inference, seeds=range(seeds))
            yield scores_from_gradients(rows, columns, inference=inference, seeds=range(seeds))
    for shared in (0.0, 0.3, 0.6):
        yield columns_from_correlations(8000, shared)
    for rows, seeds in ((50, 100), (1000, 10), (20_000, 2)):
        for parties in (2, 3):
            yield points_from_counts(rows, parties, range(seeds))
        yield rows_at_the_ends(rows, range(min(seeds, 10)))
    yield from numbers_of_totals(Totals(40_000, 3))
    for columns, parties in ((1, 2), (2, 2), (3, 2), (5, 2), (10, 2), (1, 3), (5, 3)):
        yield bins_from_totals(5000, columns, parties)
    for hidden in (True, False):
        for trees in (1, 5, 20, 100):
            yield from bins_from_sides(3000, trees, hide_nodes=hidden)
    yield from findings_of_scores()
    for mode in MODES:
        town = Town(20_000, mode)
        for adversary in ("receiver", "holder"):
            yield dictionary(town, adversary)
    for how in TOLD:
        for shape in SHAPES:
            yield labels_by_one_column(shape, how)
            yield bad_rows_of_bins(shape, how)
        yield labels_by_several_columns(how)
    for told in ("coarse", "exact"):
        for rows, columns in ((1000, 20), (1000, 100), (1000, 300), (4000, 20), (4000, 100)):
            yield labels_by_many_bins(rows, columns, told, range(3 if columns < 300 else 1))
        for rows, tells, noise, strength in CARDS:
            yield labels_by_a_card(rows, tells, noise, told, range(2), strength)
        yield label_by_a_difference(told)
    yield groups_from_a_table(20_000)
    yield from values_on_the_wire(40_000)
    yield group_of_one_row()
    yield from hidden_cells_of_two_jobs()
    for rows, columns, seeds in ((1000, 50, 4), (1000, 10, 4), (5000, 5, 4), (30_000, 3, 2)):
        yield columns_from_correlations_alone(rows, columns, range(seeds))
    yield from numbers_of_correlations(20_000)
    yield rows_of_a_rare_value()


def findings_of_scores() -> Iterator[Finding]:
    """Those on scores of single subjects: totals, bands, and raw scores of trees."""
    for columns in (1, 2, 5):
        for how in HOW:
            yield bins_from_scores(3000, columns, how)
    for how in HOW[1:3]:
        for answers in (1, 2, 4, 6, 8):
            yield sums_from_repeats(answers, how)
    for known, counts in ((1.0, (50, 100, 200, 400, 800)), (0.7, (400, 2000))):
        for how in HOW:
            for answers in counts:
                yield from card_from_scores(answers, 5, how, known)
    for trees in (5, 20, 100):
        forest = Forest(trees, 200)
        for bands in (0, 20, 10, 2):
            yield from bins_from_paths(forest, bands)


def main() -> None:
    """Print every finding, or with the argument `scores` those on scores alone."""
    for finding in findings_of_scores() if sys.argv[1:] == ["scores"] else findings():
        print(json.dumps(finding.to_json()), flush=True)


if __name__ == "__main__":
    main()
