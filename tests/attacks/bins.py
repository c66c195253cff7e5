"""Row 23: labels, from what the owner of columns is told of their bins (secretflow issue 565).

The adversary is a feature party in binning. A guess knows what the party knows before: its columns, in which direction
each one points, which share of all rows is bad. Three assets: how bad each bin is, the label of each row by one column,
and the label of each row by several columns, of which the party does not know which ones tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attacks.measures import Finding, auc
from attacks.views import View, recorded
from scipy.optimize import brentq

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import PrebinShape, few_enough, prebins_of, settle_column, taken
from fedcredit.credit.woe import BinCounts, IvDisclosure
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.binning import BinningFeature, BinningLabel, PrebinnedColumns, ToldColumn
from fedcredit.protocols.effects import Steps

__all__ = [
    "SHAPES",
    "TOLD",
    "Told",
    "bad_rows_of_bins",
    "labels_by_many_bins",
    "labels_by_one_column",
    "labels_by_several_columns",
]

BANK, TAX = PartyId("bank"), PartyId("tax")
TOLD: tuple[IvDisclosure, ...] = ("none", "rank", "rounded", "exact")
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
        views, _ = recorded({BANK: lambda: _count(label), TAX: lambda: _lend(feature)})
        self.view: View = views[TAX]
        self.told: tuple[ToldColumn, ...] = self.view.replay()
        settled = [taken(b, column.labels) for b, column in zip(self.bins, self.told, strict=True)]
        self.codes = [b.codes(x) for b, x in zip(settled, X.T, strict=True)]

    def counts(self, f: int) -> BinCounts:
        """The truth."""
        return BinCounts.of(self.codes[f], self.y, int(self.codes[f].max()) + 1)


def _count(label: BinningLabel) -> Steps[None]:
    shapes = yield from label.learn_shapes()
    (found,) = yield from label.count(0, shapes, b"i" * 32, insecure_seeded(1))
    settled = [settle_column(shape, counts, label.params) for shape, counts in zip(shapes[0], found, strict=True)]
    yield from label.tell({TAX: settled})


def _lend(party: BinningFeature) -> Steps[tuple[ToldColumn, ...]]:
    yield from party.declare()
    yield from party.lend(0, b"i" * 32, insecure_seeded(2))
    return (yield from party.hear())


def bad_rows_of_bins(shape: str, how: IvDisclosure, seed: int = 0) -> Finding:
    """How far off the bad rate of the first column's bins is, beside the guess that all bins are alike.

    Metric: one less the error over that of the guess, so 0 is the guess and 1 is every bad row of every bin counted.
    """
    case = Told(shape, how, seed=seed)
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
    return float(counts.rows @ np.abs(_solved(counts.rows, woe) - true) / off)


def _rates(case: Told, counts: BinCounts) -> Any:
    """The best that can be made of what was told of the first column: the bad rate of each bin."""
    told, rows = case.told[0], counts.rows
    overall = counts.events.sum() / case.n
    if told.woe is not None and rows.size > 1:
        return _solved(rows, np.array(told.woe))
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


def _solved(rows: Any, woe: Any) -> Any:
    """Bad rates from weights of evidence: only the overall odds are unknown, and the bins have to add up to them."""
    n = rows.sum()

    def gap(log_odds: float) -> float:
        return float(rows @ (1 / (1 + np.exp(log_odds + woe))) * (1 + np.exp(log_odds)) / n) - 1.0

    grid = np.linspace(-6, 6, 481)
    gaps = np.array([gap(at) for at in grid])
    crossings = np.flatnonzero(np.sign(gaps[:-1]) != np.sign(gaps[1:]))
    if not crossings.size:
        return np.full(rows.size, 0.5)
    # Where there are several, the counts that come out are the nearest to whole numbers.
    found = [1 / (1 + np.exp(brentq(gap, grid[k], grid[k + 1], xtol=1e-14) + woe)) for k in crossings]
    return min(found, key=lambda rates: float(np.abs(rows * rates - np.rint(rows * rates)).sum()))


def labels_by_one_column(shape: str, how: IvDisclosure, seed: int = 0) -> Finding:
    """Labels of rows from the first column. The guess goes by its values and the direction that the party knows."""
    case = Told(shape, how, seed=seed)
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
    case = Told("one way", how, seed=seed)
    told = case.told
    if how == "exact":
        score = -sum(np.array(t.woe)[codes] for t, codes in zip(told, case.codes, strict=True) if t.woe)
    elif how == "rounded":
        score = case.X @ np.sqrt([t.iv or 0.0 for t in told])
    elif how == "rank":
        score = case.X @ (1.0 / np.array([t.iv or len(told) for t in told]) ** 2)
    else:
        # Columns of one bin are the ones in which nothing was found.
        score = case.X @ np.array([float(codes.max() > 0) for codes in case.codes])
    best = case.X @ np.array([1.0, 0.25, 0.0, 0.0, 0.0])
    return Finding(
        23, "labels", "feature party", f"binning, iv_disclosure = {how}", "by several columns, weighed", "AUC", case.n,
        auc(case.y, case.X.sum(axis=1)), auc(case.y, score), auc(case.y, best),
    )  # fmt: skip


def labels_by_many_bins(n: int, columns: int, seed: int = 0) -> Finding:
    """Labels from the bad rows of every bin of many columns, none of which says anything: each bin is an equation.

    The control has all of them, as without a limit on how many are told.
    """
    rng = np.random.default_rng(seed)
    y, params = (rng.random(n) < 0.2).astype(np.uint8), BinParams(iv_disclosure="exact")
    settled, pre = [], []
    for x in rng.normal(size=(columns, n)):
        bins = prebins_of(x, params)
        pre.append(bins.codes(x))
        settled.append(settle_column(PrebinShape.of(bins), BinCounts.of(pre[-1], y, bins.n_bins), params))

    def solved(told: Any) -> float:
        kept = [(s.labels[c], s.n_bins) for s, c in zip(told, pre, strict=True) if s.n_bins > 1]
        if not kept:
            return 0.5
        inside = np.concatenate([np.eye(n_bins)[codes].T for codes, n_bins in kept])
        centred = inside - inside.mean(axis=1, keepdims=True)
        return auc(y, np.linalg.lstsq(centred, inside @ y - inside.sum(axis=1) * y.mean(), rcond=1e-9)[0])

    return Finding(
        23, "labels", "feature party", f"binning, iv_disclosure = exact, {columns} columns", "solving bins for labels",
        "AUC", n, 0.5, solved(few_enough(settled, n)), solved(settled),
    )  # fmt: skip
