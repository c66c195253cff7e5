"""What earlier jobs say to a policy: with whom, over which of our tables, how large these were, what stood for sets.

A node keeps its jobs for good, and every decision looks at all of them. So each is read from the store when it is new
or has changed, and what a policy wants of it is kept in memory: some hundred bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fedcredit.governance.policy import CHANGED_SET, EarlierRun
from fedcredit.ids import PartyId
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobRow, Store

__all__ = ["Earlier", "History", "table_of"]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What this node knows of jobs before: rows of each party's table in those with just these peers, the sets in those
    with any of them, and whether one was refused for a changed set and none was agreed since."""

    rows: Mapping[PartyId, tuple[int, ...]] = field(default_factory=dict)
    runs: tuple[EarlierRun, ...] = ()
    change_announced: bool = False


@dataclass(frozen=True, slots=True)
class _Past:
    """A job that was agreed (`run` says when and with which sets) or refused for a changed set."""

    table: str
    parties: frozenset[PartyId]
    rows: Mapping[PartyId, int]
    run: EarlierRun | None
    when: str


class History:
    """The earlier jobs of one node. Keep it as long as its store; calls may come from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: dict[str, str] = {}
        self._past: dict[str, _Past] = {}

    def earlier(self, store: Store, proposal: JobSpecification, me: PartyId) -> Earlier:
        """What the node's store says of the jobs over this table that were before `proposal`."""
        with self._lock:
            self._catch_up(store, me)
            past = [kept for job, kept in self._past.items() if job != proposal.id]
        rows: dict[PartyId, set[int]] = {}
        runs: list[EarlierRun] = []
        refused_at: dict[PartyId, str] = {}
        agreed_from: dict[PartyId, str] = {}
        table, parties = table_of(proposal, me), {PartyId(entry.id) for entry in proposal.parties}
        for kept in past:
            peers = (kept.parties & parties) - {me}
            if not peers or kept.table != table:
                continue
            if kept.run is None:
                refused_at |= {peer: max(kept.when, refused_at.get(peer, "")) for peer in peers}
                continue
            agreed_from |= {peer: max(kept.when, agreed_from.get(peer, "")) for peer in peers}
            if kept.run.subjects:
                runs.append(kept.run)
            if kept.parties == parties:
                for party, n in kept.rows.items():
                    rows.setdefault(party, set()).add(n)
        # A job that was handed in before the refusal, and agreed whenever, does not take the announcement back.
        announced = any(agreed_from.get(peer, "") <= when for peer, when in refused_at.items())
        return Earlier({party: tuple(sorted(found)) for party, found in rows.items()}, tuple(runs), announced)

    def _catch_up(self, store: Store, me: PartyId) -> None:
        marks = store.jobs.marks()
        for row in store.jobs.some([job for job, mark in marks.items() if self._marks.get(job) != mark]):
            self._past.pop(row.id, None)
            if (past := _past_of(row, me)) is not None:
                self._past[row.id] = past
        # Of a row that changed between the two readings the newer one was read: it is read once more next time.
        self._marks = marks


def table_of(specification: JobSpecification, me: PartyId) -> str:
    """The name of the declared table that the job would use at `me`."""
    return specification.party(me).table


def _past_of(row: JobRow, me: PartyId) -> _Past | None:
    refused = any(problem.code == CHANGED_SET for problem in row.problems)
    if row.specification is None and not refused:
        return None
    job = JobSpecification.parse(row.specification or row.proposal)
    parties = frozenset(PartyId(entry.id) for entry in job.parties)
    if me not in parties:
        return None
    if row.specification is None:
        return _Past(table_of(job, me), parties, {}, None, row.updated)
    sets = {PartyId(entry.id): entry.subjects for entry in job.parties if entry.subjects is not None}
    rows = {PartyId(entry.id): entry.rows or 0 for entry in job.parties}
    return _Past(table_of(job, me), parties, rows, EarlierRun(datetime.fromisoformat(row.created), sets), row.created)
