"""A party's table by its subjects, read as a part of a model needs it, and again when it has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.errors import FedcreditError
from fedcredit.observe import logs
from fedcredit.tables import Column, Limits, Resources, TableSpec, open_table
from fedcredit.tables.standing import Seen, file_seen
from fedcredit.wire.score import MAX_CODE_BYTES

__all__ = ["LOOK_S", "KeptTable", "OwnTable", "SubjectRows", "read_subjects"]

Bools: TypeAlias = npt.NDArray[np.bool_]
Codes: TypeAlias = npt.NDArray[np.bytes_]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

_log = logs.get("score")
LOOK_S: Final = 0.5
"""So often at most a table's file is looked at."""

_CODE: Final = f"S{MAX_CODE_BYTES}"


@dataclass(frozen=True, slots=True)
class SubjectRows:
    """The subjects of a table. Shapes: codes (m,) of dtype S32, in order."""

    codes: Codes = field(repr=False)

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


def read_subjects(
    spec: TableSpec, resources: Resources, names: Sequence[str]
) -> tuple[I64, Codes, Mapping[str, Column]]:
    """The table that `spec` declares, with the columns of these names alone: an order of its rows by their codes, the
    codes in that order, and the columns in the table's own.

    Shapes: m rows; order and codes (m,). Raises: DataError with all that is wrong with the table; ConfigError.
    """
    with open_table(replace(spec, only=tuple(names), time=None), resources=resources) as table:
        codes, columns = np.asarray(table.ids()).astype(_CODE), table.read().columns
    order = np.argsort(codes, kind="stable")
    return order, codes[order], columns


T_co = TypeVar("T_co", bound=SubjectRows, covariant=True)
T = TypeVar("T", bound=SubjectRows)


class OwnTable(Protocol[T_co]):
    """Where a desk has its party's table from."""

    def current(self) -> T_co:
        """The table as of now. Raises: DataError, ConfigError where there is none."""


class KeptTable(Generic[T]):
    """What `read` makes of a table, kept while that is the same. From any thread.

    `declared` gives the table as party.toml has it; `max_age_s`: after so many seconds one that is no file is read
    again. A table that cannot be read any more leaves what was read, and says so in the node's log.
    """

    def __init__(
        self,
        read: Callable[[TableSpec], T],
        declared: Callable[[], TableSpec],
        max_age_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._declared, self._max_age_s, self._clock = read, declared, max_age_s, clock
        self._lock = threading.Lock()
        self._kept: T | None = None
        self._seen: Seen | None = None
        self._read_at = self._looked_at = 0.0

    def current(self) -> T:
        """The table as of now. Raises: DataError, ConfigError where it was never read and cannot be."""
        with self._lock:
            if self._kept is not None and 0 <= self._clock() - self._looked_at < LOOK_S:
                return self._kept
            self._looked_at = self._clock()
            try:
                spec = self._declared()
                seen = file_seen(spec, Limits()) if spec.source is None else None
                old = spec.source is not None and self._clock() - self._read_at > self._max_age_s
                if self._kept is not None and seen == self._seen and not old:
                    return self._kept
                self._kept = self._read(spec)
                self._seen, self._read_at = seen, self._clock()
                _log.info("score.table_read", rows=len(self._kept.codes))
            except FedcreditError as error:
                if self._kept is None:
                    raise
                _log.warning("score.table_unread", code=error.code)
            return self._kept
