"""A register: the records of one item, any number for a subject, in pieces of columns with the types of its fields.

Unlike a table of features it may name a subject often, and its columns have the types that the catalog gives them:
nothing is inferred. A cell that is no value of its type is refused, with row and column, never the value. No object is
made of a row or a cell.
"""

# ruff: noqa: S608 (SQL is built from our own column numbers and from quoted literals)

from __future__ import annotations

import codecs
import contextlib
import csv
import datetime
import io
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.governance.predicates.compiler import Type
from fedcredit.kernels import identifiers
from fedcredit.kernels.index import Dates, Flags, Numbers, TextColumn, TextsColumn, Values
from fedcredit.tables.engine import SPILL_PREFIX, Engine, literal, stepwise
from fedcredit.tables.loading import Loaded, load
from fedcredit.tables.problems import Problems, refuse
from fedcredit.tables.remote.snapshot import of_snapshot, take_snapshot
from fedcredit.tables.remote.sources import PostgresqlSource
from fedcredit.tables.source import SourceFile
from fedcredit.tables.spec import BLANKS, ColumnKind, Limits, Resources, TableSpec
from fedcredit.tables.values import cells, reading

__all__ = ["Piece", "Register", "column_names", "open_register"]

Bools: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
Cells: TypeAlias = tuple[I64, U8]

