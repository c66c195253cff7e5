"""A department's database for tests: a table, a view, a role that may only read, and what the server saw of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from postgresql_server import Server
from psycopg import sql

from fedcredit.tables import TableSpec
from fedcredit.tables.remote.secret import Secret
from fedcredit.tables.remote.sources import PostgresqlSource

__all__ = ["Database"]

_LOGGED = (
    ("log_statement", "all"),
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_verbose", "on"),
)


class Database:
    """A schema `gov` of its own name on a server, with a role `reader` whose URL is in a file."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._admin = server.url()
        tag = secrets.token_hex(4)
        self.schema, self.role, self.password = f"gov_{tag}", f"reader_{tag}", f"geheim{secrets.token_hex(8)}"
        schema, role, password = sql.Identifier(self.schema), sql.Identifier(self.role), sql.Literal(self.password)
        with self.connected() as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
            # Everything the reader does is in the server's log, with the plan that was carried out.
            for setting, value in _LOGGED:
                parts = role, sql.SQL(setting), sql.Literal(value)
                connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(*parts))

    def url(self, password: str | None = None, host: str = "127.0.0.1") -> str:
        """The reader's URL."""
        return f"postgresql://{self.role}:{password or self.password}@{host}:{self._server.port}/postgres"

    def url_file(self, text: str | None = None) -> Path:
        """A file with the reader's URL, or with `text`."""
        path = self._folder / f"{secrets.token_hex(4)}.url"
        path.write_text(f"{text or self.url()}\n")
        path.chmod(0o600)
        return path

    def source(self, relation: str = "companies", **changes: Any) -> PostgresqlSource:
        """Where rows come from; the server is on this machine and has no TLS."""
        declared = {"schema": self.schema, "relation": relation, "url": Secret(file=self.url_file()), "tls": "disable"}
        return PostgresqlSource(**(declared | changes))

    def spec(self, relation: str = "companies", source: PostgresqlSource | None = None, **declared: Any) -> TableSpec:
        """A table of the database as its owner declares it."""
        plain: dict[str, Any] = {
            "path": self._folder,
            "name": "companies",
            "id": "id",
            "id_type": "text",
            "useless": "keep",
        }
        return TableSpec(**(plain | {"source": source or self.source(relation)} | declared))

    def create(self, columns: str, rows: Sequence[Sequence[object]] = (), relation: str = "companies") -> None:
        """A table that the reader may read. `columns` is SQL."""
        name = sql.Identifier(self.schema, relation)
        self.run(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(columns)))
        if rows:
            marks = sql.SQL(", ").join(sql.Placeholder() * len(rows[0]))
            with self.connected() as connection, connection.cursor() as cursor:
                cursor.executemany(sql.SQL("INSERT INTO {} VALUES ({})").format(name, marks), rows)
        self.grant(relation)

    def view(self, query: str, relation: str) -> None:
        """A view that the reader may read. `query` is SQL with `{schema}`."""
        body = sql.SQL(query).format(schema=sql.Identifier(self.schema))
        self.run(sql.SQL("CREATE VIEW {} AS {}").format(sql.Identifier(self.schema, relation), body))
        self.grant(relation)

    def grant(self, relation: str, right: str = "SELECT") -> None:
        """Let the reader do something with a table."""
        names = sql.Identifier(self.schema, relation), sql.Identifier(self.role)
        self.run(sql.SQL(f"GRANT {right} ON {{}} TO {{}}").format(*names))

    def run(self, statement: str | sql.Composable, *values: object) -> None:
        """Do something as the owner."""
        with self.connected() as connection:
            connection.execute(statement.encode() if isinstance(statement, str) else statement, values or None)

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the owner."""
        with psycopg.connect(self._admin) as connection:
            yield connection

    def log(self, after: int = 0) -> str:
        """What the server wrote, from byte `after` on."""
        return self._server.log.read_bytes()[after:].decode()

    def log_size(self) -> int:
        """How much it has written."""
        return self._server.log.stat().st_size
