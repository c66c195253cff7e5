"""One DuckDB connection per table, locked down: it can reach the one open file and, if allowed, its spill folder.

DuckDB parses and scans; what it may parse was decided before (`fedcredit.tables.structure`), and nothing it says about
a value reaches an error text: its messages quote rows. Cells are kept as text, in file order, in an in-memory table
`raw` with one column `c<i>` for column i of the file; names from the file enter SQL only as quoted identifiers, where
a snapshot of a database or an interface is written.
"""

# ruff: noqa: S608 (SQL is built from our own column numbers and from quoted literals)

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from fedcredit.errors import FedcreditError
from fedcredit.tables.problems import refuse
from fedcredit.tables.spec import Limits, Resources
from fedcredit.tables.structure import Structure

__all__ = ["ROWS_AT_ONCE", "SPILL_PREFIX", "Engine", "literal", "quoted", "stepwise", "texts"]

ROWS_AT_ONCE = 122_880
"""Rows fetched in one piece: DuckDB's row group, so that a piece is a zone of the table."""

Values = Sequence[object] | Mapping[str, object]
"""What is bound to `?` in turn, or to `$name` by name."""

Arrays = dict[str, npt.NDArray[Any]]
I64 = npt.NDArray[np.int64]

SPILL_PREFIX = "fedcredit-spill-"
"""Of folders with pieces of tables; those of a process that is gone may be removed."""

_BUFFER_BYTES = 8 << 20
_BYTES_JOINED = 64 << 20

