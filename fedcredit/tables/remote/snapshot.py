"""The rows of a database or an interface as a file of one's own: what a job stands on from its agreement to its end.

The source may change while a job runs, and a node that is started again must go on with the same rows. So they are read
once, into a Parquet file with one column of text for each used column, in the order in which they come; everything
that holds for a file then holds for it. It is readable by this user alone and appears whole or not at all.
"""

# ruff: noqa: S608 (SQL is built from our own column numbers, quoted names and quoted literals)

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedcredit import failpoints
from fedcredit.tables.engine import ROWS_AT_ONCE, Engine, literal, quoted
from fedcredit.tables.header import Layout, lay_out
from fedcredit.tables.problems import Problems, refuse
from fedcredit.tables.remote import failures
from fedcredit.tables.remote.sources import HttpSource, PostgresqlSource
from fedcredit.tables.spec import Limits, Resources, TableSpec

__all__ = ["ROLE_WRITES", "notes_of", "of_snapshot", "take_snapshot"]

ROLE_WRITES = "TABLE_ROLE_WRITES"
"""The note of a snapshot whose database role could also change the table."""

CELLS_AT_ONCE = 1 << 20
"""How many cells the writer of a snapshot gathers before it writes them."""

_NOTES = "fedcredit.notes"


def of_snapshot(spec: TableSpec, path: Path) -> TableSpec:
    """How to read the snapshot of `spec` at `path`: as declared, but for the columns that are not in it."""
    kept = {spec.time, spec.updated} | ({c.name for c in spec.columns} if spec.only is None else set(spec.only))
    return replace(
        spec,
        path=path,
        name=spec.title,
        source=None,
        root=None,
        format="parquet",
        encoding="utf-8",
        drop=tuple(name for name in spec.drop if name == spec.time),
        columns=tuple(c for c in spec.columns if c.name in kept and (c.name not in spec.drop or c.name == spec.time)),
    )


def take_snapshot(spec: TableSpec, path: Path, limits: Limits, resources: Resources) -> None:
    """Read the source of `spec` into `path`. What was there before is replaced.

    Raises: DataError (TABLE_*, COLUMN_*, LIMIT_*, DISK_FULL, SNAPSHOT_FAILED), ConfigError (SECRET_*, CONFIG_INSECURE).
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        with contextlib.closing(Engine(spec.title, str(partial), resources)) as engine:
            match spec.source:
                case PostgresqlSource():
                    _from_postgresql(spec, spec.source, partial, engine, limits)
                case HttpSource():
                    _from_interface(spec, spec.source, partial, engine, limits)
                case None:
                    raise ValueError(f"{spec.title} is a file")
        failpoints.hit("table.snapshot.written")
        _make_durable(partial)
        partial.rename(path)
        _make_durable(path.parent)
        failpoints.hit("table.snapshot.kept")
    except OSError as error:
        raise failures.of_disk(spec.title, error) from None
    finally:
        partial.unlink(missing_ok=True)


def notes_of(path: Path, title: str, resources: Resources) -> tuple[str, ...]:
    """What was noted about the source when the snapshot at `path` was taken."""
    with contextlib.closing(Engine(title, str(path), resources)) as engine:
        sql = (
            f"SELECT decode(value) FROM parquet_kv_metadata({literal(str(path))}) WHERE decode(key) = {literal(_NOTES)}"
        )
        found = engine.all(sql, "PARQUET_MALFORMED")
    try:
        notes = json.loads(found[0][0]) if found else []
        if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
            raise TypeError("notes")
    except (ValueError, TypeError, RecursionError):
        raise refuse("PARQUET_MALFORMED", title, "its notes cannot be read", "read the table again") from None
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class _Form:
    """A column of the snapshot: its name, and SQL for its text."""

    name: str
    text: str


def _from_postgresql(spec: TableSpec, source: PostgresqlSource, path: Path, engine: Engine, limits: Limits) -> None:
    from fedcredit.tables.remote.postgresql import connected  # the driver takes time to load, and few tables need it

    with connected(spec.title, source) as server:
        known = server.columns()
        layout = _lay_out(spec, [column.name for column in known], limits, [c.column for c in source.where])
        used = [known[i] for i in layout.used]
        _refuse_types(spec, [(column.name, column.type) for column in used if column.form is None])
        notes = [ROLE_WRITES] if server.writable() else []
        forms = [_Form(layout.names[i], f"c{k}") for k, i in enumerate(layout.used)]
        sql = _write(path, forms, "arrived", notes)
        with server.stream(used, known, limits.max_rows + 1, limits.max_cell_bytes + 1) as stream:
            engine.consume(stream, sql, lambda message: failures.of_stream(spec.title, message))


def _from_interface(spec: TableSpec, source: HttpSource, path: Path, engine: Engine, limits: Limits) -> None:
    from fedcredit.tables.remote.interface import collect

    names = collect(spec.title, source, engine, limits)
    layout = _lay_out(spec, names, limits, [])
    # One parse of a record for all of its columns; a pointer holds the name as it is, in a literal.
    pointers = ", ".join(literal("/" + names[i].replace("~", "~0").replace("/", "~1")) for i in layout.used)
    source_sql = (
        f"(SELECT json_extract_string(r, [{pointers}]) AS texts, json_type(r, [{pointers}]) AS types FROM records)"
    )
    positions = range(1, len(layout.used) + 1)
    tests = ", ".join(f"bool_or(types[{k}] IN ('OBJECT', 'ARRAY'))" for k in positions)
    nested = engine.one(f"SELECT {tests} FROM {source_sql}", "TABLE_PAGE_INVALID")
    _refuse_types(spec, [(layout.names[i], "nested") for i, bad in zip(layout.used, nested, strict=True) if bad])
    forms = [
        _Form(
            layout.names[i],
            f"CASE WHEN types[{k}] = 'BOOLEAN' THEN CAST((texts[{k}] = 'true')::INT AS VARCHAR) ELSE texts[{k}] END",
        )
        for k, i in zip(positions, layout.used, strict=True)
    ]
    engine.execute(_write(path, forms, source_sql, []), "TABLE_PAGE_INVALID")


def _lay_out(spec: TableSpec, names: list[str], limits: Limits, conditions: Sequence[str]) -> Layout:
    if len(names) > limits.max_columns:
        raise refuse("LIMIT_COLUMNS", spec.title, f"{len(names)} columns, the limit is {limits.max_columns}")
    problems = Problems(spec.title)
    for name in dict.fromkeys(conditions):
        if name not in names:
            problems.add("COLUMN_MISSING", "a condition names a column that is not there", "correct where", column=name)
    return lay_out(spec, names, problems)


def _refuse_types(spec: TableSpec, refused: Sequence[tuple[str, str]]) -> None:
    problems = Problems(spec.title)
    for name, kind in refused:
        what = f"the type {kind} is neither number, text, date nor truth value"
        problems.add("COLUMN_TYPE", what, "list it in drop", column=name)
    problems.check()


def _write(path: Path, forms: Sequence[_Form], source: str, notes: Sequence[str]) -> str:
    columns = ", ".join(f"{form.text} AS {quoted(form.name)}" for form in forms)
    rows = max(2048, min(ROWS_AT_ONCE, CELLS_AT_ONCE // len(forms)))
    kept = f"{{{quoted(_NOTES)}: {literal(json.dumps(list(notes)))}}}"
    how = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {rows}, USE_TMP_FILE false, KV_METADATA {kept}"
    return f"COPY (SELECT {columns} FROM {source}) TO {literal(str(path))} ({how})"


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
