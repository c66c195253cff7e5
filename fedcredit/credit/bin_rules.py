"""Bins in the open: what has to hold of a value that goes into a bin, for whoever scores without this package."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedcredit.credit.scorecard_bins import ScorecardBins

__all__ = ["BinRule", "bin_rules"]


@dataclass(frozen=True, slots=True)
class BinRule:
    """What goes into a bin; a value goes there for any one of these reasons.

    `special`: values that are codes; asked first, wherever they lie. `missing`: missing values. `values`: numbers from
    `low` on and below `high`, None for no bound. `levels`: numbers of levels; `other`: every level in no bin's
    `levels`, those that training did not see among them. Every value fits exactly one bin.
    """

    special: tuple[float, ...]
    missing: bool
    values: bool
    low: float | None
    high: float | None
    levels: tuple[int, ...]
    other: bool


def bin_rules(bins: ScorecardBins) -> tuple[BinRule, ...]:
    """The rule of each bin, in the order of the codes."""
    return tuple(_rule(bins, code) for code in range(bins.n_bins))


def _rule(bins: ScorecardBins, code: int) -> BinRule:
    special = tuple(value for value, to in zip(bins.special, bins.special_codes, strict=True) if to == code)
    missing = bins.values.missing_code == code
    # Where training saw nothing but missing values, any other is treated as one of them.
    holds = code < bins.n_values or (bins.n_values == 0 and missing)
    if bins.groups is None:
        # The split after the largest float is infinite: no number is beyond it.
        bounds = [None, *bins.splits, None]
        low, high = (bounds[code], bounds[code + 1]) if code < bins.n_values else (None, None)
        holds = holds and low != math.inf
        return BinRule(special, missing, holds, low, None if high == math.inf else high, (), other=False)
    edges = [-0.5, *bins.values.edges, float(len(bins.groups))]
    if not holds:
        places: list[int] = []
    elif bins.n_values == 0:
        places = list(range(len(bins.groups)))
    else:
        places = [place for place in range(len(bins.groups)) if edges[code] < place <= edges[code + 1]]
    levels = tuple(level for place in places for level in bins.groups[place])
    other = bins.other in places or (bins.n_values == 0 and holds)
    return BinRule(special, missing, False, None, None, levels, other)