_SEPARATORS = "[;；、|]"
_BETWEEN = "\x1f"
_NUL, _UNIT = 0, 0x1F
_READ_AS: Mapping[Type, ColumnKind] = {"number": "numeric", "flag": "boolean", "date": "date"}
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in it is made for this user alone
_SHOWN_ROWS = 3
_HEADER_BYTES = 1 << 20
_EPOCH = datetime.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records, in their order. `columns` are by field: the values, and which of them are known.

    Shapes: n records in all of them; days (n,), in days since 1970-01-01, and which are known; None without days.
    """

    keys: TextColumn
    days: tuple[I32, Bools] | None
    columns: Mapping[str, Values]


class Register:
    """An open register. Use as a context manager: it holds a copy of the records in memory or in the spill folder.

    `n_rows` counts all records; `left_out`, after `pieces`, those without a key that could be anybody's.
    """

    def __init__(
        self,
        loaded: Loaded,
        spec: TableSpec,
        columns: Mapping[str, tuple[str, Type]],
        recorded: str | None,
        codes: bool,
        held: contextlib.ExitStack,
    ) -> None:
        names = loaded.layout.names
        self._engine, self._spec, self._held = loaded.engine, spec, held
        self._key, self._used = loaded.layout.key[0], loaded.layout.used
        self._at = {field: (names.index(column), kind) for field, (column, kind) in columns.items()}
        self._recorded = None if recorded is None else names.index(recorded)
        self._codes = codes
        self._problems = Problems(spec.title, loaded.lines_known)
        self.n_rows = loaded.n_rows
        self.left_out = 0
        self.latest: datetime.date | None = None

    def pieces(self) -> Iterator[Piece]:
        """All records, piece by piece. Raises: DataError (VALUE_INVALID) with all that is wrong, at the end."""
        self._tidy_texts()
        texts = [i for i, kind in self._distinct() if kind in ("text", "texts") and i != self._key]
        for rows, cells_of in self._engine.joined_pieces(self.n_rows, self._key, *texts):
            order = np.argsort(rows, kind="stable")
            low, high = int(rows.min()), int(rows.max()) + 1
            keys, kept = self._keys(cells_of[0], len(rows), order)
            self.left_out += len(rows) - int(kept.sum())
            found = dict(zip([self._key, *texts], cells_of, strict=True))
            yield self._piece(low, high, keys, kept, order, found)
        self._problems.check()

    def close(self) -> None:
        """Free the copy."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _distinct(self) -> list[tuple[int, Type]]:
        return list(dict.fromkeys(self._at.values()))

    def _tidy_texts(self) -> None:
        """Blanks around texts go, what is declared missing is empty, and of several the separator is one byte."""
        kinds = {i: kind for i, kind in self._distinct() if kind in ("text", "texts") and i != self._key}
        if not kinds:
            return
        source = stepwise(self._used, *cells([(i, self._spec.missing) for i in kinds]))
        columns = ", ".join(f"{_tidy(i, kinds[i]) if i in kinds else f'c{i}'} AS c{i}" for i in self._used)
        # An update in place would leave the rows in another order.
        self._engine.execute(f"CREATE TABLE tidy AS SELECT {columns} FROM {source} ORDER BY r")
        self._engine.execute("DROP TABLE raw")
        self._engine.execute("ALTER TABLE tidy RENAME TO raw")

    def _keys(self, joined: U8, n: int, order: I64) -> tuple[TextColumn, Bools]:
        """The keys in their normal form, in the order of the rows, and which records have one."""
        ids, rules, _ = identifiers.normalise(joined, n, "uscc" if self._codes else "text", 1024)
        ids, rules = ids[order], rules[order]
        kept = rules == 0
        return _texts_of(ids[kept]), kept

    def _piece(self, low: int, high: int, keys: TextColumn, kept: Bools, order: I64, texts: Mapping[int, U8]) -> Piece:
        columns: dict[str, Values] = {}
        typed = self._typed(low, high)
        for name, (i, kind) in self._at.items():
            if kind in ("text", "texts"):
                joined = _in_order(texts[i], order)
                columns[name] = _text_column(joined, kept) if kind == "text" else _texts_column(joined, kept)
                continue
            values = typed[i][kept]
            known = ~np.isnan(values)
            filled = np.where(known, values, 0.0)
            match kind:
                case "number":
                    columns[name] = Numbers(filled), known
                case "date":
                    columns[name] = Dates(filled.astype(np.int32)), known
                case _:
                    columns[name] = Flags(filled != 0), known
        days = None
        if self._recorded is not None:
            values = typed[self._recorded][kept]
            known = ~np.isnan(values)
            days = np.where(known, values, 0.0).astype(np.int32), known
            if known.any():
                last = _EPOCH + datetime.timedelta(days=int(values[known].max()))
                self.latest = last if self.latest is None else max(last, self.latest)
        return Piece(keys, days, columns)

    def _typed(self, low: int, high: int) -> dict[int, F64]:
        wanted = {i: _READ_AS[kind] for i, kind in self._distinct() if kind in _READ_AS}
        if self._recorded is not None:
            wanted[self._recorded] = "date"
        if not wanted:
            return {}
        forms = ", ".join(f"{reading(f'v{i}', kind)} AS x{i}" for i, kind in wanted.items())
        wrong = ", ".join(f"(v{i} IS NOT NULL AND x{i} IS NULL) AS w{i}" for i in wanted)
        steps = (*cells([(i, self._spec.missing) for i in wanted]), forms)
        shown = ", ".join(f"x{i}, w{i}" for i in wanted)
        found = self._engine.piece(low, high, wanted, *steps, wrong, shown)
        for i in wanted:
            if len(rows := np.flatnonzero(found[f"w{i}"])):
                first = [low + int(row) for row in rows[:_SHOWN_ROWS]]
                what = f"is no {wanted[i]} value"
                self._problems.add_rows("VALUE_INVALID", first, len(rows), what, "docs/verify.md", column=self._name(i))
        return {i: np.asarray(found[f"x{i}"], np.float64) for i in wanted}

    def _name(self, i: int) -> str | None:
        return next((name for name, (at, _) in self._at.items() if at == i), self._spec.updated)


def column_names(spec: TableSpec, resources: Resources | None = None) -> tuple[str, ...] | None:
    """The columns of a register's source; None for an interface, which says them with its records.

    Raises: as `open_register`.
    """
    resources = resources or Resources()
    if isinstance(spec.source, PostgresqlSource):
        from fedcredit.tables.remote.postgresql import connected  # the driver takes time to load

        with connected(spec.title, spec.source) as server:
            return tuple(column.name for column in server.columns())
    if spec.source is not None:
        return None
    with SourceFile(spec, Limits()) as source:
        if source.is_parquet:
            with contextlib.closing(Engine(source.name, source.engine_path, resources)) as engine:
                return tuple(engine.parquet_columns(source.engine_path, Limits())[0])
        start = source.read(0, _HEADER_BYTES)
    try:
        text = codecs.getincrementaldecoder(spec.encoding)("strict").decode(start)
        names = next(row for row in csv.reader(io.StringIO(text, newline=""), delimiter=spec.delimiter) if row)
    except (UnicodeDecodeError, csv.Error, StopIteration):
        raise refuse("CSV_MALFORMED", spec.title, "has no header that can be read", "export it again") from None
    return tuple(name.strip(BLANKS + "\ufeff") for name in names)


