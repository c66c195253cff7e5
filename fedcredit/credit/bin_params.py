"""Parameters of federated binning, by the names that a job file has them under."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from fedcredit.credit.binning import MAX_BIN
from fedcredit.credit.joining import MIN_CLASS, MIN_ROWS, Floor
from fedcredit.credit.optimal import MAX_BINS, BinLimits, Trend
from fedcredit.credit.woe import IvDisclosure
from fedcredit.errors import ConfigError, Problem

__all__ = ["BinParams", "Method", "unknown_key"]

Method = Literal["optimal", "chimerge", "quantile", "width"]
"""How bins are made: of pre-bins the best or those that differ, or as they are cut."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "method": get_args(Method),
    "monotone": get_args(Trend),
    "small": ("merge", "refuse"),
    "iv_disclosure": get_args(IvDisclosure),
}
_FLOORS = {"min_rows": MIN_ROWS, "min_events": MIN_CLASS, "min_non_events": MIN_CLASS}
_FLOATS = ("min_share", "min_rate_diff", "max_p_value", "turn_gain", "p_value")
_ONLY: dict[str, tuple[str, ...]] = {
    "prebins": ("optimal", "chimerge"),
    "p_value": ("chimerge",),
    **dict.fromkeys(("monotone", "min_share", "min_rate_diff", "max_p_value", "turn_gain"), ("optimal",)),
    "min_bins": ("optimal", "chimerge"),
}
"""Which methods look at a parameter; the others are all methods'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinParams:
    """How columns are binned, and what their owners are told. A value of this type is valid.

    `method`: "optimal" and "chimerge" join `prebins` small bins of about equal numbers of rows, "quantile" and "width"
    cut at most `max_bin` bins at once. `monotone` and the limits of optimal bins are those of `BinLimits`, `p_value`
    that of `chi_merge`. No bin has fewer than `min_rows` rows, `min_events` bad or `min_non_events` good ones; `small`
    says whether such a bin is joined or its column refused. `iv_disclosure`: see `woe.IvDisclosure`.

    Raises: ConfigError listing every problem (CONFIG_TYPE, CONFIG_VALUE, CONFIG_FLOOR; from `from_mapping` also
    CONFIG_UNKNOWN_KEY with the nearest known key, and CONFIG_CONFLICT for one that the method does not look at).
    """

    method: Method = "optimal"
    max_bin: int = 10
    prebins: int = 16
    monotone: Trend = "auto"
    min_bins: int = 1
    min_share: float = 0.05
    min_rows: int = MIN_ROWS
    min_events: int = MIN_CLASS
    min_non_events: int = MIN_CLASS
    min_rate_diff: float = 0.0
    max_p_value: float = 1.0
    turn_gain: float = 0.1
    p_value: float = 0.05
    small: Literal["merge", "refuse"] = "merge"
    iv_disclosure: IvDisclosure = "none"

    def __post_init__(self) -> None:
        if problems := _problems({field.name: getattr(self, field.name) for field in fields(self)}):
            raise ConfigError(problems)
        for name in _FLOATS:
            object.__setattr__(self, name, float(getattr(self, name)))
        self._limits(self.monotone)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Parameters from a section of a job file. Raises ConfigError with all problems at once."""
        names = [field.name for field in fields(cls)]
        known = {name: value for name, value in values.items() if name in names}
        problems = [unknown_key(str(name), names) for name in values if name not in names]
        try:
            params = cls(**known)
        except ConfigError as error:
            problems += error.problems
        else:
            for name, methods in _ONLY.items():
                if name in known and params.method not in methods:
                    what = f"has no effect with method = {params.method!r}"
                    problems.append(Problem("CONFIG_CONFLICT", name, what, f"drop it, or set method = {methods[0]!r}"))
        if problems:
            raise ConfigError(problems)
        return params

    @property
    def cuts(self) -> int:
        """How many bins a column is cut into before any counts are known."""
        return self.prebins if self.method in ("optimal", "chimerge") else self.max_bin

    @property
    def floor(self) -> Floor:
        """What every bin has at least."""
        return Floor(self.min_rows, self.min_events, self.min_non_events)

    def limits(self, *, levels: bool) -> BinLimits:
        """The limits of optimal bins. Groups of levels are in the order of their bad rates, which can only rise."""
        return self._limits("ascending" if levels else self.monotone)

    def to_mapping(self) -> dict[str, Any]:
        """All parameters that the method looks at, from which `from_mapping` makes equal ones."""
        asked = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in asked.items() if self.method in _ONLY.get(name, (self.method,))}

    def _limits(self, trend: Trend) -> BinLimits:
        return BinLimits(
            trend=trend,
            min_bins=self.min_bins,
            max_bins=self.max_bin,
            min_share=self.min_share,
            min_rows=self.min_rows,
            min_events=self.min_events,
            min_non_events=self.min_non_events,
            min_rate_diff=self.min_rate_diff,
            max_p_value=self.max_p_value,
            turn_gain=self.turn_gain,
        )


def _problems(values: Mapping[str, Any]) -> list[Problem]:
    found = []
    for name, value in values.items():
        if name in _CHOICES:
            if value not in _CHOICES[name]:
                found.append(Problem("CONFIG_VALUE", name, f"must be one of {', '.join(_CHOICES[name])}"))
        elif isinstance(value, bool) or not isinstance(value, int | float if name in _FLOATS else int):
            found.append(Problem("CONFIG_TYPE", name, f"must be a {'number' if name in _FLOATS else 'whole number'}"))
    if found:
        return found
    bounds = {
        "max_bin": (2 <= values["max_bin"] <= MAX_BINS, f"must be from 2 to {MAX_BINS}"),
        "prebins": (2 <= values["prebins"] <= MAX_BIN, f"must be from 2 to {MAX_BIN}"),
        "min_rows": (values["min_rows"] < 2**31, "must be below 2147483648"),
        "p_value": (0 < values["p_value"] < 1, "must be above 0 and below 1"),
    }
    found = [Problem("CONFIG_VALUE", name, what) for name, (fits, what) in bounds.items() if not fits]
    for name, least in _FLOORS.items():
        if values[name] < least:
            fix = "statistics of fewer rows single people out"
            found.append(Problem("CONFIG_FLOOR", name, f"is below {least}", fix))
    return found


def unknown_key(name: str, known: Sequence[str]) -> Problem:
    """What is wrong with a key that there is not, and which one was meant."""
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"
    return Problem("CONFIG_UNKNOWN_KEY", name, "unknown key", fix)
