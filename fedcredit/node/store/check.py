"""Whether a store is whole: what the database says of itself, and what must be true between its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import sqlalchemy as sa

from fedcredit.errors import FedcreditError, Problem
from fedcredit.governance.consent.refusal import ConsentRefused
from fedcredit.governance.consent.token import Envelope, revocation_id
from fedcredit.node.store import tables
from fedcredit.node.store.engine import Database
from fedcredit.node.store.jobs import JobState, problems_from

__all__ = ["problems_of"]

_jobs, _stages, _platform = tables.jobs, tables.stages, tables.platform_jobs
_consents = tables.consents

_AGREED = (JobState.SIGNED, JobState.RUNNING, JobState.WAITING, JobState.SUCCEEDED)
_STARTED = (JobState.RUNNING, JobState.WAITING, JobState.SUCCEEDED)
_ENDED = tuple(state for state in JobState if state.final)


def problems_of(database: Database) -> list[Problem]:
    """All that is wrong with a store, as of one moment."""
    try:
        with database.reading() as connection:
            found = [*_files(database, connection), *_references(connection)]
            found += [*_of_jobs(connection), *_of_stages(connection), *_of_platform_jobs(connection)]
            found += _of_consents(connection)
            return found
    except FedcreditError as error:
        return list(error.problems)


def _files(database: Database, connection: sa.Connection) -> Iterator[Problem]:
    if not database.shared:
        for line in connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars():
            if line != "ok":
                yield Problem("STORE_DAMAGED", "store", f"its file is damaged: {str(line)[:200]}")


def _references(connection: sa.Connection) -> Iterator[Problem]:
    for table in (tables.stages, tables.results):
        orphans = sa.select(table.c.job).distinct().where(table.c.job.not_in(sa.select(_jobs.c.id)))
        for job in connection.execute(orphans).scalars():
            yield Problem("STORE_INCONSISTENT", f"job {job}", f"has {table.name} and is not there itself")


def _of_jobs(connection: sa.Connection) -> Iterator[Problem]:
    for row in connection.execute(_jobs.select().order_by(_jobs.c.id)):
        for what in _wrong_with(row):
            yield Problem("STORE_INCONSISTENT", f"job {row.id}", what)


def _wrong_with(row: sa.Row[tuple[object, ...]]) -> Iterator[str]:
    try:
        state = JobState(row.state)
        problems_from(row.problems)
    except (ValueError, TypeError):
        yield "its state or its problems cannot be read"
        return
    committed = row.commitment_nonce is not None and row.fingerprint is not None
    if (state in _AGREED or state is JobState.PROPOSED) and not committed:
        yield f"is {state.value} without a commitment"
    if state in _AGREED and (row.specification is None or row.ssid is None):
        yield f"is {state.value} without a specification"
    if state in _STARTED and row.signatures is None:
        yield f"is {state.value} without signatures"
    if (state is JobState.WAITING) and not row.waiting_code:
        yield "waits without a reason"
    if row.epoch < 0:
        yield "its epoch is negative"


def _of_stages(connection: sa.Connection) -> Iterator[Problem]:
    columns = (_stages.c.job, _stages.c.name, _stages.c.position, _stages.c.finished, _stages.c.epoch)
    joined = _stages.join(_jobs, _stages.c.job == _jobs.c.id)
    wanted = sa.select(*columns, _jobs.c.epoch.label("now"), _jobs.c.state.label("job_state")).select_from(joined)
    seen: set[tuple[str, int]] = set()
    for row in connection.execute(wanted.order_by(_stages.c.job, _stages.c.position)).all():
        where = f"job {row.job}, stage {row.name}"
        if (row.job, row.position) in seen:
            yield Problem("STORE_INCONSISTENT", where, "stands where another stage stands")
        seen.add((row.job, row.position))
        if row.epoch > row.now:
            yield Problem("STORE_INCONSISTENT", where, f"was made in epoch {row.epoch} of a job at epoch {row.now}")
        key = (_stages.c.job == row.job) & (_stages.c.name == row.name)
        # One state at a time: they may be large.
        kept = connection.execute(sa.select(_stages.c.state, _stages.c.digest).where(key)).one()
        # The states of a job that has ended are gone; its stages and their digests stay.
        gone = kept.state is None and row.job_state in _ENDED
        whole = gone or (kept.state is not None and hashlib.sha256(kept.state).digest() == kept.digest)
        if row.finished is not None and not whole:
            yield Problem("STATE_INVALID", where, "its state is not the one that was kept", "resume from before it")


def _of_platform_jobs(connection: sa.Connection) -> Iterator[Problem]:
    for row in connection.execute(_platform.select().order_by(_platform.c.id)):
        where = f"job {row.id}"
        try:
            JobState(row.state)
            problems_from(row.problems)
        except (ValueError, TypeError):
            yield Problem("STORE_INCONSISTENT", where, "its state or its problems cannot be read")
        if hashlib.sha256(row.definition).digest() != row.digest:
            yield Problem("STORE_INCONSISTENT", where, "its definition is not the one that was submitted")


def _of_consents(connection: sa.Connection) -> Iterator[Problem]:
    columns = (_consents.c.jti, _consents.c.token, _consents.c.subject, _consents.c.expires)
    for row in connection.execute(sa.select(*columns).order_by(_consents.c.jti)):
        try:
            said = Envelope.read(row.token).claims()
            whole = (said.jti, said.subject, said.expires) == (row.jti, row.subject, row.expires)
        except ConsentRefused:
            whole = False
        if not whole:
            # By its name in logs: the consent's own name is for its subject.
            where = f"consent {revocation_id(row.jti)}"
            yield Problem("STORE_INCONSISTENT", where, "its token is not the one that was issued")
