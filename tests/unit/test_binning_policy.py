"""What a party can say to a job that bins: which texts it has to accept, and what a proposal may not ask."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, get_args

import pytest
from unit.test_governance_policy import MODEL, asked, ruled

from fedcredit.credit.woe import IvDisclosure
from fedcredit.errors import RefusedError
from fedcredit.governance.leakage import PublicJob, PublicModel, leakage_of, refuse_unaccepted
from fedcredit.governance.policy import Action, decide
from fedcredit.ids import PartyId
from fedcredit.node.specification import ModelEntry
from fedcredit.runtime.policy_template import known_leakage

BANK, TAX, PLATFORM = PartyId("bank"), PartyId("tax"), PartyId("platform")

# As in test_governance_leakage: an id stands for one text.
PINNED = {
    "binning.counts": "bbb5262fab67",
    "binning.iv.coarse": "23fa450e3404",
    "binning.iv.exact": "8cf5d80ca27c",
    "binning.iv.rank": "32030423ea59",
    "binning.iv.rounded": "18bc47f42e13",
    "binning.joined": "35456f24ae96",
    "binning.shape": "b50e6e7732f0",
}


def job(how: Any = "rounded", **model: Any) -> PublicJob:
    models = (PublicModel(name="binning.0", kind="binning", hide_nodes=True, iv_disclosure=how, **model),)
    return PublicJob(platform=PLATFORM, label_party=BANK, feature_parties=(TAX,), models=models)


def about(party: PartyId, how: Any) -> set[str]:
    return {row.id for row in leakage_of(job(how)) if party in row.about and row.id.startswith("binning.")}


@pytest.mark.parametrize("how", get_args(IvDisclosure))
def test_each_level_of_disclosure_is_accepted_by_itself(how: str) -> None:
    assert about(TAX, how) == {"binning.shape", "binning.counts"}
    joined = set() if how == "none" else {"binning.joined"}
    assert about(BANK, how) == joined | (set() if how in ("none", "bins") else {f"binning.iv.{how}"})
    everything = {row.id for row in leakage_of(job(how))}
    refuse_unaccepted(leakage_of(job(how)), BANK, everything)
    for missing in about(BANK, how):
        with pytest.raises(RefusedError) as refused:
            refuse_unaccepted(leakage_of(job(how)), BANK, everything - {missing})
        assert [problem.code for problem in refused.value.problems] == ["LEAKAGE_NOT_ACCEPTED"]
        assert missing in refused.value.problems[0].fix
    assert everything <= known_leakage()


def test_accepted_texts_do_not_change_under_their_ids() -> None:
    rows = [row for how in get_args(IvDisclosure) for row in leakage_of(job(how)) if row.id.startswith("binning.")]
    assert {row.id: hashlib.sha256(row.learns.encode()).hexdigest()[:12] for row in rows} == PINNED


def test_no_role_of_boosting_stands_in_a_job_that_bins() -> None:
    ids = {row.id.split(".")[0] for row in leakage_of(job())}
    assert {"BinningLabel", "BinningFeature", "Asker", "Holder"} <= ids
    assert not ids & {"LabelParty", "FeatureParty", "gbdt"}


def test_a_rule_for_boosting_is_not_about_a_binning_and_one_for_binnings_is() -> None:
    leakage = leakage_of(job("exact"))
    model = dataclasses.replace(MODEL, name="binning.0", kind="binning", trees=0, max_bin=16)
    request = asked(models=(model,), leakage=leakage)
    assert decide(ruled(), request).action == Action.REFUSE
    accepted = frozenset(row.id for row in leakage)
    for kinds, ids, action in (
        ({"gbdt"}, accepted, Action.REFUSE),
        ({"binning"}, accepted, Action.ADMIT),
        ({"binning"}, accepted - {"binning.counts", "binning.iv.exact"}, Action.REFUSE),
    ):
        policy = ruled(scope={"kinds": frozenset(kinds)}, accept_leakage=ids)
        assert decide(policy, request).action == action, kinds


def test_a_proposal_with_strange_parameters_is_taken_for_the_one_that_tells_most() -> None:
    def public(kind: str = "binning", **params: Any) -> PublicModel:
        entry = {"kind": kind, "name": "b", "groupsum": "auto", "hide_nodes": True, "params": params}
        return ModelEntry.model_validate(entry).public()

    assert public().iv_disclosure == "none"
    assert public(iv_disclosure="rank").iv_disclosure == "rank"
    assert public("scorecard").iv_disclosure == "coarse"
    assert public("scorecard", iv_disclosure="exact").iv_disclosure == "exact"
    assert public(iv_disclosure="nothing at all").iv_disclosure == "exact"
    assert public(iv_disclosure=["none"]).iv_disclosure == "exact"
