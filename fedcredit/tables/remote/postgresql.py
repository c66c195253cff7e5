"""A table or view of a PostgreSQL server (库表), read once: the columns that are used, of the rows that are asked for.

One read-only transaction with one view of the data (REPEATABLE READ) finds out the columns and reads the rows. Rows
come as an Arrow stream and go to the engine as it pulls them; Python sees none. Every cell is turned into text by the
server, so that all checks of a CSV file hold for it. Names are quoted as identifiers; values of conditions are bound
to settings of the transaction and are at no time part of a statement.
"""

# ruff: noqa: S608 (SQL is built from quoted names, our own numbers and a fixed list of operators)

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import adbc_driver_manager
import duckdb
from adbc_driver_postgresql import StatementOptions, dbapi
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fedcredit.errors import ConfigError, Problem
from fedcredit.tables.engine import quoted
from fedcredit.tables.remote import failures
from fedcredit.tables.remote.hosts import on_this_machine
from fedcredit.tables.remote.sources import Condition, PostgresqlSource, ValueKind

__all__ = ["ServerColumn", "ServerTable", "connected"]

BATCH_BYTES = 4 << 20
"""Of one Arrow batch: what is in memory between the server and the engine."""

_TEXT = ("text", "varchar", "bpchar", "char", "name", "citext")
# How a column becomes text; other types have no meaning as a feature. The same forms as of Parquet columns.
_FORMS = {
    **dict.fromkeys(
        (*_TEXT, "uuid", "int2", "int4", "int8", "oid", "numeric", "float4", "float8", "date"), "{c}::text"
    ),
    "bool": "{c}::int::text",
    "timestamp": "{c}::date::text",
    "timestamptz": "{c}::date::text",
}
_CASTS: dict[ValueKind, str] = {
    "text": "text",
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "time": "timestamptz",
}
_COMPARISONS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

