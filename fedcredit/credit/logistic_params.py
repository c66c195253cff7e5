"""Parameters of a joint logistic regression on numeric columns, by the names that a job file has them under."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from fedcredit.credit.bands import MAX_BANDS
from fedcredit.credit.bin_params import unknown_key
from fedcredit.credit.points import PointScale
from fedcredit.errors import ConfigError, Problem

__all__ = ["LogisticParams"]

_NUMBERS = ("l2", "base_score", "odds", "pdo")
_MISSING = ("mean", "refuse")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticParams:
    """How coefficients of numeric columns are fitted. A value of this type is valid.

    `l2`: the penalty of `fit_logistic`, on coefficients of columns put to mean 0 and mean square 1. `standard_errors`:
    they take an information matrix, which is to be had for 40 columns of all parties together. `missing`: a missing
    value counts as the mean of its column's training rows, or the column is refused. `weight`, `offset`: columns of the
    label party that are no features. `base_score`, `odds`, `pdo`: the scale on which scores are tallied, see
    `PointScale`. `n_bands` of the score.

    Raises: ConfigError listing every problem (CONFIG_TYPE, CONFIG_VALUE, CONFIG_CONFLICT; from `from_mapping` also
    CONFIG_UNKNOWN_KEY with the nearest known key).
    """

    l2: float = 0.0
    standard_errors: bool = True
    missing: Literal["mean", "refuse"] = "mean"
    weight: str | None = None
    offset: str | None = None
    base_score: float = 600.0
    odds: float = 50.0
    pdo: float = 20.0
    n_bands: int = 10

    def __post_init__(self) -> None:
        if problems := _problems(asdict(self)):
            raise ConfigError(problems)
        for name in _NUMBERS:
            object.__setattr__(self, name, float(getattr(self, name)))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The keys that a section of a job file may have."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Parameters from a section of a job file. Raises ConfigError with all problems at once."""
        problems = [unknown_key(str(name), cls.names()) for name in values if name not in cls.names()]
        try:
            found = cls(**{name: value for name, value in values.items() if name in cls.names()})
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        return found

    @property
    def scale(self) -> PointScale:
        """What points mean."""
        return PointScale(base_score=self.base_score, odds=self.odds, pdo=self.pdo)

    def to_mapping(self) -> dict[str, Any]:
        """All parameters, from which `from_mapping` makes equal ones."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def _problems(values: Mapping[str, Any]) -> list[Problem]:
    found = []
    for name, value in values.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        code = "CONFIG_TYPE"
        if name in _NUMBERS:
            fits, kind = whole or (isinstance(value, float) and math.isfinite(value)), "a finite number"
        elif name == "standard_errors":
            fits, kind = isinstance(value, bool), "true or false"
        elif name == "n_bands":
            fits, kind = whole, "a whole number"
        elif name == "missing":
            fits, kind, code = value in _MISSING, f"one of {', '.join(_MISSING)}", "CONFIG_VALUE"
        else:
            fits, kind = value is None or (isinstance(value, str) and bool(value)), "the name of a column"
        if not fits:
            found.append(Problem(code, name, f"must be {kind}"))
    if found:
        return found
    if values["l2"] < 0:
        found.append(Problem("CONFIG_VALUE", "l2", "must not be below 0"))
    if not 2 <= values["n_bands"] <= MAX_BANDS:
        found.append(Problem("CONFIG_VALUE", "n_bands", f"must be from 2 to {MAX_BANDS}"))
    if values["weight"] is not None and values["weight"] == values["offset"]:
        found.append(Problem("CONFIG_CONFLICT", "offset", "is the column of the weights"))
    try:
        PointScale(**{name: values[name] for name in ("base_score", "odds", "pdo")})
    except ConfigError as error:
        found += error.problems
    return found
