"""What members reported to a platform: uses of data, and what became of loans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.governance.verification.ledger import Report, report_from
from fedcredit.governance.verification.outcomes import Standing
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database

__all__ = ["LoanOutcomes", "UsageReports"]

_reports, _outcomes = tables.usage_reports, tables.loan_outcomes


class UsageReports:
    """Reports of providers, one for each and each span of days."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, report: Report, document: bytes) -> None:
        """Keep a provider's report in place of what it said before of any day of the same span."""
        mine = _reports.c.provider == report.provider
        since, until = report.since.isoformat(), report.until.isoformat()
        values = {"provider": report.provider, "since": since, "until": until, "document": document}
        with self._database.writing() as connection:
            overlapping = mine & (_reports.c.since <= until) & (_reports.c.until >= since)
            connection.execute(_reports.delete().where(overlapping))
            connection.execute(_reports.insert().values(**values, received=self._database.now()))
            failpoints.hit("store.usage.written", report.provider)
        failpoints.hit("store.usage.committed", report.provider)

    def between(self, since: date, until: date) -> list[Report]:
        """All reports on spans within these days, by provider and day. Raises: DataError (USAGE_REPORT)."""
        within = (_reports.c.since >= since.isoformat()) & (_reports.c.until <= until.isoformat())
        wanted = sa.select(_reports.c.provider, _reports.c.document).where(within)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(_reports.c.provider, _reports.c.since)).all()
        return [report_from(bytes(row.document), row.provider) for row in rows]


class LoanOutcomes:
    """How institutions' loans stand and stood, by institution, reference and day."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, institution: str, outcomes: Sequence[Standing]) -> None:
        """Keep what an institution says, all of it or nothing. Of one loan and day the latest word counts."""
        now = self._database.now()
        with self._database.writing() as connection:
            for one in outcomes:
                mine = (
                    (_outcomes.c.institution == institution)
                    & (_outcomes.c.reference == one.reference)
                    & (_outcomes.c.day == one.day.isoformat())
                )
                values = one.model_dump() | {"day": one.day.isoformat(), "received": now}
                if connection.execute(_outcomes.update().where(mine).values(**values)).rowcount == 0:
                    connection.execute(_outcomes.insert().values(institution=institution, **values))
            failpoints.hit("store.outcomes.written", institution)
        failpoints.hit("store.outcomes.committed", institution)

    def latest(self) -> list[tuple[str, str, int]]:
        """Of each loan its institution, its latest status and the amount."""
        columns = _outcomes.c.institution, _outcomes.c.reference
        last = sa.select(*columns, sa.func.max(_outcomes.c.day).label("day")).group_by(*columns).subquery()
        same = (
            (_outcomes.c.institution == last.c.institution)
            & (_outcomes.c.reference == last.c.reference)
            & (_outcomes.c.day == last.c.day)
        )
        wanted = sa.select(_outcomes.c.institution, _outcomes.c.status, _outcomes.c.amount_yuan).join(last, same)
        with self._database.reading() as connection:
            return [(row.institution, row.status, row.amount_yuan) for row in connection.execute(wanted)]
