"""Where each job stands at this party, and every step from one state to another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, Problem
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.node.store.faults import stale_epoch
from fedcredit.runtime.state import state_invalid

__all__ = [
    "ENDED",
    "ROWS_AT_ONCE",
    "JobRow",
    "JobState",
    "Jobs",
    "counts_by_state",
    "job_row",
    "problems_from",
    "problems_text",
]

_jobs, _stages = tables.jobs, tables.stages


class JobState(StrEnum):
    """Where a job stands at one party. The last three are final.

    PENDING waits for a person of this party; WAITING for a peer, a disk, a certificate: it is whole and can go on.
    """

    PENDING = "pending"
    PROPOSED = "proposed"
    SIGNED = "signed"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


ENDED = tuple(state for state in JobState if state.final)
ROWS_AT_ONCE = 200
"""Jobs read in one piece: a row has the whole specification in it."""

_NEXT = {
    JobState.PENDING: {JobState.PROPOSED, JobState.FAILED, JobState.CANCELLED},
    JobState.PROPOSED: {JobState.SIGNED, JobState.FAILED, JobState.CANCELLED},
    JobState.SIGNED: {JobState.RUNNING, JobState.FAILED, JobState.CANCELLED},
    JobState.RUNNING: {JobState.WAITING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED},
    JobState.WAITING: {JobState.RUNNING, JobState.FAILED, JobState.CANCELLED},
}


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as stored."""

    id: str
    ssid: bytes | None
    state: JobState
    proposal: bytes = field(repr=False)
    specification: bytes | None = field(repr=False)
    signatures: bytes | None = field(repr=False)
    commitment_nonce: bytes | None = field(repr=False)
    fingerprint: bytes | None
    problems: tuple[Problem, ...]
    exit_status: int
    epoch: int
    created: str
    updated: str
    submitter: str
    rule: str
    """The policy's rule that admitted it."""
    pending_reason: str
    approved_by: str
    waiting_code: str
    waiting_culprit: str
    waiting_since: str
    left_out: str
    """Parties that it goes on without, as `node.jobs.present` writes them."""


