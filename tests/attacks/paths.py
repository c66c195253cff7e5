"""Row 5, of scores of trees: a provider's columns, from the raw score (path restriction, arXiv 2010.10152).

The adversary is a bank that knows every tree, with the weights of leaves and which bin of which foreign column each
split is at, and its own columns of a subject. It tries all bins that the foreign columns can have: those are left that
give the score that it was told, or one of the band. Before, each is as likely as any other.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from attacks.measures import Finding

from fedcredit.credit.centralised import train_centralised
from fedcredit.credit.params import TreeParams

__all__ = ["Forest", "bins_from_paths"]

OWN, THEIRS, BINS, ROWS = 3, 3, 8, 4000
SAME = 2.0**-24
"""Of a raw score: what fixed point leaves of it."""


class Forest:
    """Trees over columns of a bank and of a provider, and what every combination of foreign bins scores."""

    def __init__(self, trees: int, subjects: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, BINS, (ROWS, OWN + THEIRS)).astype(np.uint8)
        logit = (codes @ rng.normal(size=OWN + THEIRS)) / 4
        y = (rng.random(ROWS) < 1 / (1 + np.exp(1.5 + logit.mean() - logit))).astype(np.uint8)
        params = TreeParams(num_trees=trees, max_depth=4, learning_rate=0.2, min_data_in_leaf=20)
        model = train_centralised(codes, np.full(OWN + THEIRS, BINS), np.zeros(OWN + THEIRS, np.bool_), y, params)
        self.trees, self.scores = len(model.trees), model.raw_score(codes)
        self.codes = codes[rng.permutation(ROWS)[:subjects]]
        self.every = np.array(list(itertools.product(range(BINS), repeat=THEIRS)), np.uint8)
        tried = np.concatenate(
            [np.repeat(self.codes[:, :OWN], len(self.every), axis=0), np.tile(self.every, (subjects, 1))], axis=1
        )
        self.tried = model.raw_score(tried).reshape(subjects, len(self.every))
        self.told = model.raw_score(self.codes)

    def left(self, bands: int) -> Any:
        """Which combinations are left of each subject, of the score or of one of so many bands: (subjects, all)."""
        if bands == 0:
            left = np.abs(self.tried - self.told[:, None]) <= SAME
        else:
            edges = np.quantile(self.scores, np.arange(1, bands) / bands)
            left = np.searchsorted(edges, self.tried) == np.searchsorted(edges, self.told)[:, None]
        return left


def bins_from_paths(forest: Forest, bands: int = 0) -> list[Finding]:
    """The share of foreign bins found exactly, and how many of the nine bits of them, by one answer about each subject.

    `bands`: how many there are of the raw score, as often as each other; 0 for the score itself.
    """
    left, subjects, right = forest.left(bands), len(forest.codes), []
    for column in range(THEIRS):
        # Of each subject, how many combinations that are left have each bin.
        counts = np.stack([left[:, forest.every[:, column] == of].sum(axis=1) for of in range(BINS)], axis=1)
        best = counts == counts.max(axis=1, keepdims=True)
        true = forest.codes[:, OWN + column]
        right.append(best[np.arange(subjects), true] / best.sum(axis=1))
    bits = np.log2(len(forest.every)) - np.log2(left.sum(axis=1))
    mode = f"scores of {forest.trees} trees, {f'{bands} bands' if bands else 'raw score'}"
    who, attack = "bank", "path restriction"
    return [
        Finding(5, "bins", who, mode, attack, "exact bin", subjects, 1 / BINS, float(np.mean(right))),
        Finding(5, "bins", who, mode, attack, "bits of 9", subjects, 0.0, float(bits.mean())),
    ]
