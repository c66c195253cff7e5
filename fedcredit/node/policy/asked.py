"""What a proposed job asks of this party, in the terms that a policy decides by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fedcredit.credit.params import TreeParams
from fedcredit.governance.policy import CHANGED_SET, EarlierRun, ModelAsk, Request
from fedcredit.ids import PartyId
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import Store

__all__ = ["Earlier", "earlier", "request_of", "table_of"]

AUTO_GROUPSUM = "onehot"
"""What `auto` stands for in this version."""


def request_of(
    proposal: JobSpecification,
    me: PartyId,
    now: datetime,
    *,
    rows: int | None = None,
    columns: tuple[str, ...] | None = None,
    subjects: bytes | None = None,
    before: Earlier | None = None,
) -> Request:
    """What `proposal`, whose parameters have been checked, asks of `me`. `rows`, `columns` and `subjects` are of its
    opened table.

    Rows and sets of other parties are those of their offers, where these are in it.
    """
    before = before or Earlier()
    sets = {PartyId(entry.id): entry.subjects for entry in proposal.parties if entry.subjects is not None}
    if subjects is not None:
        sets[me] = subjects.hex()
    after = {PartyId(entry.id): entry.rows for entry in proposal.parties if entry.rows is not None}
    if rows is not None:
        after[me] = rows
    return Request(
        me=me,
        submitter=PartyId(proposal.submitter),
        purpose=proposal.job.purpose,
        label_party=proposal.label_party,
        feature_parties=proposal.feature_parties,
        table=table_of(proposal, me),
        intersect_modes=proposal.intersect_modes,
        receiver_only=proposal.intersect.receiver_only,
        size_only=proposal.intersect.size_only,
        min_intersection=proposal.intersect.min_size,
        models=tuple(_models(proposal)),
        leakage=proposal.disclosures(),
        now=now,
        rows=rows,
        columns=columns,
        before=before.rows,
        after=after,
        runs=before.runs,
        subjects=sets,
        change_announced=before.change_announced,
    )


@dataclass(frozen=True, slots=True)
class Earlier:
    """What this node knows of jobs before: rows of each party's table in those with just these peers, the sets in those
    with any of them, and whether one was refused for a changed set and none was agreed since."""

    rows: Mapping[PartyId, tuple[int, ...]] = field(default_factory=dict)
    runs: tuple[EarlierRun, ...] = ()
    change_announced: bool = False


def earlier(store: Store, proposal: JobSpecification, me: PartyId) -> Earlier:
    """What the node's store says of the jobs over this table that were before `proposal`."""
    rows: dict[PartyId, set[int]] = {}
    runs: list[EarlierRun] = []
    refused_at: dict[str, str] = {}
    agreed_from: dict[str, str] = {}
    parties = {entry.id for entry in proposal.parties}
    for row in store.jobs.all():
        refused = any(problem.code == CHANGED_SET for problem in row.problems)
        if row.id == proposal.id or (row.specification is None and not refused):
            continue
        other = JobSpecification.parse(row.specification or row.proposal)
        there = {entry.id for entry in other.parties}
        peers = (there & parties) - {me}
        if me not in there or not peers or table_of(other, me) != table_of(proposal, me):
            continue
        if row.specification is None:
            refused_at |= {peer: max(row.updated, refused_at.get(peer, "")) for peer in peers}
            continue
        agreed_from |= {peer: max(row.created, agreed_from.get(peer, "")) for peer in peers}
        sets = {PartyId(entry.id): entry.subjects for entry in other.parties if entry.subjects is not None}
        if sets:
            runs.append(EarlierRun(datetime.fromisoformat(row.created), sets))
        if there == parties:
            for entry in other.parties:
                rows.setdefault(PartyId(entry.id), set()).add(entry.rows or 0)
    # A job that was handed in before the refusal, and agreed whenever, does not take the announcement back.
    announced = any(agreed_from.get(peer, "") <= when for peer, when in refused_at.items())
    return Earlier({party: tuple(sorted(found)) for party, found in rows.items()}, tuple(runs), announced)


def table_of(specification: JobSpecification, me: PartyId) -> str:
    """The name of the declared table that the job would use at `me`."""
    return specification.party(me).table


def _models(proposal: JobSpecification) -> Iterable[ModelAsk]:
    for model in proposal.models:
        params = TreeParams.from_mapping(model.params)
        yield ModelAsk(
            name=model.name,
            kind=model.kind,
            groupsum=AUTO_GROUPSUM if model.groupsum == "auto" else model.groupsum,
            hide_nodes=model.hide_nodes,
            trees=params.num_trees,
            max_bin=params.max_bin,
            min_data_in_leaf=params.min_data_in_leaf,
            min_data_in_bin=params.min_data_in_bin,
        )
