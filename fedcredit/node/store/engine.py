"""The way to a store's database: one transaction at a time that writes, durable when it ends; readers beside it.

SQLite in WAL mode with synchronous=FULL, or PostgreSQL: what a call acknowledged is on the disk. Every write holds the
lease of the node within its own transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from fedcredit.node.store.dialects import WAIT_S, make_engine
from fedcredit.node.store.faults import busy, lease_lost, typed
from fedcredit.observe import metrics
from fedcredit.runtime.clock import Clock

__all__ = ["Database"]

Guard = Callable[[sa.Connection], None]
"""Raises in a transaction that must not write."""

_OPENING = 0x666564637265
"""The name of PostgreSQL's lock for those who open a store: "fedcre"."""


class Database:
    """A database. Safe from any thread. Raises: ConfigError (STORE_*) from every method."""

    def __init__(self, url: str, clock: Clock, *, make: bool = True) -> None:
        self.clock = clock
        self.guard: Guard = _nobody
        """Asked at the start of every write."""
        with typed():
            self._engine = make_engine(url, make=make)
        self._writer = self._engine.execution_options(fedcredit_writes=True)
        self._unwaited = self._engine.execution_options(fedcredit_writes=True, fedcredit_unwaited=True)
        # SQLite lets writers poll for its lock, and one may starve; here they wait in line.
        self._line = threading.Lock()

    @property
    def shared(self) -> bool:
        """Whether it is a server that nodes on other machines can reach."""
        return self._engine.dialect.name == "postgresql"

    @property
    def exists(self) -> bool:
        """Whether there is a database at all; a server's always is, and may not be reached."""
        return self.shared or Path(self._engine.url.database or "").exists()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """What is committed, as of one moment."""
        with typed(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction: durable when the block ends, undone when it raises. Raises: LeaseLost."""
        with self._transaction(self.guard) as connection:
            yield connection

    @contextmanager
    def noting(self) -> Iterator[sa.Connection]:
        """One transaction that outlives this process, and nearly always the machine: nobody waits for the disk.

        For what is only ever compared with something that is durable already. Raises: LeaseLost.
        """
        with self._transaction(self.guard, self._unwaited) as connection:
            if self.shared:
                connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
            yield connection

    @contextmanager
    def opening(self) -> Iterator[sa.Connection]:
        """One transaction without a lease, to take it; only one is in here at a time, in whatever process."""
        with self._transaction(self._alone) as connection:
            yield connection

    def now(self) -> str:
        """The time that is written beside what happens."""
        return self.clock.now().isoformat(timespec="microseconds")

    def close(self) -> None:
        """Let go of the database."""
        self.guard = _nobody
        self._engine.dispose()

    @contextmanager
    def _transaction(self, guard: Guard, engine: sa.Engine | None = None) -> Iterator[sa.Connection]:
        if not self._line.acquire(timeout=WAIT_S):
            raise busy()
        try:
            with metrics.STORE_SECONDS.labels("write").time(), typed(), (engine or self._writer).begin() as connection:
                guard(connection)
                yield connection
        finally:
            self._line.release()

    def _alone(self, connection: sa.Connection) -> None:
        if self.shared:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_OPENING)))


def _nobody(_connection: sa.Connection) -> None:
    raise lease_lost("is not held by this process")
