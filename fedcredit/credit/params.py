"""Parameters of a boosted tree model, under LightGBM's names."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from fedcredit.errors import ConfigError, Problem

__all__ = ["TreeParams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeParams:
    """How trees are grown. A value of this type is valid; names and meanings are LightGBM's.

    Defaults that differ from LightGBM's: `max_depth` 5 and `num_leaves` 0 (which means `2**max_depth`), because trees
    grow level by level; `max_bin` 32; `min_data_in_bin` 50, because the sums of a bin are shown to another party.

    Raises: ConfigError listing every problem (CONFIG_TYPE, CONFIG_VALUE, CONFIG_CONFLICT; from `from_mapping` also
    CONFIG_UNKNOWN_KEY with the nearest known key).
    Source: LightGBM 4.7, docs/Parameters.rst.
    """

    num_trees: int = 100
    learning_rate: float = 0.1
    max_depth: int = 5
    num_leaves: int = 0
    max_bin: int = 32
    min_data_in_bin: int = 50
    min_data_in_leaf: int = 20
    min_sum_hessian_in_leaf: float = 1e-3
    min_gain_to_split: float = 0.0
    lambda_l1: float = 0.0
    lambda_l2: float = 0.0
    feature_fraction: float = 1.0
    bagging_fraction: float = 1.0
    bagging_freq: int = 0
    early_stopping_round: int = 0
    scale_pos_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if problems := _problems({name: getattr(self, name) for name in _RANGES}):
            raise ConfigError(problems)
        for name in _FLOATS:
            object.__setattr__(self, name, float(getattr(self, name)))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Parameters from a section of a job file. Raises ConfigError with all problems at once."""
        problems = [_unknown(str(name)) for name in values if name not in _RANGES]
        known = {name: value for name, value in values.items() if name in _RANGES}
        defaults = {field.name: field.default for field in fields(cls)}
        problems += _problems(defaults | known)
        if problems:
            raise ConfigError(problems)
        return cls(**known)

    @property
    def max_leaves(self) -> int:
        """Leaves a tree may have: `num_leaves`, but never more than its depth allows."""
        full = 1 << self.max_depth
        return min(self.num_leaves, full) if self.num_leaves else full


@dataclass(frozen=True, slots=True)
class _Range:
    """The interval [low, high] of a parameter, without `low` itself if `above`."""

    low: float
    high: float
    above: bool = False
    whole: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'above' if self.above else 'at least'} {self.low:g}"
        return f"{'above' if self.above else 'from'} {self.low:g} to {self.high:g}"


_RANGES: dict[str, _Range] = {
    "num_trees": _Range(1, 10_000, whole=True),
    "learning_rate": _Range(0, 1, above=True),
    "max_depth": _Range(1, 10, whole=True),
    "num_leaves": _Range(0, 1024, whole=True),
    "max_bin": _Range(2, 256, whole=True),
    "min_data_in_bin": _Range(1, 2**31 - 1, whole=True),
    "min_data_in_leaf": _Range(1, 2**31 - 1, whole=True),
    "min_sum_hessian_in_leaf": _Range(0, math.inf),
    "min_gain_to_split": _Range(0, math.inf),
    "lambda_l1": _Range(0, math.inf),
    "lambda_l2": _Range(0, math.inf),
    "feature_fraction": _Range(0, 1, above=True),
    "bagging_fraction": _Range(0, 1, above=True),
    "bagging_freq": _Range(0, 10_000, whole=True),
    "early_stopping_round": _Range(0, 10_000, whole=True),
    "scale_pos_weight": _Range(0, 1e6, above=True),
    "seed": _Range(0, 2**31 - 1, whole=True),
}
_FLOATS = tuple(name for name, bounds in _RANGES.items() if not bounds.whole)


def _problems(values: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with `values`, which has every parameter."""
    found = [problem for name, bounds in _RANGES.items() if (problem := _problem(name, values[name], bounds))]
    if found:
        return found
    if values["num_leaves"] == 1:
        what = "a tree of one leaf splits nothing"
        found.append(Problem("CONFIG_VALUE", "num_leaves", what, "set 2 or more, or 0 for 2**max_depth"))
    if values["bagging_fraction"] < 1 and values["bagging_freq"] == 0:
        # LightGBM ignores the fraction here without a word; we refuse rather than change what was asked for.
        fix = "set bagging_freq = 1, or drop bagging_fraction"
        found.append(Problem("CONFIG_CONFLICT", "bagging_fraction", "has no effect while bagging_freq is 0", fix))
    return found


def _problem(name: str, value: object, bounds: _Range) -> Problem | None:
    kinds = (int,) if bounds.whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return Problem("CONFIG_TYPE", name, f"must be a {'whole number' if bounds.whole else 'number'}")
    assert isinstance(value, (int, float))
    if not _finite(value) or value not in bounds:
        return Problem("CONFIG_VALUE", name, f"must be {bounds}")
    return None


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False  # a whole number with more digits than a float has


def _unknown(name: str) -> Problem:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), _RANGES, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(_RANGES))}"
    return Problem("CONFIG_UNKNOWN_KEY", name, "unknown key", fix)
