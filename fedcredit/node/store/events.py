"""What happened in jobs, as numbered records that a watcher can read on from any number."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, Problem
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database

__all__ = ["Events"]

_events = tables.events


class Events:
    """The events of jobs at a party or at the platform."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: str, seq: int, data: bytes) -> None:
        """Keep event number `seq` of a job. Again with the same bytes: no effect.

        Raises: FedcreditError (CONFLICT) when another event has that number.
        """
        self.add_all(job, [(seq, data)])

    def add_all(self, job: str, events: Sequence[tuple[int, bytes]]) -> None:
        """Keep many events, each as `add`, in one transaction."""
        with self._database.writing() as connection:
            for seq, data in events:
                key = (_events.c.job == job) & (_events.c.seq == seq)
                old = connection.execute(sa.select(_events.c.data).where(key)).scalar()
                if old is not None and old != data:
                    raise FedcreditError(Problem("CONFLICT", f"job {job}", f"event {seq} was another one"))
                if old is None:
                    connection.execute(_events.insert().values(job=job, seq=seq, data=data))
            failpoints.hit("store.event.written", job)
        failpoints.hit("store.event.committed", job)

    def after(self, job: str, seq: int = 0) -> list[bytes]:
        """The events with greater numbers than `seq`, in order."""
        with self._database.reading() as connection:
            wanted = sa.select(_events.c.data).where((_events.c.job == job) & (_events.c.seq > seq))
            return [bytes(data) for data in connection.execute(wanted.order_by(_events.c.seq)).scalars()]

    def last(self, job: str) -> int:
        """The greatest number of an event of the job; 0 if it has none."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(sa.func.max(_events.c.seq)).where(_events.c.job == job)).scalar() or 0
