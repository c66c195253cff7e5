"""A party's table: opened once, checked as a whole, then read as arrays by row number.

`open_table` refuses a file that is not what its schema says, with all that is wrong with it; a `Table` is valid. It
works on a copy made while opening, so what is read later is what was checked; `verify_unchanged` says whether the file
still is what it was.
"""

from __future__ import annotations

import contextlib
import datetime
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedcredit.kernels import identifiers
from fedcredit.tables.contents import ContentDigest
from fedcredit.tables.engine import ROWS_AT_ONCE, SPILL_PREFIX
from fedcredit.tables.examine import Examined, examine
from fedcredit.tables.identifiers import Ids
from fedcredit.tables.loading import Loaded, changed, load
from fedcredit.tables.problems import Problems
from fedcredit.tables.quality import Quality, range_of
from fedcredit.tables.remote.snapshot import notes_of, of_snapshot, take_snapshot
from fedcredit.tables.schema import Settled, markers
from fedcredit.tables.source import SourceFile
from fedcredit.tables.spec import Limits, Resources, TableSpec
from fedcredit.tables.values import cells, label_reading, quick_reading, reading

__all__ = ["Column", "Rows", "Table", "examine_table", "infer", "open_table"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

_COLUMNS_AT_ONCE = 64
_VALUES_AT_ONCE = 1 << 23

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in it is made for this user alone
"""Where a snapshot goes that may not be written to disk: files there are memory."""


@dataclass(frozen=True, slots=True)
class Column:
    """A feature of some rows.

    Shapes: values (n,) float64, NaN where missing. Numeric: the number; a boolean is 0 or 1, a date days since
    1970-01-01. Categorical: the position of the value in `levels`; the last level may be "(other)".
    """

    name: str
    kind: Literal["numeric", "categorical"]
    values: F64 = field(repr=False)
    levels: tuple[str, ...] = field(default=(), repr=False)
    special: tuple[float, ...] = ()  # values that are codes, not amounts
    splits: tuple[float, ...] = field(default=(), repr=False)  # where its owner wants bins to begin


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table. Shapes: every column, `label` (0 or 1) and `time` (numbers, or days for dates) have (n,)."""

    columns: dict[str, Column]
    label: U8 | None = field(repr=False)
    time: F64 | None = field(repr=False)


class Table:
    """A valid table. Use as a context manager: it holds a copy of the data in memory, or in the spill folder.

    Row numbers count from 0 after the header, blank lines left out; error texts count from 1.
    """

    def __init__(self, loaded: Loaded, limits: Limits, examined: Examined, held: contextlib.ExitStack) -> None:
        """`held` is closed with the table."""
        self.spec = examined.spec  # complete: kinds and levels of all features
        self.n_rows = len(examined.ids)
        self.fingerprint = loaded.fingerprint  # SHA-256 of the file's bytes; of the contents for a snapshot
        self.quality = examined.quality
        self.features = tuple(s.spec.name for s in examined.contents.features)
        self._engine, self._limits, self._held = loaded.engine, limits, held
        self._ids, self._contents = examined.ids, examined.contents
        self._file_fingerprint = loaded.fingerprint
        self._beside = loaded.layout.beside

    def ids(self) -> Ids:
        """The identifiers, normal, valid, unique, in file order. Shapes: (n_rows,), dtype S<width>; read-only.

        Those of a large table lie in a file: what was looked at takes memory until the array is let go, so that whoever
        needs them again later had better ask again.
        """
        return self._ids.array()

    def read(self, rows: I64 | None = None) -> Rows:
        """Rows by number, in the order asked for, repeated if asked twice; all of them by default.

        Shapes: rows (n,). Raises: ValueError if a row number is out of range.
        """
        wanted = _All(self.n_rows) if rows is None else _Wanted(np.asarray(rows, np.int64), self.n_rows)
        found: dict[int, F64] = {}
        contents = self._contents
        label: U8 | None = None
        time: F64 | None = None
        for start in range(0, len(contents.features), _COLUMNS_AT_ONCE):
            found |= self._fetch(contents.features[start : start + _COLUMNS_AT_ONCE], wanted)
        columns = {s.spec.name: _column(s, found[s.index]) for s in contents.features}
        if contents.label is not None:
            label = self._label(contents.label, wanted).astype(np.uint8)
        if contents.time is not None:
            time = (found if contents.time.index in found else self._fetch([contents.time], wanted))[
                contents.time.index
            ]
        return Rows(columns, label, time)

    def texts(self) -> tuple[I64, dict[str, U8]]:
        """The columns of `spec.beside` as they stand: the place of each row's cell, and the cells of each by its name.

        Shapes: places (n_rows,); cells (bytes,), in UTF-8, joined by NULs.
        """
        pieces = list(self._engine.joined_pieces(self.n_rows, *self._beside))
        places = np.empty(self.n_rows, np.int64)
        places[np.concatenate([rows for rows, _ in pieces])] = np.arange(self.n_rows)
        nul = np.zeros(1, np.uint8)
        found = {}
        for number, name in enumerate(self.spec.beside):
            parts = [part for _, cells in pieces for part in (nul, cells[number])]
            found[name] = np.concatenate(parts[1:])
        return places, found

    def verify_unchanged(self) -> None:
        """Raise DATASET_CHANGED unless the file, or the snapshot, still has the bytes that were read."""
        with SourceFile(self.spec, self._limits) as source:
            if source.fingerprint() != self._file_fingerprint:
                raise changed(self.spec.title)

    def content_fingerprint(self) -> bytes:
        """SHA-256 of what the table says: the same for the same contents in whatever file, database or order."""
        contents, ids = self._contents, self.ids()
        order = identifiers.in_order(ids, np.arange(self.n_rows))
        digest = ContentDigest(ids[order])
        for s, values in self._in_full(sorted(contents.features, key=lambda s: s.spec.name)):
            digest.column(s.spec.name, s.kind, s.spec.levels or (), values[order])
        if contents.label is not None:
            digest.column("", "label", (), self._label(contents.label)[order])
        for s, values in self._in_full([] if contents.time is None else [contents.time]):
            digest.column(s.spec.name, "time", (), values[order])
        return digest.digest()

    def profiled(self) -> Quality:
        """`quality` with the range of every feature that has values: smallest, largest, quantiles, a histogram."""
        valid = self._in_full([s for s in self._contents.features if not s.invalid])
        return self.quality.with_ranges({s.spec.name: range_of(s.kind, s.spec.levels or (), v) for s, v in valid})

    def let_go_of_rows(self) -> None:
        """Free the copy of the columns, which nobody reads any more; identifiers stay."""
        self._engine.close()

    def close(self) -> None:
        """Free the copy, and remove the snapshot if it was for this table alone."""
        self._held.close()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _in_full(self, some: Sequence[Settled]) -> Iterator[tuple[Settled, F64]]:
        """Whole columns in turn, as many at once as memory takes in its stride."""
        wanted = _All(self.n_rows)
        at_once = max(1, min(_COLUMNS_AT_ONCE, _VALUES_AT_ONCE // max(1, self.n_rows)))
        for start in range(0, len(some), at_once):
            part = some[start : start + at_once]
            found = self._fetch(part, wanted)
            yield from ((s, found[s.index]) for s in part)

    def _label(self, i: int, wanted: _Rows | None = None) -> F64:
        wanted = _All(self.n_rows) if wanted is None else wanted
        steps = (*cells([(i, self.spec.missing)]), f"{label_reading(f'v{i}')} AS x{i}")
        return self._collect([i], steps, wanted)[i]

    def _fetch(self, some: Sequence[Settled], wanted: _Rows) -> dict[int, F64]:
        quick = {
            s.index: f for s in some if s.kind == "numeric" and (f := quick_reading(f"c{s.index}", self._markers(s)))
        }
        forms = [f"{quick.get(s.index) or reading(f'v{s.index}', s.kind, s.spec.levels)} AS x{s.index}" for s in some]
        prepared = [(s.index, self._markers(s)) for s in some if s.index not in quick]
        steps = cells(prepared) if prepared else ()
        return self._collect([s.index for s in some], (*steps, ", ".join(forms)), wanted)

    def _collect(self, columns: Sequence[int], steps: Sequence[str], wanted: _Rows) -> dict[int, F64]:
        out = {i: np.empty(len(wanted)) for i in columns}
        for low, high, at, inside in wanted.pieces():
            piece = self._engine.piece(low, high, columns, *steps)
            for i, values in out.items():
                values[at] = piece[f"x{i}"][inside]
        return out

    def _markers(self, s: Settled) -> tuple[str, ...]:
        return markers(self.spec, s.spec)


class _All:
    """All rows of a table in file order."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows

    def __len__(self) -> int:
        return self._n_rows

    def pieces(self) -> Iterator[tuple[int, int, slice, slice]]:
        """As those of `_Wanted`, without a number for each row."""
        for low in range(0, self._n_rows, ROWS_AT_ONCE):
            high = min(low + ROWS_AT_ONCE, self._n_rows)
            yield low, high, slice(low, high), slice(None)


class _Wanted:
    """Row numbers, and how to get them out of pieces of the table in file order."""

    def __init__(self, rows: I64, n_rows: int) -> None:
        if rows.ndim != 1 or (len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < n_rows)):
            raise ValueError(f"row numbers of a table with {n_rows} rows: shape {rows.shape}, or out of range")
        self._order = np.argsort(rows, kind="stable")
        self._sorted = rows[self._order]

    def __len__(self) -> int:
        return len(self._sorted)

    def pieces(self) -> Iterator[tuple[int, int, I64, I64]]:
        """For each piece with wanted rows: its rows from, to; where they go; where they are in it."""
        start = 0
        while start < len(self._sorted):
            low = int(self._sorted[start])
            end = int(np.searchsorted(self._sorted, low + ROWS_AT_ONCE))
            part = self._sorted[start:end]
            yield low, int(part[-1]) + 1, self._order[start:end], part - low
            start = end


