"""One start of a job at one party: it ends the job, or leaves it waiting to go on from its last checkpoint."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, PeerLost, Problem, RefusedError
from fedcredit.governance.audit import Event
from fedcredit.ids import PartyId
from fedcredit.node.events import EventLog
from fedcredit.node.jobs.peers import PeerWatch
from fedcredit.node.jobs.premises import Premises, open_own_table, write_failure
from fedcredit.node.jobs.present import NOBODY, Present
from fedcredit.node.jobs.result import discard_partial
from fedcredit.node.jobs.room import free_bytes, needed_bytes
from fedcredit.node.jobs.stages import Drained, StageKeeper
from fedcredit.node.jobs.waits import DISK_FULL, interrupted, reason_to_wait
from fedcredit.node.jobs.work import JobWork
from fedcredit.node.snapshots import forget_snapshot
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobState
from fedcredit.observe import logs
from fedcredit.tables import Table
from fedcredit.transport.channel import LostToPeer

__all__ = ["LEFT_OUT", "NOT_BELIEVED", "JobRun", "Outcome", "end_job", "keep_waiting", "told_to_end"]

_log = logs.get("job")

CANCELLED, LEFT_OUT = "CANCELLED", "LEFT_OUT"
NOT_BELIEVED = frozenset({"PEER_REVOKED", "PEER_DISTRUSTED"})
"""Codes of a job that ends because one of its parties is not believed any more, by the platform or by another."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a start came out. A job that is WAITING goes on in a later start; `error` says for what it waits."""

    state: JobState
    error: FedcreditError | None = None


def told_to_end(job: str, code: str) -> Outcome:
    """How a job ends that the platform, or this party's own people, have stopped."""
    if code == LEFT_OUT:
        what = "went on without this party, which was away for longer than the others were to wait"
        return Outcome(JobState.FAILED, RefusedError(Problem(code, f"job {job}", what, "take part in the next one")))
    if code in NOT_BELIEVED:
        what = "one of its parties is not believed any more"
        return Outcome(JobState.FAILED, RefusedError(Problem(code, f"job {job}", what, "see `fedcredit party trust`")))
    return Outcome(JobState.CANCELLED, RefusedError(Problem(CANCELLED, f"job {job}", "was cancelled")))


class JobRun:
    """Runs a signed job at this party. Create one per start; `run` once.

    `table` is the job's table if it is open already; it is closed when the start is over. `left_out` are parties that
    the job goes on without.
    """

    def __init__(
        self,
        specification: JobSpecification,
        premises: Premises,
        log: EventLog,
        *,
        fingerprint: bytes,
        epoch: int = 0,
        left_out: frozenset[PartyId] = NOBODY,
        finished: bool = False,
        table: Table | None = None,
    ) -> None:
        self.epoch = epoch
        self._specification, self._premises, self._log = specification, premises, log
        self._fingerprint, self._table = fingerprint, table
        self._keeper = StageKeeper(specification.id, epoch, premises, log)
        self._job_work = JobWork(
            specification,
            premises,
            log,
            self._keeper,
            epoch=epoch,
            present=Present.of(specification, left_out),
            finished=finished,
            ending=self._begin_to_end,
        )
        self._work: asyncio.Task[None] | None = None
        self._stopped: Outcome | None = None
        self._ending = self._silent = False

    @property
    def stage(self) -> str:
        """The stage that it is at."""
        return self._keeper.stage

    def cancel(self, code: str = CANCELLED) -> None:
        """End the job, unless it is ending already: what it writes then is written to the end."""
        self._stop(told_to_end(self._specification.id, code))

    def interrupt(self, *, silent: bool = False) -> None:
        """Stop where it stands, unless it is ending already; the job waits. `silent`: as another start takes over."""
        self._silent = silent
        self._stop(Outcome(JobState.WAITING, interrupted(self._specification.id)))

    def drain(self) -> None:
        """Stop at the next checkpoint; the job waits."""
        self._keeper.draining = True

    async def run(self) -> Outcome:
        """Run the job, and write how it came out, here and in the log of events. Stop it by its methods alone."""
        self._log.state(JobState.RUNNING, detail={"epoch": self.epoch})
        work, premises = self._job_work, self._premises
        watch = PeerWatch(
            premises.transport, work.peers, self._log, lambda: self.stage, work.waited, premises.limits.slow_after_s
        )
        watching = asyncio.create_task(watch.run(), name=f"peers of {self._specification.id}")
        try:
            outcome = await self._try()
        finally:
            watching.cancel()
            self._ending = True
            if self._table is not None:
                self._table.close()
        if outcome.state is not JobState.WAITING:
            outcome = await end_job(self._specification, self._premises, self._log, outcome)
        if outcome.state is JobState.WAITING and not self._silent:
            await keep_waiting(self._specification, self._premises, self._log, outcome)
        return outcome

    async def _try(self) -> Outcome:
        job = self._specification.id
        self._work = asyncio.create_task(self._do(), name=f"work {job}")
        if self._stopped is not None:
            self._work.cancel()
        try:
            await self._work
            return Outcome(JobState.SUCCEEDED)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as found:  # noqa: BLE001 - the end of the line: a panic of a kernel is no Exception
            if self._stopped is not None:
                return self._stopped
            if isinstance(found, Drained) or _superseded(found):
                return Outcome(JobState.WAITING, interrupted(job))
            if (reason := reason_to_wait(found)) is not None:
                return Outcome(JobState.WAITING, self._nearest(reason))
            return Outcome(JobState.FAILED, found if isinstance(found, FedcreditError) else self._bug(found))

    async def _do(self) -> None:
        if self._table is None:
            self._table = await asyncio.to_thread(open_own_table, self._premises, self._specification)
        await self._job_work.run(self._table, self._fingerprint)

    def _nearest(self, reason: FedcreditError) -> FedcreditError:
        """Who is lost: a peer that stopped because it lost another is not to blame. We may miss that one, too, or only
        hear of it, when we have nothing to do with it ourselves."""
        away = self._premises.transport.unreachable()
        missed = {peer: away[peer] for peer in self._job_work.peers if peer in away}
        if not isinstance(reason, PeerLost) or reason.culprit in missed:
            return reason
        if missed:
            peer = max(missed, key=missed.__getitem__)
            return PeerLost(peer, reason.step, f"out of reach for {missed[peer]:.0f} s")
        if isinstance(reason, LostToPeer) and reason.lost in self._job_work.peers:
            return PeerLost(reason.lost, reason.step, f"is lost to {reason.culprit}")
        return reason

    def _stop(self, outcome: Outcome) -> None:
        if self._ending:
            return
        if self._stopped is None or outcome.state is not JobState.WAITING:
            self._stopped = outcome
        if self._work is not None:
            self._work.cancel()

    def _begin_to_end(self) -> None:
        self._ending = True

    def _bug(self, found: BaseException) -> FedcreditError:
        """A bug of ours, noted by places in the code: a foreign error's message might hold data and stays out."""
        job, kind = self._specification.id, type(found).__name__
        _log.error("job.bug", job=job, error=kind, places=logs.places(found))
        return FedcreditError(Problem("INTERNAL", f"job {job}", f"{kind} in {self._premises.me}"))