def open_register(
    spec: TableSpec,
    columns: Mapping[str, tuple[str, Type]],
    *,
    recorded: str | None = None,
    codes: bool = True,
    limits: Limits | None = None,
    resources: Resources | None = None,
) -> Register:
    """The register that `spec` declares; its key is `spec.id`, its columns are `spec.beside`.

    `columns`: of each field the column and the type; `recorded`: the column with the day of a record; `codes`: whether
    keys are unified social credit codes, else any text.

    Raises: DataError (PATH_*, LIMIT_*, CSV_*, PARQUET_*, TABLE_*, COLUMN_*), ConfigError (SECRET_*).
    """
    limits, resources = limits or Limits(), resources or Resources()
    with contextlib.ExitStack() as held:
        here = spec
        if spec.source is not None:
            place = resources.spill_dir or _MEMORY
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix=SPILL_PREFIX, dir=place))
            snapshot = Path(folder) / "register.parquet"
            take_snapshot(spec, snapshot, limits, resources)
            here = of_snapshot(spec, snapshot)
        loaded = load(here, limits, resources, None)
        held.callback(loaded.engine.close)
        return Register(loaded, here, columns, recorded, codes, held.pop_all())


def _tidy(i: int, kind: Type) -> str:
    if kind == "text":
        return f"v{i}"
    parts = f"string_split_regex(v{i}, {literal(_SEPARATORS)})"
    trimmed = f"list_transform({parts}, lambda part: trim(part))"
    return f"array_to_string(list_filter({trimmed}, lambda part: part <> ''), {literal(_BETWEEN)})"


def _texts_of(ids: npt.NDArray[np.bytes_]) -> TextColumn:
    letters = np.ascontiguousarray(ids).view(np.uint8)
    width = ids.dtype.itemsize
    table = letters.reshape(len(ids), width) if len(ids) else letters.reshape(0, max(width, 1))
    lengths = (table != 0).sum(axis=1)
    starts = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return TextColumn(starts, letters[letters != 0])


def _in_order(joined: U8, order: I64) -> Cells:
    """Cells joined by NULs as starts and bytes, in the order of their rows; a cell ends where the next one starts."""
    ends = np.append(np.flatnonzero(joined == _NUL), len(joined))
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts
    moved = np.zeros(len(order) + 1, np.int64)
    np.cumsum(lengths[order], out=moved[1:])
    places = np.repeat(starts[order] - moved[:-1], lengths[order]) + np.arange(moved[-1])
    return moved, joined[places]


def _text_column(found: Cells, kept: Bools) -> tuple[TextColumn, Bools]:
    starts, letters = found
    lengths = np.diff(starts)
    chosen = letters[np.repeat(kept, lengths)]
    out = np.zeros(int(kept.sum()) + 1, np.int64)
    np.cumsum(lengths[kept], out=out[1:])
    return TextColumn(out, chosen), lengths[kept] > 0


def _texts_column(found: Cells, kept: Bools) -> tuple[TextsColumn, Bools]:
    """Several texts a record: how many texts come before each record, and all of them."""
    one, known = _text_column(found, kept)
    breaks = one.letters == _UNIT
    before = np.concatenate(([0], np.cumsum(breaks)))
    # A record that says nothing has no text; another has one more than it has separators.
    counts = np.diff(before[one.starts]) + known
    lists = np.zeros(len(known) + 1, np.int64)
    np.cumsum(counts, out=lists[1:])
    ends = np.flatnonzero(breaks) - np.arange(int(breaks.sum()))
    firsts = one.starts[:-1][known] - before[one.starts[:-1][known]]
    starts = np.sort(np.concatenate((firsts, ends)))
    letters = one.letters[~breaks]
    return TextsColumn(lists, TextColumn(np.append(starts, len(letters)).astype(np.int64), letters)), known