_Rows = _All | _Wanted


def open_table(
    spec: TableSpec,
    *,
    limits: Limits | None = None,
    resources: Resources | None = None,
    expected_fingerprint: bytes | None = None,
    snapshot: Path | None = None,
    today: datetime.date | None = None,
) -> Table:
    """The table that `spec` declares, checked as a whole. `expected_fingerprint` is that of an earlier opening.

    The rows of a database or an interface are read once, into the file `snapshot`; if that is there already, they are
    the rows. Without `snapshot` the file is gone when the table is closed. `today` is the day on which the table has
    to be fresh; None: its age does not matter.

    Raises: DataError listing what is wrong: PATH_*, LIMIT_*, CSV_*, PARQUET_*, TABLE_*, COLUMN_*, ID_*, VALUE_INVALID,
    LABEL_*, DATASET_CHANGED; ConfigError (SECRET_*). A problem of the form is raised at once, those of the contents
    together.
    """
    limits, resources = limits or Limits(), resources or Resources()
    with contextlib.ExitStack() as cleanup:
        table, problems = examine_table(spec, limits, resources, snapshot, today)
        cleanup.callback(table.close)
        problems.check()
        if expected_fingerprint is not None and table.fingerprint != expected_fingerprint:
            raise changed(spec.title)
        cleanup.pop_all()
    return table


