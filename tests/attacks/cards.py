"""Row 23, of whole scorecards: what the owner of columns learns of labels by being told evidence and points.

Where columns say nothing of labels, a guess has 0.50, and whatever is found is what sums over few rows tell of the
labels that they were made of. Where columns do say something, a card says it too, by what it is for: there the guess
has this party's points of the card, and what is looked for is what the party was told beyond them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attacks.bins import solved
from attacks.measures import Finding, auc
from scorecard_cases import BANK, TAX, Case, numbers, play

from fedcredit.credit.woe import IvDisclosure

__all__ = ["labels_by_a_card"]


def labels_by_a_card(
    n: int, tells: int, noise: int, how: IvDisclosure = "coarse", seeds: Sequence[int] = (0,), strength: float = 0.4
) -> Finding:
    """Labels of the rows that a card was trained on, by a party with so many columns that tell and that say nothing.

    The attack solves all weights of evidence that it was told for labels. The control, where no column tells and for
    the first seed, has every settled bin exactly.
    """
    guess, found, control = [], [], []
    for seed in seeds:
        case = _case(n, tells, noise, strength, seed)
        cards: Any = play(case, iv_disclosure=how, iv_max=9.0)
        mine = cards[TAX]
        points = mine.part_.totals(mine.points(case.columns[TAX], n))
        guess.append(auc(case.y, -points) if mine.part_.columns else 0.5)
        found.append(auc(case.y, _read(mine.columns_, case.y)))
        if not tells and not control:
            every: Any = play(case, iv_disclosure="exact", iv_max=9.0, iv_min=0.0)
            control.append(auc(case.y, _read(every[TAX].columns_, case.y)))
    mode = f"scorecard, iv_disclosure = {how}, {tells} columns that tell, {noise} that do not"
    return Finding(
        23, "labels", "feature party", mode,
        "solving all that it was told, beside its points", "AUC", n, float(np.mean(guess)), float(np.mean(found)),
        float(np.mean(control)) if control else None,
    )  # fmt: skip


def _case(n: int, tells: int, noise: int, strength: float, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    own, X = rng.normal(size=n), rng.normal(size=(tells + noise, n))
    z = own + strength * X[:tells].sum(axis=0)
    # A fifth of the rows is bad, whatever the spread of log-odds.
    y = (rng.random(n) < 1 / (1 + np.exp(1.4 + 0.25 * z.std() - z))).astype(np.uint8)
    theirs = {f"c{k}": numbers(f"c{k}", x) for k, x in enumerate(X)}
    return Case({BANK: {"own": numbers("own", own)}, TAX: theirs}, y)


def _read(columns: Any, y: Any) -> Any:
    told = [c for c in columns if c.bins is not None and c.bins.evidence is not None]
    if not told:
        return np.zeros(y.size)
    codes = np.stack([c.bins.codes(c.column.values) for c in told])
    pairs = [(np.arange(c.bins.n_bins), c.bins.evidence) for c in told]
    return solved(codes, pairs, [True] * len(told), float(y.mean()))
