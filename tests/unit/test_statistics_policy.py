"""What a party can say to a job of statistics: which texts it has to accept, how small a cell may be, its columns."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
from unit.test_governance_policy import MODEL, asked, ruled

from fedcredit.errors import RefusedError
from fedcredit.governance.leakage import PublicJob, PublicModel, leakage_of, refuse_unaccepted
from fedcredit.governance.policy import Action, decide
from fedcredit.governance.public_job import STATISTICS_SHOW
from fedcredit.ids import PartyId
from fedcredit.node.specification import ModelEntry
from fedcredit.runtime.policy_template import known_leakage

BANK, TAX, WATER, PLATFORM = PartyId("bank"), PartyId("tax"), PartyId("water"), PartyId("platform")

# As in test_governance_leakage: an id stands for one text.
PINNED = {
    "statistics.asked": "3d681752fe00",
    "statistics.cells": "33c66e466e6d",
    "statistics.groups": "9d9bdbe6958c",
    "statistics.shared": "ad9c934f5818",
    "statistics.sums": "3d75bd6d2d67",
}


def job(*shows: str) -> PublicJob:
    model = PublicModel(name="statistics.0", kind="statistics", hide_nodes=True, tables=frozenset(shows))
    return PublicJob(platform=PLATFORM, label_party=BANK, feature_parties=(TAX, WATER), models=(model,))


def about(party: PartyId, *shows: str) -> set[str]:
    return {row.id for row in leakage_of(job(*shows)) if party in row.about and row.id.startswith("statistics.")}


def test_each_thing_that_tables_show_is_accepted_by_itself() -> None:
    assert about(TAX) == {"statistics.groups"}
    assert about(TAX, "sums") == {"statistics.groups", "statistics.sums"}
    assert about(TAX, "cells") == {"statistics.groups", "statistics.cells"}
    assert about(BANK, "sums", "cells") == {"statistics.asked"}
    assert about(TAX, "shared") == {"statistics.groups", "statistics.shared"}
    table = leakage_of(job(*STATISTICS_SHOW))
    everything = {row.id for row in table}
    assert everything <= known_leakage()
    for missing in about(TAX, *STATISTICS_SHOW):
        with pytest.raises(RefusedError) as refused:
            refuse_unaccepted(table, TAX, everything - {missing})
        assert {problem.code for problem in refused.value.problems} == {"LEAKAGE_NOT_ACCEPTED"}


def test_accepted_texts_do_not_change_under_their_ids() -> None:
    rows = [row for row in leakage_of(job(*STATISTICS_SHOW)) if row.id.startswith("statistics.")]
    assert {row.id: hashlib.sha256(row.learns.encode()).hexdigest()[:12] for row in rows} == PINNED


def test_only_the_roles_of_statistics_stand_in_such_a_job() -> None:
    ids = {row.id.split(".")[0] for row in leakage_of(job())}
    assert {"StatisticsAsker", "StatisticsHolder", "Asker", "Holder"} <= ids
    assert not ids & {"LabelParty", "BinningLabel", "gbdt", "binning"}


def test_a_rule_bounds_how_small_a_cell_may_be() -> None:
    leakage = leakage_of(job("sums"))
    model = dataclasses.replace(MODEL, name="statistics.0", kind="statistics", trees=0, max_bin=5, min_data_in_bin=20)
    request = asked(models=(model,), leakage=leakage)
    accepted = frozenset(row.id for row in leakage)
    scope = {"kinds": frozenset({"statistics"})}
    others = {"kinds": frozenset({"gbdt"})}
    assert decide(ruled(scope=others, accept_leakage=accepted), request).action == Action.REFUSE
    assert decide(ruled(scope=scope, accept_leakage=accepted, min_data_in_bin=20), request).action == Action.ADMIT
    refused = decide(ruled(scope=scope, accept_leakage=accepted, min_data_in_bin=50), request)
    assert refused.action == Action.REFUSE
    assert "min_cell is 20" in " ".join(problem.what for problem in refused.reasons)


def test_a_proposal_with_strange_parameters_is_taken_for_the_one_that_shows_most() -> None:
    def shows(**params: Any) -> frozenset[str]:
        entry = {"kind": "statistics", "name": "s", "groupsum": "auto", "hide_nodes": True, "params": params}
        return ModelEntry.model_validate(entry).public().tables

    table = {"name": "t", "by": ["tax.level"]}
    assert shows(table=[table]) == frozenset()
    assert shows(table=[table | {"sum": ["bank.loan"], "missing": "zero"}]) == {"sums"}
    assert shows(table=[table | {"sum": ["bank.loan"]}]) == {"sums", "cells"}
    assert shows(table=[table | {"by": ["tax.level", "bank.branch"]}], share=True) == {"cells", "shared"}
    for strange in ({}, {"table": "all"}, {"table": [table], "min_cell": 1}, {"table": [table], "more": 1}):
        assert shows(**strange) == STATISTICS_SHOW
