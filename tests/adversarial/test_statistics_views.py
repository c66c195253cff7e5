"""What the asker of a table sees: hidden cells change nothing in it. What values made for the purpose tell is measured,
not denied."""

from __future__ import annotations

from typing import Any

import numpy as np
from protocols.test_statistics import LEAST, SESSION, Case, play

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.statistics import LentColumn, OpenedTable, StatisticsAsker, StatisticsHolder
from fedcredit.transport.memory import Outcome, run_network

BANK, TAX = PartyId("bank"), PartyId("tax")


class Counts(Case):
    """Rows so that the cells have these counts; values are all zero."""

    def __init__(self, counts: np.ndarray) -> None:
        k, b = counts.shape
        pairs = np.repeat(np.arange(k * b), counts.ravel())
        self.categories, self.groups = (pairs // b).astype(np.uint8), (pairs % b).astype(np.uint8)
        self.values = np.zeros((pairs.size, 0), np.uint64)
        self.column, self.shape = LentColumn(tuple(f"g{g}" for g in range(b)), self.groups), (k, b)


# A rectangle of hidden cells, of which two are small: moving rows around it changes no total.
TABLE = np.array([[3, 60, 200], [70, 5, 90], [150, 80, 40]])
AROUND = np.array([[1, -1, 0], [-1, 1, 0], [0, 0, 0]])


def asker_view(outcome: Outcome) -> tuple[Any, ...]:
    """All that reaches the asker and is not random by itself: the sizes of messages, and what it opens."""
    found: OpenedTable = outcome.results[BANK]
    return sorted(outcome.traffic), found.names, found.hidden.tolist(), found.words.tolist()


def test_the_asker_sees_the_same_whatever_a_hidden_cell_holds() -> None:
    views = [asker_view(play(Counts(TABLE + step * AROUND))) for step in (-3, -1, 0, 2, 4)]
    assert all(view == views[0] for view in views)
    hidden = np.array(views[0][2])
    assert hidden[:2, :2].all()
    assert hidden.sum() == 4
    # It is no accident of small numbers: where a shown cell changes, the view does.
    other = TABLE + np.array([[0, 0, 0], [0, 0, 1], [0, 0, -1]])
    assert asker_view(play(Counts(other))) != views[0]


def test_values_made_for_the_purpose_tell_groups_and_counts_alone_do_not() -> None:
    """`statistics.sums` says so: with powers of two an asker reads whose rows are in a group."""
    rng = np.random.default_rng(8)
    groups = rng.integers(0, 3, 300).astype(np.uint8)
    case = Counts(np.ones((1, 3), int))
    case.groups, case.categories = groups, np.zeros(300, np.uint8)
    case.column = LentColumn(("a", "b", "c"), groups)
    made = np.zeros((300, 1), np.uint64)
    made[:60, 0] = np.uint64(1) << np.arange(60, dtype=np.uint64)
    found = []
    for values in (made, np.zeros((300, 0), np.uint64)):
        roles: dict[Any, Steps[Any]] = {
            BANK: _asker(case, values, 1, categories=1),
            TAX: _holder(case, 1 + values.shape[1]),
        }
        found.append(run_network(roles, insecure_in_process=True).results[BANK])
    sums, rows = found
    read = (sums.words[0, :, 1][:, None] >> np.arange(60, dtype=np.uint64)) & np.uint64(1)
    assert np.array_equal(read.argmax(axis=0), groups[:60])
    guess = np.full(60, int(rows.words[0, :, 0].argmax()))
    assert (guess == groups[:60]).mean() < 0.5


def _holder(case: Counts, words: int) -> Steps[Any]:
    holder = StatisticsHolder(TAX, BANK, case.column, LEAST, words, case.shape[0])
    return holder.steps(SESSION, insecure_seeded(2, "tax"))


def _asker(case: Counts, values: np.ndarray, seed: int, categories: int = 3) -> Steps[Any]:
    asker = StatisticsAsker(BANK, TAX, case.categories, categories, values, LEAST)
    return asker.steps(SESSION, insecure_seeded(seed, "bank"))
