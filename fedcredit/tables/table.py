"""A party's table: opened once, checked as a whole, then read as arrays by row number.

`open_table` refuses a file that is not what its schema says, with all that is wrong with it; a `Table` is valid. It
works on a copy made while opening, so what is read later is what was checked; `verify_unchanged` says whether the file
still is what it was.
"""

# ruff: noqa: S608 (SQL is built from our own column numbers and from quoted literals)

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedcredit.tables.engine import ROWS_AT_ONCE, Engine, stepwise
from fedcredit.tables.header import Layout
from fedcredit.tables.identifiers import Identifiers, Ids, read_identifiers
from fedcredit.tables.loading import Loaded, changed, load
from fedcredit.tables.problems import Problems
from fedcredit.tables.quality import ColumnQuality, Quality
from fedcredit.tables.schema import NEARLY_EMPTY, Settled, markers, settle
from fedcredit.tables.source import SourceFile
from fedcredit.tables.spec import ColumnSpec, Limits, Resources, TableSpec
from fedcredit.tables.values import cells, label_reading, quick_reading, reading

__all__ = ["Column", "Rows", "Table", "infer", "open_table"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

_COLUMNS_AT_ONCE = 64


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

    def __init__(
        self,
        engine: Engine,
        spec: TableSpec,
        limits: Limits,
        fingerprint: bytes,
        n_rows: int,
        identifiers: Identifiers,
        contents: _Contents,
        quality: Quality,
    ) -> None:
        self.spec = spec  # complete: kinds and levels of all features
        self.n_rows = n_rows
        self.fingerprint = fingerprint  # SHA-256 of the file's bytes
        self.quality = quality
        self.features = tuple(s.spec.name for s in contents.features)
        self._engine, self._limits, self._ids, self._contents = engine, limits, identifiers.ids, contents

    def ids(self) -> Ids:
        """The identifiers, normal, valid, unique, in file order. Shapes: (n_rows,), dtype S<width>; read-only."""
        return self._ids

    def read(self, rows: I64 | None = None) -> Rows:
        """Rows by number, in the order asked for, repeated if asked twice; all of them by default.

        Shapes: rows (n,). Raises: ValueError if a row number is out of range.
        """
        wanted = _Wanted(np.arange(self.n_rows) if rows is None else np.asarray(rows, np.int64), self.n_rows)
        found: dict[int, F64] = {}
        contents = self._contents
        label: U8 | None = None
        time: F64 | None = None
        for start in range(0, len(contents.features), _COLUMNS_AT_ONCE):
            found |= self._fetch(contents.features[start : start + _COLUMNS_AT_ONCE], wanted)
        columns = {s.spec.name: _column(s, found[s.index]) for s in contents.features}
        if contents.label is not None:
            i = contents.label
            steps = (*cells([(i, self.spec.missing)]), f"{label_reading(f'v{i}')} AS x{i}")
            label = self._collect([i], steps, wanted)[i].astype(np.uint8)
        if contents.time is not None:
            time = (found if contents.time.index in found else self._fetch([contents.time], wanted))[
                contents.time.index
            ]
        return Rows(columns, label, time)

    def verify_unchanged(self) -> None:
        """Raise DATASET_CHANGED unless the file still has the bytes that were read."""
        with SourceFile(self.spec, self._limits) as source:
            if source.fingerprint() != self.fingerprint:
                raise changed(self.spec.title)

    def close(self) -> None:
        """Free the copy."""
        self._engine.close()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, some: Sequence[Settled], wanted: _Wanted) -> dict[int, F64]:
        quick = {
            s.index: f for s in some if s.kind == "numeric" and (f := quick_reading(f"c{s.index}", self._markers(s)))
        }
        forms = [f"{quick.get(s.index) or reading(f'v{s.index}', s.kind, s.spec.levels)} AS x{s.index}" for s in some]
        prepared = [(s.index, self._markers(s)) for s in some if s.index not in quick]
        steps = cells(prepared) if prepared else ()
        return self._collect([s.index for s in some], (*steps, ", ".join(forms)), wanted)

    def _collect(self, columns: Sequence[int], steps: Sequence[str], wanted: _Wanted) -> dict[int, F64]:
        out = {i: np.empty(len(wanted.rows)) for i in columns}
        for low, high, at, inside in wanted.pieces():
            piece = self._engine.piece(low, high, columns, *steps)
            for i, values in out.items():
                values[at] = piece[f"x{i}"][inside]
        return out

    def _markers(self, s: Settled) -> tuple[str, ...]:
        return markers(self.spec, s.spec)


