"""Rows 3 and 4, of figures over rows in common: tables of counts (`statistics`) and correlations (`moments`).

The asker of a table wants the group that each row has at the other party, and how many rows a hidden cell has; the
party that lends its groups wants the asker's values and categories. The label party, which is told correlations, wants
others' columns; who only helps wants anybody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attacks.measures import Finding, above_median, auc, read
from attacks.views import View, recorded

from fedcredit.credit.cell_hiding import hidden_cells
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.moments import MomentsFeature, MomentsLabel, MomentsShape
from fedcredit.protocols.statistics import LentColumn, OpenedTable, StatisticsAsker, StatisticsHolder
from fedcredit.wire.groupsum import ChoiceCorrections

__all__ = [
    "CrossTable",
    "columns_from_correlations_alone",
    "group_of_one_row",
    "groups_from_a_table",
    "hidden_cells_of_two_jobs",
    "numbers_of_correlations",
    "rows_of_a_rare_value",
    "values_on_the_wire",
]

BANK, TAX = PartyId("bank"), PartyId("tax")
MIN_CELL = 50
"""The default of a job."""


class CrossTable:
    """One cross table of an asker's categories and another's groups, which say nothing of each other; both views."""

    def __init__(self, n: int, categories: int, groups: int, seed: int = 0, without: int | None = None) -> None:
        rng = np.random.default_rng(seed)
        self.n, self.shape = n, (categories, groups)
        self.categories = rng.integers(0, categories, n).astype(np.uint8)
        self.groups = rng.integers(0, groups, n).astype(np.uint8)
        self.values = rng.integers(0, 100_000, n).astype(np.uint64)
        rows = np.arange(n) if without is None else np.delete(np.arange(n), without)
        names = tuple(f"g{g}" for g in range(groups))
        asker = StatisticsAsker(
            BANK, TAX, self.categories[rows], categories, self.values[rows, None], MIN_CELL, backend="onehot"
        )
        lent = LentColumn(names, self.groups[rows])
        holder = StatisticsHolder(TAX, BANK, lent, MIN_CELL, 2, categories, backend="onehot")
        self.view, outcome = recorded(
            {
                BANK: lambda: asker.steps(b"t" * 32, insecure_seeded(seed, BANK)),
                TAX: lambda: holder.steps(b"t" * 32, insecure_seeded(seed, TAX)),
            }
        )
        self.opened: OpenedTable = outcome.results[BANK]


def groups_from_a_table(n: int, categories: int = 5, groups: int = 5, seed: int = 0) -> Finding:
    """The group of each row, by the asker: the one that most rows of its category are in; a guess has all rows' one."""
    case = CrossTable(n, categories, groups, seed)
    counts = case.opened.words[:, :, 0].astype(np.int64)
    found = counts.argmax(axis=1)[case.categories]
    shares = [float((what == case.groups).mean()) for what in (np.full(n, counts.sum(axis=0).argmax()), found)]
    mode = f"statistics, {categories} x {groups} cells"
    return Finding(
        3, "groups", "asker", mode, "most rows of the category", "exact group", n, *shares, 1.0
    )  # fmt: skip


def values_on_the_wire(n: int, seed: int = 0) -> list[Finding]:
    """The asker's values and categories from words of each row, and the holder's groups from the bits of its choices:
    read with half the truth."""
    case = CrossTable(n, 4, 4, seed)
    words = np.stack(_words(case.view[TAX], n))
    levels = (case.shape[1] - 1).bit_length()
    corrections = [m.words.view(np.uint8).reshape(len(m.words), -1) for m in case.view[BANK].of(ChoiceCorrections)]
    bits = np.unpackbits(np.concatenate(corrections, axis=1), axis=1, bitorder="little")[:, : n * levels]
    by_row = bits.reshape(len(bits), n, levels)[:, :, 0]
    found = []
    for adversary, channels, asset, target in (
        ("holder", words, "values", above_median(case.values)),
        ("holder", words, "categories", case.categories >= 2),
        ("asker", by_row, "groups", case.groups >= 2),
    ):
        success, control = read(channels, target), read([*channels, target], target)
        how = "what came of each row, read with half the truth"
        found.append(Finding(3, asset, adversary, "statistics", how, "AUC", n, 0.5, success, control))
    return found


def group_of_one_row(trials: int = 4, n: int = 1000) -> Finding:
    """The group of a row that was in one job and not in the next. The asker knows which row it is, and its category.

    A policy bounds how little two sets may differ (`min_change_rows`); nothing in the protocol does.
    """
    whole, right = CrossTable(n, 2, 4), 0
    for row in range(trials):
        less = CrossTable(n, 2, 4, without=row)
        category = whole.categories[row]
        gone = whole.opened.words[category, :, 0].astype(np.int64) - less.opened.words[category, :, 0].astype(np.int64)
        right += int(gone.argmax() == whole.groups[row] and gone.sum() == 1)
    return Finding(
        3, "the group of one row", "asker", "statistics, two jobs, one row less", "differences of cells",
        "exact group", n, 0.25, right / trials,
    )  # fmt: skip


