"""Parameters of a scorecard, by the names that a job file has them under."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, Self, get_args

from fedcredit.credit.bands import MAX_BANDS
from fedcredit.credit.bin_params import BinParams, unknown_key
from fedcredit.credit.periods import MAX_PERIODS
from fedcredit.credit.points import PointScale, Reference
from fedcredit.credit.woe import TELL_EVIDENCE
from fedcredit.errors import ConfigError, Problem

__all__ = ["MAX_FEATURES", "ScorecardParams"]

MAX_FEATURES: Final = 40
"""Columns of a card at most: so many the information matrix, and with it standard errors, can be had for."""
MAX_REASONS: Final = 10

_NUMBERS = (
    "iv_min",
    "iv_max",
    "max_missing",
    "max_stability",
    "max_correlation",
    "max_inflation",
    "enter",
    "leave",
    "l2",
    "base_score",
    "odds",
    "pdo",
)
Signs = Literal["drop", "fixed"]

_WHOLE = ("max_features", "n_reasons", "n_bands", "periods")
_FLAGS = ("stepwise", "expected_sign", "merged_card", "period_scores")
_COLUMNS = ("weight", "offset", "time")
_CHOICES = {"reference": Reference, "signs": Signs}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardParams:
    """How a scorecard is made. A value of this type is valid.

    `bins`: how columns are binned; their owners are told "coarse" or "exact" weights of evidence, since points say as
    much. Columns stay with an information value from `iv_min` to `iv_max`, with "coarse" those that say more than
    chance does, with a share of at most `max_missing` missing, a stability index between the rows to train on and those
    held out of at most `max_stability`; of two that correlate by more than `max_correlation` the better one; none with
    a variance inflation above `max_inflation`; `max_features` at most.
    `stepwise`: columns leave while their p-value is above `leave`, and come back below `enter`. `expected_sign`: no
    column's coefficient turns against its own weight of evidence; by `signs` a column whose coefficient does is
    dropped, or coefficients are fitted under that condition, and a column that it holds at 0 leaves at the end. `l2` is
    the penalty of `fit_logistic`. `weight`, `offset`: columns of the label party that are no features. `base_score`
    points mean `odds` good rows to a bad one, `pdo` more double them. `reference`, `n_reasons`: of reason codes.
    `n_bands` of the score. `merged_card`: the label party is given everybody's points. `time`: a column that says when
    a row is from, at each party that has one of this name, and is no feature; columns' stability is then told for each
    of the latest `periods` of the rows held out, and with `period_scores` that of the total points, which the label
    party learns the spread of.

    Raises: ConfigError listing every problem (CONFIG_TYPE, CONFIG_VALUE, CONFIG_CONFLICT; from `from_mapping` also
    CONFIG_UNKNOWN_KEY with the nearest known key, and what `BinParams` raises).
    """

    bins: BinParams = field(default_factory=lambda: BinParams(iv_disclosure="coarse"))
    iv_min: float = 0.02
    iv_max: float = 10.0
    max_missing: float = 0.95
    max_stability: float = 0.25
    max_correlation: float = 0.7
    max_inflation: float = 10.0
    max_features: int = 20
    stepwise: bool = True
    enter: float = 0.05
    leave: float = 0.10
    expected_sign: bool = True
    signs: Signs = "drop"
    l2: float = 0.0
    weight: str | None = None
    offset: str | None = None
    base_score: float = 600.0
    odds: float = 50.0
    pdo: float = 20.0
    reference: Reference = "neutral"
    n_reasons: int = 4
    n_bands: int = 10
    merged_card: bool = False
    time: str | None = None
    periods: int = 12
    period_scores: bool = False

    def __post_init__(self) -> None:
        if problems := _problems({f.name: getattr(self, f.name) for f in fields(self) if f.name != "bins"}):
            raise ConfigError(problems)
        for name in _NUMBERS:
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.bins.iv_disclosure not in TELL_EVIDENCE:
            what = "must be coarse or exact in a scorecard: who knows the points of its bins knows about as much"
            raise ConfigError(Problem("CONFIG_CONFLICT", "iv_disclosure", what, "leave it out"))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The keys that a section of a job file may have."""
        own = tuple(f.name for f in fields(cls) if f.name != "bins")
        return (*(f.name for f in fields(BinParams)), *own)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Parameters from a section of a job file. Raises ConfigError with all problems at once."""
        of_bins = {f.name for f in fields(BinParams)}
        names = cls.names()
        problems = [unknown_key(str(name), names) for name in values if name not in names]
        bins = {name: value for name, value in values.items() if name in of_bins}
        own = {name: value for name, value in values.items() if name in names and name not in of_bins}
        made: dict[str, Any] = {}
        try:
            made["bins"] = BinParams.from_mapping({"iv_disclosure": "coarse"} | bins)
        except ConfigError as error:
            problems += error.problems
        try:
            found = cls(**own, **made)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        return found

    @property
    def scale(self) -> PointScale:
        """What points mean."""
        return PointScale(base_score=self.base_score, odds=self.odds, pdo=self.pdo)

    @property
    def apart(self) -> tuple[str, ...]:
        """Columns of the label party that say how its rows count, and are no features."""
        return tuple(name for name in (self.weight, self.offset) if name is not None)

    def to_mapping(self) -> dict[str, Any]:
        """All parameters, from which `from_mapping` makes equal ones."""
        own = {name: value for name, value in asdict(self).items() if name != "bins" and value is not None}
        return self.bins.to_mapping() | own


def _problems(values: Mapping[str, Any]) -> list[Problem]:
    found = []
    for name, value in values.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if name in _NUMBERS:
            fits, kind = whole or (isinstance(value, float) and math.isfinite(value)), "a finite number"
        elif name in _WHOLE:
            fits, kind = whole, "a whole number"
        elif name in _FLAGS:
            fits, kind = isinstance(value, bool), "true or false"
        elif name in _COLUMNS:
            fits, kind = value is None or (isinstance(value, str) and bool(value)), "the name of a column"
        else:
            choices = get_args(_CHOICES[name])
            fits, kind = value in choices, f"one of {', '.join(choices)}"
        if not fits:
            found.append(Problem("CONFIG_VALUE" if name in _CHOICES else "CONFIG_TYPE", name, f"must be {kind}"))
    if found:
        return found
    bounds = {
        "iv_min": (0 <= values["iv_min"] <= values["iv_max"], "must be at least 0, and at most iv_max"),
        "max_missing": (0 <= values["max_missing"] <= 1, "must be from 0 to 1"),
        "max_stability": (values["max_stability"] > 0, "must be above 0"),
        "max_correlation": (0 < values["max_correlation"] <= 1, "must be above 0 and at most 1"),
        "max_inflation": (values["max_inflation"] >= 1, "must be at least 1"),
        "max_features": (1 <= values["max_features"] <= MAX_FEATURES, f"must be from 1 to {MAX_FEATURES}"),
        "enter": (0 < values["enter"] <= values["leave"], "must be above 0, and at most leave"),
        "leave": (values["leave"] <= 1, "must be at most 1"),
        "l2": (values["l2"] >= 0, "must not be below 0"),
        "n_reasons": (1 <= values["n_reasons"] <= MAX_REASONS, f"must be from 1 to {MAX_REASONS}"),
        "periods": (2 <= values["periods"] <= MAX_PERIODS, f"must be from 2 to {MAX_PERIODS}"),
        "n_bands": (2 <= values["n_bands"] <= MAX_BANDS, f"must be from 2 to {MAX_BANDS}"),
    }
    found = [Problem("CONFIG_VALUE", name, what) for name, (fits, what) in bounds.items() if not fits]
    if values["weight"] is not None and values["weight"] == values["offset"]:
        found.append(Problem("CONFIG_CONFLICT", "offset", "is the column of the weights"))
    if values["time"] is not None and values["time"] in (values["weight"], values["offset"]):
        found.append(Problem("CONFIG_CONFLICT", "time", "is the column of the weights or of the offset"))
    if values["period_scores"] and values["time"] is None:
        found.append(Problem("CONFIG_CONFLICT", "period_scores", "needs a column of months", "set time"))
    if values["signs"] == "fixed" and not values["expected_sign"]:
        found.append(Problem("CONFIG_CONFLICT", "signs", "fixes signs that expected_sign = false leaves alone"))
    try:
        PointScale(**{name: values[name] for name in ("base_score", "odds", "pdo")})
    except ConfigError as error:
        found += error.problems
    return found