@dataclass(frozen=True, slots=True)
class _Contents:
    """Where the parts of a table lie."""

    features: tuple[Settled, ...]
    label: int | None
    time: Settled | None


class _Wanted:
    """Row numbers, and how to get them out of pieces of the table in file order."""

    def __init__(self, rows: I64, n_rows: int) -> None:
        if rows.ndim != 1 or (len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < n_rows)):
            raise ValueError(f"row numbers of a table with {n_rows} rows: shape {rows.shape}, or out of range")
        self.rows = rows
        self._order = np.argsort(rows, kind="stable")
        self._sorted = rows[self._order]

    def pieces(self) -> Iterator[tuple[int, int, I64, I64]]:
        """For each piece with wanted rows: its rows from, to; where they go; where they are in it."""
        start = 0
        while start < len(self._sorted):
            low = int(self._sorted[start])
            end = int(np.searchsorted(self._sorted, low + ROWS_AT_ONCE))
            part = self._sorted[start:end]
            yield low, int(part[-1]) + 1, self._order[start:end], part - low
            start = end


def open_table(
    spec: TableSpec,
    *,
    limits: Limits | None = None,
    resources: Resources | None = None,
    expected_fingerprint: bytes | None = None,
) -> Table:
    """The table that `spec` declares, checked as a whole. `expected_fingerprint` is that of an earlier opening.

    Raises: DataError listing what is wrong: PATH_*, LIMIT_*, CSV_*, PARQUET_*, COLUMN_*, ID_*, VALUE_INVALID, LABEL_*,
    DATASET_CHANGED. A problem of the file's form is raised at once, those of its contents together.
    """
    limits, resources = limits or Limits(), resources or Resources()
    with contextlib.ExitStack() as cleanup:
        loaded = load(spec, limits, resources, expected_fingerprint)
        cleanup.callback(loaded.engine.close)
        table = _checked(loaded, spec, limits)
        cleanup.pop_all()
    return table


def infer(spec: TableSpec, *, limits: Limits | None = None, resources: Resources | None = None) -> TableSpec:
    """`spec` with the kinds and levels of all features, as found in its file, for the party to keep and declare.

    Raises: as `open_table`.
    """
    with open_table(spec, limits=limits, resources=resources) as table:
        return table.spec


def _checked(loaded: Loaded, spec: TableSpec, limits: Limits) -> Table:
    engine, layout, n_rows = loaded.engine, loaded.layout, loaded.n_rows
    problems = Problems(spec.title, lines_known=loaded.lines_known)
    identifiers = read_identifiers(engine, layout.id, spec.id_type, n_rows, limits, problems, spec.id)
    identifiers.ids.flags.writeable = False
    positives = _check_label(engine, layout, spec, n_rows, problems)
    declared = {c.name: c for c in spec.columns}
    others = (i for i in (layout.time, layout.updated) if i is not None)
    read = dict.fromkeys((*layout.features, *others))
    described = [(i, declared.get(layout.names[i], ColumnSpec(layout.names[i]))) for i in read]
    settled = settle(engine, spec, described, n_rows, problems)
    time = next((s for s in settled if s.index == layout.time), None)
    _check_time(time, problems)
    features = settled[: len(layout.features)]
    useless = {s.index: code for s in features if (code := _uselessness(s, n_rows)) is not None}
    if spec.useless == "refuse":
        _refuse_useless(features, useless, problems)
    problems.check()
    left_out = {} if spec.useless == "keep" else useless
    kept = tuple(s for s in features if s.index not in left_out)
    complete = replace(
        spec,
        drop=(*spec.drop, *(s.spec.name for s in features if s.index in left_out)),
        columns=tuple(s.spec for s in settled if s.index not in left_out or s is time),
    )
    quality = Quality(
        rows=n_rows,
        ids_blanks=identifiers.blanks,
        ids_full_width=identifiers.full_width,
        ids_lower_case=identifiers.lower_case,
        positives=positives,
        columns=tuple(_column_quality(s, useless.get(s.index)) for s in features),
    )
    contents = _Contents(kept, layout.label, time)
    return Table(engine, complete, limits, loaded.fingerprint, n_rows, identifiers, contents, quality)


