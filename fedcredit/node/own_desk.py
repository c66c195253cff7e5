"""A party's own desk: its people look at jobs, and let in or turn down those that wait for them.

Whoever calls has shown the node's own certificate, so can read its key, so is its operator.
"""

from __future__ import annotations

import asyncio

from fedcredit import failpoints
from fedcredit.errors import Problem, RefusedError
from fedcredit.governance.audit import Event
from fedcredit.governance.policy import REFUSED
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.jobs import Premises, write_failure
from fedcredit.node.overview import listed, own_job, own_summary
from fedcredit.node.rpc import Method
from fedcredit.node.store import JobRow, JobState
from fedcredit.wire.control import Accepted, ApproveJob, JobReport, ListJobs, ShowJob

__all__ = ["OwnDesk"]


class OwnDesk:
    """The calls of a node's own people."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._lock = asyncio.Lock()

    def methods(self) -> list[Method]:
        """The calls of `fedcredit.v1.Party` that the node itself may make."""
        own = frozenset({self._premises.me})
        return [
            Method("List", ListJobs, own, handle=self._list),
            Method("Show", ShowJob, own, handle=self._show),
            Method("Approve", ApproveJob, own, handle=self._approve),
        ]

    async def _list(self, caller: PartyId, request: ListJobs) -> JobReport:
        def report() -> bytes:
            rows = self._premises.store.jobs.newest(request.limit)
            return listed([own_summary(row, self._premises.me) for row in rows])

        return JobReport(await asyncio.to_thread(report))

    async def _show(self, caller: PartyId, request: ShowJob) -> JobReport:
        def report() -> bytes:
            row = self._known(request.job)
            folder = self._premises.folder / "jobs" / row.id
            return canonical(own_job(self._premises.store, row, self._premises.me, folder))

        return JobReport(await asyncio.to_thread(report))

    async def _approve(self, caller: PartyId, request: ApproveJob) -> Accepted:
        async with self._lock:
            await asyncio.to_thread(self._turn_down if request.refuse else self._let_in, request)
        return Accepted()

    def _let_in(self, request: ApproveJob) -> None:
        row = self._pending(request)
        if row.approved_by:
            return
        facts = {"by": request.by, "rule": row.rule}
        self._premises.recorder.record(Event.JOB_APPROVED, row.id, **facts)
        failpoints.hit("policy.approval.recorded", row.id)
        self._premises.store.jobs.approve(row.id, request.by)

    def _turn_down(self, request: ApproveJob) -> None:
        row = self._pending(request)
        if row.approved_by:
            what, fix = f"was approved by {row.approved_by} already", "fedcredit job cancel"
            raise RefusedError(Problem("JOB_STATE", f"job {row.id}", what, fix))
        reason = request.reason or "no reason given"
        error = RefusedError(Problem(REFUSED, f"job {row.id}", f"{request.by} refused it: {reason}"))
        facts = {"code": REFUSED, "by": request.by, "reason": reason, "rule": row.rule}
        self._premises.recorder.record(Event.JOB_REFUSED, row.id, **facts)
        failpoints.hit("policy.refusal.recorded", row.id)
        write_failure(self._premises.folder / "jobs" / row.id, error)
        self._premises.store.jobs.end(row.id, JobState.FAILED, error)

    def _pending(self, request: ApproveJob) -> JobRow:
        row = self._known(request.job)
        if row.state is not JobState.PENDING:
            what = f"is {row.state.value} and does not wait for anybody's approval"
            raise RefusedError(Problem("JOB_STATE", f"job {row.id}", what))
        return row

    def _known(self, job: str) -> JobRow:
        row = self._premises.store.jobs.job(job)
        if row is None:
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {job}", "is not known here", "fedcredit job list"))
        return row
