"""From whatever schema a store has to the one of this code, in one transaction: whole or not at all."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from fedcredit.errors import ConfigError, Problem
from fedcredit.node.store import tables
from fedcredit.node.store.faults import typed_driver_error

__all__ = ["LEASES_SINCE", "migrate", "version_of"]

LEASES_SINCE = 2
"""The first schema whose stores have a lease."""

_STEPS = Path(__file__).parent / "migrations"


def version_of(connection: sa.Connection) -> int:
    """The schema of a store, 0 when it is empty. Raises: ConfigError (STORE_VERSION) when this code is older."""
    if not sa.inspect(connection).has_table(tables.schema_version.name):
        return 0
    found = connection.execute(sa.select(tables.schema_version.c.version)).scalar()
    if found is None:
        return 1  # the first fedcredit stopped between its tables and its version
    if found > tables.SCHEMA_VERSION:
        what = f"was written by a newer fedcredit (schema {found}, this one has {tables.SCHEMA_VERSION})"
        raise ConfigError(Problem("STORE_VERSION", "store", what, "install that version again"))
    return int(found)


def migrate(connection: sa.Connection, found: int) -> None:
    """Take a store of schema `found` to this code's. The caller's transaction makes it whole or leaves it as it was.

    Raises: ConfigError (STORE_MIGRATION) when a step fails.
    """
    if found == tables.SCHEMA_VERSION:
        return
    # The import takes a tenth of a second, and most starts need none of it.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(_STEPS, version_locations=[_STEPS])
    # `transactional_ddl`: alembic believes that SQLite has none, because the driver ends transactions behind one's
    # back by default. Ours does not: see `dialects.py`.
    options = {"fn": lambda revision, _context: script._upgrade_revs("head", revision), "transactional_ddl": True}
    context = MigrationContext.configure(connection, opts=options)
    if found == 1 and not context.get_current_heads():
        context.stamp(script, "1")  # written before there were migrations
    try:
        with Operations.context(context):
            context.run_migrations()
    except (sa.exc.ProgrammingError, sa.exc.OperationalError) as error:
        if typed_driver_error(error) is not None:
            raise
        what = f"cannot be taken from schema {found} to {tables.SCHEMA_VERSION}; it is as it was"
        raise ConfigError(Problem("STORE_MIGRATION", "store", what, "its tables were changed by hand")) from None