def hidden_cells_of_two_jobs(seeds: Sequence[int] = range(200)) -> list[Finding]:
    """Counts of cells that are too small to be shown, from all that is shown: by one table, and by two over the same
    column of which one's categories are made of the other's, which one job refuses to make (`TABLES_TOO_CLOSE`).

    The asker knows the rows of its categories, and of groups, as a table by groups alone has them.
    """
    exact, shares = np.zeros(2), 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        odds = rng.dirichlet(np.full(5, 0.7), 6)
        counts = np.stack([rng.multinomial(rows, p) for rows, p in zip(rng.integers(200, 2000, 6), odds, strict=True)])
        small, regions = counts < MIN_CELL, counts.reshape(3, 2, 5).sum(axis=1)
        hidden = hidden_cells(small, counts.sum(axis=0))
        over = hidden_cells(regions < MIN_CELL, counts.sum(axis=0))
        for many, known in enumerate((_known(hidden, None), _known(hidden, ~over))):
            exact[many] += int((known & small).sum())
        shares += int(small.sum())
    return [
        Finding(
            3, "rows of hidden cells", "asker", f"statistics, {mode}", "solving shown cells for hidden ones",
            "exact share of small cells", MIN_CELL, 0.0, float(found / max(shares, 1)),
        )
        for mode, found in zip(("one table", "two jobs, branches and their regions"), exact, strict=True)
    ]  # fmt: skip


def _known(hidden: Any, regions_shown: Any | None) -> Any:
    """Which cells follow from the linear equations of totals, shown cells and shown cells of pairs of categories."""
    k, b = hidden.shape
    cells = np.eye(k * b).reshape(k * b, k, b)
    equations = [cells.sum(axis=2).T, cells.sum(axis=1).T, cells.reshape(k * b, -1).T[~hidden.ravel()]]
    if regions_shown is not None:
        equations.append(cells.reshape(k * b, k // 2, 2, b).sum(axis=2).reshape(k * b, -1).T[regions_shown.ravel()])
    matrix = np.concatenate(equations)
    # A cell is known if its unit vector is in the space that the equations span.
    _, size, rows = np.linalg.svd(matrix, full_matrices=False)
    span = rows[size > 1e-9]
    return (np.einsum("rc,rc->c", span, span) > 1 - 1e-9).reshape(k, b)


class Correlated:
    """Correlations of a label party's columns with one of another party's, which say nothing of each other."""

    def __init__(self, n: int, columns: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.own, self.theirs = rng.normal(size=(n, columns)), rng.normal(size=(n, 1))
        shape = MomentsShape(BANK, (TAX,), n)
        self.view, _ = recorded(
            {
                BANK: lambda: MomentsLabel(shape, self.own).steps(insecure_seeded(seed, BANK)),
                TAX: lambda: MomentsFeature(shape, TAX, self.theirs).steps(insecure_seeded(seed, TAX)),
            }
        )


def columns_from_correlations_alone(n: int, columns: int, seeds: Sequence[int] = (0,)) -> Finding:
    """A column of another party, row by row, by the label party: the shortest one that has these correlations with its
    own columns, which is what so many equations say of so few rows."""
    found = []
    for seed in seeds:
        case = Correlated(n, columns, seed)
        with_theirs = case.view[BANK].replay().correlation[:columns, columns]
        own = (case.own - case.own.mean(axis=0)) / case.own.std(axis=0)
        found.append(auc(above_median(case.theirs[:, 0]), np.linalg.pinv(own.T) @ with_theirs))
    return Finding(
        4, "a column of a feature party", "label party", f"moments, {n // columns} rows a column",
        "solving correlations for rows", "AUC", n, 0.5, float(np.mean(found)),
    )  # fmt: skip


def numbers_of_correlations(n: int, seed: int = 0) -> list[Finding]:
    """Columns of the other party from what came of each row: ciphertexts and masked sums, read with half the truth."""
    case = Correlated(n, 1, seed)
    found = []
    for me, name, column in ((TAX, "feature party", case.own[:, 0]), (BANK, "label party", case.theirs[:, 0])):
        channels, target = _words(case.view[me], n), above_median(column)
        if channels:
            found.append(
                Finding(
                    4, "a column of the other party", name, "moments", "ciphertexts, read with half the truth",
                    "AUC", n, 0.5, read(channels, target), read([*channels, column], target),
                )
            )  # fmt: skip
    return found


def rows_of_a_rare_value(n: int = 2000, rare: int = 50, seed: int = 0) -> Finding:
    """How many rows with a rare value of the label party's own column are in each of two bins of another's, from their
    correlation: of bins that it settled itself the label party knows weights of evidence and rows.

    Metric: one less the error over that of a guess, which has the bins' shares of all rows.
    """
    rng = np.random.default_rng(seed)
    own = np.zeros(n)
    own[:rare] = 1.0
    inside = rng.random(n) < 0.3
    inside[:rare] = rng.random(rare) < 0.6
    woe = np.where(inside, -0.8, 0.4)
    shape = MomentsShape(BANK, (TAX,), n)
    views, _ = recorded(
        {
            BANK: lambda: MomentsLabel(shape, own[:, None]).steps(insecure_seeded(seed, BANK)),
            TAX: lambda: MomentsFeature(shape, TAX, woe[:, None]).steps(insecure_seeded(seed, TAX)),
        }
    )
    r = float(views[BANK].replay().correlation[0, 1])
    share, spread = woe.mean(), woe.std() * own.std()
    of_rare = r * spread * n / rare + share
    counted = np.rint(rare * (of_rare - 0.4) / (-0.8 - 0.4))
    guess, true = rare * inside.mean(), inside[:rare].sum()
    success = float(1.0 - abs(counted - true) / abs(guess - true))
    mode, metric = f"moments, {rare} rows of the value", "1 - error / error of a guess"
    asset = "rows of a rare value in each bin"
    return Finding(4, asset, "label party", mode, "solving a correlation", metric, n, 0.0, success)


def _words(view: View, n: int) -> list[Any]:
    """Whatever came in such quantity that there may be some for each row: words by place, forty at most."""
    found: list[Any] = []
    for body in view.bodies:
        words = np.frombuffer(body[len(body) % 8 :], np.uint64)
        found += list(words[: words.size // n * n].reshape(-1, n).astype(np.float64))
    return found[:: max(1, len(found) // 40)][:40]
