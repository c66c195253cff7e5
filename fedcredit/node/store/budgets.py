"""What jobs have used up of the budgets that a policy sets."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import Problem, RefusedError
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database

__all__ = ["Budgets"]

_spendings = tables.spendings
_LONG_AGO = ""


class Budgets:
    """Spendings by key, e.g. of one submitter over one table. A job spends once under a key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spend(
        self, job: str, key: str, amount: int = 1, *, limit: int | None = None, since: datetime | None = None
    ) -> None:
        """Spend `amount` for a job, in one step with the check that `limit` holds from `since` on. Again: no effect.

        Raises: RefusedError (BUDGET_SPENT) when it does not; nothing is spent then.
        """
        now = self._database.now()
        with self._database.writing() as connection:
            mine = (_spendings.c.job == job) & (_spendings.c.key == key)
            if connection.execute(sa.select(_spendings.c.amount).where(mine)).first() is None:
                if limit is not None and _sum(connection, key, since) + amount > limit:
                    raise RefusedError(Problem("BUDGET_SPENT", f"budget {key}", f"is spent: {limit} in its period"))
                connection.execute(_spendings.insert().values(job=job, key=key, amount=amount, spent=now))
            failpoints.hit("store.budget.written", key)
        failpoints.hit("store.budget.committed", key)

    def forget(self, prefix: str, before: datetime) -> None:
        """Drop what was spent before that time under keys that begin so: nothing counts it any more."""
        start = before.astimezone(UTC).isoformat(timespec="microseconds")
        old = _spendings.c.key.startswith(prefix, autoescape=True) & (_spendings.c.spent < start)
        with self._database.writing() as connection:
            connection.execute(_spendings.delete().where(old))

    def spent(self, key: str, since: datetime | None = None, *, without: str = "") -> int:
        """What was spent under `key` from `since` on, or ever; by other jobs than `without`."""
        with self._database.reading() as connection:
            return _sum(connection, key, since, without)

    def tally(self, key: str, since: datetime) -> tuple[int, int]:
        """How many jobs spent under `key` from `since` on, and how much together."""
        counted = sa.select(sa.func.count()).select_from(_spendings).where(_counts(key, since))
        with self._database.reading() as connection:
            return int(connection.execute(counted).scalar() or 0), _sum(connection, key, since)


def _sum(connection: sa.Connection, key: str, since: datetime | None, without: str = "") -> int:
    wanted = _counts(key, since) & (_spendings.c.job != without)
    return int(connection.execute(sa.select(sa.func.sum(_spendings.c.amount)).where(wanted)).scalar() or 0)


def _counts(key: str, since: datetime | None) -> sa.ColumnElement[bool]:
    # Times are compared as texts, which are in one order in one zone alone.
    start = _LONG_AGO if since is None else since.astimezone(UTC).isoformat(timespec="microseconds")
    return (_spendings.c.key == key) & (_spendings.c.spent >= start)
