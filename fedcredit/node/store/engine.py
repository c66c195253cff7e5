"""The way to a store's database: one transaction at a time that writes, durable when it ends; readers beside it.

SQLite in WAL mode with synchronous=FULL, or PostgreSQL with its own defaults (fsync, synchronous_commit): what a call
acknowledged is on the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from fedcredit.node.store.faults import busy, typed
from fedcredit.node.store.migration import migrate, needs_migration
from fedcredit.runtime.clock import Clock

__all__ = ["Database"]

WAIT_S = 10
"""How long a write waits for another one, here or in another process, and how long a statement may take to begin."""


class Database:
    """A database with the schema of this code. Safe from any thread. Raises: ConfigError (STORE_*)."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.clock = clock
        with typed():
            self._engine = sa.create_engine(url, hide_parameters=True)
        sa.event.listen(self._engine, "connect", _make_durable)
        sa.event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(fedcredit_writes=True)
        # SQLite lets writers poll for its lock, and one may starve; here they wait in line.
        self._line = threading.Lock()
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """What is committed, as of one moment."""
        with typed(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: durable when the block ends, undone when it raises."""
        if not self._line.acquire(timeout=WAIT_S):
            raise busy()
        try:
            with typed(), self._writer.begin() as connection:
                yield connection
        finally:
            self._line.release()

    def now(self) -> str:
        """The time that is written beside what happens."""
        return self.clock.now().isoformat(timespec="microseconds")

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self.reading() as connection:
            due = needs_migration(connection)
        if due:
            with self.writing() as connection:
                migrate(connection)


def _begin(connection: sa.Connection) -> None:
    # A writer takes its lock first: two that read and then write could otherwise write on what the other has changed.
    writes = connection.get_execution_options().get("fedcredit_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    cursor = connection.cursor()
    # The time to wait comes first: changing the journal needs the lock, too.
    for statement in (f"busy_timeout={WAIT_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {statement}")
    cursor.close()
