"""A table that was read before and whose file has not changed since: known by a record, its rows read on demand alone.

A file counts as unchanged while the kernel says so: the same file and size, and the same times of its last change, some
time before it was read. Whoever could write it and turn those back owns the table. A record is for its owner alone.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, Final

from fedcredit.errors import DataError, FedcreditError, Problem
from fedcredit.kernels import digest
from fedcredit.tables.identifiers import Ids
from fedcredit.tables.loading import changed
from fedcredit.tables.quality import ColumnQuality, Quality, Range
from fedcredit.tables.source import SourceFile
from fedcredit.tables.spec import Limits, TableSpec, dump_spec, load_spec
from fedcredit.tables.table import I64, U8, Rows, Table

__all__ = ["Seen", "StandingTable", "declaration", "file_seen", "identifiers_named", "recognised", "record_of"]

FORMAT: Final = 1

SETTLED_NS: Final = 2_000_000_000
"""A file that was changed just before it was read may be changed again within the same tick of its clock."""

Seen = tuple[int, ...]
"""What the kernel says of a file: device, inode, size, times of the last change of its bytes and of the file."""


class StandingTable(Table):
    """A table as its record has it. Its rows are read when they are asked for, and must then be those of the record."""

    def __init__(self, spec: TableSpec, raw: dict[str, Any], seen: Seen, limits: Limits, read: Callable[[], Table]):
        self.spec = load_spec(raw["spec"])
        self.n_rows = int(raw["rows"])
        self.fingerprint = bytes.fromhex(raw["fingerprint"])
        self.features = tuple(map(str, raw["features"]))
        self.quality = _quality(raw["quality"])
        self._declared, self._seen, self._limits, self._read = spec, seen, limits, read
        self._opened: Table | None = None

    def ids(self) -> Ids:
        """See `Table`. Raises: DataError (DATASET_CHANGED)."""
        return self._table().ids()

    def read(self, rows: I64 | None = None) -> Rows:
        """See `Table`. Raises: DataError (DATASET_CHANGED)."""
        return self._table().read(rows)

    def texts(self) -> tuple[I64, dict[str, U8]]:
        """See `Table`. Raises: DataError (DATASET_CHANGED)."""
        return self._table().texts()

    def verify_unchanged(self) -> None:
        """See `Table`; by what the kernel says."""
        if self._opened is not None:
            self._opened.verify_unchanged()
        elif file_seen(self._declared, self._limits) != self._seen:
            raise changed(self.spec.title)

    def content_fingerprint(self) -> bytes:
        """See `Table`."""
        return self._table().content_fingerprint()

    def profiled(self) -> Quality:
        """See `Table`; as it was found when the record was made."""
        return self.quality

    def let_go_of_rows(self) -> None:
        """See `Table`."""
        if self._opened is not None:
            self._opened.let_go_of_rows()

    def close(self) -> None:
        """See `Table`."""
        if self._opened is not None:
            self._opened.close()

    def _table(self) -> Table:
        if self._opened is None:
            self.verify_unchanged()
            table = self._read()
            if table.fingerprint != self.fingerprint:
                table.close()
                raise changed(self.spec.title)
            self._opened = table
        return self._opened


def file_seen(spec: TableSpec, limits: Limits) -> Seen:
    """What the kernel says of the table's file now. Raises: DataError (PATH_*, LIMIT_*)."""
    with SourceFile(spec, limits) as source:
        return source.seen


def identifiers_named(table: Table) -> bytes:
    """Names the identifiers of a table: what its file holds, and how they are read out of it. 32 bytes."""
    spec = table.spec
    read = (spec.key, spec.key_types, spec.duplicates, spec.format, spec.encoding, spec.delimiter)
    return digest.blake3(table.fingerprint + repr(read).encode())


def declaration(spec: TableSpec, today: datetime.date | None) -> str:
    """Names how the table is declared; a table that has to be fresh is another one every day."""
    day = today if spec.max_age_days is not None else None
    return hashlib.sha256(repr((FORMAT, spec, day)).encode()).hexdigest()


def record_of(table: Table, quality: Quality, declared: str, before: Seen, after: Seen) -> bytes | None:
    """The record of a table that was read between `before` and `after`; None if it may have changed meanwhile."""
    if before != after or max(before[-2:]) + SETTLED_NS > time.time_ns():
        return None
    raw = {
        "declared": declared,
        "seen": list(before),
        "fingerprint": table.fingerprint.hex(),
        "rows": table.n_rows,
        "features": list(table.features),
        "spec": dump_spec(table.spec),
        "quality": quality.to_dict(),
    }
    return json.dumps(raw).encode() + b"\n"


def recognised(
    record: bytes, spec: TableSpec, declared: str, limits: Limits, read: Callable[[], Table]
) -> StandingTable | None:
    """The table of `record`, if that is of this declaration and the file is unchanged; `read` opens it in full."""
    try:
        raw = json.loads(record)
        seen = file_seen(spec, limits)
        if raw["declared"] != declared or tuple(raw["seen"]) != seen:
            return None
        return StandingTable(spec, raw, seen, limits, read)
    except DataError:
        return None  # reading it says what is wrong
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, FedcreditError):
        return None


def _quality(raw: dict[str, Any]) -> Quality:
    columns = tuple(ColumnQuality(**(column | {"range": _range(column["range"])})) for column in raw["columns"])
    return Quality(**(raw | {"columns": columns, "warnings": tuple(Problem(**p) for p in raw["warnings"])}))


def _range(raw: dict[str, Any] | None) -> Range | None:
    return None if raw is None else Range(**(raw | {key: tuple(raw[key]) for key in ("quantiles", "bars", "top")}))
