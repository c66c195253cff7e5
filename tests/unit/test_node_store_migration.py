"""A store of any earlier schema is taken along, whole or not at all; one of a later schema is not touched."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from raw_store import connected, run

from fedcredit.errors import ConfigError
from fedcredit.node.store import JobState, Locked, Store, tables

# The store as the first fedcredit made it; written out here, so that no change of ours can change it.
FIRST_SCHEMA = """
CREATE TABLE jobs (id TEXT NOT NULL, ssid {bytes}, state TEXT NOT NULL, proposal {bytes} NOT NULL,
  specification {bytes}, signatures {bytes}, commitment_nonce {bytes}, fingerprint {bytes},
  problems TEXT DEFAULT '[]' NOT NULL,
  exit_status INTEGER DEFAULT 0 NOT NULL, epoch INTEGER DEFAULT 0 NOT NULL, created TEXT NOT NULL,
  PRIMARY KEY (id), UNIQUE (ssid));
CREATE TABLE stages (job TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, state {bytes}, digest {bytes},
  started TEXT NOT NULL, finished TEXT, PRIMARY KEY (job, name), FOREIGN KEY(job) REFERENCES jobs (id));
CREATE TABLE results (job TEXT NOT NULL, path TEXT NOT NULL, digest {bytes} NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY (job, path), FOREIGN KEY(job) REFERENCES jobs (id));
CREATE TABLE calls (job TEXT NOT NULL, method TEXT NOT NULL, request {bytes} NOT NULL, reply {bytes} NOT NULL,
  PRIMARY KEY (job, method));
CREATE TABLE audit_head (log TEXT NOT NULL, size INTEGER NOT NULL, root {bytes} NOT NULL, PRIMARY KEY (log));
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
INSERT INTO jobs (id, state, proposal, created) VALUES ('old', 'running', :proposal, '2026-01-01T00:00:00+00:00');
INSERT INTO stages VALUES ('old', 'validate', 0, :state, :digest, '2026', '2026');
INSERT INTO audit_head VALUES ('bank', 3, :root);
"""


VALUES = {"proposal": b"{}", "state": b"a", "digest": hashlib.sha256(b"a").digest(), "root": bytes(32)}


def make_first(url: str, *more: str) -> None:
    kind = "BYTEA" if url.startswith("postgresql") else "BLOB"
    with connected(url) as connection:
        for statement in filter(str.strip, [*FIRST_SCHEMA.format(bytes=kind).split(";"), *more]):
            text = sa.text(statement)
            connection.execute(text, {name: VALUES[name] for name in text.compile().params})


def shape(url: str) -> list[Any]:
    with connected(url) as connection:
        inspector = sa.inspect(connection)
        return [
            (table, column["name"], str(column["type"]))
            for table in sorted(inspector.get_table_names())
            for column in inspector.get_columns(table)
        ]


def test_the_migrations_lead_to_the_tables_of_the_code(empty_store_url: str) -> None:
    Store.open(empty_store_url).close()
    with connected(empty_store_url) as connection:
        context = MigrationContext.configure(connection)
        assert not compare_metadata(context, tables.metadata)
        assert context.get_current_revision() == str(tables.SCHEMA_VERSION)
        assert connection.execute(sa.select(tables.schema_version.c.version)).scalars().all() == [tables.SCHEMA_VERSION]


@pytest.mark.parametrize("versions", ["INSERT INTO schema_version VALUES (1)", ""], ids=["whole", "stopped"])
def test_the_first_store_is_taken_along(empty_store_url: str, versions: str) -> None:
    make_first(empty_store_url, versions)
    with pytest.raises(ConfigError, match="STORE_VERSION"):
        Store.look(empty_store_url)
    for _ in range(2):
        store = Store.open(empty_store_url)
        row = store.jobs.job("old")
        assert row is not None
        assert (row.state, row.proposal, row.updated, row.epoch) == (JobState.RUNNING, b"{}", row.created, 0)
        assert store.stages.state("old", "validate") == b"a"
        assert store.heads.of("bank") == (3, bytes(32))
        store.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(empty_store_url: str) -> None:
    # A table of a later step is in the way, so that the migration fails after it has changed others.
    make_first(empty_store_url, "INSERT INTO schema_version VALUES (1)", "CREATE TABLE members (x INTEGER)")
    before = shape(empty_store_url)
    with pytest.raises(ConfigError, match="STORE_MIGRATION"):
        Store.open(empty_store_url)
    assert shape(empty_store_url) == before
    assert run(empty_store_url, "SELECT version FROM schema_version") == [(1,)]
    run(empty_store_url, "DROP TABLE members")
    store = Store.open(empty_store_url)
    assert [row.state for row in store.jobs.all()] == [JobState.RUNNING]
    store.close()


def test_of_many_that_open_an_empty_store_at_once_one_gets_it(empty_store_url: str) -> None:
    start, found = threading.Barrier(6), []

    def enter() -> None:
        start.wait(60)
        try:
            found.append(Store.open(empty_store_url))
        except Locked as locked:
            found.append(locked)

    threads = [threading.Thread(target=enter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stores = [one for one in found if isinstance(one, Store)]
    assert (len(stores), len(found)) == (1, 6)
    stores[0].events.add("job", 1, b"x")
    stores[0].close()
