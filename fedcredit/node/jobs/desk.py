"""All jobs of a party that are under way: those that run, those that wait, and how one becomes the other.

start   -> runs in epoch 0
waits   -> for a peer, for room on the disk, for this node after a restart; never longer than `peer_timeout_s` after
           the platform was last heard of it
resume  -> runs in a greater epoch, from its first `keep` checkpoints
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import datetime

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, PeerLost, Problem, RefusedError, rebuilt
from fedcredit.governance.audit import Event
from fedcredit.ids import PartyId
from fedcredit.node.events import EventLog
from fedcredit.node.jobs import checkpoints
from fedcredit.node.jobs.damage import set_aside_damaged
from fedcredit.node.jobs.memory import check_memory, free_memory, needed_memory
from fedcredit.node.jobs.premises import Premises
from fedcredit.node.jobs.present import NOBODY, goes_on_without, left_out_bytes
from fedcredit.node.jobs.room import check_room, free_bytes, needed_bytes
from fedcredit.node.jobs.run import NOT_BELIEVED, JobRun, Outcome, end_job, told_to_end
from fedcredit.node.jobs.waits import DISK_FULL, INTERRUPTED, OUT_OF_MEMORY, interrupted, kept_reason
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobRow, JobState
from fedcredit.node.store.faults import stale_epoch
from fedcredit.tables import Table
from fedcredit.wire.resume import ResumeJob, StandingReply

__all__ = ["JobDesk"]

DRAIN_S = 3.5
"""What a run has at SIGTERM to come to its next checkpoint; SIGTERM to exit is 10 s at most."""

STOP_S = 2.0
DIRECTORY_S = 3.0
"""What the news that a member is not believed may take to come here after the platform has acted on it."""

TICK_S = 1.0

AGREEMENT_CALLS, REPLY_S = 3, 600.0
"""A job is proposed, signed and started. Each time the platform waits for all answers, and for who is away."""

MAX_STARTS = 100
"""Of one job at one party. A platform that keeps to its own rules gives up long before."""

HANDOVER_S = 60.0
"""What an older start may take to let go: writing a result is not interrupted."""


@dataclass(slots=True)
class _Wait:
    """A job that waits. `heard` is when the platform last spoke of it, by the monotonic clock."""

    error: FedcreditError
    heard: float


@dataclass(slots=True)
class _Job:
    """What is in memory of a job."""

    log: EventLog
    since: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    table: Table | None = None
    run: JobRun | None = None
    task: asyncio.Task[None] | None = None
    wait: _Wait | None = None
    told: Outcome | None = None
    """The end that could not be written yet."""


class JobDesk:
    """The jobs of one party, which `platform` starts and resumes. Lives on the node's event loop."""

    def __init__(self, premises: Premises, platform: PartyId) -> None:
        self._premises, self._platform = premises, platform
        self._jobs: dict[str, _Job] = {}
        self._clockwork: asyncio.Task[None] | None = None
        self.stopping = False

    def recover(self) -> None:
        """At the start of the node: jobs that the last process left running wait to be resumed."""
        for row in self._premises.store.jobs.unfinished():
            if row.state in (JobState.RUNNING, JobState.WAITING):
                set_aside_damaged(self._premises, row.id)
            if row.state is JobState.RUNNING:
                error = interrupted(row.id)
                self._premises.store.jobs.wait(row.id, error.code)
                failpoints.hit("job.recovered", row.id)
                job = self._job(row.id)
                job.wait = _Wait(error, self._now())
                job.log.state(JobState.WAITING, error)
            else:
                self._job(row.id)
            # They may come back for it before the platform has said where they are.
            peers = JobSpecification.parse(row.specification or row.proposal).parties
            self._premises.transport.expect([PartyId(peer.id) for peer in peers])
            if row.state is JobState.WAITING:
                reason = kept_reason(row.id, row.waiting_code, row.waiting_culprit)
                self._job(row.id).wait = _Wait(reason, self._now() - self._age_s(row.waiting_since))
        self._clockwork = asyncio.get_running_loop().create_task(self._tick(), name="job desk")

    def log(self, job: str) -> EventLog:
        """The events of a job. Raises: RefusedError (JOB_UNKNOWN)."""
        if job in self._jobs:
            return self._jobs[job].log
        if (row := self._premises.store.jobs.job(job)) is None:
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {job}", "is not known here"))
        if not row.state.final:
            return self._job(job).log
        log = self._restored(job)
        if not log.ended:
            # The process ended between the end of the job and the note of it.
            log.state(row.state, rebuilt(row.problems, row.exit_status) if row.problems else None)
        return log

    def hold(self, job: str, table: Table) -> None:
        """Keep the table of a proposed job open until it starts; from here on its agreement must come to an end."""
        held = self._job(job)
        held.since = self._now()  # the job may have waited here for a person before, for days
        if held.table is not None:
            held.table.close()
        held.table = table

    def drop(self, name: str, error: FedcreditError) -> None:
        """Let go of a job that was refused after all; its end is in the store already."""
        if (job := self._jobs.pop(name, None)) is not None:
            if job.table is not None:
                job.table.close()
            job.log.state(JobState.FAILED, error)

    async def start(self, row: JobRow, specification: JobSpecification, signatures: bytes) -> None:
        """Begin a job that everybody has signed. Raises: RefusedError (DISK_FULL, MEMORY_SHORT) with the bytes."""
        job = self._job(row.id)
        async with job.lock:
            self.refuse_when_stopping(row.id)
            await asyncio.to_thread(self._check_room, specification)
            await asyncio.to_thread(self._premises.store.jobs.start, row.id, signatures)
            failpoints.hit("job.start.kept", row.id)
            table, job.table = job.table, None
            self._launch(job, specification, row, epoch=0, table=table)

    def standing(self, row: JobRow) -> StandingReply:
        """How a job stands, for the platform, which is heard of it by this."""
        job = self._jobs.get(row.id)
        state, ready, error = row.state, row.state is JobState.RUNNING, None
        if job is not None and job.wait is not None and not row.state.final:
            job.wait.heard = self._now()
            state, error = JobState.WAITING, job.wait.error
            ready = not self.stopping and self._could_go_on(row, error)
        listing = checkpoints.listing_of(self._premises.store.stages.checkpoints(row.id))
        return StandingReply(
            state=state,
            epoch=row.epoch,
            checkpoints=checkpoints.to_bytes(listing),
            ready=ready,
            code="" if error is None else error.code[:64],
            culprit=str(getattr(error, "culprit", ""))[:64],
            need=self._need(row) if error is not None and error.code == DISK_FULL else 0,
            left_out=row.left_out.encode(),
        )

    async def resume(self, row: JobRow, request: ResumeJob) -> None:
        """Go on in a new epoch; the older start is stopped. Again with the same epoch while that runs: no effect.

        Raises: FedcreditError (STALE_EPOCH, JOB_STATE, CHECKPOINT_MISSING, DISK_FULL, INTERRUPTED), RefusedError
        (TOO_MANY_STARTS), ConfigError (AUDIT_UNAVAILABLE).
        """
        job = self._job(row.id)
        async with job.lock:
            self.refuse_when_stopping(row.id)
            if job.run is not None and job.run.epoch == request.epoch:
                return
            if job.run is not None and request.epoch > job.run.epoch:
                await self._hand_over(job)
            specification = JobSpecification.parse(row.specification or b"")
            left_out = goes_on_without(specification, request.left_out, self._premises.me)
            kept = await asyncio.to_thread(self._premises.store.stages.checkpoints, row.id)
            if checkpoints.digest_of(checkpoints.listing_of(kept)[: request.keep]) != request.digest:
                what = "are not those that the platform means"
                raise FedcreditError(Problem("CHECKPOINT_MISSING", f"job {row.id}: checkpoints", what))
            await asyncio.to_thread(self._check_room, specification)
            if request.epoch >= MAX_STARTS:
                what = f"was started {MAX_STARTS} times, and each time may show again what a stage shows"
                raise RefusedError(Problem("TOO_MANY_STARTS", f"job {row.id}", what, "hand it in anew"))
            now = await asyncio.to_thread(self._premises.store.jobs.job, row.id)
            if now is None or request.epoch <= now.epoch:
                raise stale_epoch(row.id, request.epoch, row.epoch if now is None else now.epoch)
            # No start without its entry: a stage that is run again shows again what it shows.
            facts = {"epoch": request.epoch, "kept": request.keep, "without": len(left_out)}
            await asyncio.to_thread(self._premises.recorder.record, Event.JOB_RESUMED, row.id, **facts)
            without = left_out_bytes(left_out).decode()
            await asyncio.to_thread(self._premises.store.jobs.resume, row.id, request.epoch, request.keep, without)
            failpoints.hit("job.resume.kept", row.id)
            job.wait = None
            self._launch(job, specification, row, epoch=request.epoch, left_out=left_out, finished=request.finished)

    async def cancel(self, row: JobRow, code: str) -> None:
        """End a job for good: failed, where it waited for just what the platform gives up for, else cancelled.

        Where a member is not believed any more, it has failed: with its name, as far as we know of it by now.
        """
        job = self._job(row.id)
        if job.run is not None and job.task is not None and code in NOT_BELIEVED:
            await asyncio.wait({job.task}, timeout=DIRECTORY_S)
        if job.run is not None and job.task is not None:
            job.run.cancel(code)
            await asyncio.wait({job.task}, timeout=5)
        async with job.lock:
            now = await asyncio.to_thread(self._premises.store.jobs.job, row.id)
            if job.run is not None or now is None:
                return
            if now.state.final:  # the run has come to its own end meanwhile
                await self._put_away(row.id, job)
                return
            if job.wait is not None and code == job.wait.error.code:
                await self._end(row, job, Outcome(JobState.FAILED, job.wait.error))
            else:
                await self._end(row, job, told_to_end(row.id, code))

    async def stop(self) -> None:
        """Let every run come to its next checkpoint, as far as time allows; what has not ended waits."""
        self.stopping = True
        failpoints.hit("node.stop.begun")
        if self._clockwork is not None:
            self._clockwork.cancel()
        jobs = list(self._jobs.values())
        for job in jobs:
            if job.run is not None:
                job.run.drain()
        tasks = {job.task for job in jobs if job.task is not None}
        if tasks:
            _, running = await asyncio.wait(tasks, timeout=DRAIN_S)
            for job in jobs:
                if job.run is not None:
                    job.run.interrupt()
            if running:
                await asyncio.wait(running, timeout=STOP_S)
        await asyncio.gather(*(job.log.flushed() for job in jobs))
        for job in jobs:
            if job.table is not None:
                job.table.close()
        failpoints.hit("node.stop.done")

    def refuse_when_stopping(self, job: str) -> None:
        """Raises: FedcreditError (INTERRUPTED) once the node takes nothing new any more."""
        if self.stopping:
            raise interrupted(job)

    def _launch(
        self,
        job: _Job,
        specification: JobSpecification,
        row: JobRow,
        *,
        epoch: int,
        left_out: frozenset[PartyId] = NOBODY,
        finished: bool = False,
        table: Table | None = None,
    ) -> None:
        fingerprint = row.fingerprint or b""
        job.run = JobRun(
            specification,
            self._premises,
            job.log,
            fingerprint=fingerprint,
            epoch=epoch,
            left_out=left_out,
            finished=finished,
            table=table,
        )
        job.task = asyncio.create_task(self._see_through(job, job.run, row.id), name=row.id)

    async def _see_through(self, job: _Job, run: JobRun, name: str) -> None:
        outcome = Outcome(JobState.WAITING, interrupted(name))
        try:
            outcome = await run.run()
        finally:
            job.run = job.task = None
            if outcome.state is JobState.WAITING and outcome.error is not None:
                job.wait = _Wait(outcome.error, self._now())
            else:
                await self._put_away(name, job)

    async def _hand_over(self, job: _Job) -> None:
        """Stop the start that runs, for a new one to take its place."""
        assert job.run is not None, "there is one"
        task = job.task
        job.run.interrupt(silent=True)
        if task is not None:
            done, _ = await asyncio.wait({task}, timeout=HANDOVER_S)
            if not done:
                raise interrupted("its older start is still ending")

    async def _end(self, row: JobRow, job: _Job, outcome: Outcome) -> None:
        """End a job that does not run."""
        if row.state.final:
            return
        # What was not signed here has no specification yet: the proposal has the same id and parties.
        specification = JobSpecification.parse(row.specification or row.proposal)
        ended = await end_job(specification, self._premises, job.log, outcome)
        if ended.state is JobState.WAITING:
            job.told = outcome  # whoever told us will not say it again
            return
        failpoints.hit("job.wait.ended", outcome.state)
        job.told = None
        job.wait = None
        if job.table is not None:
            job.table.close()
            job.table = None
        await self._put_away(row.id, job)

    async def _put_away(self, name: str, job: _Job) -> None:
        """Forget a job that has ended; its events are in the store."""
        await job.log.flushed()
        if self._jobs.get(name) is job:
            del self._jobs[name]

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for name, job in list(self._jobs.items()):
                if job.run is None and (job.told is not None or self._overdue(job)):
                    with contextlib.suppress(FedcreditError):
                        await self._give_up(name, job)

    def _overdue(self, job: _Job) -> bool:
        if job.wait is not None:
            return self._now() - job.wait.heard > self._premises.limits.peer_timeout_s
        # Who was away when the platform gave it up is told nothing more of it, and must not hold it for ever.
        return self._now() - job.since > AGREEMENT_CALLS * (REPLY_S + self._premises.limits.peer_timeout_s)

    async def _give_up(self, name: str, job: _Job) -> None:
        async with job.lock:
            row = await asyncio.to_thread(self._premises.store.jobs.job, name)
            if row is None or job.run is not None:
                return
            if job.told is not None:
                # Each attempt begins with an entry in the audit log: none before there is room for what follows it.
                if free_bytes(self._premises.folder) >= self._need(row):
                    await self._end(row, job, job.told)
            elif not self._overdue(job):
                return
            elif job.wait is not None:
                await self._end(row, job, Outcome(JobState.FAILED, self._missed(job.wait)))
            elif row.state in (JobState.PROPOSED, JobState.SIGNED):
                what = "was agreed on and never started"
                error = FedcreditError(Problem("AGREEMENT_TIMEOUT", f"job {name}", what, "submit it again"))
                await self._end(row, job, Outcome(JobState.FAILED, error))

    def _missed(self, wait: _Wait) -> FedcreditError:
        """For whom a job waited in vain: one that only had to be resumed, for the platform."""
        if wait.error.code != INTERRUPTED:
            return wait.error
        return PeerLost(self._platform, "the job", f"was not heard of for {self._premises.limits.peer_timeout_s:g} s")

    def _job(self, job: str) -> _Job:
        if job not in self._jobs:
            self._jobs[job] = _Job(self._restored(job), self._now())
        return self._jobs[job]

    def _restored(self, job: str) -> EventLog:
        return EventLog.restored(self._premises.me, job, self._premises.store.events)

    def _could_go_on(self, row: JobRow, error: FedcreditError) -> bool:
        if error.code == "AUDIT_UNAVAILABLE":
            return False  # the log is settled when the node starts again
        if error.code == "CERT_EXPIRED":
            return not self._premises.expired()
        if error.code == OUT_OF_MEMORY:
            specification = JobSpecification.parse(row.specification or row.proposal)
            return free_memory() >= needed_memory(specification, self._premises.me)
        return error.code != DISK_FULL or free_bytes(self._premises.folder) >= self._need(row)

    def _check_room(self, specification: JobSpecification) -> None:
        rows = specification.party(self._premises.me).rows or 0
        check_room(self._premises.folder, needed_bytes(specification, self._premises.me, rows))
        check_memory(needed_memory(specification, self._premises.me))

    def _need(self, row: JobRow) -> int:
        specification = JobSpecification.parse(row.specification or row.proposal)
        rows = specification.party(self._premises.me).rows or 0
        return needed_bytes(specification, self._premises.me, rows)

    def _age_s(self, since: str) -> float:
        try:
            return max(0.0, (self._premises.clock.now() - datetime.fromisoformat(since)).total_seconds())
        except ValueError:
            return 0.0

    def _now(self) -> float:
        return self._premises.clock.monotonic()
