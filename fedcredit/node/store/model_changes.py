"""Changes of models, numbered, until the audit log has them: kept in the transaction that makes the change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from fedcredit.governance.audit import Fact
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.runtime.state import state_invalid

__all__ = ["ModelChange", "ModelChanges", "last_change", "note_change"]

_changes = tables.model_changes


@dataclass(frozen=True, slots=True)
class ModelChange:
    """A change of a model as it stands in the audit log, or is to stand there."""

    number: int
    name: str
    facts: Mapping[str, Fact]
    made: str


class ModelChanges:
    """All changes of a node's models. The last number is that of the registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def number(self) -> int:
        """Of the last change; 0 before the first."""
        with self._database.reading() as connection:
            return last_change(connection)

    def unrecorded(self) -> list[ModelChange]:
        """Changes that are not in the audit log yet, as far as is known here, in their order."""
        with self._database.reading() as connection:
            rows = connection.execute(_changes.select().where(_changes.c.recorded == 0).order_by(_changes.c.number))
            return [_change(row) for row in rows]

    def recorded(self, change: ModelChange) -> None:
        """Note that a change is in the audit log."""
        with self._database.writing() as connection:
            connection.execute(_changes.update().where(_changes.c.number == change.number).values(recorded=1))

    def of(self, name: str, limit: int = 100) -> list[ModelChange]:
        """The last changes of a name, newest first."""
        wanted = _changes.select().where(_changes.c.name == name).order_by(_changes.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_change(row) for row in connection.execute(wanted)]


def note_change(connection: sa.Connection, made: str, name: str, facts: Mapping[str, Fact]) -> None:
    """Keep a change beside what it changes, in the caller's transaction."""
    values = {"number": last_change(connection) + 1, "name": name, "facts": json.dumps(dict(facts)), "made": made}
    connection.execute(_changes.insert().values(**values))


def last_change(connection: sa.Connection) -> int:
    """The number of the last change; 0 before the first."""
    return int(connection.execute(sa.select(sa.func.max(_changes.c.number))).scalar() or 0)


def _change(row: sa.Row[tuple[object, ...]]) -> ModelChange:
    try:
        facts = json.loads(str(row.facts))
        if not isinstance(facts, dict) or not all(isinstance(value, Fact) for value in facts.values()):
            raise ValueError("facts")
    except (ValueError, RecursionError):
        raise state_invalid(f"change {row.number} of models cannot be read") from None
    return ModelChange(int(str(row.number)), str(row.name), facts, str(row.made))