class Jobs:
    """The jobs of a party. Every write is one transaction, durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def propose(
        self, job: str, proposal: bytes, nonce: bytes, fingerprint: bytes, *, submitter: str = "", rule: str = ""
    ) -> None:
        """Keep a proposal and what this party committed to.

        A job that waited for a person must have been approved, and with this proposal. Raises: FedcreditError
        (JOB_STATE) when it was not, or when the job is known already.
        """
        values: dict[str, Any] = {"commitment_nonce": nonce, "fingerprint": fingerprint}
        now = self._database.now()
        with self._writing(JobState.PROPOSED) as connection:
            admitted = (_jobs.c.approved_by != "") & (_jobs.c.proposal == proposal)
            if _row(connection, _jobs.c.id == job) is not None:
                self._move(connection, job, {JobState.PENDING}, JobState.PROPOSED, admitted, **values)
                return
            values |= {"id": job, "state": JobState.PROPOSED, "proposal": proposal, "created": now, "updated": now}
            connection.execute(_jobs.insert().values(**values, submitter=submitter, rule=rule))

    def pend(self, job: str, proposal: bytes, *, submitter: str, reason: str, rule: str = "") -> None:
        """Keep a proposal until a person of this party approves it. `reason` is the policy's. Again: no effect.

        Raises: FedcreditError (JOB_STATE) when the job is known with another proposal or is past that.
        """
        now = self._database.now()
        with self._writing(JobState.PENDING) as connection:
            if (row := _row(connection, _jobs.c.id == job)) is not None:
                if (row.state, row.proposal) != (JobState.PENDING, proposal):
                    raise _job_state(job, JobState.PENDING)
                return
            connection.execute(
                _jobs.insert().values(
                    id=job,
                    state=JobState.PENDING,
                    proposal=proposal,
                    created=now,
                    updated=now,
                    submitter=submitter,
                    rule=rule,
                    pending_reason=reason,
                )
            )

    def approve(self, job: str, by: str) -> None:
        """Note that `by` lets a pending job in. It is PENDING until `propose` adds what this party commits to."""
        with self._writing(JobState.PENDING) as connection:
            unapproved = _jobs.c.approved_by == ""
            self._move(connection, job, {JobState.PENDING}, JobState.PENDING, unapproved, approved_by=by)

    def sign(self, job: str, specification: bytes, ssid: bytes) -> None:
        """Keep the specification that this party is about to sign."""
        self._step(job, JobState.SIGNED, specification=specification, ssid=ssid)

    def start(self, job: str, signatures: bytes) -> None:
        """Keep everybody's signatures: the job runs from here on."""
        with self._writing(JobState.RUNNING) as connection:
            self._move(connection, job, {JobState.SIGNED}, JobState.RUNNING, signatures=signatures)

    def wait(self, job: str, code: str, culprit: str = "") -> None:
        """A running job stops here for a reason that passes (PEER_LOST, DISK_FULL, ...); what it has is kept."""
        since = self._database.now()
        self._step(job, JobState.WAITING, waiting_code=code, waiting_culprit=culprit, waiting_since=since)

    def resume(self, job: str, epoch: int, keep: int, left_out: str = "[]") -> None:
        """Run on as of the first `keep` checkpoints, under an `epoch` greater than any before, without the parties in
        `left_out`; later stages go.

        Raises: FedcreditError (STALE_EPOCH) when it is not greater, (JOB_STATE) when the job neither runs nor waits,
        (CHECKPOINT_MISSING) when there are fewer checkpoints; nothing is changed then.
        """
        with self._writing(JobState.RUNNING) as connection:
            row = _row(connection, _jobs.c.id == job)
            if row is None or row.state not in (JobState.RUNNING, JobState.WAITING):
                raise _job_state(job, JobState.RUNNING)
            if epoch <= row.epoch:
                raise stale_epoch(job, epoch, row.epoch)
            _drop_stages(connection, job, keep)
            reason: dict[str, Any] = {"waiting_code": "", "waiting_culprit": "", "waiting_since": ""}
            self._move(connection, job, {row.state}, JobState.RUNNING, epoch=epoch, left_out=left_out, **reason)

    def end(self, job: str, state: JobState, error: FedcreditError | None = None) -> None:
        """Write how a job ended, and forget the frozen states of its stages: they hold rows, and nothing needs them any
        more. A job that ended already keeps its first end."""
        values: dict[str, Any] = {
            "problems": problems_text(error),
            "exit_status": 0 if error is None else error.exit_status,
        }
        with self._writing(state) as connection:
            if (row := _row(connection, _jobs.c.id == job)) is not None and not row.state.final:
                self._move(connection, job, _sources(state), state, **values)
                connection.execute(_stages.update().where(_stages.c.job == job).values(state=None))

    def reopen(self, job: str) -> None:
        """Take back that a job was refused to which this party had committed to nothing yet: it may be proposed again.
        What a person approved stays approved. No effect on any other job."""
        with self._writing(JobState.PENDING) as connection:
            refused = (_jobs.c.id == job) & (_jobs.c.state == JobState.FAILED) & _jobs.c.commitment_nonce.is_(None)
            connection.execute(_jobs.delete().where(refused & (_jobs.c.approved_by == "")))
            values = {"problems": problems_text(None), "exit_status": 0, "updated": self._database.now()}
            connection.execute(_jobs.update().where(refused).values(state=JobState.PENDING, **values))

    def job(self, job: str) -> JobRow | None:
        """The job, if it is known."""
        with self._database.reading() as connection:
            return _row(connection, _jobs.c.id == job)

    def job_of(self, ssid: bytes) -> JobRow | None:
        """The job whose signed specification has this hash, if it is known."""
        with self._database.reading() as connection:
            return _row(connection, _jobs.c.ssid == ssid)

    def counts(self) -> dict[JobState, int]:
        """How many jobs stand in each state; states without a job are left out."""
        return counts_by_state(self._database, _jobs)

    def marks(self) -> dict[str, str]:
        """Every job, oldest first, with what is another text whenever its row has changed."""
        wanted = sa.select(_jobs.c.id, _jobs.c.state, _jobs.c.updated).order_by(_jobs.c.created, _jobs.c.id)
        with self._database.reading() as connection:
            return {row.id: f"{row.state} {row.updated}" for row in connection.execute(wanted)}

    def some(self, jobs: Sequence[str]) -> Iterator[JobRow]:
        """The rows of `jobs`, a few in memory at a time; in no order."""
        for start in range(0, len(jobs), ROWS_AT_ONCE):
            with self._database.reading() as connection:
                wanted = _jobs.select().where(_jobs.c.id.in_(jobs[start : start + ROWS_AT_ONCE]))
                rows = connection.execute(wanted).mappings().all()
            yield from map(job_row, rows)

    def newest(self, most: int) -> list[JobRow]:
        """The `most` newest jobs, newest first."""
        with self._database.reading() as connection:
            wanted = _jobs.select().order_by(_jobs.c.created.desc(), _jobs.c.id.desc()).limit(most)
            return [job_row(row) for row in connection.execute(wanted).mappings().all()]

    def unfinished(self) -> list[JobRow]:
        """The jobs that have not ended, oldest first."""
        with self._database.reading() as connection:
            wanted = _jobs.select().where(_jobs.c.state.not_in(ENDED)).order_by(_jobs.c.created, _jobs.c.id)
            return [job_row(row) for row in connection.execute(wanted).mappings().all()]

    def ended_since(self, moment: datetime) -> list[bytes]:
        """The specifications of jobs that were started here and have ended since `moment`, oldest first."""
        since = _jobs.c.updated >= moment.isoformat(timespec="microseconds")
        started = _jobs.c.signatures.is_not(None) & _jobs.c.specification.is_not(None)
        wanted = sa.select(_jobs.c.specification).where(_jobs.c.state.in_(ENDED) & started & since)
        with self._database.reading() as connection:
            return [bytes(found) for found in connection.execute(wanted.order_by(_jobs.c.updated)).scalars()]

    def all(self) -> list[JobRow]:
        """All jobs, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(_jobs.select().order_by(_jobs.c.created, _jobs.c.id)).mappings().all()
        return [job_row(row) for row in rows]

    @contextmanager
    def _writing(self, to: JobState) -> Iterator[sa.Connection]:
        with self._database.writing() as connection:
            yield connection
            failpoints.hit("store.job.written", to)
        failpoints.hit("store.job.committed", to)

    def _step(self, job: str, to: JobState, **values: Any) -> None:
        with self._writing(to) as connection:
            self._move(connection, job, _sources(to), to, **values)

    def _move(
        self,
        connection: sa.Connection,
        job: str,
        sources: set[JobState],
        to: JobState,
        only: sa.ColumnElement[bool] | None = None,
        **values: Any,
    ) -> None:
        where = (_jobs.c.id == job) & _jobs.c.state.in_(sources)
        if only is not None:
            where &= only
        values |= {"state": to, "updated": self._database.now()}
        if connection.execute(_jobs.update().where(where).values(**values)).rowcount != 1:
            raise _job_state(job, to)


def _drop_stages(connection: sa.Connection, job: str, keep: int) -> None:
    mine, unfinished = _stages.c.job == job, _stages.c.finished.is_(None)
    finished = sa.select(_stages.c.position).where(mine & ~unfinished).order_by(_stages.c.position)
    kept = connection.execute(finished.limit(keep)).scalars().all()
    if len(kept) != keep:
        what = f"has {len(kept)} checkpoints where {keep} were asked for"
        raise FedcreditError(Problem("CHECKPOINT_MISSING", f"job {job}", what))
    last = kept[-1] if kept else -1
    connection.execute(_stages.delete().where(mine & (unfinished | (_stages.c.position > last))))


def counts_by_state(database: Database, table: sa.Table) -> dict[JobState, int]:
    """How many rows of `table` stand in each state, without reading the jobs themselves."""
    with database.reading() as connection:
        found = connection.execute(sa.select(table.c.state, sa.func.count()).group_by(table.c.state)).all()
    return {JobState(state): count for state, count in found}


def problems_text(error: FedcreditError | None) -> str:
    """The problems of an error, as they are stored."""
    problems = () if error is None else error.problems
    return json.dumps([{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in problems])


def problems_from(text: str) -> tuple[Problem, ...]:
    """The problems that `problems_text` wrote. Raises: ValueError, TypeError."""
    try:
        found = tuple(Problem(**problem) for problem in json.loads(text))
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not all(isinstance(part, str) for problem in found for part in astuple(problem)):
        raise TypeError("a problem is text")
    return found


def _sources(to: JobState) -> set[JobState]:
    return {state for state, targets in _NEXT.items() if to in targets}


def _job_state(job: str, to: JobState) -> FedcreditError:
    return FedcreditError(Problem("JOB_STATE", f"job {job}", f"cannot become {to.value} from where it is"))


def _row(connection: sa.Connection, where: sa.ColumnElement[bool]) -> JobRow | None:
    row = connection.execute(_jobs.select().where(where)).mappings().first()
    return None if row is None else job_row(row)


def job_row(row: Any) -> JobRow:
    """A job from its row. Raises FedcreditError (STATE_INVALID)."""
    try:
        return JobRow(**{**row, "state": JobState(row["state"]), "problems": problems_from(row["problems"])})
    except (ValueError, TypeError):
        raise state_invalid(f"job {row['id']} cannot be read") from None