async def end_job(specification: JobSpecification, premises: Premises, log: EventLog, outcome: Outcome) -> Outcome:
    """Write that a job has ended, and remove what only a job that goes on would need.

    Gives an outcome WAITING instead when even that cannot be written: the next start comes to the same end.
    """
    try:
        started = await asyncio.to_thread(_write_end, specification.id, premises, outcome)
    except Exception as error:
        if (reason := reason_to_wait(error)) is None:
            raise
        return Outcome(JobState.WAITING, reason)
    log.state(outcome.state, outcome.error)
    premises.transport.forget(specification.hash)
    if started:
        premises.ended(specification)
    return outcome


def _write_end(job: str, premises: Premises, outcome: Outcome) -> bool:
    """Whether all parties had signed the job: what it shows them was accepted."""
    event = Event.JOB_DONE if outcome.state is JobState.SUCCEEDED else Event.JOB_FAILED
    code = "" if outcome.error is None else outcome.error.code
    premises.recorder.record(event, job, state=outcome.state.value, code=code)
    failpoints.hit("job.end.recorded", job)
    folder = premises.job_folder(job)
    if outcome.error is not None:
        write_failure(folder, outcome.error)
    discard_partial(folder)
    premises.store.jobs.end(job, outcome.state, outcome.error)
    forget_snapshot(premises.folder, job)
    failpoints.hit("job.end.kept", job)
    row = premises.store.jobs.job(job)
    return row is not None and row.signatures is not None


async def keep_waiting(specification: JobSpecification, premises: Premises, log: EventLog, outcome: Outcome) -> None:
    """Write that a job waits. Where the disk refuses that too, it waits all the same: a restart would find it running,
    which means the same."""
    job, error = specification.id, outcome.error
    assert error is not None, "whoever waits knows for what"
    culprit = str(getattr(error, "culprit", ""))
    try:
        await asyncio.to_thread(premises.store.jobs.wait, job, error.code, culprit)
        failpoints.hit("job.waiting.kept", error.code)
    except Exception as refused:
        reason = refused if isinstance(refused, FedcreditError) else reason_to_wait(refused)
        if reason is None and not isinstance(refused, OSError):
            raise
        code = DISK_FULL if reason is None else reason.code
        _log.warning("job.wait_unkept", job=job, code=code)
    detail = None
    if error.code == DISK_FULL:
        rows = specification.party(premises.me).rows or 0
        need = needed_bytes(specification, premises.me, rows)
        detail = {"need_bytes": need, "free_bytes": free_bytes(premises.folder)}
    log.state(JobState.WAITING, error, detail)


def _superseded(found: BaseException) -> bool:
    return isinstance(found, FedcreditError) and found.code == "STALE_EPOCH"
