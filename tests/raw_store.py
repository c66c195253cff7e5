"""The database of a store, past the store: for what only damage or another program would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

__all__ = ["connected", "run"]


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A connection of its own, committed at the end."""
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg" if url.startswith("postgresql") else "sqlite")
    )
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def run(url: str, statement: str, **values: Any) -> list[Any]:
    """Run one statement; its rows."""
    with connected(url) as connection:
        result = connection.execute(sa.text(statement), values)
        return list(result) if result.returns_rows else []
