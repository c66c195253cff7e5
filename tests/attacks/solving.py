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

__all__ = ["BINS", "bins_from_totals", "found_bins"]

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
    right = [found_bins(codes, tables, y, bounds) for bounds in (None, (others, others))]
    return Finding(
        5, "bins", "label party", f"totals, {parties} parties, {columns} columns each", "solving totals for bins",
        "exact bin", n, *right,
    )  # fmt: skip


def found_bins(codes: Any, tables: Any, y: Any, bounds: tuple[Any, Any] | None) -> float:
    """The share of bins that the likeliest bin is, given bounds of the sum of points of a row, or without.

    Shapes: codes (F, n); tables (F, BINS), points of each bin; y (n,), a class that is known; bounds (n,) each.
    """
    right = np.zeros(codes.shape)
    for label in (False, True):
        rows = np.flatnonzero(y == label)
        if not rows.size:
            continue
        shares = np.stack([np.bincount(of[rows], minlength=BINS) for of in codes]) / rows.size
        for f in range(len(codes)):
            likely = np.repeat(shares[f][None], rows.size, axis=0)
            if bounds is not None:
                spread, least = np.ones(1), 0
                for other in (g for g in range(len(codes)) if g != f):
                    steps = np.zeros(int(np.ptp(tables[other])) + 1)
                    np.add.at(steps, tables[other] - tables[other].min(), shares[other])
                    spread, least = np.convolve(spread, steps), least + int(tables[other].min())
                # How likely the rest is at most so much: the difference at both bounds is what lies between.
                up_to = np.concatenate([[0.0], np.cumsum(spread)])
                low, high = (of[rows, None] - tables[f] - least for of in bounds)
                at = [up_to[np.clip(of, 0, spread.size)] for of in (low, high + 1)]
                likely = likely * (at[1] - at[0])
            right[f, rows] = likely.argmax(axis=1) == codes[f, rows]
    return float(right.mean())
