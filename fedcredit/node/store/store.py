"""The store of a node, whole."""

from __future__ import annotations

from pathlib import Path

from fedcredit.node.store.budgets import Budgets
from fedcredit.node.store.calls import AuditHeads, Calls
from fedcredit.node.store.engine import Database
from fedcredit.node.store.events import Events
from fedcredit.node.store.jobs import Jobs
from fedcredit.node.store.members import Members, Tokens
from fedcredit.node.store.platform import PlatformJobs
from fedcredit.node.store.stages import Results, Stages
from fedcredit.runtime.clock import Clock, SystemClock

__all__ = ["Store"]


class Store:
    """One node's store, as components that share a database. Safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
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

    @classmethod
    def open(cls, url: str, clock: Clock | None = None) -> Store:
        """The store at a database URL, made or migrated where needed. Raises: ConfigError (STORE_*)."""
        return cls(Database(url, clock or SystemClock()))

    @classmethod
    def at(cls, path: Path, clock: Clock | None = None) -> Store:
        """The store in the SQLite file `path`, created when missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls.open(f"sqlite:///{path}", clock)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()
