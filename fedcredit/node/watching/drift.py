"""How far the scores of a version have moved from one month to another, and what two versions say of the same subjects.

Bands are cut where the earlier scores fall into ten parts, as is customary, or where the caller cuts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.bands import ScoreBands
from fedcredit.credit.metrics import stability_reading
from fedcredit.errors import DataError, Problem, UsageError
from fedcredit.governance.registry.drift import MILLIONTHS
from fedcredit.node.watching.score_files import FileScore
from fedcredit.node.watching.state import WatchState

__all__ = ["LEAST_SCORES", "Compared", "Drifted", "compared", "drift", "drift_of_months"]

I64: TypeAlias = npt.NDArray[np.int64]

LEAST_SCORES: Final = 100
"""Fewer say nothing of a distribution in ten bands, and might be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """Scores beside earlier ones. `index`: rounded to millionths; `rows`: of each band, worst first, how many there
    were and are; `shift`: of the mean, in points."""

    index: float
    scores: int
    before: int
    shift: float
    cutoffs: tuple[float, ...]
    rows: tuple[tuple[int, int], ...]

    @property
    def says(self) -> str:
        """What the index comes to, in a word."""
        return stability_reading(self.index)

    def document(self) -> dict[str, Any]:
        """As JSON has it. The bands are the bank's own to see."""
        bounds = [None, *self.cutoffs, None]
        bands = [
            {"from": bounds[k], "to": bounds[k + 1], "before": old, "now": new}
            for k, (old, new) in enumerate(self.rows)
        ]
        same = {"index": self.index, "says": self.says, "scores": self.scores, "before": self.before}
        return {**same, "mean_shift": round(self.shift, 3), "bands": bands}


def drift(earlier: I64, now: I64, cutoffs: Sequence[float] = (), what: str = "scores") -> Drifted:
    """The stability index of scores beside earlier ones. Shapes: (n,), (m,).

    Raises: DataError (DRIFT_FEW; BANDS_INVALID).
    """
    for name, values in (("before", earlier), ("now", now)):
        if len(values) < LEAST_SCORES:
            said, fix = f"has {len(values)} scores {name}", f"takes {LEAST_SCORES} at least"
            raise DataError(Problem("DRIFT_FEW", what, said, fix))
    before, after = earlier.astype(np.float64), now.astype(np.float64)
    bands = ScoreBands(tuple(cutoffs)) if cutoffs else ScoreBands.fit(before)
    old, new = (np.bincount(bands.bands(values), minlength=bands.n_bands) for values in (before, after))
    return Drifted(
        index=round(bands.stability(before, after) * MILLIONTHS) / MILLIONTHS,
        scores=len(now),
        before=len(earlier),
        shift=float(after.mean() - before.mean()),
        cutoffs=bands.cutoffs,
        rows=tuple(zip(old.tolist(), new.tolist(), strict=True)),
    )


def drift_of_months(
    state: WatchState, version: int | None, against: str | None, cutoffs: Sequence[float] = ()
) -> tuple[int, str, list[tuple[str, Drifted]]]:
    """Of a version, the month that others are held against, by default its first, and the drift of each later one.

    Months with less than `LEAST_SCORES` scores of the version are left out. Without `version` it is the last month's.
    Raises: DataError (DRIFT_FEW, WATCH_STATE), UsageError where the last month has several versions.
    """
    by_month = {month: state.scores(month) for month in state.months()}
    number = _only(by_month, state.model) if version is None else version
    scores = {month: found[number] for month, found in by_month.items() if len(found.get(number, ())) >= LEAST_SCORES}
    where = f"{state.model} {number}"
    first = against or min(scores, default="")
    if first not in scores:
        what = f"has no month with {LEAST_SCORES} scores" if against is None else f"has too few scores in {against}"
        raise DataError(Problem("DRIFT_FEW", where, what, "fedcredit watch list"))
    later = [month for month in sorted(scores) if month > first]
    return number, first, [(month, drift(scores[first], scores[month], cutoffs, where)) for month in later]


def _only(by_month: Mapping[str, Mapping[int, I64]], model: str) -> int:
    last = next((found for _, found in sorted(by_month.items(), reverse=True) if found), {})
    if len(last) == 1:
        return next(iter(last))
    if not last:
        raise DataError(Problem("DRIFT_FEW", model, "has no scores that are kept", "fedcredit watch run"))
    numbers = ", ".join(map(str, last))
    raise UsageError(Problem("USAGE", "--version", f"is needed: the last month has scores of {numbers}", "name one"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two versions' scores of the same subjects. `drift` is None with less than `LEAST_SCORES` of them.

    `rows`: of each its code, score and band by the one and by the other.
    """

    only: tuple[int, int]
    same_band: float
    shift: float
    absolute: float
    up: int
    down: int
    drift: Drifted | None
    rows: tuple[tuple[str, int, int, int, int], ...]

    def document(self) -> dict[str, Any]:
        """Without subjects."""
        both = {"both": len(self.rows), "only_champion": self.only[0], "only_challenger": self.only[1]}
        shifts = {"mean_shift": round(self.shift, 3), "mean_absolute_shift": round(self.absolute, 3)}
        bands = {"same_band_share": round(self.same_band, 6), "bands_up": self.up, "bands_down": self.down}
        index = None if self.drift is None else self.drift.index
        return {**both, **bands, **shifts, "index": index, "says": None if self.drift is None else self.drift.says}


def compared(champion: Mapping[str, FileScore], challenger: Mapping[str, FileScore]) -> Compared:
    """What two versions say of the subjects that both have scored. Raises: DataError (COMPARE_NONE); ValueError for
    bands without scores."""
    both = sorted(champion.keys() & challenger.keys())
    if not both:
        fix = "score the same clients with either version"
        raise DataError(Problem("COMPARE_NONE", "both files", "have no scored subject in common", fix))
    rows = tuple(_pairs(both, champion, challenger))
    one, one_band, other, other_band = np.array([row[1:] for row in rows], np.int64).T
    return Compared(
        only=(len(champion) - len(both), len(challenger) - len(both)),
        same_band=float(np.mean(one_band == other_band)),
        shift=float(np.mean(other - one)),
        absolute=float(np.mean(np.abs(other - one))),
        up=int(np.sum(other_band > one_band)),
        down=int(np.sum(other_band < one_band)),
        drift=drift(one, other) if len(both) >= LEAST_SCORES else None,
        rows=rows,
    )


def _pairs(
    both: Sequence[str], champion: Mapping[str, FileScore], challenger: Mapping[str, FileScore]
) -> Iterator[tuple[str, int, int, int, int]]:
    for subject in both:
        one, other = champion[subject], challenger[subject]
        if one.points is None or other.points is None:
            raise ValueError("compared: bands without scores")
        yield subject, one.points, one.band, other.points, other.band
