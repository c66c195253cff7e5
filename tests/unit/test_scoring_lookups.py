"""What a request stands on is looked up by subject and by consent, however much a requester was answered before."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from fedcredit.node.store import scores, tables


def plans(statement: sa.Select[Any], values: dict[str, object]) -> str:
    """How SQLite goes about a statement."""
    engine, found = sa.create_engine("sqlite://"), list[str]()
    tables.metadata.create_all(engine)

    def explain(cursor: Any, said: str, given: Any) -> None:
        found.extend(str(row) for row in cursor.execute(f"EXPLAIN QUERY PLAN {said}", given).fetchall())

    @sa.event.listens_for(engine, "before_cursor_execute")
    def _(_connection: Any, cursor: Any, said: str, given: Any, _context: Any, _many: Any) -> None:
        explain(cursor, said, given)

    with engine.connect() as connection:
        connection.execute(statement, values)
    return " ".join(found)


def test_no_lookup_goes_through_all_rows_of_a_requester() -> None:
    mine: dict[str, object] = {"requester": "bank", "model": "sme"}
    some: dict[str, object] = {"some": [bytes([k]) * 16 for k in range(200)]}
    assert "score_rows_of_consent" in plans(scores._USES, some)
    assert "score_rows_of_subject" in plans(scores._LISTS, {**mine, **some, "version": 1})
    assert "score_rows_by_time" in plans(scores._TODAY, {**mine, "day": 1})