_COLUMNS = """
SELECT a.attname::text, coalesce(b.typname, t.typname)::text, (coalesce(b.typtype, t.typtype) = 'e')::text
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_WRITES = """
SELECT (r.rolsuper OR pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, pg_catalog.pg_roles r
WHERE n.nspname = $1 AND c.relname = $2 AND r.rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class ServerColumn:
    """A column as the server describes it. `form` is SQL that makes text of it; None where it has no such meaning."""

    name: str
    type: str
    form: str | None


class ServerTable:
    """A table or view within its transaction. Made by `connected`."""

    def __init__(self, title: str, source: PostgresqlSource, connection: Any) -> None:
        self._title, self._source, self._connection = title, source, connection
        self._say("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # Text forms that depend on no setting of the role.
        self._say(f"SET LOCAL statement_timeout = '{source.statement_timeout_s}s'")
        self._say("SET LOCAL datestyle = 'ISO, YMD'")
        self._say("SET LOCAL extra_float_digits = 1")

    def columns(self) -> list[ServerColumn]:
        """All columns. Raises DataError (TABLE_MISSING, ...)."""
        found = self._ask(_COLUMNS, self._source.schema, self._source.relation)
        if not found:
            raise failures.of_database(self._title, "", "42P01")
        return [
            ServerColumn(name, kind, "{c}::text" if enum == "true" else _FORMS.get(kind)) for name, kind, enum in found
        ]

    def writable(self) -> bool:
        """Whether the role could change the table, which it has no need to."""
        return self._ask(_WRITES, self._source.schema, self._source.relation) == [("true",)]

    @contextlib.contextmanager
    def stream(
        self, columns: Sequence[ServerColumn], known: Sequence[ServerColumn], most: int, width: int
    ) -> Iterator[Any]:
        """An Arrow stream of `columns` as texts `c0`, `c1`, ...: at most `most` rows, cells of `width`."""
        where = self._where(known)
        chosen = ", ".join(
            f"pg_catalog.left({(column.form or '').format(c=quoted(column.name))}, {width}) AS c{i}"
            for i, column in enumerate(columns)
        )
        relation = f"{quoted(self._source.schema)}.{quoted(self._source.relation)}"
        with self._cursor() as cursor:
            cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)})
            with self._typed():
                cursor.execute(f"SELECT {chosen} FROM {relation}{where} LIMIT {most}")
                stream = cursor.fetch_arrow()
            yield stream

    def _where(self, known: Sequence[ServerColumn]) -> str:
        types = {column.name: column.type for column in known}
        settings, tests = [], []
        for i, condition in enumerate(self._source.where):
            setting = f"fedcredit.w{i}"
            tests.append(_test(condition, types[condition.column], setting))
            if condition.values:
                several = json.dumps(condition.values, ensure_ascii=False)
                settings.append((setting, several if condition.op == "in" else condition.values[0]))
        if settings:
            calls = ", ".join(
                f"pg_catalog.set_config('{setting}', ${k}, true)" for k, (setting, _) in enumerate(settings, start=1)
            )
            self._ask(f"SELECT {calls}", *(value for _, value in settings))
        return f" WHERE {' AND '.join(tests)}" if tests else ""

    def _ask(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """A small answer to a statement with bound values."""
        # The driver takes values as Arrow and gives rows as Arrow; the engine makes both, one connection for each.
        with duckdb.connect(":memory:") as giving, duckdb.connect(":memory:") as taking, self._cursor() as cursor:
            names = {f"p{i}": value for i, value in enumerate(values)}
            with self._typed():
                row = giving.sql(f"SELECT {', '.join(f'${n}::VARCHAR AS {n}' for n in names)}", params=names)
                cursor.execute(sql, row)
                taking.register("answer", cursor.fetch_arrow())
                rows: list[tuple[Any, ...]] = taking.execute("SELECT * FROM answer").fetchall()
            return rows

    def _say(self, sql: str) -> None:
        with self._cursor() as cursor, self._typed():
            cursor.execute(sql)

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            with contextlib.suppress(adbc_driver_manager.Error):
                cursor.close()

    @contextlib.contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except adbc_driver_manager.Error as error:
            raise failures.of_database(self._title, str(error), error.sqlstate) from None
        except duckdb.Error as error:
            raise failures.of_stream(self._title, str(error)) from None


@contextlib.contextmanager
def connected(title: str, source: PostgresqlSource) -> Iterator[ServerTable]:
    """Connect and begin the transaction; it is rolled back at the end, as it changes nothing.

    Raises: DataError (TABLE_UNREACHABLE, TABLE_AUTH, TABLE_TLS, ...), ConfigError (SECRET_*, CONFIG_INSECURE).
    """
    target = _target(source)
    try:
        connection = dbapi.connect(target)
    except adbc_driver_manager.Error as error:
        raise failures.of_database(title, str(error), error.sqlstate) from None
    try:
        yield ServerTable(title, source, connection)
    finally:
        with contextlib.suppress(adbc_driver_manager.Error):
            connection.rollback()
        with contextlib.suppress(adbc_driver_manager.Error):
            connection.close()


def _test(condition: Condition, column_type: str, setting: str) -> str:
    column = quoted(condition.column)
    if condition.op in ("is null", "is not null"):
        return f"{column} {condition.op.upper()}"
    if condition.kind == "text" and column_type not in (*_TEXT, "date", "timestamp", "timestamptz"):
        column = f"{column}::text"  # an enum or a UUID; text itself stays bare, so that its index is used
    value, cast = f"pg_catalog.current_setting('{setting}')", _CASTS[condition.kind]
    if condition.op == "in":
        return f"{column} = ANY (ARRAY(SELECT pg_catalog.json_array_elements_text({value}::json)::{cast}))"
    return f"{column} {_COMPARISONS[condition.op]} {value}::{cast}"


def _target(source: PostgresqlSource) -> str:
    """What the driver connects to: the URL, with the declared TLS and deadlines whatever the URL says of them."""
    secret = source.url.read()
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(secret))
    except Exception:  # noqa: BLE001 - its message repeats the URL, so nothing of it may go on
        problem = Problem(
            "SECRET_INVALID", source.url.where, "is no PostgreSQL URL", "postgresql://USER:PASSWORD@HOST/DB"
        )
        raise ConfigError(problem) from None
    # libpq connects to `hostaddr` where there is one, and looks for what the URL leaves out in the environment.
    target = parts.get("hostaddr") or parts.get("host") or os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST")
    if source.tls in ("disable", "require") and not on_this_machine(str(target or "")):
        what = "does not prove who the server is, and it is not on this machine"
        raise ConfigError(Problem("CONFIG_INSECURE", "tls", what, "set 'verify-full' and ca"))
    authorities = {"sslrootcert": "system"} if source.tls == "verify-full" else {}
    if source.ca is not None:
        authorities = {"sslrootcert": str(source.ca)}
    parts.pop("sslrootcert", None)
    return make_conninfo(
        **parts
        | authorities
        | {
            "sslmode": source.tls,
            "connect_timeout": source.connect_timeout_s,
            "tcp_user_timeout": 60_000,
            "keepalives_idle": 30,
            "client_encoding": "UTF8",
            "application_name": "fedcredit",
        }
    )
