"""Bins in the open: what has to hold of a value that goes into a bin, for whoever scores without this package."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedcredit.credit.scorecard_bins import ScorecardBins

__all__ = ["BinRule", "bin_rules"]


@dataclass(frozen=True, slots=True)
class BinRule:
    """What goes into a bin; a value goes there for any one of these reasons.

    `special`: values that are codes; asked first, wherever they lie. `missing`: missing values. `values`: numbers from
    `low` on and below `high`, None for no bound. `levels`: numbers of levels; `other`: every further level, which
    training did not see. Every value fits exactly one bin.
    """

    special: tuple[float, ...]
    missing: bool
    values: bool
    low: float | None
    high: float | None
    levels: tuple[int, ...]
    other: bool


def bin_rules(bins: ScorecardBins, levels: int = 0, unseen: int | None = None) -> tuple[BinRule, ...]:
    """The rule of each bin, in the order of the codes.

    `levels`: how many levels a categorical column had in training. `unseen`: the number that stands for any other, by
    default one that no level has.
    """
    if bins.groups is None:
        return tuple(_of_numbers(bins, code) for code in range(bins.n_bins))
    numbers = np.array([*range(levels), levels if unseen is None else unseen], np.float64)
    *to, rest = bins.codes(numbers).tolist()
    missing = bins.values.missing_code
    return tuple(
        BinRule(
            (),
            code == missing,
            False,
            None,
            None,
            tuple(level for level, there in enumerate(to) if there == code),
            code == rest,
        )
        for code in range(bins.n_bins)
    )


def _of_numbers(bins: ScorecardBins, code: int) -> BinRule:
    special = tuple(value for value, to in zip(bins.special, bins.special_codes, strict=True) if to == code)
    missing = bins.values.missing_code == code
    # Where training saw nothing but missing values, any other is treated as one of them.
    holds = code < bins.n_values or (bins.n_values == 0 and missing)
    # The split after the largest float is infinite: no number is beyond it.
    bounds = [None, *bins.splits, None]
    low, high = (bounds[code], bounds[code + 1]) if code < bins.n_values else (None, None)
    holds = holds and low != math.inf
    return BinRule(special, missing, holds, low, None if high == math.inf else high, (), other=False)