def examine_table(
    spec: TableSpec, limits: Limits, resources: Resources, snapshot: Path | None, today: datetime.date | None
) -> tuple[Table, Problems]:
    """The table as it is, and what is wrong with its contents: if anything is, it is good for its quality alone.

    Raises: DataError, ConfigError for what keeps it from being read at all.
    """
    with contextlib.ExitStack() as held:
        notes: tuple[str, ...] = ()
        here = spec
        if spec.source is not None:
            if snapshot is None:
                place = resources.spill_dir or _MEMORY
                folder = held.enter_context(tempfile.TemporaryDirectory(prefix=SPILL_PREFIX, dir=place))
                snapshot = Path(folder) / "snapshot.parquet"
            if not snapshot.exists():
                take_snapshot(spec, snapshot, limits, resources)
            notes = notes_of(snapshot, spec.title, resources)
            here = of_snapshot(spec, snapshot)
        loaded = load(here, limits, resources, None)
        held.callback(loaded.engine.close)
        examined = examine(loaded, here, limits, notes, today)
        table = Table(loaded, limits, examined, held.pop_all())
        if spec.source is not None and not examined.problems.found:
            # The bytes of the snapshot depend on who wrote it; the same rows are the same table.
            table.fingerprint = table.content_fingerprint()
    return table, examined.problems


def infer(spec: TableSpec, *, limits: Limits | None = None, resources: Resources | None = None) -> TableSpec:
    """`spec` with the kinds and levels of all features, as found in its file, for the party to keep and declare.

    Raises: as `open_table`.
    """
    with open_table(spec, limits=limits, resources=resources) as table:
        dropped = tuple(name for name in table.spec.drop if name not in spec.drop)
        return replace(spec, drop=(*spec.drop, *dropped), columns=table.spec.columns)


def _column(s: Settled, values: F64) -> Column:
    kind: Literal["numeric", "categorical"] = "categorical" if s.kind == "categorical" else "numeric"
    return Column(s.spec.name, kind, values, s.spec.levels or (), s.spec.special, s.spec.splits)
