"""Row 5, of a scorecard: the points of other parties, from how total points are spread (the tally).

The adversary is the label party. It has the counts of good and bad rows by total level, its own level and the label of
every row. Which others' points go with a row has to fit: with the row's own level they make a total that is there, as
often as it is there. The attack weighs all ways in which own levels and totals fit (iterative proportional fitting,
within the range of the others' points), and takes the mean. The guess has no counts: the label alone, since worse rows
have fewer points. The partner and a further party are tried with the numbers of rows that they see.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attacks.measures import Finding, above_median, auc, read
from attacks.views import View, noting, recorded

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.tally import CardPoints, Tally, TallyFeature, TallyLabel, TallyPartner, TallyShape, feature
from fedcredit.protocols.tally import label as label_side
from fedcredit.wire.groupsum import Corrections, LevelSums
from fedcredit.wire.tally import LevelShares

__all__ = ["Totals", "numbers_of_rows", "points_from_counts", "rows_at_the_ends"]

BANK, TAX, WATER = PARTIES = tuple(map(PartyId, ("bank", "tax", "water")))


class Totals:
    """Whole points of some parties that each say something of labels, and the tally of them."""

    def __init__(self, n: int, parties: int = 2, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(parties, n))
        self.n, self.parties = n, PARTIES[:parties]
        self.y = (rng.random(n) < 1 / (1 + np.exp(1.5 + x.sum(axis=0)))).astype(np.uint8)
        points = np.clip(np.rint(12 * x), -30, 30).astype(np.int64)
        self.points = {p: CardPoints(of, -30, 30) for p, of in zip(self.parties, points, strict=True)}
        shape = TallyShape(b"t" * 32, BANK, self.parties[1:], n)
        roles: dict[PartyId, Any] = {
            BANK: lambda: TallyLabel(shape, self.points[BANK], self.y).steps(insecure_seeded(seed, BANK)),
            TAX: lambda: TallyPartner(shape, self.points[TAX]).steps(insecure_seeded(seed, TAX)),
            WATER: lambda: TallyFeature(shape, WATER, self.points[WATER]).steps(insecure_seeded(seed, WATER)),
        }
        self.view, _ = recorded({party: roles[party] for party in self.parties})
        self.tally: Tally = self.view[BANK].replay()
        self.others = sum(self.points[p].values for p in self.parties[1:])


def points_from_counts(n: int, parties: int = 2, seeds: range = range(1)) -> Finding:
    """The others' points of each row, from the counts and what the label party has of its own."""
    guesses, found, control = [], [], []
    for seed in seeds:
        case = Totals(n, parties, seed)
        target = above_median(case.others)
        guesses.append(auc(target, -case.y.astype(float)))
        found.append(auc(target, _fitted(case)))
        # A view that leaks: the total of every row. The label party subtracts its own points.
        total = case.others + case.points[BANK].values
        control.append(auc(target, total - case.points[BANK].values))
    return Finding(
        5, "points of other parties", "label party", f"tally, {parties} parties", "fitting totals to own points", "AUC",
        n, float(np.mean(guesses)), float(np.mean(found)), float(np.mean(control)),
    )  # fmt: skip