# What a Parquet column is read as; other types (lists, structs, blobs, intervals) have no meaning as a feature.
_PARQUET_TEXT = {
    "BOOLEAN": "CAST(CAST({c} AS UTINYINT) AS VARCHAR)",
    "FLOAT": "CAST(CAST({c} AS DOUBLE) AS VARCHAR)",
    "VARCHAR": "{c}",
}
_PARQUET_PLAIN = (
    *("DOUBLE", "DATE", "DECIMAL", "ENUM", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
)
_PARQUET_TIME = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE")


class Engine:
    """The connection. `readable` is the one path it may open. One caller at a time; calls are serialised."""

    def __init__(self, name: str, readable: str, resources: Resources) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._spill = _private_folder(resources.spill_dir)
        self._longest: dict[int, int] = {}
        try:
            self._connection: Any = duckdb.connect(":memory:", config=_config(resources, self._spill))
            self._connection.execute(f"SET allowed_paths = [{literal(readable)}]")
            # The order matters: after the second no file can be added, after the third nothing can be set.
            self._connection.execute("SET enable_external_access = false")
            self._connection.execute("SET lock_configuration = true")
        except BaseException:
            self._remove_spill()
            raise

    @property
    def spill(self) -> Path | None:
        """The folder for what does not fit into memory, gone with the engine; None where nothing may go to disk."""
        return self._spill

    def longest(self, *columns: int) -> list[int]:
        """Bytes of the longest cell of each column, of rows that were left out since as well."""
        if new := [i for i in columns if i not in self._longest]:
            found = self.one(f"SELECT {', '.join(f'coalesce(max(strlen(c{i})), 0)' for i in new)} FROM raw")
            self._longest |= dict(zip(new, map(int, found), strict=True))
        return [self._longest[i] for i in columns]

    def load_csv(self, path: str, structure: Structure, delimiter: str, columns: Sequence[int], limits: Limits) -> None:
        """Fill `raw` with some columns of the CSV file. Raises CSV_MALFORMED, LIMIT_MEMORY."""
        names = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(structure.n_columns))
        # A file of one column has a blank line where others have none: a NULL, and "" is an empty cell.
        blank = "WHERE c0 IS NOT NULL" if structure.n_columns == 1 else ""
        self.execute(
            f"CREATE TABLE raw AS SELECT {', '.join(f'c{i}' for i in columns)} FROM read_csv("
            f"{literal(path)}, auto_detect = false, columns = {{{names}}}, header = true, "
            f"skip = {structure.leading_blanks}, delim = {literal(delimiter)}, quote = '\"', escape = '\"', "
            "strict_mode = true, compression = 'none', allow_quoted_nulls = false, "
            f"max_line_size = {limits.max_row_bytes + 2}, buffer_size = {max(_BUFFER_BYTES, 2 * limits.max_row_bytes)}"
            f") {blank}",
            malformed="CSV_MALFORMED",
        )

    def parquet_columns(self, path: str, limits: Limits) -> tuple[list[str], int]:
        """The Parquet file's column names and row count. Raises LIMIT_*, PARQUET_MALFORMED."""
        file = literal(path)
        rows, size = self.one(
            f"SELECT (SELECT sum(num_rows) FROM parquet_file_metadata({file})), "
            f"(SELECT sum(total_uncompressed_size) FROM parquet_metadata({file}))",
            malformed="PARQUET_MALFORMED",
        )
        names = [row[0] for row in self.all(f"DESCRIBE SELECT * FROM read_parquet({file})", "PARQUET_MALFORMED")]
        if (rows or 0) > limits.max_rows:
            raise refuse("LIMIT_ROWS", self._name, f"more than {limits.max_rows} rows", "split the table")
        if len(names) > limits.max_columns:
            raise refuse("LIMIT_COLUMNS", self._name, f"{len(names)} columns, the limit is {limits.max_columns}")
        if (size or 0) > limits.max_file_bytes:
            raise refuse(
                "LIMIT_FILE_BYTES", self._name, f"unpacks to {size} bytes, the limit is {limits.max_file_bytes}"
            )
        return names, int(rows or 0)

    def load_parquet(self, path: str, columns: Sequence[int], n_columns: int) -> dict[int, str]:
        """Fill `raw`; returns the columns whose type cannot be read, with the type, and then loads nothing."""
        source = f"SELECT * FROM read_parquet({literal(path)}) AS t({', '.join(f'c{i}' for i in range(n_columns))})"
        types = [str(row[1]) for row in self.all(f"DESCRIBE {source}", "PARQUET_MALFORMED")]
        forms = {i: _parquet_form(types[i]) for i in columns}
        if refused := {i: types[i] for i, form in forms.items() if form is None}:
            return refused
        chosen = ", ".join(f"{form.format(c=f'c{i}')} AS c{i}" for i, form in forms.items() if form is not None)
        self.execute(f"CREATE TABLE raw AS SELECT {chosen} FROM ({source})", "PARQUET_MALFORMED")
        return {}

    def execute(self, sql: str, malformed: str | None = None, values: Values = ()) -> None:
        """Run a statement; `malformed` is the code of a failure that is the file's fault; `values` are bound."""
        with self._lock, self._typed(malformed):
            self._connection.execute(sql, values)

    def consume(self, stream: object, sql: str, failed: Callable[[str], FedcreditError]) -> None:
        """Run `sql` over the Arrow `stream`, a source called `arrived`; `failed` makes the error of what it said."""
        with self._lock, self._typed(None):
            try:
                self._connection.register("arrived", stream)
                self._connection.execute(sql)
            except duckdb.OutOfMemoryException:
                raise
            except duckdb.Error as error:
                raise failed(str(error)) from None
            finally:
                self._connection.unregister("arrived")

    def all(self, sql: str, malformed: str | None = None, values: Values = ()) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self._lock, self._typed(malformed):
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, values).fetchall()
            return rows

    def one(self, sql: str, malformed: str | None = None, values: Values = ()) -> tuple[Any, ...]:
        """The only row of a result."""
        (row,) = self.all(sql, malformed, values)
        return row

    def arrays(self, sql: str) -> Arrays:
        """A result as columns; a NULL number is NaN, so integers must not be NULL."""
        with self._lock, self._typed(None):
            found: Mapping[str, Any] = self._connection.execute(sql).fetchnumpy()
        return {
            name: column.filled(np.nan) if isinstance(column, np.ma.MaskedArray) else column
            for name, column in found.items()
        }

    def piece(self, low: int, high: int, columns: Iterable[int], *steps: str) -> Arrays:
        """What the last of `steps` makes of rows `low` to `high` (exclusive), in file order; see `stepwise`."""
        source = stepwise(columns, *steps[:-1], rows=(low, high))
        found = self.arrays(f"SELECT r, {steps[-1]} FROM {source}")
        if not np.array_equal(found.pop("r"), np.arange(low, high)):
            raise FedcreditError("the table engine returned rows out of order")
        return found

    def pieces(self, n_rows: int, columns: Iterable[int], *steps: str) -> Iterator[tuple[int, Arrays]]:
        """`piece` over all rows, each with its first row."""
        for low in range(0, n_rows, ROWS_AT_ONCE):
            yield low, self.piece(low, min(low + ROWS_AT_ONCE, n_rows), columns, *steps)

    def joined_pieces(self, n_rows: int, *columns: int) -> Iterator[tuple[I64, list[npt.NDArray[np.uint8]]]]:
        """The cells of each column in UTF-8, joined by NULs, in pieces, and before them the row numbers in their order.

        No cell has a NUL in it; one that is NULL is an empty one. No object is made of a cell. The rows of a piece
        follow those of the piece before, but the engine's threads may have them in any order within it.
        """
        at_once = max(1, min(ROWS_AT_ONCE, _BYTES_JOINED // (sum(self.longest(*columns)) + 1)))
        joined = ", ".join(f"encode(string_agg(coalesce(c{i}, ''), chr(0))) AS x{i}" for i in columns)
        for low in range(0, n_rows, at_once):
            high = min(low + at_once, n_rows)
            # A thread gives each of its rows to all aggregates, and its results to all at once: one order for all.
            found = self.arrays(
                f"SELECT list(r) AS rows, {joined} FROM (SELECT rowid AS r, {', '.join(f'c{i}' for i in columns)} "
                f"FROM raw WHERE rowid >= {low} AND rowid < {high})"
            )
            rows = np.asarray(found["rows"][0], np.int64)
            if not np.array_equal(np.sort(rows, kind="stable"), np.arange(low, high)):
                raise FedcreditError("the table engine returned other rows than those asked for")
            yield rows, [np.frombuffer(found[f"x{i}"][0], np.uint8) for i in columns]

    def leave_out(self, rows: npt.NDArray[np.uint32]) -> None:
        """Take `rows` out of `raw`; those behind them move up. Needs room for a second copy while it works."""
        with self._lock, self._typed(None):
            self._connection.register("left_out", {"r": rows})
            try:
                # A join may have rows in any order; the order of the file is what makes the first row the first.
                self._connection.execute(
                    "CREATE TABLE kept AS SELECT * FROM raw WHERE rowid NOT IN (SELECT r FROM left_out) ORDER BY rowid"
                )
            finally:
                self._connection.unregister("left_out")
            self._connection.execute("DROP TABLE raw")
            self._connection.execute("ALTER TABLE kept RENAME TO raw")

    def close(self) -> None:
        """Close the connection and remove what it spilled."""
        with self._lock:
            self._connection.close()
            self._remove_spill()

    @contextlib.contextmanager
    def _typed(self, malformed: str | None) -> Iterator[None]:
        try:
            yield
        except duckdb.OutOfMemoryException:
            raise refuse(
                "LIMIT_MEMORY",
                self._name,
                "reading the table needs more memory than allowed",
                "raise the memory limit or give it a folder to spill to",
            ) from None
        except duckdb.Error as error:
            if malformed is not None:
                raise refuse(malformed, self._name, "cannot be read to its end", "export it again") from None
            raise FedcreditError(f"the table engine failed: {type(error).__name__}") from None

    def _remove_spill(self) -> None:
        if self._spill is not None:
            shutil.rmtree(self._spill, ignore_errors=True)


def stepwise(columns: Iterable[int], *steps: str, rows: tuple[int, int] | None = None) -> str:
    """SQL: a source with some columns of `raw`, the row number `r`, and what every step adds.

    A step is expressions over the columns of the steps before it. An expression that repeats its parts instead grows
    beyond what the planner takes in its stride.
    """
    where = "" if rows is None else f" WHERE rowid >= {rows[0]} AND rowid < {rows[1]}"
    source = f"(SELECT {', '.join(['rowid AS r', *(f'c{i}' for i in columns)])} FROM raw{where})"
    for step in steps:
        source = f"(SELECT *, {step} FROM {source})"
    return source


def literal(text: str) -> str:
    """`text` as an SQL string. A NUL cannot be one; callers exclude it."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """`name` as an SQL identifier. A NUL cannot be in one; callers exclude it."""
    return '"' + name.replace('"', '""') + '"'


def texts(values: Sequence[str]) -> str:
    """A list of SQL strings for IN (...)."""
    return ", ".join(map(literal, values))


def _parquet_form(kind: str) -> str | None:
    if kind in _PARQUET_TIME:
        return "CAST(CAST({c} AS DATE) AS VARCHAR)"
    # DECIMAL(10,2) and ENUM('a', 'b') carry their parameters; INTEGER[] is a list.
    if kind.split("(")[0] in _PARQUET_PLAIN and not kind.endswith("]"):
        return "CAST({c} AS VARCHAR)"
    return _PARQUET_TEXT.get(kind)


def _private_folder(parent: Path | None) -> Path | None:
    # mkdtemp makes it readable by this user alone; pieces of the table may come to lie in it.
    return None if parent is None else Path(tempfile.mkdtemp(prefix=SPILL_PREFIX, dir=parent))


def _config(resources: Resources, spill: Path | None) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": f"{resources.memory_limit_bytes}B",
        "threads": str(resources.threads),
        "temp_directory": "" if spill is None else str(spill),
        "max_temp_directory_size": f"{0 if spill is None else resources.max_spill_bytes}B",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
        "enable_external_file_cache": "false",
        "python_enable_replacements": "false",
    }