def _check_label(engine: Engine, layout: Layout, spec: TableSpec, n_rows: int, problems: Problems) -> int | None:
    """Check the label, if there is one, and count its ones."""
    if layout.label is None:
        return None
    source = f"(SELECT r, v{layout.label} AS v FROM {stepwise([layout.label], *cells([(layout.label, spec.missing)]))})"
    value = f"({label_reading('v')})"
    present, valid, ones = engine.one(f"SELECT count(v), count({value}), count(*) FILTER ({value} = 1) FROM {source}")
    for code, count, bad, what in (
        ("LABEL_MISSING", n_rows - present, "v IS NULL", "no label"),
        ("LABEL_INVALID", present - valid, f"v IS NOT NULL AND {value} IS NULL", "neither 0 nor 1"),
    ):
        if count:
            rows = [row[0] for row in engine.all(f"SELECT r FROM {source} WHERE {bad} ORDER BY r LIMIT 3")]
            fix = "write 1 for a default and 0 for none"
            problems.add_rows(code, rows, count, what, fix, column=spec.label)
    if valid and ones in (0, valid):
        problems.add("LABEL_ONE_CLASS", f"all labels are {1 if ones else 0}", "a model needs both", column=spec.label)
    return int(ones)


def _check_time(time: Settled | None, problems: Problems) -> None:
    if time is None or time.invalid:
        return
    if time.kind not in ("numeric", "date"):
        problems.add(
            "COLUMN_TIME", "is neither numbers nor dates", "name a column that orders rows", column=time.spec.name
        )
    elif time.missing:
        what = f"{time.missing} rows have no time"
        problems.add("COLUMN_TIME", what, "an out-of-time split needs it of every row", column=time.spec.name)


def _uselessness(s: Settled, n_rows: int) -> str | None:
    if s.missing == n_rows:
        return "COLUMN_EMPTY"
    if s.missing > NEARLY_EMPTY * n_rows:
        return "COLUMN_NEARLY_EMPTY"
    return "COLUMN_CONSTANT" if s.constant and not s.invalid else None


def _refuse_useless(features: Sequence[Settled], useless: dict[int, str], problems: Problems) -> None:
    words = {
        "COLUMN_EMPTY": "has no value at all",
        "COLUMN_NEARLY_EMPTY": f"more than {NEARLY_EMPTY:.0%} of its cells are missing",
        "COLUMN_CONSTANT": "has the same value in every row",
    }
    for s in features:
        if (code := useless.get(s.index)) is not None:
            problems.add(code, words[code], "list it in drop, or set useless = 'drop'", column=s.spec.name)


def _column_quality(s: Settled, useless: str | None) -> ColumnQuality:
    levels = len(s.spec.levels or ()) if s.kind == "categorical" else 0
    return ColumnQuality(s.spec.name, s.kind, s.missing, levels, s.other, useless)


def _column(s: Settled, values: F64) -> Column:
    kind: Literal["numeric", "categorical"] = "categorical" if s.kind == "categorical" else "numeric"
    return Column(s.spec.name, kind, values, s.spec.levels or (), s.spec.special)