def _fitted(case: Totals) -> Any:
    """The mean of the others' level of each row, over the ways in which own levels and totals of its class fit."""
    levels = case.points[BANK].levels(case.tally.step).astype(int)
    score = np.zeros(case.n)
    own, totals = np.arange(levels.max() + 1)[:, None], np.arange(len(case.tally.counts))[None]
    others = totals - own
    width = sum(-(-case.points[p].width // case.tally.step) for p in case.parties[1:])
    fits = ((others >= 0) & (others <= width)).astype(float)
    for label in (0, 1):
        rows = case.y == label
        wanted = np.bincount(levels[rows], minlength=len(own)).astype(float)
        counts = case.tally.counts[:, label].astype(float)
        prior = _deconvolved(wanted, counts, fits.shape[1])
        table = fits * prior[np.clip(others, 0, None)] + 1e-12 * fits
        for _ in range(300):
            table *= (wanted / np.maximum(table.sum(axis=1), 1e-300))[:, None]
            table *= counts / np.maximum(table.sum(axis=0), 1e-300)
        mean = (table * others).sum(axis=1) / np.maximum(table.sum(axis=1), 1e-300)
        score[rows] = mean[levels[rows]]
    return score


def _deconvolved(own: Any, totals: Any, size: int) -> Any:
    """How the others' levels are spread, if they go with own ones at random: by expectation and maximisation."""
    share = own / own.sum()
    matrix = np.array([[share[s - b] if 0 <= s - b < share.size else 0.0 for b in range(size)] for s in range(size)])
    spread = np.full(size, 1 / size)
    for _ in range(200):
        spread *= matrix.T @ (totals / totals.sum() / np.maximum(matrix @ spread, 1e-300))
    return spread


def rows_at_the_ends(n: int, seeds: range) -> Finding:
    """The share of rows of which the others' level follows for certain: what no total allows otherwise."""
    shares = []
    for seed in seeds:
        case = Totals(n, 2, seed)
        levels = case.points[BANK].levels(case.tally.step).astype(int)
        width = -(-case.points[TAX].width // case.tally.step)
        present = case.tally.counts[:, case.y] > 0
        possible = np.zeros((case.n, width + 1), bool)
        for b in range(width + 1):
            total = levels + b
            inside = total < len(case.tally.counts)
            possible[inside, b] = present[total[inside], np.flatnonzero(inside)]
        shares.append(float((possible.sum(axis=1) == 1).mean()))
    return Finding(
        5, "points of other parties", "label party", "tally, 2 parties", "rows that only one total fits",
        "share of rows", n, 0.0, float(np.mean(shares)),
    )  # fmt: skip


def numbers_of_rows(case: Totals) -> list[Finding]:
    """Everything that a party of three holds about each row, read with the truth about half of the rows."""
    with noting((label_side, "receive_levels")) as at_bank:
        case.view[BANK].replay()
    with noting((feature, "receive_levels")) as at_tax:
        case.view[TAX].replay()
    shares = [calls[0].result for calls in (at_bank, at_tax)]
    attack = "shares and corrections, read with half the truth"
    together = (shares[0] + shares[1]) & np.uint8(127)
    found = []
    for me, share, other in ((BANK, shares[0], WATER), (TAX, shares[1], WATER)):
        target = above_median(case.points[other].values)
        channels = [share, *_words(case.view[me], case.n)]
        guess = 0.5
        clear = [together]
        if me == BANK:
            channels, clear = [*channels, case.y], [together, case.y]
            guess = read([case.y], target)
        who = "label party" if me == BANK else "partner"
        found.append(
            Finding(
                5, "points of the further party", who, "tally, 3 parties", attack,
                "AUC", case.n, guess, read(channels, target), read(clear, target),
            )
        )  # fmt: skip
    words = _words(case.view[TAX], case.n)
    target = above_median(case.points[BANK].values)
    found.append(
        Finding(
            5, "points of the label party", "partner", "tally, 3 parties", attack,
            "AUC", case.n, 0.5, read([shares[1], *words], target), read([*words, case.points[BANK].values], target),
        )
    )  # fmt: skip
    return found


def _words(view: View, n: int) -> list[Any]:
    """Some of the words of each row that came with corrections and trees, and shares as they came."""
    found: list[Any] = []
    rows = [m.words[0].astype(np.float64) for m in view.of(Corrections)]
    if rows and sum(len(r) for r in rows) == n:
        found += list(np.concatenate(rows)[:, ::16].T)
    blocks = [m.blocks.reshape(len(m.blocks), -1).astype(np.float64) for m in view.of(LevelSums)]
    if blocks and sum(len(b) for b in blocks) == n:
        found += list(np.concatenate(blocks).T)
    shares = view.of(LevelShares)
    return [*found, np.concatenate([m.words for m in shares])] if shares else found
