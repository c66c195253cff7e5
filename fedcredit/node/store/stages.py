"""The stages of jobs with their frozen states: the checkpoints from which a job goes on. And the files of results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, Problem
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.node.store.faults import stale_epoch
from fedcredit.runtime.state import state_invalid

__all__ = ["Checkpoint", "Results", "StageRow", "Stages"]

_jobs, _stages, _results = tables.jobs, tables.stages, tables.results


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage as stored; `finished` is None while it runs or when it was interrupted."""

    name: str
    position: int
    digest: bytes | None
    finished: str | None
    epoch: int
    started: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A finished stage: its name, the epoch of the job in which it was made, the SHA-256 of its frozen state."""

    stage: str
    epoch: int
    digest: bytes


class Stages:
    """The stages of a party's jobs. A write from an epoch that is not the job's own raises (STALE_EPOCH)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, job: str, name: str, *, epoch: int = 0) -> None:
        """Note that a stage was begun; beginning it again keeps its position."""
        with self._database.writing() as connection:
            _check_epoch(connection, job, epoch)
            _put(connection, job, name, {"started": self._database.now(), "epoch": epoch})

    def finish(self, job: str, name: str, state: bytes, started: datetime, *, epoch: int = 0) -> None:
        """Keep a stage's frozen state and its digest. It need not have been begun here: one write is enough."""
        values = {
            "state": state,
            "digest": hashlib.sha256(state).digest(),
            "started": started.isoformat(timespec="microseconds"),
            "finished": self._database.now(),
            "epoch": epoch,
        }
        with self._database.writing() as connection:
            _check_epoch(connection, job, epoch)
            _put(connection, job, name, values)
            failpoints.hit("store.stage.written", name)
        failpoints.hit("store.stage.committed", name)

    def state(self, job: str, name: str) -> bytes | None:
        """The frozen state of a finished stage. Raises FedcreditError (STATE_INVALID) when its digest differs."""
        with self._database.reading() as connection:
            key = (_stages.c.job == job) & (_stages.c.name == name) & _stages.c.finished.is_not(None)
            row = connection.execute(sa.select(_stages.c.state, _stages.c.digest).where(key)).first()
        if row is None or row.state is None:
            return None
        if hashlib.sha256(row.state).digest() != row.digest:
            raise state_invalid(f"the state of stage {name} is damaged")
        return bytes(row.state)

    def set_aside(self, job: str, keep: Callable[[str, int, bytes], None]) -> list[str]:
        """Take every checkpoint whose state does not have its digest out of the job, once `keep` has it; their names.

        `keep` is told the stage, its epoch and what is left of its state, and must have them durable on return.
        """
        with self._database.reading() as connection:
            finished = (_stages.c.job == job) & _stages.c.finished.is_not(None)
            columns = (_stages.c.name, _stages.c.epoch, _stages.c.state, _stages.c.digest)
            rows = connection.execute(sa.select(*columns).where(finished).order_by(_stages.c.position)).all()
        damaged = [row for row in rows if hashlib.sha256(row.state or b"").digest() != row.digest]
        for row in damaged:
            keep(row.name, row.epoch, bytes(row.state or b""))
        if damaged:
            with self._database.writing() as connection:
                names = [row.name for row in damaged]
                connection.execute(_stages.delete().where((_stages.c.job == job) & _stages.c.name.in_(names)))
        return [row.name for row in damaged]

    def all(self, job: str) -> list[StageRow]:
        """The stages of a job in the order in which they were first begun."""
        names = ("name", "position", "digest", "finished", "epoch", "started")
        columns = [_stages.c[name] for name in names]
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(*columns).where(_stages.c.job == job).order_by(_stages.c.position))
            return [StageRow(*row) for row in rows]

    def checkpoints(self, job: str) -> list[Checkpoint]:
        """The finished stages of a job in their order."""
        return [Checkpoint(row.name, row.epoch, row.digest) for row in self.all(job) if row.finished and row.digest]


class Results:
    """The files of results, as they were published."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: str, files: Sequence[tuple[str, bytes, int]]) -> None:
        """Note the files of a job's result, in place of any noted before: relative path, SHA-256, size."""
        with self._database.writing() as connection:
            connection.execute(_results.delete().where(_results.c.job == job))
            for path, digest, size in files:
                connection.execute(_results.insert().values(job=job, path=path, digest=digest, size=size))
            failpoints.hit("store.result.written", job)
        failpoints.hit("store.result.committed", job)

    def files(self, job: str) -> list[tuple[str, bytes, int]]:
        """The files of a job's result."""
        columns = (_results.c.path, _results.c.digest, _results.c.size)
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(*columns).where(_results.c.job == job).order_by(_results.c.path))
            return [(path, bytes(digest), size) for path, digest, size in rows]


def _check_epoch(connection: sa.Connection, job: str, epoch: int) -> None:
    now = connection.execute(sa.select(_jobs.c.epoch).where(_jobs.c.id == job)).scalar()
    if now is None:
        raise FedcreditError(Problem("JOB_UNKNOWN", f"job {job}", "is not in the store"))
    if epoch != now:
        raise stale_epoch(job, epoch, now)


def _put(connection: sa.Connection, job: str, name: str, values: dict[str, Any]) -> None:
    key = (_stages.c.job == job) & (_stages.c.name == name)
    if connection.execute(_stages.update().where(key).values(**values)).rowcount == 0:
        last = sa.func.coalesce(sa.func.max(_stages.c.position), -1)
        position = sa.select(last + 1).where(_stages.c.job == job).scalar_subquery()
        connection.execute(_stages.insert().values(job=job, name=name, position=position, **values))
