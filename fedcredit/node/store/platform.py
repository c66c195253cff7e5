"""The jobs of a platform: what was asked for, what was agreed, how often it was tried, how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, Problem, RefusedError
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.node.store.faults import stale_epoch
from fedcredit.node.store.jobs import ENDED, ROWS_AT_ONCE, JobState, counts_by_state, problems_from, problems_text
from fedcredit.runtime.state import state_invalid

__all__ = ["PlatformJob", "PlatformJobs", "platform_row"]

_jobs = tables.platform_jobs


@dataclass(frozen=True, slots=True)
class PlatformJob:
    """A job as the platform keeps it."""

    id: str
    request: str
    digest: bytes
    definition: bytes = field(repr=False)
    proposal: bytes = field(repr=False)
    specification: bytes | None = field(repr=False)
    signatures: bytes | None = field(repr=False)
    submitter: str
    state: JobState
    epoch: int
    """The last start that the parties may have been told."""
    attempts: int
    problems: tuple[Problem, ...]
    exit_status: int
    created: str
    updated: str


class PlatformJobs:
    """The jobs of a platform. Every write is one transaction, durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(
        self,
        job: str,
        request: str,
        digest: bytes,
        *,
        definition: bytes,
        proposal: bytes,
        submitter: str,
        most_open: int | None = None,
    ) -> PlatformJob:
        """Keep a job in state PROPOSED, or give the one that the same request made before.

        Raises: RefusedError (CONFLICT) when that request came from somebody else or with another digest, (QUOTA) when
        `most_open` jobs of the submitter have not ended.
        """
        now = self._database.now()
        with self._database.writing() as connection:
            kept = _row(connection, _jobs.c.request == request)
            if kept is not None and (kept.digest, kept.submitter) != (digest, submitter):
                raise RefusedError(Problem("CONFLICT", "submit", "this request came with another job before"))
            if kept is not None:
                return kept
            if most_open is not None and _open_jobs(connection, submitter) >= most_open:
                what, fix = f"{most_open} jobs of {submitter} have not ended", "wait for one, or cancel it"
                raise RefusedError(Problem("QUOTA", "submit", what, fix))
            values = {
                "id": job,
                "request": request,
                "digest": digest,
                "definition": definition,
                "proposal": proposal,
                "submitter": submitter,
                "state": JobState.PROPOSED,
                "created": now,
                "updated": now,
            }
            connection.execute(_jobs.insert().values(**values))
            made = _row(connection, _jobs.c.id == job)
            failpoints.hit("store.submission.written", job)
        failpoints.hit("store.submission.committed", job)
        assert made is not None, "what was written can be read"
        return made

    def update(
        self,
        job: str,
        state: JobState | None = None,
        *,
        specification: bytes | None = None,
        signatures: bytes | None = None,
        epoch: int | None = None,
        attempts: int | None = None,
        error: FedcreditError | None = None,
    ) -> None:
        """Change what is given of a job that has not ended; `error` is how it stands, or how it ended.

        Raises: FedcreditError (JOB_STATE) when it is unknown or has ended, (STALE_EPOCH) when `epoch` would go back.
        """
        given: Mapping[str, Any] = {
            "state": state,
            "specification": specification,
            "signatures": signatures,
            "epoch": epoch,
            "attempts": attempts,
        }
        values = {name: value for name, value in given.items() if value is not None}
        values |= {"problems": problems_text(error), "exit_status": 0 if error is None else error.exit_status}
        with self._database.writing() as connection:
            row = _row(connection, _jobs.c.id == job)
            if row is None or row.state.final:
                raise FedcreditError(Problem("JOB_STATE", f"job {job}", "is not known or has ended"))
            if epoch is not None and epoch < row.epoch:
                raise stale_epoch(job, epoch, row.epoch)
            connection.execute(_jobs.update().where(_jobs.c.id == job).values(**values, updated=self._database.now()))
            failpoints.hit("store.platform.written", row.state if state is None else state)
        failpoints.hit("store.platform.committed", row.state if state is None else state)

    def job(self, job: str) -> PlatformJob | None:
        """The job, if it is known."""
        with self._database.reading() as connection:
            return _row(connection, _jobs.c.id == job)

    def counts(self) -> dict[JobState, int]:
        """How many jobs stand in each state; states without a job are left out."""
        return counts_by_state(self._database, _jobs)

    def newest(self) -> Iterator[PlatformJob]:
        """All jobs, newest first, a few in memory at a time."""
        newest = _jobs.select().order_by(_jobs.c.created.desc(), _jobs.c.id.desc()).limit(ROWS_AT_ONCE)
        last: PlatformJob | None = None
        while True:
            older = newest
            if last is not None:
                older = newest.where(sa.tuple_(_jobs.c.created, _jobs.c.id) < sa.tuple_(last.created, last.id))
            with self._database.reading() as connection:
                rows = connection.execute(older).mappings().all()
            for row in rows:
                yield (last := platform_row(row))
            if len(rows) < ROWS_AT_ONCE:
                return

    def unfinished(self) -> list[PlatformJob]:
        """The jobs that have not ended, oldest first."""
        with self._database.reading() as connection:
            wanted = _jobs.select().where(_jobs.c.state.not_in(ENDED)).order_by(_jobs.c.created, _jobs.c.id)
            return [platform_row(row) for row in connection.execute(wanted).mappings().all()]

    def all(self) -> list[PlatformJob]:
        """All jobs, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(_jobs.select().order_by(_jobs.c.created, _jobs.c.id)).mappings().all()
        return [platform_row(row) for row in rows]


def _open_jobs(connection: sa.Connection, submitter: str) -> int:
    mine = (_jobs.c.submitter == submitter) & _jobs.c.state.not_in(ENDED)
    return int(connection.execute(sa.select(sa.func.count()).select_from(_jobs).where(mine)).scalar_one())


def _row(connection: sa.Connection, where: sa.ColumnElement[bool]) -> PlatformJob | None:
    row = connection.execute(_jobs.select().where(where)).mappings().first()
    return None if row is None else platform_row(row)


def platform_row(row: Any) -> PlatformJob:
    """A job from its row. Raises FedcreditError (STATE_INVALID)."""
    try:
        return PlatformJob(**{**row, "state": JobState(row["state"]), "problems": problems_from(row["problems"])})
    except (ValueError, TypeError):
        raise state_invalid(f"job {row['id']} cannot be read") from None
