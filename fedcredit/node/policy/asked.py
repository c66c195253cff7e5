"""What a proposed job asks of this party, in the terms that a policy decides by."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from fedcredit.credit.params import TreeParams
from fedcredit.governance.policy import ModelAsk, Request
from fedcredit.ids import PartyId
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import Store

__all__ = ["earlier_rows", "request_of"]

AUTO_GROUPSUM = "onehot"
"""What `auto` stands for in this version."""


def request_of(
    proposal: JobSpecification,
    me: PartyId,
    now: datetime,
    *,
    rows: int | None = None,
    columns: tuple[str, ...] | None = None,
    before: dict[PartyId, tuple[int, ...]] | None = None,
) -> Request:
    """What `proposal`, whose parameters have been checked, asks of `me`. `rows` and `columns` are of its opened table.

    Rows of other parties are those of their offers, where these are in it.
    """
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
        before=before or {},
        after=after,
    )


def earlier_rows(store: Store, proposal: JobSpecification, me: PartyId) -> dict[PartyId, tuple[int, ...]]:
    """How many rows each party's table had in the jobs that were agreed over this table with the same peers."""
    found: dict[PartyId, set[int]] = {}
    parties = {entry.id for entry in proposal.parties}
    for row in store.jobs.all():
        if row.specification is None or row.id == proposal.id:
            continue
        other = JobSpecification.parse(row.specification)
        if {entry.id for entry in other.parties} == parties and table_of(other, me) == table_of(proposal, me):
            for entry in other.parties:
                found.setdefault(PartyId(entry.id), set()).add(entry.rows or 0)
    return {party: tuple(sorted(rows)) for party, rows in found.items()}


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
