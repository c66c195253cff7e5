"""A party's own points of all subjects in its table, under one part of a card: what a score's part is looked up in.

They are reckoned for the whole table at once, and anew when its file has changed, or a table that is no file has grown
old: then a score costs a search, whatever the card.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import FedcreditError
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.observe import logs
from fedcredit.tables import Limits, Resources, TableSpec, open_table
from fedcredit.tables.standing import Seen, file_seen
from fedcredit.wire.score import MAX_CODE_BYTES

__all__ = ["KeptPoints", "OwnPoints", "PointsOfTable", "read_points"]

Bools: TypeAlias = npt.NDArray[np.bool_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

_log = logs.get("score")
_CODE: Final = f"S{MAX_CODE_BYTES}"


@dataclass(frozen=True, slots=True)
class PointsOfTable:
    """Shapes: codes (m,) of dtype S32, in order; columns (m, f), the points of each of the part's columns."""

    part: CardPart
    codes: npt.NDArray[np.bytes_] = field(repr=False)
    columns: I64 = field(repr=False)

    def rows_of(self, codes: U8) -> tuple[I64, Bools]:
        """The row of each subject, and whether it has one; rows of those without are any.

        Shapes: codes (n, w) uint8, padded with zeros; returns (n,) each.
        """
        wide = np.zeros((len(codes), MAX_CODE_BYTES), np.uint8)
        wide[:, : codes.shape[1]] = codes
        asked = wide.view(_CODE).reshape(-1)
        if not len(self.codes):
            return np.zeros(len(asked), np.int64), np.zeros(len(asked), np.bool_)
        rows = np.minimum(np.searchsorted(self.codes, asked), len(self.codes) - 1)
        return rows, self.codes[rows] == asked

    def look(self, codes: U8) -> tuple[I64, Bools]:
        """This party's part of each subject's score, and whether its table has the subject; 0 for who is not in it.

        Shapes: as `rows_of`.
        """
        rows, known = self.rows_of(codes)
        if not len(self.codes):
            return np.zeros(len(codes), np.int64), known
        return np.where(known, self.part.totals(self.columns[rows]), 0), known


def read_points(part: CardPart, spec: TableSpec, resources: Resources) -> PointsOfTable:
    """The points of every subject of the table that `spec` declares, with no more columns than the part's.

    Raises: DataError with all that is wrong with the table, COLUMN_MISSING, COLUMN_KIND; ConfigError.
    """
    wanted = replace(spec, only=tuple(column.name for column in part.columns), time=None)
    with open_table(wanted, resources=resources) as table:
        ids = np.asarray(table.ids()).astype(_CODE)
        columns = part.points_of(table.read().columns, table.n_rows)
    order = np.argsort(ids, kind="stable")
    return PointsOfTable(part, ids[order], columns[order])


class OwnPoints(Protocol):
    """Where a desk has its party's points from."""

    @property
    def part(self) -> CardPart:
        """The part that they are of."""

    def current(self) -> PointsOfTable:
        """The points as of the table now. Raises: DataError, ConfigError where there are none."""


class KeptPoints:
    """The points under one part, kept while the table is the same. From any thread.

    `max_age_s`: after so many seconds a table that is no file is read again. `declared` gives the table as party.toml
    has it. A table that cannot be read any more leaves the points as they were, and says so in the node's log.
    """

    def __init__(
        self,
        part: CardPart,
        declared: Callable[[], TableSpec],
        resources: Resources,
        max_age_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.part = part
        self._declared, self._resources, self._max_age_s = declared, resources, max_age_s
        self._clock = clock
        self._lock = threading.Lock()
        self._points: PointsOfTable | None = None
        self._seen: Seen | None = None
        self._read_at = 0.0

    def current(self, *, anew: bool = False) -> PointsOfTable:
        """The points as of the table now. Raises: DataError, ConfigError where it was never read and cannot be."""
        with self._lock:
            return self._current(anew)

    def _current(self, anew: bool) -> PointsOfTable:
        try:
            spec = self._declared()
            seen = file_seen(spec, Limits()) if spec.source is None else None
            kept = self._points
            old = self._clock() - self._read_at > self._max_age_s
            if kept is not None and not anew and seen == self._seen and not (spec.source is not None and old):
                return kept
            self._points = read_points(self.part, spec, self._resources)
            self._seen, self._read_at = seen, self._clock()
            _log.info("score.table_read", table=spec.title, subjects=len(self._points.codes))
        except FedcreditError as error:
            if self._points is None or anew:
                raise
            _log.warning("score.table_unread", code=error.code)
        return self._points
