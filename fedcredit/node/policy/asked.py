"""What a proposed job asks of this party, in the terms that a policy decides by."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from fedcredit.credit.params import TreeParams
from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.governance.policy import ModelAsk, Request
from fedcredit.governance.privacy import PrivacyAsk
from fedcredit.ids import PartyId
from fedcredit.node.backends import backends_of, bins_of
from fedcredit.node.policy.history import Earlier, table_of
from fedcredit.node.specification import JobSpecification

__all__ = ["request_of"]

NO_CELL = 1 << 40
"""Rows of the smallest cell of a model that shows none: more than any rule asks for."""


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
        feature_parties=proposal.other_parties,
        table=table_of(proposal, me),
        intersect_modes=proposal.intersect_modes,
        receiver_only=proposal.intersect.receiver_only,
        size_only=proposal.intersect.size_only,
        min_intersection=NO_CELL if proposal.layout == "horizontal" else proposal.intersect.min_size,
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
        fewest_parties=0 if proposal.layout == "vertical" else proposal.threshold,
        privacy=_privacy(proposal),
    )


def _privacy(proposal: JobSpecification) -> PrivacyAsk | None:
    noise = None if proposal.aggregate is None else proposal.aggregate.noise
    return None if noise is None else PrivacyAsk(*noise, members=len(proposal.members))


def _models(proposal: JobSpecification) -> Iterable[ModelAsk]:
    for model in proposal.models:
        if (bins := bins_of(model)) is not None:
            trees, max_bin, leaf, cell = 0, bins.cuts, bins.min_rows, bins.min_rows
        elif model.kind == "statistics":
            statistics = StatisticsParams.from_mapping(model.params)
            # A cell of a table is to a policy what a bin is.
            trees, max_bin, leaf, cell = 0, statistics.quantiles, statistics.min_cell, statistics.min_cell
        elif model.kind == "logistic":
            # Nothing is shown of a bin or a leaf, so there is none that could be too small.
            trees, max_bin, leaf, cell = 0, 0, NO_CELL, NO_CELL
        else:
            params = TreeParams.from_mapping(model.params)
            trees, max_bin = params.num_trees, params.max_bin
            leaf, cell = params.min_data_in_leaf, params.min_data_in_bin
        yield ModelAsk(
            name=model.name,
            kind=model.kind,
            groupsum=backends_of(proposal, model),
            hide_nodes=model.hide_nodes,
            trees=trees,
            max_bin=max_bin,
            min_data_in_leaf=leaf,
            min_data_in_bin=cell,
        )
