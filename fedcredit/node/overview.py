"""How jobs stand, as documents for the people of a node: what a party knows of its own part, and a platform of all.

Facts of operation alone: states, stages, times, rules, reasons, where a result lies. No row of any table.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fedcredit.errors import FedcreditError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.holdups import Holdups
from fedcredit.node.policy.record import DecisionRecord
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobRow, JobState, Store
from fedcredit.wire.control import MAX_REPORT, JobEvent

__all__ = ["listed", "own_job", "own_summary", "platform_job", "platform_summary"]

ENDS = ("succeeded", "failed", "cancelled")


def own_summary(row: JobRow, me: PartyId) -> dict[str, Any]:
    """A line about a job at this party."""
    proposal = JobSpecification.parse(row.proposal)
    return {
        "id": row.id,
        "state": _state(row),
        "purpose": proposal.job.purpose,
        "submitter": row.submitter or proposal.submitter,
        "table": proposal.party(me).table,
        "peers": [entry.id for entry in proposal.parties if entry.id != me],
        "rule": row.rule,
        "code": row.problems[0].code if row.problems else row.waiting_code,
        "created": row.created,
        "updated": row.updated,
    }


def own_job(store: Store, row: JobRow, me: PartyId, folder: Path) -> dict[str, Any]:
    """All that this party's people may want to know of a job; `folder` is the job's."""
    proposal = JobSpecification.parse(row.proposal)
    specification = proposal if row.specification is None else JobSpecification.parse(row.specification)
    try:
        decision = DecisionRecord.read(folder)
    except FedcreditError:
        decision = None
    result = folder / "result"
    own = Holdups([entry.id for entry in proposal.parties])
    return own_summary(row, me) | {
        "label_party": proposal.label_party,
        "parties": [
            {"id": entry.id, "role": entry.role, "table": entry.table, "rows": entry.rows}
            for entry in specification.parties
        ],
        "models": [{"name": m.name, "kind": m.kind, "hide_nodes": m.hide_nodes} for m in proposal.models],
        "shows": [entry.model_dump() for entry in proposal.leakage if me in entry.about.split(", ")],
        "decision": None if decision is None else decision.to_dict(),
        "pending_reason": row.pending_reason if row.state is JobState.PENDING else "",
        "approved_by": row.approved_by,
        "waiting": {"code": row.waiting_code, "culprit": row.waiting_culprit, "since": row.waiting_since},
        "slow": [] if row.state.final else _slow(own, [JobEvent.decode(data) for data in store.events.after(row.id)]),
        "epoch": row.epoch,
        "stages": [
            {"name": stage.name, "epoch": stage.epoch, "started": stage.started, "finished": stage.finished}
            for stage in store.stages.all(row.id)
        ],
        "problems": [_problem(problem) for problem in row.problems],
        "exit_status": row.exit_status,
        "result": str(result) if result.exists() else None,
    }


def platform_summary(proposal: JobSpecification, events: Iterable[JobEvent]) -> dict[str, Any]:
    """A line about a job at the platform."""
    whole = platform_job(proposal, events)
    return {key: whole[key] for key in ("id", "state", "purpose", "submitter", "parties", "waits_for", "code")}


def platform_job(proposal: JobSpecification, events: Iterable[JobEvent]) -> dict[str, Any]:
    """How a job stands at every party, from what they reported to the platform."""
    seats: dict[str, dict[str, Any]] = {
        entry.id: {"state": "asked", "stage": "", "done": 0, "total": 0, "code": "", "culprit": ""}
        for entry in proposal.parties
    }
    whole: dict[str, Any] = {"state": "proposed", "code": "", "culprit": "", "exit_status": 0}
    holdups = Holdups(seats)
    for event in events:
        if event.party != proposal.platform or event.stage == "agreement":  # later it says what is put together here
            holdups.take(event)
        seat = whole if event.party == proposal.platform else seats.get(event.party)
        if seat is None:
            continue
        if event.kind == "state":
            seat |= {"state": event.stage, "code": event.code, "culprit": event.culprit}
            if seat is whole:
                whole["exit_status"] = event.exit_status
        elif event.kind == "begun":
            seat |= {"stage": event.stage, "done": 0, "total": 0}
        elif event.kind == "progress":
            seat |= {"stage": event.stage, "done": event.done, "total": event.total}
    waits_for = [name for name, seat in seats.items() if seat["state"] == "pending"]
    if waits_for and whole["state"] not in ENDS:
        whole["state"] = "pending"
    return whole | {
        "id": proposal.id,
        "purpose": proposal.job.purpose,
        "submitter": proposal.submitter,
        "parties": seats,
        "waits_for": waits_for if whole["state"] not in ENDS else [],
        "slow": _slow(holdups) if whole["state"] not in ENDS else [],
    }


def _slow(holdups: Holdups, events: Iterable[JobEvent] = ()) -> list[dict[str, Any]]:
    """Whom a job waits for that is there and slow, once `events` have been taken in, too."""
    for event in events:
        holdups.take(event)
    return [
        {"peer": found.peer, "stage": found.stage, "seconds": found.seconds, "waiting": list(found.waiting)}
        for found in holdups.found()
    ]


def listed(reports: list[dict[str, Any]]) -> bytes:
    """The document of a list, newest first, of as many as one message takes."""
    kept = list(reports)
    while len(document := canonical(kept)) > MAX_REPORT:
        kept = kept[: len(kept) // 2]
    return document


def _state(row: JobRow) -> str:
    """A job that this party refused ended in the store as failed; people want to see which of the two it was."""
    refused = row.state is JobState.FAILED and row.specification is None and row.exit_status == 77
    return "refused" if refused else str(row.state.value)


def _problem(problem: Problem) -> dict[str, str]:
    return {"code": problem.code, "where": problem.where, "what": problem.what, "fix": problem.fix}
