"""What a party declares about its table. What it does not declare is inferred, and can be written down and kept.

Pure values: a `TableSpec` is valid once it exists; whether a file agrees with it is `fedcredit.tables.table`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from fedcredit.errors import ConfigError, Problem
from fedcredit.tables.remote.sources import Source

__all__ = [
    "BLANKS",
    "MAX_KEY_COLUMNS",
    "OTHER",
    "ColumnKind",
    "ColumnSpec",
    "Duplicates",
    "IdType",
    "Limits",
    "Resources",
    "TableSpec",
    "dump_spec",
    "load_spec",
]

ColumnKind = Literal["numeric", "categorical", "boolean", "date"]
IdType = Literal["uscc", "digits", "text"]
Format = Literal["auto", "csv", "parquet"]
Encoding = Literal["utf-8", "gbk", "gb18030", "utf-16"]
Useless = Literal["refuse", "drop", "keep"]
Stale = Literal["warn", "refuse"]
Duplicates = Literal["refuse", "first"]

OTHER = "(other)"
"""The level that stands for all values too rare to have one of their own; always the last level."""

BLANKS = " \t\r\n"
"""What counts for nothing around a cell, a column name or an identifier."""

DELIMITERS = (",", ";", "\t", "|")
MAX_LEVELS = 4096
MAX_KEY_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column. `kind` None: inferred. `levels` in their order; None: by frequency.

    `special` are numbers that are codes and not amounts ("-999: no record"): they stay as they are and are listed in
    `Column.special`, so that binning gives each its own bin. `missing` are markers of this column alone, besides the
    table's. `splits`, ascending, are where bins of the column begin, for a binning that is not to find them.
    """

    name: str
    kind: ColumnKind | None = None
    levels: tuple[str, ...] | None = None
    special: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()
    splits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A table as its owner declares it. All columns but `id`, `label`, `updated` and `drop` are features.

    Raises: ConfigError listing every contradiction.
    """

    path: Path
    id: str | tuple[str, ...]  # one column, or up to MAX_KEY_COLUMNS that are a subject's key together
    id_type: IdType | tuple[IdType, ...] = "uscc"  # of each of these columns, or one for all
    duplicates: Duplicates = "refuse"  # "first": of rows with one identifier, the first in the table's order alone
    label: str | None = None
    drop: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None  # the only columns that may be features, where not all of them may
    time: str | None = None  # orders rows for an out-of-time split; no feature if it is also in `drop`
    format: Format = "auto"
    encoding: Encoding = "utf-8"
    delimiter: str = ","
    missing: tuple[str, ...] = ()  # markers besides the empty cell, e.g. ("NULL", "N/A")
    columns: tuple[ColumnSpec, ...] = ()
    max_levels: int = 32  # of an inferred categorical column, OTHER included
    useless: Useless = "refuse"  # constant and near-empty features
    root: Path | None = None  # the folder that the file has to lie in
    name: str | None = None  # what errors call the table; None: the file's name
    source: Source | None = None  # where rows come from if not from the file; then `path` is a snapshot of them
    beside: tuple[str, ...] = ()  # columns to be had as text, for the owner alone; they take part in nothing
    updated: str | None = None  # says when a row was last changed; no feature
    max_age_days: int | None = None  # the newest `updated` may not be older
    stale: Stale = "warn"

    def __post_init__(self) -> None:
        if problems := list(_contradictions(self)):
            raise ConfigError(problems)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the identifier, one or several."""
        return (self.id,) if isinstance(self.id, str) else self.id

    @property
    def key_types(self) -> tuple[IdType, ...]:
        """The type of each column of `key`."""
        return (self.id_type,) * len(self.key) if isinstance(self.id_type, str) else self.id_type

    @property
    def key_title(self) -> str:
        """What errors and files call the columns of the identifier."""
        return ",".join(self.key)

    @property
    def title(self) -> str:
        """What errors call the table."""
        return self.name or self.path.name

    def column(self, name: str) -> ColumnSpec:
        """What is declared about a column; nothing but its name if nothing is."""
        return next((c for c in self.columns if c.name == name), ColumnSpec(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Beyond these a file is refused (codes `LIMIT_*`). The platform of a party may lower or raise them."""

    max_file_bytes: int = 64 << 30
    max_rows: int = 100_000_000
    max_columns: int = 10_000
    max_cell_bytes: int = 64 << 10
    max_row_bytes: int = 4 << 20
    max_id_bytes: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What reading a table may use. Without `spill_dir` nothing is ever written to disk."""

    memory_limit_bytes: int = 1 << 30
    threads: int = 2
    spill_dir: Path | None = None
    max_spill_bytes: int = 64 << 30


def dump_spec(spec: TableSpec) -> dict[str, Any]:
    """`spec` as plain values for JSON or TOML: defaults left out. `load_spec` reads it back."""
    out: dict[str, Any] = {"path": str(spec.path)}
    out |= {key: list(v) if isinstance(v := getattr(spec, key), tuple) else v for key in ("id", "id_type")}
    out |= _not_default(
        spec,
        TableSpec(path=spec.path, id=spec.id, id_type=spec.id_type),
        ("path", "id", "id_type", "columns", "source"),
    )
    if spec.columns:
        bare = ColumnSpec("")
        out["columns"] = {c.name: _not_default(c, bare, ("name",)) for c in spec.columns}
    return out


def load_spec(raw: Mapping[str, Any]) -> TableSpec:
    """The TableSpec that `dump_spec` wrote. Raises ConfigError on an unknown key or a wrong type."""
    values = dict(raw)
    columns = values.pop("columns", {})
    if not isinstance(columns, Mapping):
        raise ConfigError(Problem("CONFIG_TYPE", "table.columns", "is not a table of columns"))
    built = tuple(ColumnSpec(**_arguments(ColumnSpec, {"name": name, **c})) for name, c in columns.items())
    return TableSpec(**_arguments(TableSpec, values), columns=built)


def _not_default(value: Any, default: Any, skip: tuple[str, ...]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name in skip or item == getattr(default, field.name):
            continue
        out[field.name] = list(item) if isinstance(item, tuple) else str(item) if isinstance(item, Path) else item
    return out


def _arguments(kind: type[ColumnSpec] | type[TableSpec], raw: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    problems = [Problem("CONFIG_UNKNOWN_KEY", f"table.{key}", "is not a key of a table") for key in raw.keys() - known]
    out: dict[str, Any] = {}
    for key, value in raw.items():
        if key in ("path", "root") and isinstance(value, str):
            out[key] = Path(value)
        elif key in ("id", "id_type"):
            out[key] = tuple(value) if isinstance(value, list) else value
        elif key in ("beside", "drop", "only", "missing", "levels", "special", "splits"):
            if not isinstance(value, list | tuple):
                problems.append(Problem("CONFIG_TYPE", f"table.{key}", "is not a list"))
            out[key] = tuple(value) if isinstance(value, list | tuple) else ()
        else:
            out[key] = value
    if problems:
        raise ConfigError(problems)
    return out


def _contradictions(spec: TableSpec) -> Iterable[Problem]:
    def problem(key: str, what: str, fix: str = "") -> Problem:
        return Problem("CONFIG_TABLE", f"{spec.title}: {key}", what, fix)

    if not 1 <= len(spec.key) <= MAX_KEY_COLUMNS:
        yield problem("id", f"is not 1 to {MAX_KEY_COLUMNS} columns")
    if len(spec.key_types) != len(spec.key):
        yield problem("id_type", "is not one for each column of id", "give one for all, or a list as long as id's")
    if not set(spec.key_types) <= set(get_args(IdType)):
        yield problem("id_type", "is none of the choices", f"use one of {', '.join(get_args(IdType))}")
    choices_of = {
        "duplicates": Duplicates,
        "format": Format,
        "encoding": Encoding,
        "useless": Useless,
        "stale": Stale,
    }
    for key, choices in choices_of.items():
        if getattr(spec, key) not in get_args(choices):
            yield problem(key, "is none of the choices", f"use one of {', '.join(get_args(choices))}")
    if spec.delimiter not in DELIMITERS:
        yield problem("delimiter", "is none of the choices", "use a comma, a semicolon, a tab or a vertical bar")
    if not 2 <= spec.max_levels <= MAX_LEVELS:
        yield problem("max_levels", f"is not in [2, {MAX_LEVELS}]")
    names = [name for name in (*spec.key, spec.label, *spec.drop) if name is not None]
    if len(set(names)) != len(names):
        yield problem("id, label, drop", "name one column twice", "name each column once")
    if any(
        name != name.strip(BLANKS) or not name
        for name in (*names, *(c.name for c in spec.columns), spec.time or "time")
    ):
        yield problem("column names", "an empty name, or one with spaces around it")
    if set(spec.beside) & set(spec.key):
        yield problem("beside", "names a column of the identifier", "it is there anyway")
    if spec.updated is not None and spec.updated in names:
        yield problem("updated", "is the id, the label or a dropped column")
    if spec.time is not None and spec.time in (*spec.key, spec.label):
        yield problem("time", "is the id or label column")
    if any("\0" in m or m != m.strip(BLANKS) for m in spec.missing):
        yield problem("missing", "a marker with a NUL or with spaces around it", "cells are compared without them")
    described = [c.name for c in spec.columns]
    if len(set(described)) != len(described):
        yield problem("columns", "describe one column twice")
    if {*spec.key, spec.label} & set(described):
        yield problem("columns", "describe the id or label column", "take it out of columns")
    for column in spec.columns:
        yield from _column_contradictions(spec, column)


def _column_contradictions(spec: TableSpec, column: ColumnSpec) -> Iterable[Problem]:
    def problem(what: str, fix: str = "") -> Problem:
        return Problem("CONFIG_TABLE", f"{spec.title}: column {column.name!r}", what, fix)

    if column.kind is not None and column.kind not in get_args(ColumnKind):
        yield problem("kind is none of the choices", f"use one of {', '.join(get_args(ColumnKind))}")
    if column.levels is not None:
        if column.kind not in (None, "categorical"):
            yield problem("levels are for categorical columns", "drop levels or set kind = 'categorical'")
        if not column.levels or len(column.levels) > MAX_LEVELS or len(set(column.levels)) != len(column.levels):
            yield problem(f"levels are not 1 to {MAX_LEVELS} different texts")
        if OTHER in column.levels[:-1]:
            yield problem(f"{OTHER} is not the last level")
        if any("\0" in level or level != level.strip(BLANKS) or not level for level in column.levels):
            yield problem("a level is empty, has a NUL or has spaces around it", "cells are compared without them")
    if column.special and column.kind not in (None, "numeric"):
        yield problem("special values are for numeric columns", "declare them as levels")
    if column.splits and column.kind == "categorical":
        yield problem("split points are for columns of numbers", "drop splits")
    finite = all(math.isfinite(value) for value in column.splits)
    if not finite or any(a >= b for a, b in zip(column.splits, column.splits[1:], strict=False)):
        yield problem("split points are not ascending numbers")
    if not all(math.isfinite(value) for value in column.special):
        yield problem("a special value is not a finite number")
    if any("\0" in m or m != m.strip(BLANKS) for m in column.missing):
        yield problem("a missing marker with a NUL or with spaces around it", "cells are compared without them")
