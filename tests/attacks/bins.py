"""Row 23: labels, from what the owner of columns is told of their bins (secretflow issue 565).

The adversary is a feature party in binning. A guess knows what the party knows before: its columns, in which direction
each one points, which share of all rows is bad. Three assets: how bad each bin is, the label of each row by one column,
and the label of each row by several columns, of which the party does not know which ones tell. And labels by very many
columns that tell nothing, where whatever is found is what the sums say of the labels that they were made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from attacks.measures import Finding, auc
from attacks.views import View, recorded
from scipy.optimize import brentq

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import PrebinShape, SettledColumn, prebins_of, taken
from fedcredit.credit.telling import Counted, tellable
from fedcredit.credit.woe import BinCounts, IvDisclosure
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.binning import BinningFeature, BinningLabel, PrebinnedColumns, ToldColumn
from fedcredit.protocols.binning.columns import told_columns
from fedcredit.protocols.effects import Steps

__all__ = [
    "SHAPES",
    "TOLD",
    "Told",
    "bad_rows_of_bins",
    "label_by_a_difference",
    "labels_by_many_bins",
    "labels_by_one_column",
    "labels_by_several_columns",
    "solved",
]

BANK, TAX = PartyId("bank"), PartyId("tax")
TOLD: tuple[IvDisclosure, ...] = ("none", "bins", "coarse", "rank", "rounded", "exact")
SHAPES = ("one way", "both ends", "two values", "says nothing")
"""How bad rows lie along a column."""


class Told:
    """One binning, the tax office's view of it, and the truth. The first column has a shape of `SHAPES`; one more tells
    a little, three say nothing."""

    def __init__(self, shape: str, how: IvDisclosure, n: int = 20_000, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, 5))
        if shape == "two values":
            X[:, 0] = X[:, 0] > 0.8
        first = {"one way": X[:, 0], "both ends": 1.2 * (X[:, 0] ** 2 - 1), "two values": 1.3 * X[:, 0]}
        logit = first.get(shape, np.zeros(n)) + 0.25 * X[:, 1] - 1.6
        self.y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
        self.X, self.n, self.how, self.params = X, n, how, BinParams(iv_disclosure=how)
        self.bins = [prebins_of(x, self.params) for x in X.T]
        codes = np.stack([b.codes(x) for b, x in zip(self.bins, X.T, strict=True)])
        columns = PrebinnedColumns(codes, tuple(PrebinShape.of(b) for b in self.bins))
        label = BinningLabel(BANK, (TAX,), self.y, self.params)
        feature = BinningFeature(TAX, BANK, columns, self.params)
        views, _ = recorded({BANK: partial(_count, label), TAX: partial(_lend, feature)})
        self.view: View = views[TAX]
        self.told: tuple[ToldColumn, ...] = self.view.replay()
        # Of a column that it is not told of the party has the bins that it cut.
        joined = [np.arange(b.n_bins) if t.refused else t.labels for b, t in zip(self.bins, self.told, strict=True)]
        settled = [taken(b, labels) for b, labels in zip(self.bins, joined, strict=True)]
        self.codes = [b.codes(x) for b, x in zip(settled, X.T, strict=True)]

    def counts(self, f: int) -> BinCounts:
        """The truth."""
        return BinCounts.of(self.codes[f], self.y, int(self.codes[f].max()) + 1)


# Several attacks look at the view of one run, which always is the same.
_told = lru_cache(maxsize=len(SHAPES))(Told)


def _count(label: BinningLabel) -> Steps[tuple[SettledColumn, ...]]:
    """What the label party does of a job; gives what it settled, of which not all is told."""
    shapes = yield from label.learn_shapes()
    (found,) = yield from label.count(0, shapes, b"i" * 32, insecure_seeded(1))
    columns = [Counted.settle(shape, counts, label.params) for shape, counts in zip(shapes[0], found, strict=True)]
    yield from label.tell({TAX: tellable(columns, label.params.iv_disclosure, label.labels.size)})
    return tuple(column.settled for column in columns)


def _lend(party: BinningFeature) -> Steps[tuple[ToldColumn, ...]]:
    yield from party.declare()
    yield from party.lend(0, b"i" * 32, insecure_seeded(2))
    return (yield from party.hear())


def bad_rows_of_bins(shape: str, how: IvDisclosure, seed: int = 0) -> Finding:
    """How far off the bad rate of the first column's bins is, beside the guess that all bins are alike.

    Metric: one less the error over that of the guess, so 0 is the guess and 1 is every bad row of every bin counted.
    """
    case = _told(shape, how, seed=seed)
    counts = case.counts(0)
    overall = counts.events.sum() / case.n
    rates = _rates(case, counts)
    true = counts.bad_rate
    wrong = float(counts.rows @ np.abs(rates - true)) / float(max(counts.rows @ np.abs(overall - true), 1e-9))
    return Finding(
        23, "bad rows of each bin", "feature party", f"binning, iv_disclosure = {how}, {shape}",
        "solving for counts", "1 - error / error of a guess", case.n, 0.0, 1.0 - wrong,
        1.0 - _wrong_with_woe(case, overall),
    )  # fmt: skip


def _wrong_with_woe(case: Told, overall: float) -> float:
    """The control: the same where weights of evidence are told."""
    counts = case.counts(0)
    true = counts.bad_rate
    off = counts.rows @ np.abs(overall - true)
    if off < 1e-9:
        return 0.0
    woe = np.log((counts.non_events / counts.non_events.sum()) / (counts.events / counts.events.sum()))
    return float(counts.rows @ np.abs(_rates_of(woe, overall) - true) / off)


def _rates(case: Told, counts: BinCounts) -> Any:
    """The best that can be made of what was told of the first column: the bad rate of each bin."""
    told, rows = case.told[0], counts.rows
    overall = counts.events.sum() / case.n
    if told.woe is not None and rows.size > 1:
        return _rates_of(told.woe, overall)
    if case.how != "rounded" or rows.size < 2 or not told.iv:
        return np.full(rows.size, overall)
    # One number for one unknown: how steeply log-odds rise along the column, if they rise evenly. Of two bins they do.
    x = (case.X[:, 0] - case.X[:, 0].mean()) / case.X[:, 0].std()
    along = np.bincount(case.codes[0], x) / rows

    def rates(slope: float) -> Any:
        level = brentq(lambda a: rows @ (1 / (1 + np.exp(-a - slope * along))) / case.n - overall, -60, 60)
        return 1 / (1 + np.exp(-level - slope * along))

    def gap(slope: float) -> float:
        bad = rates(slope) * rows
        good = rows - bad
        shares = good / good.sum(), bad / bad.sum()
        return float((shares[0] - shares[1]) @ np.log(shares[0] / shares[1])) - float(told.iv or 0)

    return rates(brentq(gap, 0.0, 8.0))


def _rates_of(woe: Any, share: float) -> Any:
    """Bad rates from weights of evidence and the share of bad rows, which a guess knows too."""
    return 1 / (1 + (1 - share) / share * np.exp(np.asarray(woe)))


def labels_by_one_column(shape: str, how: IvDisclosure, seed: int = 0) -> Finding:
    """Labels of rows from the first column. The guess goes by its values and the direction that the party knows."""
    case = _told(shape, how, seed=seed)
    guess = case.X[:, 0]
    told = case.told[0]
    score = guess if told.woe is None else -np.array(told.woe)[case.codes[0]]
    # What is told of information values is one number for all rows, and puts none before another.
    exact = case.counts(0).bad_rate[case.codes[0]]
    return Finding(
        23, "labels", "feature party", f"binning, iv_disclosure = {how}, {shape}", "by one column", "AUC", case.n,
        auc(case.y, guess), auc(case.y, score), auc(case.y, exact),
    )  # fmt: skip


def labels_by_several_columns(how: IvDisclosure, seed: int = 0) -> Finding:
    """Labels of rows from all columns, each in its direction: weighed alike, or by what was told of them."""
    case = _told("one way", how, seed=seed)
    told = case.told
    if how in ("coarse", "exact"):
        score = -sum(np.array(t.woe)[codes] for t, codes in zip(told, case.codes, strict=True) if t.woe)
    elif how == "bins":
        # A column that tells has the more bins, since bins that do not differ are joined.
        score = case.X @ np.array([float(codes.max()) for codes in case.codes])
    elif how == "rounded":
        score = case.X @ np.sqrt([t.iv or 0.0 for t in told])
    elif how == "rank":
        score = case.X @ (1.0 / np.array([t.iv or len(told) for t in told]) ** 2)
    else:
        # All that there is to go by are bins that the party itself has cut.
        score = case.X @ np.array([float(codes.max()) for codes in case.codes])
    best = case.X @ np.array([1.0, 0.25, 0.0, 0.0, 0.0])
    return Finding(
        23, "labels", "feature party", f"binning, iv_disclosure = {how}", "by several columns, weighed", "AUC", case.n,
        auc(case.y, case.X.sum(axis=1)), auc(case.y, score), auc(case.y, best),
    )  # fmt: skip


def labels_by_many_bins(n: int, columns: int, how: IvDisclosure = "exact", seeds: Sequence[int] = (0,)) -> Finding:
    """Labels from how bad the bins of many columns are, none of which says anything: each bin is an equation.

    The control has all of them exactly, as without a limit on how many are told.
    """
    found, control = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        y, X = (rng.random(n) < 0.2).astype(np.uint8), rng.normal(size=(n, columns))
        params = BinParams(iv_disclosure=how)
        bins = [prebins_of(x, params) for x in X.T]
        codes = np.stack([b.codes(x) for b, x in zip(bins, X.T, strict=True)])
        lent = PrebinnedColumns(codes, tuple(PrebinShape.of(b) for b in bins))
        label, feature = BinningLabel(BANK, (TAX,), y, params), BinningFeature(TAX, BANK, lent, params)
        views, outcome = recorded({BANK: partial(_count, label), TAX: partial(_lend, feature)})
        told: tuple[ToldColumn, ...] = views[TAX].replay()
        found.append(
            auc(
                y,
                solved(codes, [(t.labels, t.woe) for t in told if t.woe], [t.woe is not None for t in told], y.mean()),
            )
        )
        settled: tuple[SettledColumn, ...] = outcome.results[BANK]
        every = [(s.labels, s.table.woe) for s in settled if s.table is not None]
        control.append(auc(y, solved(codes, every, [s.table is not None for s in settled], y.mean())))
    return Finding(
        23, "labels", "feature party", f"binning, iv_disclosure = {how}, {columns} columns", "solving bins for labels",
        "AUC", n, 0.5, float(np.mean(found)), float(np.mean(control)),
    )  # fmt: skip


def solved(codes: Any, told: Sequence[tuple[Any, Any]], which: Sequence[bool], share: float) -> Any:
    """The shortest labels that have the bad rows of all bins: labels of pre-bins and weights of evidence, of columns,
    and of all rows the share of bad ones.

    Shapes: codes (columns, n); `which` columns are told, in order; returns (n,), zeros where nothing is told.
    """
    rows, right = [], []
    for of, (labels, woe) in zip(codes[np.array(which, bool)], told, strict=True):
        if len(woe) < 2:
            continue
        inside = np.eye(len(woe))[labels[of]].T
        rate = _rates_of(woe, share)
        rows.append(inside - inside.mean(axis=1, keepdims=True))
        right.append(inside.sum(axis=1) * (rate - share))
    if not rows:
        return np.zeros(codes.shape[1])
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=1e-9)[0]


def label_by_a_difference(how: IvDisclosure, trials: int = 120, n: int = 4000, columns: int = 8) -> Finding:
    """The label of one row that was in one job and not in the next, by the owner of its columns, which knows which row
    it is: from how far the weights of evidence of its bins moved. Budgets of a policy are there against such jobs."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(columns, n))
    y = (rng.random(n) < 1 / (1 + np.exp(1.6 - 0.6 * X[:5].sum(axis=0)))).astype(np.uint8)
    params = BinParams(iv_disclosure=how)
    bins = [prebins_of(x, params) for x in X]
    shapes, codes = [PrebinShape.of(b) for b in bins], [b.codes(x) for b, x in zip(bins, X, strict=True)]

    def told(without: int | None) -> Any:
        counted = []
        for shape, of in zip(shapes, codes, strict=True):
            rows = np.delete(np.arange(n), without) if without is not None else np.arange(n)
            counted.append(Counted.settle(shape, BinCounts.of(of[rows], y[rows], shape.n_bins), params))
        return told_columns(tellable(counted, how, n), how)

    before = told(None)
    score = np.zeros(trials)
    for k in range(trials):
        for one, two, of in zip(before, told(k), codes, strict=True):
            if one.woe and two.woe and np.array_equal(one.labels, two.labels):
                score[k] += two.woe[one.labels[of[k]]] - one.woe[one.labels[of[k]]]
    # A guess is by the row's own columns and what both jobs tell of them.
    guess = -sum(np.array(t.woe)[t.labels[of[:trials]]] for t, of in zip(before, codes, strict=True) if t.woe)
    right = y[:trials]
    return Finding(
        23, "the label of one row", "feature party", f"binning, iv_disclosure = {how}, two jobs, one row less",
        "how far weights of evidence moved", "AUC", n, auc(right, guess), auc(right, guess + 1e6 * score),
    )  # fmt: skip
