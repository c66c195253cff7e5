"""Row 5, of a scorecard whose total points of rows are shown: equation solving (arXiv 2010.10152).

The adversary is the label party. Having made the card it knows which points the bins of others' columns give, by opaque
number, and how many good and bad rows each bin has. A total less its own points is a sum of one number of each table:
some bins are likelier to make it than others. The guess has all of this but the totals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attacks.measures import Finding
from attacks.views import recorded

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.totals import TotalsFeature, TotalsLabel, TotalsPartner, TotalsShape

__all__ = ["bins_from_totals"]

BANK, TAX, WATER = PARTIES = tuple(map(PartyId, ("bank", "tax", "water")))
BINS = 5


def bins_from_totals(n: int, columns: int, parties: int = 2, seed: int = 0) -> Finding:
    """The share of bins found exactly, over all others' columns; `columns` at each of the other parties."""
    rng = np.random.default_rng(seed)
    count = columns * (parties - 1)
    codes = rng.integers(0, BINS, (count, n))
    tables = np.sort(rng.integers(-25, 26, (count, BINS)), axis=1)
    points = np.take_along_axis(tables, codes, axis=1)
    y = rng.random(n) < 1 / (1 + np.exp(1.5 + points.sum(axis=0) / 20))
    own = rng.integers(-30, 31, n)
    of_party = [own, *(part.sum(axis=0) for part in np.split(points, parties - 1))]
    shape = TotalsShape(BANK, PARTIES[1:parties], n)
    roles: dict[PartyId, Any] = {
        BANK: lambda: TotalsLabel(shape, of_party[0]).steps(),
        TAX: lambda: TotalsPartner(shape, of_party[1]).steps(),
        WATER: lambda: TotalsFeature(shape, of_party[2]).steps(insecure_seeded(seed, WATER)),
    }
    views, _ = recorded({party: roles[party] for party in PARTIES[:parties]})
    others = views[BANK].replay() - own
    right = [_found(codes, tables, y, sums) for sums in (None, others)]
    return Finding(
        5, "bins", "label party", f"totals, {parties} parties, {columns} columns each", "solving totals for bins",
        "exact bin", n, *right,
    )  # fmt: skip


def _found(codes: Any, tables: Any, y: Any, sums: Any | None) -> float:
    """The share of bins that the likeliest bin is, given the sum of points of a row, or without."""
    right = np.zeros(codes.shape)
    low = int(tables.min(axis=1).sum())
    width = int(tables.max(axis=1).sum()) - low + 1
    for label in (False, True):
        rows = np.flatnonzero(y == label)
        shares = np.stack([np.bincount(of[rows], minlength=BINS) for of in codes]) / rows.size
        for f in range(len(codes)):
            likely = np.repeat(shares[f][None], rows.size, axis=0)
            if sums is not None:
                spread = np.ones(1)
                for other in (g for g in range(len(codes)) if g != f):
                    steps = np.zeros(int(np.ptp(tables[other])) + 1)
                    np.add.at(steps, tables[other] - tables[other].min(), shares[other])
                    spread = np.convolve(spread, steps)
                rest = sums[rows, None] - tables[f] - (low - tables[f].min())
                inside = (rest >= 0) & (rest < spread.size) & (rest < width)
                likely = likely * np.where(inside, spread[np.clip(rest, 0, spread.size - 1)], 0.0)
            right[f, rows] = likely.argmax(axis=1) == codes[f, rows]
    return float(right.mean())
