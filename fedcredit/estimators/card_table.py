"""The label party's table of all columns of a scorecard: which are left, and why the others went."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.credit.selection import Selection, Verdict, by_band, by_missing, by_stability
from fedcredit.credit.telling import SAYS_NOTHING
from fedcredit.errors import DataError, Problem
from fedcredit.estimators.binning import BinnedColumn, ForeignColumn
from fedcredit.ids import PartyId

__all__ = ["CardTable", "Listed"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Listed:
    """A column as the label party knows it: its own by name, others' by number."""

    party: PartyId
    number: int
    name: str
    bins: int
    refused: str | None
    iv: float


class CardTable:
    """All columns, the label party's own first, then those of each feature party; which are left, and what was said."""

    def __init__(self, me: PartyId, own: Sequence[BinnedColumn], foreign: Sequence[ForeignColumn]) -> None:
        mine = [
            Listed(me, f, c.column.name, 0 if c.bins is None else c.bins.n_bins, c.refused, c.iv or 0.0)
            for f, c in enumerate(own)
        ]
        theirs = [Listed(c.party, c.number, f"{c.party}.f{c.number}", c.bins, c.refused, c.iv or 0.0) for c in foreign]
        self.columns = (*mine, *theirs)
        self._said: dict[int, Verdict] = {}
        self.left = list(range(len(self.columns)))

    def copy(self) -> CardTable:
        """This table as it stands, for a choice that is not yet made."""
        copied = copy.copy(self)
        copied._said, copied.left = dict(self._said), list(self.left)
        return copied

    def columns_of(self, party: PartyId) -> list[Listed]:
        """All columns of a party."""
        return [column for column in self.columns if column.party == party]

    def numbers(self, party: PartyId) -> I64:
        """The columns of a party that are left."""
        return np.array([self.columns[k].number for k in self.left if self.columns[k].party == party], np.int64)

    @property
    def names(self) -> list[str]:
        """The columns that are left."""
        return [self.columns[k].name for k in self.left]

    @property
    def worth(self) -> list[float]:
        """Information values of the columns that are left."""
        return [self.columns[k].iv for k in self.left]

    def apply(self, selection: Selection) -> None:
        """Take a rule's word for the columns that are left."""
        for place, verdict in zip(tuple(self.left), selection.verdicts, strict=True):
            self._said[place] = verdict
            if not verdict.kept:
                self.left.remove(place)

    def apply_first(self, missing: F64, stability: F64, params: ScorecardParams) -> None:
        """What can be said of each column alone. Shapes: missing, stability (columns,), the latter -1 for none."""
        whole = None, SAYS_NOTHING
        self.apply(self._only("refused", lambda c: c.refused in whole, lambda c: f"has no bins: {c.refused}"))
        one_bin = "has one bin: says nothing"
        self.apply(self._only("iv", lambda c: c.bins > 1, lambda _: one_bin))
        self.apply(by_missing(self.names, missing[self.left].tolist(), params.max_missing))
        self.apply(by_band(self.names, self.worth, (params.iv_min, params.iv_max)))
        by_chance = "bins differ by no more than chance lets them"
        self.apply(self._only("chance", lambda c: c.refused is None, lambda _: by_chance))
        index = stability[self.left]
        if (index >= 0).all():
            self.apply(by_stability(self.names, index.tolist(), params.max_stability))

    def apply_to(self, party: PartyId, selection: Selection) -> None:
        """Take a rule's word for the columns of one party that are left."""
        said = iter(selection.verdicts)
        places = [k for k in self.left if self.columns[k].party == party]
        for place, verdict in zip(places, said, strict=True):
            self._said[place] = verdict
            if not verdict.kept:
                self.left.remove(place)

    def refuse_none(self) -> None:
        """Raises: DataError NO_COLUMNS_LEFT, unless any column is left."""
        if not self.left:
            rules = sorted({verdict.rule for verdict in self._said.values()})
            what = f"of {len(self.columns)} none is left after selection ({', '.join(rules)})"
            fix = "set iv_min, max_missing, max_stability or leave to let more through; the table says why each went"
            raise DataError(Problem("NO_COLUMNS_LEFT", "columns", what, fix))

    def rows(self) -> list[dict[str, Any]]:
        """What was said of each column last, ready for JSON; those that stay first, by information value."""
        order = sorted(range(len(self.columns)), key=lambda k: (k not in self.left, -self.columns[k].iv, k))
        return [
            {
                "party": self.columns[k].party,
                "column": self.columns[k].name,
                "kept": k in self.left,
                "rule": self._said[k].rule,
                "figure": self._said[k].figure if np.isfinite(self._said[k].figure) else None,
                "why": self._said[k].why,
                "iv": self.columns[k].iv,
            }
            for k in order
        ]

    def _only(self, rule: Any, stays: Callable[[Listed], bool], why: Callable[[Listed], str]) -> Selection:
        verdicts = []
        for column in (self.columns[k] for k in self.left):
            kept = stays(column)
            verdicts.append(Verdict(column.name, kept, rule, column.iv, "" if kept else why(column)))
        return Selection(tuple(verdicts))
