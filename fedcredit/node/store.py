"""A node's memory: jobs, their stages with frozen states, results, replies given, and the head of the audit log.

SQLite in WAL mode with synchronous=FULL: what a call acknowledged is on the disk. PostgreSQL takes the same
statements.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fedcredit.errors import FedcreditError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.runtime.state import state_invalid

__all__ = ["JobRow", "JobState", "StageRow", "Store"]

SCHEMA_VERSION = 1

metadata = sa.MetaData()

_jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("ssid", sa.LargeBinary(32), unique=True, nullable=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("proposal", sa.LargeBinary, nullable=False),
    sa.Column("specification", sa.LargeBinary, nullable=True),
    sa.Column("signatures", sa.LargeBinary, nullable=True),
    sa.Column("commitment_nonce", sa.LargeBinary(32), nullable=True),
    sa.Column("fingerprint", sa.LargeBinary(32), nullable=True),
    sa.Column("problems", sa.Text, nullable=False, server_default="[]"),
    sa.Column("exit_status", sa.Integer, nullable=False, server_default="0"),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created", sa.Text, nullable=False),
)

_stages = sa.Table(
    "stages",
    metadata,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=True),
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("finished", sa.Text, nullable=True),
)

_results = sa.Table(
    "results",
    metadata,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
)

_calls = sa.Table(
    "calls",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("request", sa.LargeBinary(32), nullable=False),
    sa.Column("reply", sa.LargeBinary, nullable=False),
)

_audit = sa.Table(
    "audit_head",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("root", sa.LargeBinary(32), nullable=False),
)

_schema = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))


class JobState(StrEnum):
    """Where a job stands at one party. The last three are final."""

    PROPOSED = "proposed"
    SIGNED = "signed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


_NEXT = {
    JobState.PROPOSED: {JobState.SIGNED, JobState.FAILED, JobState.CANCELLED},
    JobState.SIGNED: {JobState.RUNNING, JobState.FAILED, JobState.CANCELLED},
    JobState.RUNNING: {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED},
}


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as stored."""

    id: str
    ssid: bytes | None
    state: JobState
    proposal: bytes
    specification: bytes | None
    signatures: bytes | None
    commitment_nonce: bytes | None
    fingerprint: bytes | None
    problems: tuple[Problem, ...]
    exit_status: int
    epoch: int
    created: str


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage as stored; `finished` is None while it runs or when it was interrupted."""

    name: str
    position: int
    digest: bytes | None
    finished: str | None


class Store:
    """One node's store. Every method is one transaction, durable when it returns. Safe from any thread."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _make_durable)
            sa.event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(fedcredit_writes=True)
        try:
            metadata.create_all(self._engine)
            self._check_version()
        except BaseException:
            self.close()
            raise

    @classmethod
    def at(cls, path: Path) -> Store:
        """The store in the SQLite file `path`, created when missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(f"sqlite:///{path}")

    def propose(self, job: str, proposal: bytes, nonce: bytes, fingerprint: bytes, now: datetime) -> None:
        """Keep a proposal and what this party committed to."""
        with self._writer.begin() as connection:
            connection.execute(
                _jobs.insert().values(
                    id=job,
                    state=JobState.PROPOSED,
                    proposal=proposal,
                    commitment_nonce=nonce,
                    fingerprint=fingerprint,
                    created=now.isoformat(),
                )
            )

    def sign(self, job: str, specification: bytes, ssid: bytes) -> None:
        """Keep the specification that this party is about to sign."""
        self._move(job, JobState.SIGNED, specification=specification, ssid=ssid)

    def start(self, job: str, signatures: bytes) -> None:
        """Keep everybody's signatures: the job runs from here on."""
        self._move(job, JobState.RUNNING, signatures=signatures)

    def end(self, job: str, state: JobState, error: FedcreditError | None = None) -> None:
        """Write how a job ended. A job that ended already keeps its first end."""
        problems = [] if error is None else [_problem_json(problem) for problem in error.problems]
        values = {"problems": json.dumps(problems), "exit_status": 0 if error is None else error.exit_status}
        if (row := self.job(job)) is not None and not row.state.final:
            self._move(job, state, **values)

    def job(self, job: str) -> JobRow | None:
        """The job, if it is known."""
        with self._engine.connect() as connection:
            row = connection.execute(_jobs.select().where(_jobs.c.id == job)).mappings().first()
        return None if row is None else _job_row(row)

    def job_of(self, ssid: bytes) -> JobRow | None:
        """The job whose signed specification has this hash, if it is known."""
        with self._engine.connect() as connection:
            row = connection.execute(_jobs.select().where(_jobs.c.ssid == ssid)).mappings().first()
        return None if row is None else _job_row(row)

    def jobs(self) -> list[JobRow]:
        """All jobs, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(_jobs.select().order_by(_jobs.c.created, _jobs.c.id)).mappings().all()
        return [_job_row(row) for row in rows]

    def begin_stage(self, job: str, name: str, now: datetime) -> None:
        """Note that a stage was begun; beginning it again keeps its position."""
        with self._writer.begin() as connection:
            _put_stage(connection, job, name, {"started": now.isoformat()})

    def finish_stage(self, job: str, name: str, state: bytes, started: datetime, now: datetime) -> None:
        """Keep a stage's frozen state and its digest. It need not have been begun here: one write is enough."""
        values = {
            "state": state,
            "digest": hashlib.sha256(state).digest(),
            "started": started.isoformat(),
            "finished": now.isoformat(),
        }
        with self._writer.begin() as connection:
            _put_stage(connection, job, name, values)

    def stage_state(self, job: str, name: str) -> bytes | None:
        """The frozen state of a finished stage. Raises FedcreditError (STATE_INVALID) when its digest differs."""
        with self._engine.connect() as connection:
            key = (_stages.c.job == job) & (_stages.c.name == name) & _stages.c.finished.is_not(None)
            row = connection.execute(sa.select(_stages.c.state, _stages.c.digest).where(key)).first()
        if row is None:
            return None
        if hashlib.sha256(row.state).digest() != row.digest:
            raise state_invalid(f"the state of stage {name} is damaged")
        return bytes(row.state)

    def stages(self, job: str) -> list[StageRow]:
        """The stages of a job in the order in which they were first begun."""
        columns = (_stages.c.name, _stages.c.position, _stages.c.digest, _stages.c.finished)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).where(_stages.c.job == job).order_by(_stages.c.position))
            return [StageRow(*row) for row in rows]

    def add_results(self, job: str, files: Sequence[tuple[str, bytes, int]]) -> None:
        """Note the files of a result: relative path, SHA-256, size."""
        with self._writer.begin() as connection:
            for path, digest, size in files:
                connection.execute(_results.insert().values(job=job, path=path, digest=digest, size=size))

    def results(self, job: str) -> list[tuple[str, bytes, int]]:
        """The files of a job's result."""
        columns = (_results.c.path, _results.c.digest, _results.c.size)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).where(_results.c.job == job).order_by(_results.c.path))
            return [(path, bytes(digest), size) for path, digest, size in rows]

    def reply_to(self, job: str, method: str, request: bytes, caller: PartyId) -> bytes | None:
        """The reply already given to exactly this call. Raises PeerError (CONFLICT) when its bytes were others."""
        with self._engine.connect() as connection:
            key = (_calls.c.job == job) & (_calls.c.method == method)
            row = connection.execute(sa.select(_calls.c.request, _calls.c.reply).where(key)).first()
        if row is None:
            return None
        if row.request != hashlib.sha256(request).digest():
            raise PeerError(caller, method, "the same call came with other bytes before", "CONFLICT")
        return bytes(row.reply)

    def keep_reply(self, job: str, method: str, request: bytes, reply: bytes) -> None:
        """Keep the reply to a call, to be given again when the call is repeated."""
        digest = hashlib.sha256(request).digest()
        with self._writer.begin() as connection:
            connection.execute(_calls.insert().values(job=job, method=method, request=digest, reply=reply))

    def set_audit_head(self, log: str, size: int, root: bytes) -> None:
        """Keep the head of an audit log. Raises FedcreditError (AUDIT_ROLLBACK) when it would shrink."""
        with self._writer.begin() as connection:
            old = connection.execute(sa.select(_audit.c.size).where(_audit.c.log == log)).scalar()
            if old is not None and size < old:
                raise FedcreditError(Problem("AUDIT_ROLLBACK", f"audit log {log}", "is shorter than it was"))
            connection.execute(_audit.delete().where(_audit.c.log == log))
            connection.execute(_audit.insert().values(log=log, size=size, root=root))

    def audit_head(self, log: str) -> tuple[int, bytes] | None:
        """Size and root of an audit log when it was last written."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_audit.c.size, _audit.c.root).where(_audit.c.log == log)).first()
        return None if row is None else (row.size, bytes(row.root))

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _move(self, job: str, to: JobState, **values: Any) -> None:
        sources = [state for state, targets in _NEXT.items() if to in targets]
        with self._writer.begin() as connection:
            done = connection.execute(
                _jobs.update().where((_jobs.c.id == job) & _jobs.c.state.in_(sources)).values(state=to, **values)
            )
            if done.rowcount != 1:
                raise FedcreditError(Problem("JOB_STATE", f"job {job}", f"cannot become {to.value} from where it is"))

    def _check_version(self) -> None:
        with self._writer.begin() as connection:
            found = connection.execute(sa.select(_schema.c.version)).scalar()
            if found is None:
                connection.execute(_schema.insert().values(version=SCHEMA_VERSION))
            elif found != SCHEMA_VERSION:
                what = f"was written by another version (schema {found}, this one has {SCHEMA_VERSION})"
                raise FedcreditError(Problem("STORE_VERSION", "store", what))


def _put_stage(connection: sa.Connection, job: str, name: str, values: dict[str, Any]) -> None:
    key = (_stages.c.job == job) & (_stages.c.name == name)
    if connection.execute(_stages.update().where(key).values(**values)).rowcount == 0:
        position = sa.select(sa.func.count()).select_from(_stages).where(_stages.c.job == job).scalar_subquery()
        connection.execute(_stages.insert().values(job=job, name=name, position=position, **values))


def _begin(connection: sa.Connection) -> None:
    # A writer takes its lock first: two that read and then write could otherwise write on what the other has changed.
    writes = connection.get_execution_options().get("fedcredit_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    cursor = connection.cursor()
    for statement in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {statement}")
    cursor.close()


def _problem_json(problem: Problem) -> dict[str, str]:
    return {"code": problem.code, "where": problem.where, "what": problem.what, "fix": problem.fix}


def _job_row(row: Any) -> JobRow:
    problems = tuple(Problem(**problem) for problem in json.loads(row["problems"]))
    return JobRow(**{**row, "state": JobState(row["state"]), "problems": problems})
