"""The store of a node, whole."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import ConfigError, Problem
from fedcredit.node.store import tables
from fedcredit.node.store.budgets import Budgets
from fedcredit.node.store.calls import AuditHeads, Calls
from fedcredit.node.store.check import problems_of
from fedcredit.node.store.consents import ConsentKeys, Consents
from fedcredit.node.store.engine import Database
from fedcredit.node.store.events import Events
from fedcredit.node.store.jobs import Jobs
from fedcredit.node.store.lease import Holder, Lease
from fedcredit.node.store.members import Members, Tokens
from fedcredit.node.store.migration import LEASES_SINCE, migrate, version_of
from fedcredit.node.store.model_changes import ModelChanges
from fedcredit.node.store.model_parts import ModelParts
from fedcredit.node.store.platform import PlatformJobs
from fedcredit.node.store.registry import ModelRegistry
from fedcredit.node.store.scores import ScoreAnswers
from fedcredit.node.store.stages import Results, Stages
from fedcredit.node.store.uses import LoanOutcomes, UsageReports
from fedcredit.node.store.witness import SeenHeads
from fedcredit.runtime.clock import Clock, SystemClock

__all__ = ["Store"]


class Store:
    """One node's store, as components that share a database. Safe from any thread.

    `open` and `at` take the lease, for this process alone; `look` takes none, and then nothing can be written.
    """

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database, self.lease = database, lease
        self.jobs = Jobs(database)
        self.stages = Stages(database)
        self.results = Results(database)
        self.calls = Calls(database)
        self.heads = AuditHeads(database)
        self.events = Events(database)
        self.budgets = Budgets(database)
        self.platform = PlatformJobs(database)
        self.tokens = Tokens(database)
        self.members = Members(database)
        self.consents = Consents(database)
        self.consent_keys = ConsentKeys(database)
        self.usage = UsageReports(database)
        self.outcomes = LoanOutcomes(database)
        self.witness = SeenHeads(database)
        self.models = ModelRegistry(database)
        self.model_parts = ModelParts(database)
        self.model_changes = ModelChanges(database)
        self.scores = ScoreAnswers(database)

    @classmethod
    def open(cls, url: str, clock: Clock | None = None, holder: Holder | None = None) -> Store:
        """The store at a database URL, made or migrated where needed, for `holder` (this process) to write to.

        Raises: ConfigError: Locked (LOCKED) while another process has it, STORE_VERSION, STORE_UNAVAILABLE, ...
        """
        database = Database(url, clock or SystemClock())
        lease = Lease(database, holder or Holder.mine())
        try:
            with database.opening() as connection:
                found = version_of(connection)
                if found >= LEASES_SINCE:
                    lease.check_free(connection)  # nobody's store is changed under its feet
                migrate(connection, found)
                lease.take(connection)
            failpoints.hit("store.lease.committed")
        except BaseException:
            lease.release()
            database.close()
            raise
        return cls(database, lease)

    @classmethod
    def at(cls, path: Path, clock: Clock | None = None, holder: Holder | None = None) -> Store:
        """The store in the SQLite file `path`, created when missing; otherwise as `open`."""
        return cls.open(f"sqlite:///{path}", clock, holder)

    @classmethod
    def look(cls, url: str, clock: Clock | None = None) -> Store:
        """A store to read while its node runs, or when nothing may change. Raises: ConfigError (STORE_*)."""
        database = Database(url, clock or SystemClock(), make=False)
        try:
            if not database.exists:
                raise ConfigError(Problem("STORE_MISSING", "store", "is not there", "start the node once"))
            with database.reading() as connection:
                found = version_of(connection)
            if found != tables.SCHEMA_VERSION:
                what = f"has schema {found} where this fedcredit has {tables.SCHEMA_VERSION}"
                raise ConfigError(Problem("STORE_VERSION", "store", what, "start the node once"))
        except BaseException:
            database.close()
            raise
        return cls(database, Lease(database, Holder.mine()))

    @classmethod
    def probe(cls, url: str, clock: Clock | None = None) -> None:
        """Whether a node could open a store at `url`, which need not exist yet; nothing is made and no lease taken.

        Raises: ConfigError (STORE_URL, STORE_UNAVAILABLE, STORE_VERSION, STORE_DAMAGED).
        """
        database = Database(url, clock or SystemClock(), make=False)
        try:
            if database.exists:
                with database.reading() as connection:
                    version_of(connection)
        finally:
            database.close()

    def answers(self) -> bool:
        """Whether the database answers and this process may write to it. Raises: FedcreditError when not."""
        self.lease.check()
        with self._database.reading() as connection:
            return connection.execute(sa.text("SELECT 1")).scalar() == 1

    def problems(self) -> list[Problem]:
        """All that is wrong with what the store holds."""
        return problems_of(self._database)

    def close(self) -> None:
        """Give the lease back and let go of the database."""
        self.lease.release()
        self._database.close()
